"""What stands in the place of personal data: typed, readable, and nobody's."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from lakehouse.annotate.personal.spans import Span

# Each takes the value's number among the distinct ones of its kind in the document, from 1, and the value.
# Sources: RFC 2606 (example.com), RFC 5737 and 3849 (addresses for documentation), the range 555-0100 to 555-0199 that
# is kept for fiction. No card begins with 0, no IBAN has the check digits 00, no social security number the area 000.
_PLAIN: dict[str, Callable[[int, str], str]] = {
    "email_address": lambda n, _: f"email{n if n > 1 else ''}@example.com",
    "phone_number": lambda n, _: f"555-{100 + (n - 1) % 100:04}",
    "ip_address": lambda n, value: f"2001:db8::{n:x}" if ":" in value else f"192.0.2.{(n - 1) % 254 + 1}",
    "private_ip_address": lambda n, value: f"2001:db8:1::{n:x}" if ":" in value else f"198.51.100.{(n - 1) % 254 + 1}",
    "reserved_ip_address": lambda n, value: f"2001:db8:2::{n:x}" if ":" in value else f"203.0.113.{(n - 1) % 254 + 1}",
    "iban": lambda n, _: f"GB00BANK{n:014}",
    "card_number": lambda n, _: f"0000 0000 0000 {n % 10_000:04}",
    "us_ssn": lambda n, _: f"000-00-{n % 10_000:04}",
    "secret": lambda n, _: f"secret-{n}",
    "person_name": lambda n, _: f"Person {n}",
    "place_name": lambda n, _: f"Place {n}",
}
_NATIONAL_ID = "ID-{:06}"

_OURS = re.compile(r"email\d*@example\.com|555-01\d\d|secret-\d+|0000 0000 0000 \d{4}|000-00-\d{4}|GB00BANK\d{14}")


def is_placeholder(written: str) -> bool:
    """Whether this is a placeholder itself, of a text that was masked before."""
    return _OURS.fullmatch(written) is not None


def replacements(text: str, spans: Iterable[Span], tags: bool) -> list[str]:
    """The placeholder of each span. Equal values of a document have the same one, different values different ones.

    Args:
        text: the text of a document.
        spans: what was found in it.
        tags: whether placeholders are `<EMAIL_ADDRESS>`, `<EMAIL_ADDRESS_2>`; else they look like what they replace.
    """
    numbers: dict[tuple[str, str], int] = {}
    counts: dict[str, int] = {}
    replaced = []
    for span in spans:
        value = text[span.start : span.end]
        if (span.kind, value) not in numbers:
            counts[span.kind] = counts.get(span.kind, 0) + 1
            numbers[span.kind, value] = counts[span.kind]
        n = numbers[span.kind, value]
        if tags:
            replaced.append(f"<{span.kind.upper()}{f'_{n}' if n > 1 else ''}>")
        else:
            plain = _PLAIN.get(span.kind)
            replaced.append(plain(n, value) if plain else _NATIONAL_ID.format(n))
    return replaced
