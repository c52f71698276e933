"""Where a model answers: addresses, key, limits and prices."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from decimal import Decimal
from typing import get_args
from urllib.parse import urlsplit

from lakehouse.generate.errors import GenerationError
from lakehouse.generate.sections import StructuredOutput

_MILLION = Decimal(1_000_000)
_SMALLEST = Decimal("0.000000001")  # the scale of cost_usd in the journal


@dataclass(frozen=True)
class Endpoint:
    """Servers that speak the OpenAI API, and the model to ask there.

    The key is read from the environment when it is sent and stored nowhere, so neither a repr nor a pickle holds it.

    Raises:
        GenerationError: a setting that cannot be. One line; what may hold a key is not repeated.
    """

    base_urls: tuple[str, ...]  # replicas of one server, each up to and with /v1; one is usual
    model: str
    api_key_variable: str = "LAKEHOUSE_API_KEY"
    max_in_flight: int = 64  # calls under way at each replica; how many really are adapts to the server
    timeout: float = 120.0  # seconds that one try may take
    max_retries: int = 4
    prompt_price: Decimal = Decimal(0)  # dollars per million tokens
    completion_price: Decimal = Decimal(0)
    cached_prompt_price: Decimal | None = None  # of prompt tokens that the server had in its cache; None: prompt_price
    requests_per_minute: int | None = None  # over all replicas; None: no limit
    tokens_per_minute: int | None = None  # prompt and completion, over all replicas
    structured_output: StructuredOutput = "off"  # what the server understands
    processes: int = 1  # of this machine that share the calls
    batch: bool = False  # calls go through the Batch API: slower and cheaper
    batch_discount: Decimal = Decimal("0.5")  # what a call costs there, as a share of its price

    def __post_init__(self) -> None:
        if isinstance(self.base_urls, str) or not self.base_urls or len(set(self.base_urls)) < len(self.base_urls):
            raise GenerationError("base_urls must be a tuple of one or more addresses, each once.")
        for base_url in self.base_urls:
            self._check_address(base_url)
        for name, most in (("max_in_flight", 1000), ("processes", 64)):
            if not 1 <= getattr(self, name) <= most:
                raise GenerationError(f"{name} is {getattr(self, name)}: give 1 to {most}.")
        if self.batch and (len(self.base_urls) > 1 or self.processes > 1):
            raise GenerationError("an endpoint with batch has one address and one process: the server does the work.")
        if self.timeout <= 0 or self.max_retries < 0:
            raise GenerationError("timeout must be above 0 seconds, and max_retries 0 or more.")
        for name in ("requests_per_minute", "tokens_per_minute"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise GenerationError(f"{name} is {getattr(self, name)}: give 1 or more, or leave it out.")
        for name in ("prompt_price", "completion_price", "cached_prompt_price"):
            price = getattr(self, name)
            if price is None and name == "cached_prompt_price":
                continue
            if not isinstance(price, Decimal) or not price.is_finite() or price < 0:
                raise GenerationError(f"{name} must be a Decimal of 0 or more: dollars per million tokens.")
        discount = self.batch_discount
        if not (isinstance(discount, Decimal) and discount.is_finite() and 0 <= discount <= 1):
            raise GenerationError("batch_discount must be a Decimal from 0 to 1: the share of the price that is paid.")
        if self.structured_output not in get_args(StructuredOutput):
            raise GenerationError(
                f"structured_output is {self.structured_output!r}: give {', '.join(get_args(StructuredOutput))}."
            )

    def _check_address(self, base_url: str) -> None:
        try:
            address = urlsplit(base_url)
            usable = address.scheme in {"http", "https"} and bool(address.hostname)
            _ = address.port
        except ValueError:  # brackets or a port that no address has; the text may hold a password
            raise GenerationError("base_url is no address: give one like http://127.0.0.1:8000/v1.") from None
        if address.username or address.password or address.query:
            raise GenerationError(
                "the endpoint's base_url must hold no user, password or query: "
                f"put the key into the environment variable {self.api_key_variable}."
            )
        if not usable:
            raise GenerationError(f"base_url {base_url!r} is no address: give one like http://127.0.0.1:8000/v1.")

    @property
    def is_local(self) -> bool:
        """Whether all replicas are on this machine: then they need no key, and no proxy is used."""
        return all(_is_local(base_url) for base_url in self.base_urls)

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

    def cost(
        self, prompt_tokens: int | None, completion_tokens: int | None, cached_tokens: int | None = None
    ) -> Decimal | None:
        """Dollars that a call cost; None where there are prices but the server did not count its tokens.

        Args:
            prompt_tokens: all of the prompt, those in the server's cache included.
            completion_tokens: all of the answer, a model's reasoning included.
            cached_tokens: those of the prompt that the server had in its cache.
        """
        if not self.prompt_price and not self.completion_price:
            return Decimal(0)
        if prompt_tokens is None or completion_tokens is None:
            return None
        cached = min(cached_tokens or 0, prompt_tokens)
        cached_price = self.prompt_price if self.cached_prompt_price is None else self.cached_prompt_price
        price = (prompt_tokens - cached) * self.prompt_price + cached * cached_price
        price += completion_tokens * self.completion_price
        if self.batch:
            price *= self.batch_discount
        return (price / _MILLION).quantize(_SMALLEST)


def _is_local(base_url: str) -> bool:
    host = urlsplit(base_url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
