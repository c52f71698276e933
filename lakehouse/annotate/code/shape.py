"""What the characters of source files tell without a parser: lines, symbols, comments."""

from __future__ import annotations

import string
from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

_ALPHANUMERIC, _SYMBOL = 1, 2
_NEWLINE, _BACKSLASH = ord("\n"), ord("\\")
_OTHER_ALPHANUMERICS = r"[[\p{L}\p{N}]&&[^\x00-\x7F]]"


def _ascii_classes() -> npt.NDArray[np.uint8]:
    classes = np.zeros(256, np.uint8)
    classes[[ord(character) for character in string.ascii_letters + string.digits]] = _ALPHANUMERIC
    classes[[ord(character) for character in "{}[]()<>=;_+*/\\|&^%$#@~"]] = _SYMBOL
    return classes


_CLASSES = _ascii_classes()


def shapes(texts: pl.Series) -> pl.DataFrame:
    """Measure the lines and characters of n texts.

    Returns:
        n rows: characters, max_line_length and mean_line_length (characters, line breaks left out), alphanumeric_share
        and symbol_share (of all characters but line breaks; symbols are ``{}[]()<>=;_+*/\\|&^%$#@~``). All but
        characters are null for a text that has nothing but line breaks.
    """
    counts = _count_shapes(*_bytes(texts), _CLASSES)
    frame = pl.DataFrame(counts, schema=["characters", "lines", "longest", "alphanumerics", "symbols"], orient="row")
    frame = frame.with_columns(pl.col("alphanumerics") + texts.str.count_matches(_OTHER_ALPHANUMERICS))
    inside = pl.col("characters") - pl.col("lines") + 1
    measured = {
        "max_line_length": pl.col("longest"),
        "mean_line_length": inside / pl.col("lines"),
        "alphanumeric_share": pl.col("alphanumerics") / inside,
        "symbol_share": pl.col("symbols") / inside,
    }
    return frame.select("characters", **{name: pl.when(inside > 0).then(value) for name, value in measured.items()})


@dataclass(frozen=True)
class CommentStyle:
    """How a language writes comments and strings.

    Attributes:
        lines: what begins a comment that ends with the line: none, one or two marks of one or two characters.
        opening: what begins a comment of many lines, or nothing.
        closing: what ends it.
        quotes: what strings stand between. A string ends with its line, except between back quotes.
        triple: whether three quotes begin a string of many lines.
        apart: whether a line's mark counts only at the line's beginning or after white space.
    """

    lines: tuple[str, ...] = ()
    opening: str = ""
    closing: str = ""
    quotes: str = "\"'"
    triple: bool = False
    apart: bool = False


_C, _SHELL = CommentStyle(("//",), "/*", "*/", "\"'`"), CommentStyle(("#",), apart=True)
_LISP, _MARKUP = CommentStyle((";",), quotes='"'), CommentStyle((), "<!--", "-->", "")
# fmt: off
_LIKE_C = (
    "c", "cpp", "csharp", "dart", "go", "groovy", "java", "javascript", "kotlin", "objective_c", "protobuf", "scala",
    "solidity", "swift", "typescript", "verilog", "zig",
)
_LIKE_SHELL = (
    "cmake", "dockerfile", "elixir", "julia", "makefile", "nix", "perl", "powershell", "r", "ruby", "shell", "toml",
    "yaml",
)
# fmt: on
STYLES: dict[str, CommentStyle] = {
    "python": CommentStyle(("#",), triple=True),
    "rust": CommentStyle(("//",), "/*", "*/", '"'),  # a single quote may begin a lifetime
    "php": CommentStyle(("//", "#"), "/*", "*/"),
    "css": CommentStyle((), "/*", "*/"),
    "sql": CommentStyle(("--",), "/*", "*/"),
    "lua": CommentStyle(("--",), "--[[", "]]"),
    "haskell": CommentStyle(("--",), "{-", "-}", '"'),
    "matlab": CommentStyle(("%",), "%{", "%}", '"'),
    "tex": CommentStyle(("%",), quotes=""),
    "erlang": CommentStyle(("%",)),
    "fortran": CommentStyle(("!",)),
    "ocaml": CommentStyle((), "(*", "*)", '"'),
    "html": _MARKUP,
    "xml": _MARKUP,
    "clojure": _LISP,
    "lisp": _LISP,
    "assembly": CommentStyle((";", "#"), quotes='"', apart=True),
    **dict.fromkeys(_LIKE_C, _C),
    **dict.fromkeys(_LIKE_SHELL, _SHELL),
}
"""Languages whose comments can be told. In php a `#` also begins an attribute: those count as comments."""


