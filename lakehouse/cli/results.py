"""Questions to the lake and their answers: asked so that Ctrl-C stops them, written a batch of rows at a time."""

from __future__ import annotations

import contextlib
import csv
import enum
import functools
import io
import os
import re
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeVar

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.measure import Measurement
from rich.status import Status

from lakehouse.cli.show import console, errors, escape, frame_table
from lakehouse.data_files import ROW_GROUP_ROWS
from lakehouse.lake import Lake, LakeError
from lakehouse.version_views import create_version_views
from lakehouse.views import literal

_SPINNER_AFTER = 0.5  # seconds
# A table says how many rows there are in all when there are no more than this: beyond it, counting may take as long as
# reading everything.
_COUNTED_ROWS = 10_000
# Characters of a cell. A table that is too wide with the last is shown with a line for each column of each row.
_CELL_WIDTHS = (60, 40)
_VALUE_LENGTH = 300
_MESSAGE_LENGTH = 600
_ANY_WIDTH = 10_000
_ROWS_AT_ONCE = 2_048

_INTEGERS = {"tinyint", "smallint", "integer", "bigint", "utinyint", "usmallint", "uinteger", "ubigint", "hugeint"}
_FLOATS = {"float", "double"}
_NUMBERS = {*_INTEGERS, *_FLOATS, "decimal", "boolean"}
_NESTED = {"list", "array", "struct", "map", "union"}
_NOT_IN_PARQUET = {"bit", "bignum", "interval", "union", "geometry", "time with time zone"}
_PLACE = "\n\nLINE "  # begins the end of DuckDB's message
_CONTROL_CHARACTERS = r"[\x00-\x1f\x7f-\x{9f}]+"  # as Polars writes them
_CONTROL_CHARACTERS_IN_LINES = r"[\x00-\x09\x0b-\x1f\x7f-\x9f]+"

T = TypeVar("T")


class Format(enum.StrEnum):
    """How rows are written."""

    table = "table"
    csv = "csv"
    json = "json"
    parquet = "parquet"


SUFFIXES = {".csv": Format.csv, ".json": Format.json, ".jsonl": Format.json, ".parquet": Format.parquet}
"""The format of a file, by the end of its name."""


class QueryError(LakeError):
    """DuckDB refused a query. The message is one line; `explained` is DuckDB's own, with the place in the query."""

    def __init__(self, explained: str) -> None:
        # It may quote a page, and the whole of it.
        head, mark, place = re.sub(_CONTROL_CHARACTERS_IN_LINES, " ", explained).partition(_PLACE)
        if len(head) > _MESSAGE_LENGTH:
            head = f"{head[: _MESSAGE_LENGTH // 2]} … {head[-_MESSAGE_LENGTH // 4 :]}"
        line = place.partition(":")[0]
        where = f" (line {line})" if line.isdigit() and int(line) > 1 else ""
        super().__init__(f"SQL: {' '.join(head.split())}{where}")
        self.explained = f"{head}{mark}{place}"


class Shown(NamedTuple):
    """How many rows were written, and how many there are; None where that is not known."""

    rows: int
    of: int | None


class Session:
    """Asks the lake through one connection: what a statement makes, the next ones can use.

    DuckDB works in a thread of its own, so that Ctrl-C is heard: it ends the query, not the session.

    Args:
        lake: where older versions are found.
        connection: of `Lake.connect`.
        spin_while_writing: whether the spinner may go on while rows are written: not where they go to a terminal.
    """

    def __init__(self, lake: Lake, connection: duckdb.DuckDBPyConnection, *, spin_while_writing: bool = False) -> None:
        self.lake = lake
        self.connection = connection
        self._spin_while_writing = spin_while_writing
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="duckdb")
        self._began = time.monotonic()
        self._status: Status | None = None
        connection.execute("SET enable_progress_bar = true; SET enable_progress_bar_print = false")

    def answers(self, script: str) -> Iterator[Answer]:
        """Run each statement of a script, the next one when the last was dealt with; yield those that have rows.

        Raises:
            QueryError: DuckDB refuses the script, of which nothing is run then, or one of its statements.
            LakeError: the script names a version that there is not.
            OSError: a file cannot be read.
        """
        self._began = time.monotonic()
        self.call(lambda: create_version_views(self.connection, self.lake, script))
        statements = self.call(lambda: self.connection.extract_statements(script))
        alone = len(statements) == 1
        for statement in statements:
            self._began = time.monotonic()
            try:
                relation = self.call(functools.partial(self.connection.sql, statement))
            except QueryError as error:
                raise QueryError(self._with_place(error.explained, script) if alone else error.explained) from error
            if relation is not None:
                yield Answer(self, relation)

    def _with_place(self, explained: str, statement: str) -> str:
        """DuckDB's message with the line and a mark below the mistake, which `execute` gives and `sql` does not."""
        if _PLACE in explained:
            return explained
        try:
            self.connection.execute(f"EXPLAIN\n{statement}")  # runs nothing
        except duckdb.Error as error:
            again = re.sub(r"LINE (\d+):", lambda line: f"LINE {int(line[1]) - 1}:".ljust(len(line[0])), str(error))
            if again.startswith(explained):
                return again
        return explained

    def call(self, work: Callable[[], T], rows: int = 0) -> T:
        """Do DuckDB's work in its thread; Ctrl-C ends it. The spinner of long work tells the `rows` written so far.

        Raises:
            QueryError: DuckDB refuses.
        """
        future = self._thread.submit(work)
        try:
            while not wait([future], timeout=0.1).done:
                self._spin(rows)
            result = future.result()
        except BaseException as error:
            self.stop_spinning()
            if isinstance(error, KeyboardInterrupt):
                # An interrupt that comes before the query has begun is lost.
                while not wait([future], timeout=0.05).done:
                    self.connection.interrupt()
            if isinstance(error, duckdb.Error | pa.ArrowException):
                raise QueryError(str(error)) from error
            raise
        if self._spin_while_writing:
            self._spin(rows)
        else:
            self.stop_spinning()
        return result

    def stop_spinning(self) -> None:
        """Take the spinner away."""
        if self._status is not None:
            self._status.stop()
            self._status = None

    def _spin(self, rows: int) -> None:
        seconds = time.monotonic() - self._began
        if seconds < _SPINNER_AFTER or not errors.is_terminal:
            return
        percent = self.connection.query_progress()
        parts = [f"{seconds:.0f} s", f"{percent:.0f} %" if percent > 0 else "", f"{rows:,} rows" if rows else ""]
        text = f"{', '.join(filter(None, parts))} [dim](Ctrl-C stops it)[/]"
        if self._status is None:
            self._status = Status(text, console=errors)
            self._status.start()
        self._status.update(text)


