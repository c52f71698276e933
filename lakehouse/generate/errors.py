"""What can go wrong before, during and after the calls to a model."""

from __future__ import annotations


class RecipeError(ValueError):
    """A recipe that cannot be used. The message names the file, the line and the key."""


class GenerationError(RuntimeError):
    """Generation cannot start or go on. The message names the endpoint, document or table, and what to do."""
