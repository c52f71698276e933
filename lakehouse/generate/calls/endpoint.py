"""Where a model answers: address, key, limits and prices."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from decimal import Decimal
from urllib.parse import urlsplit

from lakehouse.generate.errors import GenerationError

_MILLION = Decimal(1_000_000)
_SMALLEST = Decimal("0.000000001")  # the scale of cost_usd in the journal


@dataclass(frozen=True)
class Endpoint:
    """A server that speaks the OpenAI chat API, and the model to ask there.

    The key is read from the environment when it is sent and stored nowhere, so neither a repr nor a pickle holds it.
    """

    base_url: str  # up to and with /v1
    model: str
    api_key_variable: str = "LAKEHOUSE_API_KEY"
    max_in_flight: int = 64
    timeout: float = 120.0  # seconds that the server may be silent in one try
    max_retries: int = 4
    prompt_price: Decimal = Decimal(0)  # dollars per million tokens
    completion_price: Decimal = Decimal(0)

    def __post_init__(self) -> None:
        address = urlsplit(self.base_url)
        if address.username or address.password or address.query:
            raise GenerationError(
                "the endpoint's base_url must hold no user, password or query: "
                f"put the key into the environment variable {self.api_key_variable}."
            )
        if address.scheme not in {"http", "https"} or not address.hostname:
            raise GenerationError(f"base_url {self.base_url!r} is no address: give one like http://127.0.0.1:8000/v1.")
        if not 1 <= self.max_in_flight <= 1000:
            raise GenerationError(f"max_in_flight is {self.max_in_flight}: give 1 to 1000.")
        for name in ("prompt_price", "completion_price"):
            if not isinstance(getattr(self, name), Decimal) or getattr(self, name) < 0:
                raise GenerationError(f"{name} must be a Decimal of 0 or more: dollars per million tokens.")

    @property
    def is_local(self) -> bool:
        """Whether the server is on this machine: then it needs no key, and no proxy is used."""
        host = urlsplit(self.base_url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost" or host.endswith(".localhost")

    @property
    def api_key(self) -> str:
        """The key, or "none" where the environment has none.

        Raises:
            GenerationError: it holds characters that no key has (and that must not get into a header).
        """
        key = os.environ.get(self.api_key_variable, "").strip()
        if not key.isascii() or not key.isprintable() or " " in key:
            raise GenerationError(f"{self.api_key_variable} is no API key: it holds spaces or special characters.")
        return key or "none"

    def cost(self, prompt_tokens: int | None, completion_tokens: int | None) -> Decimal | None:
        """Dollars that a call cost; None where there are prices but the server did not count its tokens."""
        if not self.prompt_price and not self.completion_price:
            return Decimal(0)
        if prompt_tokens is None or completion_tokens is None:
            return None
        price = prompt_tokens * self.prompt_price + completion_tokens * self.completion_price
        return (price / _MILLION).quantize(_SMALLEST)
