"""The model server that rewrites documents."""

from __future__ import annotations

import os
from decimal import Decimal

import dagster as dg
from pydantic import Field

from lakehouse.generate import Endpoint


class LanguageModelResource(dg.ConfigurableResource):
    """Any server that speaks the OpenAI API. The key is read from `LAKEHOUSE_API_KEY` when it is sent."""

    base_url: str = Field(default="", description="Address up to and with /v1; empty: there is no endpoint.")
    model: str = Field(default="", description="The model's name at that server.")
    max_in_flight: int = Field(default=64, gt=0, description="How many calls are under way at once.")
    prompt_price: str = Field(default="0", description="Dollars per million prompt tokens.")
    completion_price: str = Field(default="0", description="Dollars per million completion tokens.")

    def endpoint(self) -> Endpoint | None:
        """The endpoint, or None where none is set.

        Raises:
            GenerationError: the settings are no endpoint.
        """
        if not self.base_url:
            return None
        return Endpoint(
            base_url=self.base_url,
            model=self.model,
            max_in_flight=self.max_in_flight,
            prompt_price=Decimal(self.prompt_price),
            completion_price=Decimal(self.completion_price),
        )


def from_environment() -> LanguageModelResource:
    """The endpoint that `LAKEHOUSE_MODEL_URL` and `LAKEHOUSE_MODEL` name; prices from `LAKEHOUSE_…_PRICE`."""
    return LanguageModelResource(
        base_url=os.environ.get("LAKEHOUSE_MODEL_URL", ""),
        model=os.environ.get("LAKEHOUSE_MODEL", ""),
        max_in_flight=int(os.environ.get("LAKEHOUSE_MODEL_IN_FLIGHT", "64")),
        prompt_price=os.environ.get("LAKEHOUSE_PROMPT_PRICE", "0"),
        completion_price=os.environ.get("LAKEHOUSE_COMPLETION_PRICE", "0"),
    )
