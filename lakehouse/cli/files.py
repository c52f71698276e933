"""Stages on plain files, for pipes and for evaluation: extract and filter."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import typer

from lakehouse.lake import LakeError

_BATCH_DOCUMENTS = 1_000


def add_to(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (extract, filter_):
        app.command(command.__name__.rstrip("_"), rich_help_panel="Stages on plain files")(command)


def extract(
    files: Annotated[
        list[Path], typer.Argument(help="HTML files; - reads one page from standard input.", metavar="FILE…")
    ],
) -> None:
    """Turn HTML into text: one JSON line a file with path, title, text and language.

    A file without text gives a line whose text is empty and whose error says why.

        lakehouse extract page.html other.html > texts.jsonl
    """
    from lakehouse import annotate
    from lakehouse.extract import ExtractError, extract_page

    failed = False
    for file in files:
        row: dict[str, Any] = {"path": str(file), "title": None, "text": "", "language": None}
        try:
            page = extract_page(sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes())
            row |= {"title": page.title, "text": page.text, "language": annotate.identify([page.text])["language"][0]}
        except ExtractError as error:
            row["error"] = f"{error.rule}: {error.evidence}" if error.evidence else error.rule
        except OSError as error:
            row["error"] = f"{file} cannot be read: {error.strerror}"
            print(row["error"], file=sys.stderr)
            failed = True
        _print_line(row)
    if failed:
        sys.exit(1)


def filter_(
    file: Annotated[
        Path, typer.Argument(help="JSON lines with id and text; - reads standard input.", metavar="FILE.jsonl")
    ],
    rules: Annotated[str, typer.Option(help="Rule sets, separated by commas.")] = "gopher_quality",
    languages: Annotated[
        str | None, typer.Option(help="Language codes to keep, separated by commas; all without it.")
    ] = None,
    min_score: Annotated[float, typer.Option(min=0, max=1, help="Lowest score of the language.")] = 0.65,
) -> None:
    """Apply rules to texts: one JSON line a document with id, kept, stage, rule, value and threshold.

    lakehouse filter texts.jsonl --languages en,de > verdicts.jsonl
    """
    from lakehouse import annotate, select

    wanted = select.Languages(tuple(languages.split(",")), min_score) if languages else None
    conditions = select.resolve([name for name in rules.split(",") if name], wanted)
    annotators = [annotate.annotator(name) for name in sorted(select.required_annotators(conditions))]
    for documents in _documents(file):
        documents = documents.hstack(annotate.identify(documents["text"].to_list()))
        verdicts = select.decide(annotate.annotate(documents, annotators), conditions)
        for verdict in verdicts.iter_rows(named=True):
            value = verdict["value"] if verdict["value"] is not None else verdict["evidence"]
            fields = {name: verdict[name] for name in ("kept", "stage", "rule")}
            _print_line({"id": verdict["doc_id"], **fields, "value": value, "threshold": verdict["threshold"]})


def _documents(file: Path) -> Iterator[pl.DataFrame]:
    """Batches of doc_id and text."""
    batch: list[tuple[str, str]] = []
    for line in _lines(file):
        batch.append(line)
        if len(batch) == _BATCH_DOCUMENTS:
            yield _frame(batch)
            batch = []
    if batch:
        yield _frame(batch)


def _frame(batch: list[tuple[str, str]]) -> pl.DataFrame:
    return pl.DataFrame(batch, schema={"doc_id": pl.String, "text": pl.String}, orient="row")


def _lines(file: Path) -> Iterator[tuple[str, str]]:
    try:
        stream = sys.stdin if str(file) == "-" else file.open(encoding="utf-8")
    except OSError as error:
        raise LakeError(f"{file} cannot be read: {error.strerror}.") from error
    with stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                yield _encodable(str(row.get("id", number))), _encodable(str(row["text"]))
            except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
                raise LakeError(f"{file}:{number}: this is no JSON object with a text: {error}.") from error


def _encodable(text: str) -> str:
    """`text` without lone surrogates, which JSON can name and UTF-8 cannot hold."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _print_line(row: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")
