"""Whether the rules decide as DataTrove's: rule by rule on 20,000 English texts.

    python benchmarks/parity.py --datatrove PYTHON [--documents 20000] [--cache FILE.parquet]

PYTHON is that of an environment with DataTrove and spaCy. What DataTrove says takes minutes; it is kept in `--cache`
and read from there as long as the texts are the same. The texts are pieces of corpora of many genres, web pages of the
mini web and samples of other projects' corpora, from 200 to 20,000 characters.
"""

from __future__ import annotations

import argparse
import collections
import json
import random
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pyarrow as pa

from lakehouse import annotate
from lakehouse.extract import extract_page

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
WORKER = Path(__file__).with_name("datatrove_filters.py")
SHORTEST, LONGEST = 200, 20_000
ENDINGS = ("", "_any_ending")
FAMILIES = ("gopher_quality", "gopher_repetition", "c4", "fineweb")

# Rule: least and greatest value that DataTrove keeps.
BOUNDS: dict[str, tuple[float | None, float | None]] = {
    "segment_words": (50, 100_000),
    "mean_segment_length": (3, 10),
    "segment_hash_ratio": (None, 0.1),
    "bullet_lines_of_all": (None, 0.9),
    "ellipsis_lines_of_all": (None, 0.3),
    "alpha_segments": (0.8, None),
    "segment_stop_words": (2, None),
    "duplicate_paragraphs": (None, 0.3),
    "duplicate_paragraph_characters": (None, 0.2),
    "duplicate_lines": (None, 0.3),
    "duplicate_line_characters": (None, 0.2),
    **{f"top_{n}_gram": (None, share) for n, share in ((2, 0.2), (3, 0.18), (4, 0.16))},
    **{f"duplicate_{n}_grams": (None, round(0.2 - n / 100, 2)) for n in range(5, 11)},
    "punctuated_lines": (0.12, None),
    "short_lines": (None, 0.67),
    "duplicate_characters": (None, 0.01),
    "newlines_per_segment": (None, 0.3),
    "lorem_ipsum_lines": (None, 0),
    "lorem_ipsum_lines_any_ending": (None, 0),
    "curly_bracket_lines": (None, 0),
    "curly_bracket_lines_any_ending": (None, 0),
    "n_sentences": (5, None),
    "n_sentences_any_ending": (5, None),
    "long_lines": (3, None),
}

_C4 = ("lorem_ipsum_lines", "curly_bracket_lines", "n_sentences")
FILTERS = {
    "gopher_quality": list(BOUNDS)[:7],
    "gopher_repetition": list(BOUNDS)[7:20],
    "fineweb": list(BOUNDS)[20:24],
    **{f"c4{ending}": [f"{rule}{ending}" for rule in _C4] for ending in ENDINGS},
}


def corpora(chance: random.Random) -> Iterator[str]:
    """Texts of the shared data, in a fixed order."""
    for archive in sorted((SHARED / "quality" / "nltk-corpora").glob("*.zip")):
        with zipfile.ZipFile(archive) as files:
            for name in sorted(files.namelist()):
                yield from pieces(files.read(name).decode("utf-8", "replace"), chance)
    for file in sorted((SHARED / "quality").glob("**/*.jsonl*")):
        with pa.input_stream(file) as stream:  # it decompresses by the suffix
            for line in stream.read().decode("utf-8", "replace").split("\n"):
                if line.startswith("{") and line.rstrip().endswith("}"):  # some are JSON over several lines
                    text = json.loads(line).get("text")
                    yield from pieces(text, chance) if isinstance(text, str) else ()
    with (
        pa.input_stream(SHARED / "miniweb" / "miniweb.tar.zst") as stream,
        tarfile.open(fileobj=stream, mode="r|") as tar,
    ):
        for member in tar:
            page = tar.extractfile(member) if member.name.endswith((".html", ".htm")) else None
            if page is not None:
                yield from pieces(extract_page(page.read()).text, chance)


def pieces(text: str, chance: random.Random) -> Iterator[str]:
    """The text in pieces whose lengths are spread evenly over the orders of magnitude."""
    start = 0
    while start < len(text):
        length = int(SHORTEST * (LONGEST / SHORTEST) ** chance.random())
        yield text[start : start + length]
        start += length


def choose(number: int) -> list[str]:
    """That many English texts, the same on every run."""
    chance = random.Random(1)
    texts = [text for text in corpora(chance) if SHORTEST <= len(text) <= LONGEST]
    chance.shuffle(texts)
    chosen: list[str] = []
    while texts and len(chosen) < number:
        some, texts = texts[:5_000], texts[5_000:]
        english = annotate.identify(some)["language"] == "en"
        chosen.extend(text for text, keep in zip(some, english, strict=True) if keep)
    return chosen[:number]