class Answer:
    """The rows of one statement, which are not read yet; they can be read once."""

    def __init__(self, session: Session, relation: duckdb.DuckDBPyRelation) -> None:
        self._session = session
        self._relation = relation
        self._columns: dict[str, str] = {}
        for name, kind in zip(relation.columns, relation.types, strict=True):
            number, unique = 1, name
            while unique in self._columns:
                unique, number = f"{name}_{number}", number + 1
            self._columns[unique] = str(kind.id)

    @property
    def names(self) -> list[str]:
        """The columns' names, each another."""
        return list(self._columns)

    def plain(self) -> Rows:
        """Numbers as they are, lists and structs as JSON, and everything else as DuckDB writes it."""
        columns = [
            f"{place if kind in _NUMBERS else _as_text(kind, place)} AS {_quoted(name)}"
            for place, name, kind in self._places()
        ]
        return self._read(columns, _ROWS_AT_ONCE)

    def typed(self) -> Rows:
        """Columns with their types, as far as Parquet has them: intervals and their like are text."""
        columns = [
            f"{_text(place) if kind in _NOT_IN_PARQUET else place} AS {_quoted(name)}"
            for place, name, kind in self._places()
        ]
        return self._read(columns, ROW_GROUP_ROWS)

    def csv_lines(self) -> Rows:
        """One column of lines as CSV has them: null is nothing between two commas, an empty text is quoted."""
        null = '""' if len(self._columns) == 1 else ""  # an empty line would be no row
        cells = [f"coalesce({_csv_cell(kind, place)}, {literal(null)})" for place, _, kind in self._places()]
        return self._read([" || ',' || ".join(cells) + " AS line"], _ROWS_AT_ONCE)

    def json_lines(self) -> Rows:
        """One column of JSON objects. JSON has no infinite numbers and none that is not a number: they are null."""
        values = ", ".join(
            f"{literal(name)}: " + (f"CASE WHEN isfinite({place}) THEN {place} END" if kind in _FLOATS else place)
            for place, name, kind in self._places()
        )
        return self._read([f"{_text(f'to_json({{{values}}})')} AS line"], _ROWS_AT_ONCE)

    def _places(self) -> Iterator[tuple[str, str, str]]:
        """How SQL names each column by its place, its name and its type."""
        for place, (name, kind) in enumerate(self._columns.items(), 1):
            yield f"#{place}", name, kind

    def _read(self, columns: Sequence[str], rows_at_once: int) -> Rows:
        reader = self._work(lambda: self._relation.project(", ".join(columns)).to_arrow_reader(rows_at_once))
        return Rows(reader.schema, self._batches(reader))

    def _batches(self, reader: pa.RecordBatchReader) -> Generator[pa.RecordBatch]:
        rows = 0
        try:
            while (batch := self._work(lambda: next(reader, None), rows)) is not None:
                rows += batch.num_rows
                yield batch
        finally:
            reader.close()
            self._session.stop_spinning()

    def _work(self, work: Callable[[], T], rows: int = 0) -> T:
        try:
            return self._session.call(work, rows)
        except (QueryError, OSError) as error:  # Arrow hands DuckDB's errors on as OSError
            explained = error.explained if isinstance(error, QueryError) else str(error)
            # The place is one in what `_read` made of the query.
            raise QueryError(explained.partition(_PLACE)[0]) from error


