"""Annotators that look texts and addresses up in lists, and that measure code: how fast, and how much memory.

    python benchmarks/lists.py [--shared ../shared/data] [--hosts 5000000]

One thread, processor time. Where they are installed, the libraries that were not chosen are timed on the same texts:
ahocorasick_rs and pyahocorasick for lists of words, pycodestyle, ruff and Pygments for code.
"""

from __future__ import annotations

import os

os.environ["POLARS_MAX_THREADS"] = "1"

import argparse
import ast
import contextlib
import io
import itertools
import subprocess
import sysconfig
import tarfile
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import psutil
import pyarrow as pa

from lakehouse.annotate.annotator import Annotator
from lakehouse.annotate.bad_words import bad_words
from lakehouse.annotate.code.source_files import code
from lakehouse.annotate.machine_text import machine_text
from lakehouse.annotate.phrases import _lowered, _searchable
from lakehouse.annotate.url.lists import read_address_lists, url_lists
from lakehouse.annotate.words import Batch

ADDRESSES = 200_000
STRICT, SOFT = ["casino online", "xxx", "warez"], ["free", "games", "video", "bonus", "dating", "slots"]


def timed(name: str, amount: float, unit: str, work: Callable[[], Any], processor: bool = True) -> Any:
    """Print how much of `amount` is done in a second."""
    clock = time.process_time if processor else time.perf_counter
    start = clock()
    result = work()
    print(f"  {name:44} {amount / (clock() - start):14,.1f} {unit}/s")
    return result


def batch(texts: list[str], language: str, urls: list[str] | None = None) -> Batch:
    """Documents of one language, their words already found."""
    columns = {"doc_id": [""] * len(texts), "text": texts, "language": [language] * len(texts)}
    found = Batch(pl.DataFrame(columns | {"url": urls or [None] * len(texts)}, schema_overrides={"url": pl.String}))
    found.words  # noqa: B018  # a pass finds them once for every annotator
    return found


def megabytes(texts: list[str]) -> float:
    """Size in UTF-8."""
    return int(pl.Series(texts).str.len_bytes().sum()) / 1e6


def prose(folder: Path) -> Iterator[str]:
    """The texts in the zip archives of a folder, in pieces."""
    for archive in sorted(folder.glob("*.zip")):
        with zipfile.ZipFile(archive) as files:
            for name in sorted(files.namelist()):
                text = files.read(name).decode("utf-8", "replace")
                yield from (text[start : start + 2_000] for start in range(0, len(text), 2_000))


def time_addresses(shared: Path, hosts: int) -> None:
    """Real lists, then a list of many made-up hosts."""
    with tempfile.TemporaryDirectory() as folder:
        archive = next((shared / "quality" / "ut1-blacklists").glob("*.tar.zst"))
        with (
            pa.input_stream(str(archive), compression="zstd") as stream,
            tarfile.open(fileobj=stream, mode="r|") as tar,
        ):
            tar.extractall(folder, filter="data")
        folders = sorted(path.parent for path in Path(folder).glob("*/*/domains"))
        plain = {path.name: str(path / "domains") for path in folders}
        easylist = str(shared / "quality" / "dolma-samples" / "urls" / "easylist.txt.gz")
        listed = [line for path in folders for line in (path / "domains").read_text("utf-8").split()]
        kinds = {
            f"hosts, {len(plain)} categories": {"lists": plain},
            "words": {"words": {"strict": STRICT, "soft": SOFT}},
            "hosts and words": {"lists": plain, "words": {"strict": STRICT, "soft": SOFT}},
            "expressions": {"lists": {"ads": str(Path(plain["publicite"]).with_name("expressions"))}},
            "EasyList": {"lists": {"ads": easylist}},
        }
        urls = [
            f"https://www.{listed[n * 7 % len(listed)] if n % 10 == 0 else f'site{n % 99991}.example.org'}"
            f"/articles/{n}/the-title-of-a-page.html"
            for n in range(ADDRESSES)
        ]
        documents = batch([""] * len(urls), "en", urls)
        print("addresses")
        for name, settings in kinds.items():
            annotator = url_lists(**settings)
            annotator.measure(Batch(documents.documents.head(100)))
            timed(name, ADDRESSES, "addresses", lambda one=annotator: one.measure(documents))
        path = Path(folder) / "hosts"
        with path.open("w") as file:
            file.writelines(f"host{n}.shop{n * 7919 % 1_000_003}.example\n" for n in range(hosts))
        before = psutil.Process().memory_info().rss
        lists = timed(f"reading {hosts:,} hosts", hosts, "hosts", lambda: read_address_lists({"many": str(path)}))
        table = lists.hosts
        size = table.hashes.nbytes + table.origins.nbytes + table.starts.nbytes
        grown = psutil.Process().memory_info().rss - before
        print(f"  {'memory':44} {size / hosts:14.1f} bytes a host; the process grew by {grown / 1e6:,.0f} MB")
        many = url_lists(lists={"many": str(path)})
        many.measure(Batch(documents.documents.head(100)))
        timed(f"{hosts:,} hosts", ADDRESSES, "addresses", lambda: many.measure(documents))