def ask(python: str, texts: list[str], workers: int) -> pl.DataFrame:
    """What DataTrove says of each text."""

    def part(some: list[str]) -> list[str]:
        lines = "\n".join(map(json.dumps, some))
        done = subprocess.run([python, str(WORKER), "values"], input=lines, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    size = -(-len(texts) // workers)
    with ThreadPoolExecutor(workers) as pool:
        answers = pool.map(part, [texts[start : start + size] for start in range(0, len(texts), size)])
        rows = [json.loads(line) for lines in answers for line in lines]
    return pl.DataFrame(rows, infer_schema_length=None).with_columns(asked=pl.Series(texts))


def told(python: str, texts: list[str], cache: Path, workers: int) -> pl.DataFrame:
    """What DataTrove says, from the cache where it is of these texts."""
    if cache.is_file():
        known = pl.read_parquet(cache)
        if known["asked"].to_list() == texts:
            return known
    answers = ask(python, texts, workers)
    answers.write_parquet(cache)
    return answers


def edited(text: str, edits: list[dict[str, object]]) -> str:
    """The text with its edits applied."""
    parts: list[str] = []
    end = 0
    for edit in edits:
        parts += [text[end : edit["start"]], str(edit["replacement"])]  # type: ignore[misc]
        end = edit["end"]  # type: ignore[assignment]
    return "".join([*parts, text[end:]])


def cause(rule: str, row: dict[str, object]) -> str:
    """Why the two disagree."""
    text = str(row["asked"])
    if row["n_segments"] != row["n_segments_theirs"]:
        return "words are cut differently"
    if rule.endswith("_grams"):
        return "theirs takes n-grams of other words for equal where their characters are"
    has_blank_line = any(not line.strip() for line in text.split("\n"))
    if has_blank_line and rule.startswith(("duplicate_", "filter: gopher_repetition")):
        return "blank lines: theirs count as lines"
    if "sentences" in rule:
        return "sentences are cut differently"
    return "other"


def main() -> None:
    """Print the share of texts on which both decide alike, and why they do not on the others."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--datatrove", required=True, metavar="PYTHON")
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "datatrove-values.parquet")
    arguments = parser.parse_args()

    texts = choose(arguments.documents)
    theirs = told(arguments.datatrove, texts, arguments.cache, arguments.workers)
    ours = measure(texts)
    renamed = theirs.select(pl.all().name.suffix("_theirs")).rename({"asked_theirs": "asked"})
    both = pl.concat([ours, renamed], how="horizontal").with_columns(
        pl.Series(f"made{ending}", map(edited, texts, ours[f"line_edits{ending}"].to_list())) for ending in ENDINGS
    )
    print(f"{len(texts):,} texts, {sum(map(len, texts)) / len(texts):,.0f} characters on average")
    same = (both["n_segments"] == both["n_segments_theirs"]).sum() / both.height
    print(f"{'the same number of segments':36} {same:8.3%}")
    for rule in BOUNDS:
        report(rule, both, drops(rule), answer(rule))
    for name, rules in FILTERS.items():
        report(f"filter: {name}", both, pl.any_horizontal(map(drops, rules)), pl.any_horizontal(map(answer, rules)))
    for ending in ENDINGS:
        report(
            f"text after line_edits{ending}",
            both,
            pl.col(f"made{ending}") != pl.col(f"text{ending}_theirs"),
            pl.lit(False),
        )


def measure(texts: list[str]) -> pl.DataFrame:
    """Every column of every family; the two ratios that DataTrove has one rule for are one column, the greater."""
    documents = pl.DataFrame({"doc_id": map(str, range(len(texts))), "text": texts, "language": ["en"] * len(texts)})
    annotators = [annotate.annotator(name) for name in FAMILIES]
    measured = [annotate.measure_all(part, annotators) for part in documents.iter_slices(1_000)]
    return pl.concat([pl.concat(tables, how="horizontal") for tables in measured]).with_columns(
        segment_hash_ratio=pl.max_horizontal("segment_hash_ratio", "segment_ellipsis_ratio")
    )


def drops(rule: str) -> pl.Expr:
    """Whether the value is outside of the rule's bounds."""
    least, most = BOUNDS[rule]
    outside = pl.lit(False)
    if least is not None:
        outside |= pl.col(rule) < least
    if most is not None:
        outside |= pl.col(rule) > most
    return outside.fill_null(False)


def answer(rule: str) -> pl.Expr:
    """Whether DataTrove drops the text."""
    return pl.col(f"{rule}_theirs").fill_null(False)


def report(rule: str, both: pl.DataFrame, ours: pl.Expr, theirs: pl.Expr) -> None:
    """Print one rule's line."""
    both = both.with_columns(ours=ours, theirs=theirs)
    wrong = both.filter(pl.col("ours") != pl.col("theirs"))
    causes = collections.Counter(cause(rule, row) for row in wrong.iter_rows(named=True))
    dropped = f"{both['ours'].sum():6,} ours {both['theirs'].sum():6,} theirs"
    why = ", ".join(f"{number} {why}" for why, number in causes.most_common())
    print(f"{rule:36} {1 - wrong.height / both.height:8.3%}   dropped {dropped}   {why}")


if __name__ == "__main__":
    main()
