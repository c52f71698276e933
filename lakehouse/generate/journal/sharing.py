"""One journal's answers for another: between the recipes of a lake, and between lakes by a file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from lakehouse import schema
from lakehouse.commits import Origin
from lakehouse.generate.errors import GenerationError
from lakehouse.generate.journal.index import Index
from lakehouse.generate.requests import Request
from lakehouse.lake import Lake

IMPORTED = "generations/imported"
"""The journal that holds answers of other lakes."""

_ANSWER = ("model", "params_hash", "prompt_hash", "status", "response", "finish_reason")
_HEXADECIMAL = re.compile(r"[0-9a-f]{32,64}")
_BATCH_ROWS = 4_096


class Others:
    """The good answers that other journals of the lake have. A request is the same in every recipe that makes it."""

    def __init__(self, lake: Lake, table: str) -> None:
        names = [name for name in lake.tables() if name.startswith("generations/") and name != table]
        self._journals = {name: Index(lake, name) for name in names}

    def reused(self, requests: Sequence[Request]) -> list[dict[str, Any]]:
        """Rows for the journal of those requests that another journal has a good answer to. They cost nothing."""
        left = {request.request_id: request for request in requests}
        rows = []
        for name, journal in self._journals.items():
            for found in journal.rows(list(left), ["request_id", *_ANSWER]):
                request = left.pop(found["request_id"])
                rows.append(_row(request, found, name))
        return rows


def export_answers(lake: Lake, tables: Iterable[str], file: Path) -> int:
    """Write the good answers of journals to one Parquet file, each request once, in the order of their ids.

    Returns:
        How many there are.

    Raises:
        GenerationError: there are none.
    """
    frames = [lake.scan(table).filter(pl.col("status") == "ok", pl.col("finish_reason") == "stop") for table in tables]
    if not frames:
        raise GenerationError("there is no journal to export: build a synthetic set first.")
    answers = pl.concat(frames).sort("request_id", "created_at").unique("request_id", keep="first", maintain_order=True)
    answers.sink_parquet(file, compression="zstd")
    with pq.ParquetFile(file) as written:
        return int(written.metadata.num_rows)


def import_answers(lake: Lake, file: Path) -> int:
    """Make the answers of an exported file known to every recipe of the lake.

    Returns:
        How many were new.

    Raises:
        GenerationError: the file is no export. The message names what is wrong with it.
    """
    known = Index(lake, IMPORTED)
    try:
        with lake.writer(IMPORTED) as writer:
            for frame in _checked(file):
                seen = known.find(frame["request_id"].to_list())
                writer.write(frame.filter(~pl.col("request_id").is_in(list(seen))))
    except (pa.ArrowException, OSError) as error:
        raise GenerationError(f"{file} is damaged: {' '.join(str(error).split())}") from None
    if writer.rows:
        lake.append(IMPORTED, writer.finished(), Origin(asset=IMPORTED, details={"file": file.name}))
    return writer.rows


def _checked(file: Path) -> Iterator[pl.DataFrame]:
    """The file's rows as rows of a journal."""
    try:
        parquet = pq.ParquetFile(file)
    except (OSError, ValueError) as error:
        raise GenerationError(f"{file} is no Parquet file that can be read: {error}") from None
    with parquet:
        missing = set(schema.GENERATIONS.names) - set(parquet.schema_arrow.names)
        if missing:
            raise GenerationError(f"{file} is no exported journal: it has no column {sorted(missing)[0]!r}.")
        start = 0
        for batch in parquet.iter_batches(_BATCH_ROWS, columns=schema.GENERATIONS.names):
            frame = pl.DataFrame(schema.conform(pl.DataFrame(batch), schema.GENERATIONS))
            bad = frame.with_row_index().filter(
                ~pl.col("request_id").str.contains(f"^{_HEXADECIMAL.pattern}$") | (pl.col("status") != "ok")
            )
            if bad.height:
                row = start + bad["index"][0] + 1
                raise GenerationError(f"{file}: row {row} is no answer of a journal: export only journals of a lake.")
            start += frame.height
            free = pl.lit(Decimal(0), pl.Decimal(18, 9))
            nothing = pl.lit(0, pl.Int64)
            yield frame.with_columns(
                cost_usd=free, prompt_tokens=nothing, completion_tokens=nothing, reused_from=pl.lit(file.name)
            )


def _row(request: Request, found: dict[str, Any], table: str) -> dict[str, Any]:
    """The row of an answer that was paid for elsewhere: tokens and costs are not counted twice."""
    return {
        **{name: found[name] for name in _ANSWER},
        "request_id": request.request_id,
        "doc_id": request.doc_id,
        "snapshot": request.snapshot,
        "recipe": request.recipe,
        "recipe_version": request.recipe_version,
        "step": request.step,
        "prompt_tokens": 0,
        "completion_tokens": 0,
        "cost_usd": Decimal(0),
        "latency_ms": None,
        "tries": 0,
        "error": None,
        "reused_from": table,
        "created_at": datetime.now(UTC),
    }