class Rows(NamedTuple):
    """Rows that are read when they are asked for."""

    schema: pa.Schema
    batches: Generator[pa.RecordBatch]


def write(answer: Answer, form: Format, stream: BinaryIO) -> int:
    """Write the rows to a stream, a batch at a time; return how many there were.

    Raises:
        QueryError: DuckDB refused while it worked, or Parquet has no type for a column.
    """
    return _WRITERS[form](answer, stream)


def save(answer: Answer, form: Format, file: Path) -> int:
    """Write the rows to a file, which appears when it is complete; return how many there were.

    Raises:
        QueryError: as `write`.
        OSError: the file cannot be written.
    """
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with partial.open("wb") as stream:
            rows = write(answer, form, stream)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
    return rows


def show(answer: Answer, max_rows: int) -> Shown:
    """Print the rows as a table, `max_rows` of them at most. A plan is printed as it is."""
    rows = answer.plain()
    frames = [_frame(rows.schema.empty_table())]
    seen, ended = 0, True
    with contextlib.closing(rows.batches) as batches:
        for batch in batches:
            frames.append(_frame(batch).head(max(0, max_rows - seen)))
            seen += batch.num_rows
            if seen > max(max_rows, _COUNTED_ROWS):
                ended = False
                break
    frame = pl.concat(frames)
    if answer.names == ["explain_key", "explain_value"]:
        console.print("\n".join(frame["explain_value"]), markup=False, soft_wrap=True)
    else:
        _print_rows(frame)
    return Shown(frame.height, seen if ended else None)


def _print_rows(frame: pl.DataFrame) -> None:
    # A page's text may hold what a terminal takes for orders.
    frame = frame.with_columns(pl.col(pl.String).str.replace_all(_CONTROL_CHARACTERS, " "))
    named = frame.rename({name: escape(name) for name in frame.columns})
    for cell_width in _CELL_WIDTHS:
        table = frame_table(named, max_width=cell_width)
        natural = Measurement.get(console, console.options.update(width=_ANY_WIDTH), table).maximum
        if natural <= console.width:
            console.print(table)
            return
        if not console.is_terminal:
            Console(width=natural, highlight=False).print(table)
            return
    width = max(map(len, frame.columns))
    for number, row in enumerate(frame.iter_rows(named=True), 1):
        console.print(f"[bold]row {number}[/]")
        for name, value in row.items():
            text = "" if value is None else str(value)
            cut = text if len(text) <= _VALUE_LENGTH else text[: _VALUE_LENGTH - 1] + "…"
            console.print(f"  [cyan]{escape(name):<{width}}[/]  {escape(cut)}", soft_wrap=True)


def _write_csv(answer: Answer, stream: BinaryIO) -> int:
    header = io.StringIO()
    csv.writer(header, lineterminator="\n").writerow(answer.names)
    stream.write(header.getvalue().encode())
    return _write_lines(answer.csv_lines(), stream)


def _write_lines(rows: Rows, stream: BinaryIO) -> int:
    count = 0
    for batch in rows.batches:
        stream.write("".join(f"{line}\n" for line in batch.column(0).to_pylist()).encode())
        count += batch.num_rows
    return count


def _write_parquet(answer: Answer, stream: BinaryIO) -> int:
    rows = answer.typed()
    count = 0
    try:
        with contextlib.closing(rows.batches), pq.ParquetWriter(stream, rows.schema, compression="zstd") as writer:
            for batch in rows.batches:
                writer.write_batch(batch)
                count += batch.num_rows
    except pa.ArrowException as error:
        raise QueryError(f"Parquet: {error}") from error
    return count


_WRITERS: dict[Format, Callable[[Answer, BinaryIO], int]] = {
    Format.csv: _write_csv,
    Format.json: lambda answer, stream: _write_lines(answer.json_lines(), stream),
    Format.parquet: _write_parquet,
}


def _frame(rows: pa.Table | pa.RecordBatch) -> pl.DataFrame:
    frame = pl.from_arrow(rows)
    assert isinstance(frame, pl.DataFrame)
    return frame


def _csv_cell(kind: str, place: str) -> str:
    text = _as_text(kind, place)
    if kind in _NUMBERS:
        return text
    quoted = f"""'"' || replace({text}, '"', '""') || '"'"""
    # A regular expression would take twice as long.
    special = " OR ".join(f"contains({text}, {mark})" for mark in ("','", "'\"'", "chr(10)", "chr(13)"))
    return f"CASE WHEN {text} = '' OR {special} THEN {quoted} ELSE {text} END"


def _as_text(kind: str, place: str) -> str:
    return _text(f"to_json({place})" if kind in _NESTED else place)


def _text(expression: str) -> str:
    return f"CAST({expression} AS VARCHAR)"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
