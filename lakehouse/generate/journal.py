"""Read the journal of model calls: which requests are still to be made, and what the others were answered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import polars as pl

from lakehouse import schema
from lakehouse.generate.errors import GenerationError
from lakehouse.generate.requests import Request

_OF_THE_REQUEST = ("request_id", "doc_id", "snapshot", "recipe", "recipe_version")


def missing(requests: Iterable[Request], journal: pl.DataFrame) -> list[Request]:
    """The requests that no row of the journal answers, each request_id once, in their order.

    A request whose calls all failed is among them.

    Args:
        requests: what is wanted.
        journal: rows of `schema.GENERATIONS`; request_id and status are read.
    """
    seen = set(journal.filter(pl.col("status") == "ok").get_column("request_id"))
    wanted = []
    for request in requests:
        if request.request_id not in seen:
            seen.add(request.request_id)
            wanted.append(request)
    return wanted


def generations_for(requests: Sequence[Request], journal: pl.DataFrame) -> pl.DataFrame:
    """What each request was answered: one row a request, in their order, with the columns of `schema.GENERATIONS`.

    Documents with the same text share a call; here each has a row, with its own doc_id and snapshot (so sum tokens and
    costs over the journal). Of several calls the first that was answered counts, else the last that failed.

    Raises:
        GenerationError: a request has no row in the journal.
    """
    wanted = pl.DataFrame(
        [[getattr(request, name) for name in _OF_THE_REQUEST] for request in requests],
        schema=dict.fromkeys(_OF_THE_REQUEST, pl.String),
        orient="row",
    )
    calls = journal.drop([name for name in _OF_THE_REQUEST if name != "request_id"])
    answered = calls.filter(pl.col("status") == "ok").sort("created_at", "response").unique("request_id", keep="first")
    failed = calls.filter(pl.col("status") != "ok").sort("created_at", "response").unique("request_id", keep="last")
    failed = failed.join(answered, on="request_id", how="anti")
    found = wanted.join(pl.concat([answered, failed]), on="request_id", how="left", maintain_order="left")
    if left := found.get_column("status").null_count():
        raise GenerationError(f"{left} of {len(found)} requests are not in the journal: call the model first.")
    return found.select(schema.GENERATIONS.names)
