"""The model servers that rewrite documents."""

from __future__ import annotations

import os
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from pydantic import Field

from lakehouse.generate import Endpoint, GenerationError

DEFAULT = "default"
"""The endpoint that a recipe's step calls unless it names another."""

_PRICES = ("prompt_price", "completion_price", "cached_prompt_price", "batch_discount")


class LanguageModelResource(dg.ConfigurableResource):
    """Servers that speak the OpenAI API. Keys are read from the environment when they are sent."""

    base_url: str = Field(default="", description="Address up to and with /v1; several, of replicas, with commas.")
    model: str = Field(default="", description="The model's name at that server.")
    max_in_flight: int = Field(default=64, gt=0, description="How many calls are under way at once, at most.")
    max_retries: int = Field(default=4, ge=0, description="How often a call that failed for a while is tried again.")
    prompt_price: str = Field(default="0", description="Dollars per million prompt tokens.")
    completion_price: str = Field(default="0", description="Dollars per million completion tokens.")
    endpoints_file: str = Field(default="", description="A YAML file of further endpoints by name.")

    def endpoints(self) -> dict[str, Endpoint]:
        """The endpoints by name; none where none is set.

        Raises:
            GenerationError: the settings are no endpoint.
        """
        found = {}
        if self.base_url:
            found[DEFAULT] = Endpoint(
                base_urls=tuple(address.strip() for address in self.base_url.split(",") if address.strip()),
                model=self.model,
                max_in_flight=self.max_in_flight,
                max_retries=self.max_retries,
                prompt_price=_price(self.prompt_price, "LAKEHOUSE_PROMPT_PRICE"),
                completion_price=_price(self.completion_price, "LAKEHOUSE_COMPLETION_PRICE"),
            )
        return found | (_declared(Path(self.endpoints_file)) if self.endpoints_file else {})

    def models(self) -> dict[str, str]:
        """The model of each endpoint."""
        return {name: endpoint.model for name, endpoint in self.endpoints().items()}


def from_environment() -> LanguageModelResource:
    """The endpoint of `LAKEHOUSE_MODEL_URL` and `LAKEHOUSE_MODEL`, and those of the file `LAKEHOUSE_ENDPOINTS`."""
    return LanguageModelResource(
        base_url=os.environ.get("LAKEHOUSE_MODEL_URL", ""),
        model=os.environ.get("LAKEHOUSE_MODEL", ""),
        max_in_flight=int(os.environ.get("LAKEHOUSE_MODEL_IN_FLIGHT", "64")),
        prompt_price=os.environ.get("LAKEHOUSE_PROMPT_PRICE", "0"),
        completion_price=os.environ.get("LAKEHOUSE_COMPLETION_PRICE", "0"),
        endpoints_file=os.environ.get("LAKEHOUSE_ENDPOINTS", ""),
    )


def _declared(file: Path) -> dict[str, Endpoint]:
    """The endpoints of a YAML file: a mapping from names to the fields of `Endpoint`.

    Raises:
        GenerationError: it is none. One line with the file and the key; what may be a secret is not repeated.
    """
    try:
        content = yaml.safe_load(file.read_text("utf-8"))
    except OSError as error:
        raise GenerationError(f"LAKEHOUSE_ENDPOINTS: {file} cannot be read: {error.strerror}.") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise GenerationError(f"{file} is not YAML: it maps names of endpoints to their settings.") from None
    if not isinstance(content, dict) or not all(isinstance(settings, dict) for settings in content.values()):
        raise GenerationError(f"{file}: it must map names of endpoints to their settings (base_url, model, …).")
    return {str(name): _endpoint(f"{file}: {name}", dict(settings)) for name, settings in content.items()}


def _endpoint(where: str, settings: dict[str, Any]) -> Endpoint:
    known = set(Endpoint.__dataclass_fields__)
    given = settings.pop("base_url", None)
    if given is not None:
        settings["base_urls"] = [given]
    if unknown := sorted(set(settings) - known):
        raise GenerationError(
            f"{where}: there is no setting {unknown[0]!r}; there are base_url, {', '.join(sorted(known))}."
        )
    for name in ("base_urls", "model"):
        if not settings.get(name):
            raise GenerationError(f"{where}: {name.removesuffix('s')} is missing.")
    settings["base_urls"] = tuple(settings["base_urls"])
    settings |= {name: _price(settings[name], f"{where}: {name}") for name in _PRICES if settings.get(name) is not None}
    try:
        return Endpoint(**settings)
    except GenerationError as error:
        raise GenerationError(f"{where}: {error}") from None
    except TypeError:
        raise GenerationError(f"{where}: a setting has the wrong type; see docs/generation.md.") from None


def _price(given: Any, where: str) -> Decimal:
    """A price, exactly as it is written."""
    try:
        return Decimal(str(given))
    except InvalidOperation:
        raise GenerationError(f"{where} is {given!r}: give dollars per million tokens, such as 0.15.") from None
