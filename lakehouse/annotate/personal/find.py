"""The annotator of personal data: candidate regions, the finder of each, placeholders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa

from lakehouse.annotate.annotator import Annotator, AnnotatorError
from lakehouse.annotate.personal import accounts, identities, names, network, phones, placeholders, secrets
from lakehouse.annotate.personal.candidates import Region, regions
from lakehouse.annotate.personal.spans import Span, without_overlaps
from lakehouse.annotate.words import Batch
from lakehouse.schema import EDITS

VERSION = 1

GROUPS = {
    "n_email_addresses": ("email_address",),
    "n_phone_numbers": ("phone_number",),
    "n_ip_addresses": ("ip_address", "private_ip_address", "reserved_ip_address"),
    "n_account_numbers": ("iban", "card_number"),
    "n_national_ids": identities.KINDS,
    "n_secrets": ("secret",),
    "n_names": ("person_name", "place_name"),
}
KINDS = tuple(kind for kinds in GROUPS.values() for kind in kinds)
# Documentation and loopback addresses are nobody's; places are no person's until they are an address.
_UNASKED = frozenset({"reserved_ip_address", "place_name"})

COLUMNS = (
    pa.field("personal", EDITS),
    *(pa.field(name, pa.int64()) for name in GROUPS),
    pa.field("n_personal", pa.int64()),
)


@dataclass(frozen=True)
class _Search:
    """What is looked for."""

    kinds: frozenset[str]
    countries: tuple[str, ...] | None  # None: for identities all, for phone numbers by the language of a document
    tags: bool
    names_model: str | None
    names_language: str


def personal_data(
    *,
    kinds: Sequence[str] | None = None,
    countries: Sequence[str] | None = None,
    placeholders: str = "plain",
    names: bool = False,
    names_model: str = "en_core_web_lg",
    names_language: str = "en",
) -> Annotator:
    """Find personal data: where it is, what it is, and what may stand there instead.

    Args:
        kinds: what to look for, of `KINDS`; without it everything but reserved_ip_address (documentation, loopback,
            multicast), place_name and, unless `names`, person_name.
        countries: ISO 3166 codes of the countries whose national identity and phone numbers are looked for; without it
            identity numbers of every country in the table, and national phone numbers of the countries where a
            document's language is spoken.
        placeholders: "plain" (email@example.com) or "tags" (<EMAIL_ADDRESS>).
        names: whether names of people are looked for, with presidio and a spaCy model.
        names_model: the spaCy model's name or folder.
        names_language: its language; names of documents in other languages are not looked for.

    Returns:
        An annotator with the columns personal (spans, each with its kind as the rule and its placeholder as the
        replacement), a count for each group of kinds (null where it was not looked for), and n_personal.

    Raises:
        AnnotatorError: a kind, country or style of placeholders is unknown, or names are wanted and not asked for.
    """
    wanted = _wanted(kinds, names)
    if placeholders not in ("plain", "tags"):
        raise AnnotatorError(f"placeholders: {placeholders!r} is unknown: use 'plain' or 'tags'.")
    codes = None if countries is None else _countries(countries)
    search = _Search(
        kinds=wanted,
        countries=codes,
        tags=placeholders == "tags",
        names_model=names_model if names else None,
        names_language=names_language,
    )
    return Annotator(
        name="personal_data",
        version=VERSION,
        columns=COLUMNS,
        edit_rules=KINDS,
        measure=lambda batch: _measure(batch, search),
        description="Personal data: e-mail and IP addresses, phone, account and national numbers, secrets.",
        settings={
            "kinds": None if kinds is None else list(kinds),
            "countries": None if countries is None else list(countries),
            "placeholders": placeholders,
            "names": names,
            "names_model": names_model,
            "names_language": names_language,
        },
    )


def _wanted(kinds: Sequence[str] | None, with_names: bool) -> frozenset[str]:
    if kinds is None:
        return frozenset(KINDS) - _UNASKED - (frozenset() if with_names else {"person_name"})
    if isinstance(kinds, str):
        raise AnnotatorError(f"kinds must be a list, such as [{kinds}].")
    for kind in kinds:
        if kind not in KINDS:
            raise AnnotatorError(f"kind {kind!r} is unknown. Known are {', '.join(KINDS)}.")
    if not with_names and not set(kinds).isdisjoint(GROUPS["n_names"]):
        raise AnnotatorError("person_name and place_name are only found with names: true.")
    return frozenset(kinds) | ({"person_name"} if with_names and "place_name" not in kinds else frozenset())


def _countries(countries: Sequence[str]) -> tuple[str, ...]:
    known = {identity.country for identity in identities.IDENTITIES}
    known |= {region for listed in phones.REGIONS.values() for region in listed}
    if isinstance(countries, str):
        raise AnnotatorError(f"countries must be a list, such as [{countries}].")
    for country in countries:
        if country not in known:
            raise AnnotatorError(f"country {country!r} is unknown. Known are {', '.join(sorted(known))}.")
    return tuple(countries)


def _measure(batch: Batch, search: _Search) -> pl.DataFrame:
    texts, languages = batch.documents["text"], batch.documents["language"]
    found: list[list[Span]] = [[] for _ in range(len(texts))]
    of_text, kinds, starts, ends = (values.tolist() for values in regions(texts))
    place = 0
    while place < len(of_text):
        document = of_text[place]
        behind = place
        while behind < len(of_text) and of_text[behind] == document:
            behind += 1
        candidates = zip(kinds[place:behind], starts[place:behind], ends[place:behind], strict=True)
        found[document] = _find(texts[document], languages[document], candidates, search)
        place = behind
    if search.names_model is not None:
        for document, (text, language) in enumerate(zip(texts, languages, strict=True)):
            if language == search.names_language:
                found[document] += names.names(text, search.names_model, search.names_language)
    looked_for_names = languages == search.names_language if search.names_model is not None else None
    kept = [_wanted_spans(texts[place], spans, search) if spans else [] for place, spans in enumerate(found)]
    return _table(texts, kept, search, looked_for_names)


def _find(text: str, language: str | None, candidates: Iterable[tuple[int, int, int]], search: _Search) -> list[Span]:
    countries = phones.REGIONS.get(language or "", ()) if search.countries is None else search.countries
    national = identities.finder(search.countries)
    spans: list[Span] = []
    last_phone = -1_000
    for kind, start, end in candidates:
        found: list[Span] = []
        if kind == Region.EMAIL:
            found += network.email_address(text, start)
        elif kind == Region.IPV6:
            found += network.ipv6_addresses(text, start, end)
        elif kind == Region.TOKEN:
            found += secrets.tokens(text, start, end)
        elif kind == Region.KEY_BLOCK:
            found += secrets.key_blocks(text, start)
        elif kind == Region.CODE:
            found += accounts.ibans(text, start)
            found += national.find(text, start, end, countries)
        else:
            if end - start >= 12:
                found += accounts.card_numbers(text, start, end)
            found += network.ipv4_addresses(text, start, end)
            found += national.find(text, start, end, countries)
            phone = list(phones.phone_numbers(text, start, end, countries, start - last_phone < 16))
            if phone:
                last_phone = phone[-1].end
            found += phone
        spans += found
    return spans


def _wanted_spans(text: str, spans: list[Span], search: _Search) -> list[Span]:
    # What is not wanted goes last: a card number is no phone number where only those are looked for.
    return [
        span
        for span in without_overlaps(spans)
        if span.kind in search.kinds and not placeholders.is_placeholder(text[span.start : span.end])
    ]


def _table(
    texts: pl.Series, found: list[list[Span]], search: _Search, looked_for_names: pl.Series | None
) -> pl.DataFrame:
    flat = [span for spans in found for span in spans]
    offsets = np.cumsum([0, *map(len, found)])
    replacements = [
        replacement
        for text, spans in zip(texts, found, strict=True)
        if spans
        for replacement in placeholders.replacements(text, spans, search.tags)
    ]
    edits = pa.StructArray.from_arrays(
        [
            pa.array([span.start for span in flat], pa.int64()),
            pa.array([span.end for span in flat], pa.int64()),
            pa.array([span.kind for span in flat], pa.string()),
            pa.array(replacements, pa.string()),
        ],
        fields=list(EDITS.value_type),
    )
    columns = {"personal": pl.Series(pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), edits))}
    for name, kinds in GROUPS.items():
        if search.kinds.isdisjoint(kinds):
            columns[name] = pl.Series([None] * len(found), dtype=pl.Int64)
        else:
            columns[name] = pl.Series([sum(span.kind in kinds for span in spans) for spans in found], dtype=pl.Int64)
    if looked_for_names is not None:
        columns["n_names"] = pl.select(pl.when(looked_for_names).then(columns["n_names"])).to_series()
    columns["n_personal"] = pl.Series(np.diff(offsets), dtype=pl.Int64)
    return pl.DataFrame(columns)
