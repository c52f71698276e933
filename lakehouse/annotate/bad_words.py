"""How often words of a list that its user calls bad occur in a text.

No list comes with Lakehouse, and no rule drops by these columns unless it is written: word lists remove text by and
about minorities more often than other text (Dodge et al., Documenting Large Webtext Corpora).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path

import polars as pl
import pyarrow as pa

from lakehouse.annotate.annotator import Annotator, AnnotatorError
from lakehouse.annotate.phrases import Phrases, phrases
from lakehouse.annotate.words import Batch

COLUMNS = (
    pa.field("bad_words", pa.int64()),
    pa.field("bad_word_ratio", pa.float64()),
    pa.field("bad_words_found", pa.list_(pa.string())),
)
MOST_FOUND = 20
"""How many distinct entries `bad_words_found` holds at most."""

_CODE = re.compile(r"[a-z]{2,3}")
# The lists' names for what language identification names more finely or otherwise.
_OTHER_CODES = {"nb": "no", "nn": "no", "tl": "fil"}


def bad_words(*, lists: str | Mapping[str, str]) -> Annotator:
    """Count the words and phrases of its language's list in each text.

    Args:
        lists: a folder with a file for each language, named by its code (`en`, `de.txt`; other files are not read), or
            the path of each language's file. A file is UTF-8 text with a word or phrase on each line.

    Returns:
        Annotator of bad_words (hits), bad_word_ratio (hits per word), bad_words_found (the distinct entries that occur,
        sorted, at most 20). Upper case and what stands between the words of a phrase do not matter. An entry is matched
        where words begin and end; letters of scripts written without spaces may stand before or after it. Of entries
        that overlap the longest of the first counts. Null for a language without a list; bad_word_ratio also for
        texts without words.

    Raises:
        AnnotatorError: the setting is wrong. Measuring raises it for a list that is missing, empty or not UTF-8.
    """
    if not lists or not isinstance(lists, str | Mapping):
        raise AnnotatorError(f"bad_words: lists is {lists!r}: give a folder, or a file for each language.")
    for code, file in lists.items() if isinstance(lists, Mapping) else ():
        if not isinstance(code, str) or not _CODE.fullmatch(code) or not isinstance(file, str):
            raise AnnotatorError(
                f"bad_words: {code!r}: {file!r} is no language code with a path (write 'no' in quotes)."
            )

    def measure(batch: Batch) -> pl.DataFrame:
        files = _files(lists)
        if not files:
            raise AnnotatorError(f"{lists} holds no file named by a language's code, such as {lists}/en.")
        lists_of = {code: _read(str(path.resolve()), *_state(path), code) for code, path in files.items()}
        return _count(batch, lists_of)

    return Annotator(
        "bad_words",
        1,
        COLUMNS,
        measure,
        "Words and phrases of the language's list of bad words.",
        settings={"lists": lists if isinstance(lists, str) else dict(lists)},
        files=tuple(dict.fromkeys(_files(lists).values())) or (Path(str(lists)),),
    )


def _files(lists: str | Mapping[str, str]) -> dict[str, Path]:
    """The file of each language. A list that another code is known by serves that code too."""
    if isinstance(lists, Mapping):
        files = {code: Path(file) for code, file in lists.items()}
    else:
        folder = Path(lists)
        inside = sorted(folder.iterdir()) if folder.is_dir() else []
        files = {path.name.removesuffix(".txt"): path for path in inside if path.is_file()}
        files = {code: path for code, path in files.items() if _CODE.fullmatch(code)}
    others = {code: files[other] for code, other in _OTHER_CODES.items() if other in files}
    return others | files


def _state(path: Path) -> tuple[int, int]:
    try:
        state = path.stat()
    except OSError as error:
        raise AnnotatorError(f"list {path} cannot be read: {error.strerror}.") from error
    return state.st_mtime_ns, state.st_size


@functools.lru_cache(maxsize=256)
def _read(path: str, _modified: int, _size: int, code: str) -> Phrases:
    try:
        lines = Path(path).read_text("utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise AnnotatorError(f"list {path} cannot be read as UTF-8 text: {error}.") from error
    entries = {line.strip() for line in lines} - {""}
    if not entries:
        raise AnnotatorError(f"list {path} holds no words: put one on each line.")
    return phrases(entries, code)


def _count(batch: Batch, lists: Mapping[str, Phrases]) -> pl.DataFrame:
    documents = batch.documents.select("text", "language").with_row_index("row")
    found = [pl.DataFrame(schema={"row": pl.UInt32, "phrase": pl.String})]
    for (code,), part in documents.group_by("language"):
        if code in lists:
            hits = lists[str(code)].find(part["text"])
            found.append(hits.with_columns(part["row"].gather(hits["row"]).alias("row")))
    hits = pl.concat(found).group_by("row").agg(
        bad_words=pl.len().cast(pl.Int64), bad_words_found=pl.col("phrase").unique().sort().head(MOST_FOUND)
    )  # fmt: skip
    words = batch.words
    counted = documents.select(
        "row",
        listed=pl.col("language").is_in(list(lists)),
        words=pl.Series(words.total(words.lengths > 0)),
    ).join(hits, on="row", how="left", maintain_order="left")
    count = pl.col("bad_words").fill_null(0)
    values = {
        "bad_words": count,
        "bad_word_ratio": pl.when(pl.col("words") > 0).then(count / pl.col("words")),
        "bad_words_found": pl.col("bad_words_found").fill_null(pl.lit([], pl.List(pl.String))),
    }
    return counted.select(pl.when("listed").then(value).alias(name) for name, value in values.items())
