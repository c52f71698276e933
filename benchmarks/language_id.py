"""How well and how fast languages are identified: `python benchmarks/language_id.py [SHARED_DATA] [FASTTEXT_MODEL]`.

On SIB-200's sentences of 30 languages, as they are (short) and ten at a time (long): accuracy, documents a second on
one core, and what a threshold of 0.65 lets through of right and of wrong answers. `pycld2` joins where it is installed.
"""

from __future__ import annotations

import csv
import io
import sys
import tarfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import polars as pl
import pyarrow as pa

from lakehouse.annotate.language import identify

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
THRESHOLD = 0.65
# fmt: off
TWO_LETTERS = {
    "amh": "am", "arb": "ar", "ben": "bn", "ces": "cs", "deu": "de", "ell": "el", "eng": "en", "fra": "fr",
    "heb": "he", "hin": "hi", "ind": "id", "ita": "it", "jpn": "ja", "kor": "ko", "nld": "nl", "pes": "fa",
    "pol": "pl", "por": "pt", "rus": "ru", "spa": "es", "swh": "sw", "tam": "ta", "tha": "th", "tur": "tr",
    "ukr": "uk", "vie": "vi", "yor": "yo", "zho": "zh", "zsm": "ms",
}
# fmt: on
Identify = Callable[[Sequence[str]], pl.DataFrame]


def sentences(folder: Path) -> list[tuple[str, list[str]]]:
    """Each language's code and its sentences."""
    found = []
    archive = next(folder.glob("*.tar.zst"))
    with pa.input_stream(archive, compression="zstd") as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
        for member in tar:
            if member.name.endswith("train.tsv"):
                lines = io.StringIO(tar.extractfile(member).read().decode())
                texts = [row["text"] for row in csv.DictReader(lines, delimiter="\t")]
                found.append((TWO_LETTERS[member.name.split("/")[-2][:3]], texts))
    return found


def with_pycld2(texts: Sequence[str]) -> pl.DataFrame:
    """The same frame as `identify`, by CLD2: the share of the text that is in the first language is its score."""
    import pycld2

    rows = []
    for text in texts:
        _, _, guesses = pycld2.detect(text[:1_000], isPlainText=True, bestEffort=True)
        rows.append((guesses[0][1].split("-")[0].replace("iw", "he"), guesses[0][2] / 100))
    return pl.DataFrame(rows, schema=["language", "language_score"], orient="row")


def measure(name: str, function: Identify, kind: str, documents: list[tuple[str, str]]) -> None:
    """Print one line of the table. `documents` are pairs of a language's code and a text."""
    truth, texts = zip(*documents, strict=True)
    started = time.process_time()
    found = function(texts)
    rate = len(texts) / (time.process_time() - started)
    right, passed = found["language"] == pl.Series(truth), found["language_score"] >= THRESHOLD
    print(
        f"{name:10} {kind:6} {right.mean():9.4f} {rate:10,.0f} {(passed & right).sum() / right.sum():13.3f} "
        f"{(passed & ~right).sum():7d} of {(~right).sum()}"
    )


def main() -> None:
    """Print the table."""
    shared = Path(sys.argv[1]) if len(sys.argv) > 1 else SHARED
    languages = sentences(shared / "langid" / "sib-200")
    kinds = {
        "short": [(code, text) for code, texts in languages for text in texts],
        "long": [(code, " ".join(texts[at : at + 10])) for code, texts in languages for at in range(0, len(texts), 10)],
    }
    identifiers: dict[str, Identify] = {"py3langid": identify}
    if len(sys.argv) > 2:
        identifiers["fasttext"] = partial(identify, model=Path(sys.argv[2]))
    try:
        import pycld2  # noqa: F401

        identifiers["pycld2"] = with_pycld2
    except ImportError:
        pass
    print("model      texts   accuracy     docs/s  right passing  wrong passing")
    for name, function in identifiers.items():
        function([kinds["long"][0][1]])  # loads and compiles
        for kind, documents in kinds.items():
            measure(name, function, kind, documents)


if __name__ == "__main__":
    main()
