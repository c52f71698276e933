"""What the settings of every transform have in common."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """The keys of a transform in a recipe: unknown ones are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def files(self) -> list[Path]:
        """The files that outputs depend on. What is in them belongs into the version of whatever uses the settings."""
        return []
