"""Web addresses in one form, so that two ways to write an address compare as one.

`HTTP://user:secret@WWW.Bücher.example.:8080/A%62c/?x=1#top` has the host `www.xn--bcher-kva.example` and the rest
`/abc/?x=1`: no scheme, credentials, port, fragment or trailing dot, everything in lower case, percent-encoding undone,
international names in the form that the domain name system uses.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from urllib.parse import unquote

import polars as pl

_SPLIT = (
    r"^(?:(?:[a-zA-Z][a-zA-Z0-9+.\-]*:)?[/\\]{2,})?"  # scheme and slashes
    r"(?:[^/?#\\]*@)?"  # credentials: up to the last @ of the authority, as browsers read it
    r"(?<host>\[[^\]/?#\\]*\]|[^/?#\\:]*)(?::[^/?#\\]*)?"  # host and port
    r"(?<rest>[/?\\][^#]*)?"
)
# What browsers cut off the ends of an address: the space and the control characters.
_ENDS = "".join(map(chr, range(0x21)))
_LONGEST_HOST = 253  # of the domain name system; beyond it there is nothing to look up, and decoding takes long


def split_addresses(addresses: pl.Series) -> pl.DataFrame:
    """Take n addresses apart; a missing scheme is fine.

    Args:
        addresses: n strings or nulls.

    Returns:
        n rows: host and rest (path and query), both in the form that this module describes; null where the address is.
    """
    cleaned = addresses.str.strip_chars(_ENDS).str.replace_all(r"[\t\r\n]", "").alias("address").to_frame()
    parts = cleaned.select(parts=pl.col("address").str.extract_groups(_SPLIT)).unnest("parts")
    parts = parts.with_columns(
        pl.when(cleaned["address"].is_not_null()).then(pl.col(name).fill_null("")).alias(name)
        for name in ("host", "rest")
    )
    parts = parts.with_columns(
        host=_changed(parts["host"], "%", _decode).str.to_lowercase(),
        rest=_changed(parts["rest"], "%", _decode).str.to_lowercase().str.replace_all("\\", "/", literal=True),
    )
    host = _changed(parts["host"], r"[^\x00-\x7f]", _to_ascii, literal=False)
    return parts.with_columns(host=host.str.strip_chars_end("."))


def readable_hosts(hosts: pl.Series) -> pl.Series:
    """The hosts with international names as people write them: `xn--bcher-kva.example` is `bücher.example`."""
    return _changed(hosts, "xn--", _to_unicode)


def _changed(values: pl.Series, mark: str, change: Callable[[str], str], literal: bool = True) -> pl.Series:
    """`values` with `change` applied to those that have the mark; few have one, so Python may do it."""
    marked = values.str.contains(mark, literal=literal).fill_null(value=False)
    if not marked.any():
        return values
    places = marked.arg_true()
    return values.scatter(places, [change(value) for value in values.gather(places)])


def _decode(text: str) -> str:
    return unquote(text, errors="replace")


@functools.lru_cache(maxsize=65_536)
def _to_ascii(host: str) -> str:
    import idna  # its tables take a while to load: only where a name needs them

    if len(host) > _LONGEST_HOST:
        return host
    try:
        return idna.encode(host, uts46=True).decode("ascii")
    except UnicodeError:  # not a name that can exist; it is compared as it is written
        return host


@functools.lru_cache(maxsize=65_536)
def _to_unicode(host: str) -> str:
    import idna

    if len(host) > _LONGEST_HOST:
        return host
    try:
        return idna.decode(host)
    except UnicodeError:
        return host
