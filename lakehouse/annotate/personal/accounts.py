"""Numbers of bank accounts and payment cards, both with a checksum."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lakehouse.annotate.personal.spans import LETTERS, Span

_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?:[ \u00a0-]?[A-Za-z0-9]){11,30}(?![A-Za-z0-9])")
_LETTER_VALUES = {ord(letter): str(value) for value, letter in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZ", 10)}
_WINDOW = 80  # characters: an IBAN of 34 with its spaces and the words that could belong to it
_SHORTEST_IBAN = 15
_IBAN_COUNTRIES = """
    AD AE AL AT AZ BA BE BG BH BR BY CH CR CY CZ DE DK DO EE EG ES FI FO FR GB GE GI GL GR GT HR HU IE IL IQ IS IT JO
    KW KZ LB LC LI LT LU LV MC MD ME MK MR MT MU NL NO PK PL PS PT QA RO RS SA SE SI SK SM TN TR UA VA XK
"""

_CARD = re.compile(
    rf"(?<![{LETTERS}_.])(?<![{LETTERS}_.][-/])[0-9](?:[ \u00a0-]?[0-9]){{11,18}}(?![{LETTERS}_]|[-.][0-9])"
)
_CARD_GROUPS = re.compile(r"\d{4}([ \u00a0-])(?:\d{4}\1\d{4}\1\d{4}(?:\1\d{3})?|\d{6}\1\d{4,5})")
_FIGURE_BEFORE, _FIGURE_BEHIND = re.compile(r"\d[ \u00a0\t]$"), re.compile(r"[ \u00a0\t]\d{3,}")  # a row of figures
_CARD_CONTEXT = re.compile(
    r"(?:\b(?:card|cards|pay|paid|paying|visa|mastercard|maestro|amex|american express|discover|diners|jcb|unionpay"
    r"|cc|credit|debit)\b|karte|kartennummer|carte|tarjeta|carta|cartão|kaart|karta|карт|カード|卡)[^\n]{0,30}$",
    re.IGNORECASE,
)
_CONTEXT = 48  # characters
# Issuers by their first digits: prefix from, to, and the lengths of their numbers. Source: ISO/IEC 7812 ranges as the
# card networks publish them.
_ISSUERS = (
    ("4", "4", (13, 16, 19)),  # Visa
    ("51", "55", (16,)),  # Mastercard
    ("2221", "2720", (16,)),
    ("34", "34", (15,)),  # American Express
    ("37", "37", (15,)),
    ("300", "305", (14, 16)),  # Diners Club
    ("3095", "3095", (14, 16)),
    ("36", "36", (14, 16)),
    ("38", "39", (14, 16)),
    ("6011", "6011", (16, 19)),  # Discover
    ("644", "659", (16, 19)),
    ("35", "35", (16, 19)),  # JCB, which has 3528 to 3589 of it
    ("1800", "1800", (15,)),
    ("2131", "2131", (15,)),
    ("62", "62", (16, 17, 18, 19)),  # UnionPay
    ("2200", "2204", (16,)),  # Mir
    ("50", "50", (12, 13, 14, 15, 16, 17, 18, 19)),  # Maestro
    ("56", "58", (12, 13, 14, 15, 16, 17, 18, 19)),
    ("63", "63", (12, 13, 14, 15, 16, 17, 18, 19)),
    ("67", "67", (12, 13, 14, 15, 16, 17, 18, 19)),
)


def ibans(text: str, start: int) -> Iterator[Span]:
    """The IBAN that begins at `start` or not far behind it, of a known country, the right length and checksum.

    It may be in groups with spaces. The words after it could belong to it, so the longest one that is valid is taken.
    National check digits inside it are not looked at. One in capitals without gaps may be of another length.

    Source: ISO 13616; ISO 7064 MOD 97-10.
    """
    match = _IBAN.search(text, start, start + _WINDOW)
    if match is None:
        return
    from stdnum import iban

    written = match[0]
    while len(written) >= _SHORTEST_IBAN:
        compact = re.sub("[ \u00a0-]", "", written).upper()
        # Seldom true, and a tenth of the time of the library's look at the country's form.
        if int((compact[4:] + compact[:4]).translate(_LETTER_VALUES)) % 97 == 1:
            # One without gaps, of another length: with the right checksum it is an IBAN with a slip, not chance.
            slip = written.isalnum() and written[:2] in _IBAN_COUNTRIES.split()
            if slip or iban.is_valid(compact, check_country=False):
                yield Span(match.start(), match.start() + len(written), "iban")
                return
        cut = max(written.rfind(gap) for gap in " \u00a0-")
        written = written[: max(cut, 0)]


def card_numbers(text: str, start: int, end: int) -> Iterator[Span]:
    """Card numbers between two places: a known issuer, a length that it has, the checksum, and usual groups.

    Undivided numbers of 12, 13 or 17 to 19 digits are bar codes and identifiers more often than cards: they need a word
    such as "card" before them.

    Source: ISO/IEC 7812 (issuer numbers, Luhn's checksum).
    """
    for match in _CARD.finditer(text, start, end):
        digits = re.sub(r"\D", "", match[0])
        if not _has_issuer(digits) or not luhn(digits) or len(set(digits)) < 2:
            continue
        before = text[max(0, match.start() - _CONTEXT) : match.start()]
        if len(digits) == len(match[0]):
            usual = 14 <= len(digits) <= 16
        else:
            usual = _CARD_GROUPS.fullmatch(match[0]) is not None
            usual = usual and not _FIGURE_BEFORE.search(before) and not _FIGURE_BEHIND.match(text, match.end())
        if usual or _CARD_CONTEXT.search(before):
            yield Span(match.start(), match.end(), "card_number")


def luhn(digits: str) -> bool:
    """Whether the last digit is the checksum of those before it.

    From the right every second digit is doubled, and the digits of all add up to a multiple of ten.
    """
    doubled = (2 * int(digit) for digit in digits[-2::-2])
    return (sum(int(digit) for digit in digits[::-2]) + sum(number // 10 + number % 10 for number in doubled)) % 10 == 0


def _has_issuer(digits: str) -> bool:
    return any(low <= digits[: len(low)] <= high and len(digits) in lengths for low, high, lengths in _ISSUERS)