def comment_shares(texts: pl.Series, style: CommentStyle) -> pl.Series:
    """Share of the characters of n texts of one language that are in comments, marks included; null without any.

    Strings are skipped, so docstrings are none. Strings within strings and regular expressions with quotes can be taken
    for ends of strings; the mistake ends with the line.
    """
    first, second = (*style.lines, "", "")[:2]
    marks = (_mark(first), _mark(second), _mark(style.opening), _mark(style.closing), _mark(style.quotes))
    data, bounds = _bytes(texts)
    comments, characters = _count_comments(data, bounds, *marks, style.triple, style.apart)
    counted = pl.DataFrame({"comments": comments, "characters": characters})
    share = pl.when(pl.col("characters") > 0).then(pl.col("comments") / pl.col("characters"))
    return counted.select(share.alias("comment_share")).to_series()


def _mark(characters: str) -> npt.NDArray[np.uint8]:
    return np.array(list(characters.encode()), np.uint8)


def _bytes(texts: pl.Series) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """The UTF-8 of n texts one after another, and the n + 1 places between them."""
    array = texts.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest()).cast(pa.large_string())
    _, bounds_buffer, data_buffer = array.buffers()
    bounds = np.frombuffer(bounds_buffer if len(array) else bytes(8), np.int64)
    return np.frombuffer(data_buffer or b"", np.uint8), bounds[array.offset : array.offset + len(array) + 1]


@numba.njit(cache=True, nogil=True)
def _count_shapes(data, bounds, classes):  # type: ignore[no-untyped-def]  # numba infers
    """For each text its characters, lines, longest line, and those characters of ASCII that are of a class."""
    counts = np.zeros((len(bounds) - 1, 5), np.int64)
    for text in range(len(bounds) - 1):
        characters = line = longest = alphanumerics = symbols = 0
        lines = 1
        for place in range(bounds[text], bounds[text + 1]):
            byte = data[place]
            if byte == _NEWLINE:
                characters += 1
                lines += 1
                longest = max(longest, line)
                line = 0
            elif byte & 0xC0 != 0x80:
                characters += 1
                line += 1
                alphanumerics += classes[byte] == _ALPHANUMERIC
                symbols += classes[byte] == _SYMBOL
        counts[text] = (characters, lines, max(longest, line), alphanumerics, symbols)
    return counts


@numba.njit(cache=True, nogil=True, inline="always")
def _stands(mark, data, place, end):  # type: ignore[no-untyped-def]  # numba infers
    if len(mark) == 0 or place + len(mark) > end or data[place] != mark[0]:
        return False
    for offset in range(1, len(mark)):  # noqa: SIM110  # numba knows no generators
        if data[place + offset] != mark[offset]:
            return False
    return True


@numba.njit(cache=True, nogil=True, inline="always")
def _string_end(data, place, end, triple):  # type: ignore[no-untyped-def]  # numba infers
    """The place behind the string that begins at `place`."""
    quote = data[place]
    long = triple and place + 2 < end and data[place + 1] == quote and data[place + 2] == quote
    many_lines = long or quote == ord("`")
    place += 3 if long else 1
    while place < end:
        byte = data[place]
        if byte == _BACKSLASH:
            place += 2
        elif byte == _NEWLINE and not many_lines:
            return place
        elif byte == quote and (
            not long or (place + 2 < end and data[place + 1] == quote and data[place + 2] == quote)
        ):
            return place + (3 if long else 1)
        else:
            place += 1
    return end


@numba.njit(cache=True, nogil=True)
def _count_comments(data, bounds, line, other_line, opening, closing, quotes, triple, apart):  # type: ignore[no-untyped-def]  # numba infers
    """For each text how many of its characters are in comments, and how many it has."""
    comments, characters = np.zeros(len(bounds) - 1, np.int64), np.zeros(len(bounds) - 1, np.int64)
    for text in range(len(bounds) - 1):
        place, end = bounds[text], bounds[text + 1]
        for each in range(place, end):
            characters[text] += data[each] & 0xC0 != 0x80
        while place < end:
            begin = place
            byte = data[place]
            is_quote = False
            for quote in quotes:
                is_quote |= byte == quote
            if is_quote:
                place = min(_string_end(data, place, end, triple), end)
                continue
            if _stands(opening, data, place, end):
                place += len(opening)
                while place < end and not _stands(closing, data, place, end):
                    place += 1
                place = min(place + len(closing), end)
            elif _stands(line, data, place, end) or _stands(other_line, data, place, end):
                before = data[place - 1] if place > bounds[text] else _NEWLINE
                if apart and before not in (_NEWLINE, ord(" "), ord("\t"), ord("\r")):
                    place += 1
                    continue
                while place < end and data[place] != _NEWLINE:
                    place += 1
            else:
                place += 1
                continue
            for each in range(begin, place):
                comments[text] += data[each] & 0xC0 != 0x80
    return comments, characters
