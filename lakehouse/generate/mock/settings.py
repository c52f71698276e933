"""What a mock model server is told when it is started."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from lakehouse.generate.errors import GenerationError
from lakehouse.generate.mock.faults import Faults

Structured = Literal["answer", "refuse"]


@dataclass(frozen=True)
class Settings:
    """Settings of a server.

    Raises:
        GenerationError: there is no model, or a setting is out of range.
    """

    models: tuple[str, ...]
    faults: Faults = field(default_factory=Faults)
    delay: float = 0.0  # seconds before each answer
    key: str | None = field(default=None, repr=False)  # what clients must show; None: nothing
    structured: Structured = "answer"  # or "refuse" a JSON schema with 400, as old servers do
    requests_per_second: float | None = None
    tokens_per_minute: float | None = None
    most_in_flight: int | None = None  # 503 for those above
    batch_seconds: float = 0.1  # at least so long in each state of a batch

    def __post_init__(self) -> None:
        if not self.models or not all(self.models):
            raise GenerationError("mock model: give the name of at least one model.")
        for name in ("delay", "batch_seconds"):
            if not getattr(self, name) >= 0:
                raise GenerationError(f"mock model: {name} is {getattr(self, name)}: it cannot be negative.")
        for name in ("requests_per_second", "tokens_per_minute", "most_in_flight"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise GenerationError(f"mock model: {name} is {value}: give a number above 0.")
        if self.structured not in get_args(Structured):
            raise GenerationError(f"mock model: structured is {self.structured!r}: give 'answer' or 'refuse'.")