def time_words(shared: Path, texts: list[str]) -> None:
    """Lists of words, with the libraries that were not chosen."""
    size = megabytes(texts)
    folder = shared / "quality" / "ldnoobw"
    annotators: dict[str, Annotator] = {"bad_words": bad_words(lists=str(folder)), "machine_text": machine_text()}
    print("texts")
    for name, annotator in annotators.items():
        annotator.measure(batch(texts[:10], "en"))
        documents = batch(texts, "en")
        timed(f"{name}, English", size, "MB", lambda one=annotator, of=documents: one.measure(of))
    chinese = [entry * 200 for entry in (folder / "zh").read_text("utf-8").split() * 10]
    documents = batch(chinese, "zh")
    timed("bad_words, Chinese", megabytes(chinese), "MB", lambda: annotators["bad_words"].measure(documents))
    entries = pl.Series((folder / "en").read_text("utf-8").split("\n"))
    forms = [form for form in _searchable(_lowered(entries), unspaced=False) if form.strip()]
    haystack = "\n".join(_searchable(_lowered(pl.Series(texts)), unspaced=False))
    print("only the search, in texts made ready")
    series = pl.Series([haystack])
    timed("polars extract_many", size, "MB", lambda: series.str.extract_many(forms, leftmost=True))
    with contextlib.suppress(ImportError):
        import ahocorasick_rs

        machine = ahocorasick_rs.AhoCorasick(forms, matchkind=ahocorasick_rs.MatchKind.LeftmostLongest)
        timed("ahocorasick_rs", size, "MB", lambda: machine.find_matches_as_indexes(haystack))
    with contextlib.suppress(ImportError):
        import ahocorasick

        automaton = ahocorasick.Automaton()
        for form in forms:
            automaton.add_word(form, form)
        automaton.make_automaton()
        timed("pyahocorasick", size, "MB", lambda: list(automaton.iter_long(haystack)))


def time_code(texts: list[str]) -> None:
    """Files of the standard library, with the linters that were not chosen."""
    size = megabytes(texts)
    documents = batch(texts, "en", [f"https://code.example/{n}.py" for n in range(len(texts))])
    annotator = code()
    annotator.measure(batch(texts[:5], "en", ["https://code.example/a.py"] * 5))
    print("Python files")
    timed("code", size, "MB", lambda: annotator.measure(documents))
    warnings.simplefilter("ignore")
    trees = timed("only ast.parse", size, "MB", lambda: [ast.parse(text) for text in texts])
    from pyflakes.checker import Checker

    timed("only pyflakes, on what ast.parse gave", size, "MB", lambda: [Checker(tree) for tree in trees])
    with contextlib.suppress(ImportError):
        import pycodestyle

        def check() -> None:
            options = pycodestyle.StyleGuide(quiet=2).options
            with contextlib.redirect_stdout(io.StringIO()):
                for text in texts[::10]:
                    pycodestyle.Checker("text", lines=text.splitlines(keepends=True), options=options).check_all()

        timed("only pycodestyle", megabytes(texts[::10]), "MB", check)
    with contextlib.suppress(ImportError):
        from pygments.lexers import guess_lexer

        timed("only Pygments' guess", megabytes(texts[::10]), "MB", lambda: [guess_lexer(text) for text in texts[::10]])
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(FileNotFoundError):

        def ruff() -> None:
            for place, text in enumerate(texts):
                (Path(folder) / f"{place}.py").write_text(text, encoding="utf-8")
            command = ["ruff", "check", "--isolated", "--no-cache", "--select", "F", "--output-format", "json", folder]
            subprocess.run(command, capture_output=True, env={**os.environ, "RAYON_NUM_THREADS": "1"})

        timed("only ruff, files written (wall time)", size, "MB", ruff, processor=False)


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared/data"))
    parser.add_argument("--hosts", type=int, default=5_000_000)
    arguments = parser.parse_args()
    time_addresses(arguments.shared, arguments.hosts)
    time_words(arguments.shared, list(itertools.islice(prose(arguments.shared / "quality" / "nltk-corpora"), 10_000)))
    time_code([path.read_text("utf-8") for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))])


if __name__ == "__main__":
    main()
