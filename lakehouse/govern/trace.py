"""Where a row comes from, where it went, and why it is or is not there: `lake.trace` and its kin in Python.

A sequence is traced in the versions that its shards were made from, everything else in the newest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from lakehouse.connection import Pins
from lakehouse.lake import Lake

_SEQUENCE_ID = re.compile(r"([a-z0-9_]+)-\d+-\d+")


class TraceError(ValueError):
    """Nothing in the lake has that name."""


@dataclass(frozen=True)
class Link:
    """One row of a chain.

    Attributes:
        depth: how many rows it is away from the one that was asked for.
        table: where it is; empty where no table that was read has it.
        identifier: its sequence_id, doc_id or request_id.
        what: sequence, mixture, synthetic, generation, filtered, reject, raw; "copy" for the ledger's row of a copy
            that its parent stands for, "kept copy" for the one that stands for its parent, "missing" without a table.
        parent: table and identifier of the row that it was reached from; None for the first.
        facts: what is worth knowing of it; `warc_file`, `warc_offset` and `warc_length` where it has them.
    """

    depth: int
    table: str
    identifier: str
    what: str
    parent: tuple[str, str] | None
    facts: dict[str, Any]


@dataclass(frozen=True)
class Verdict:
    """What one table made of a document: the columns of `lake.why`."""

    table: str
    identifier: str
    url: str | None
    verdict: str
    stage: str | None
    rule: str | None
    value: float | None
    threshold: float | None
    evidence: str | None
    kept_id: str | None
    kept_url: str | None
    similarity: float | None
    sentence: str


def trace(lake: Lake, identifier: str) -> list[Link]:
    """Follow a sequence id (`main-00000-000017`), a document id or an address back to its raw rows.

    Returns:
        The rows, each followed by those that it was made from. Raw rows and ledger rows of raw sources carry
        `warc_file`, `warc_offset` and `warc_length`.

    Raises:
        TraceError: no row has that name.
    """
    name = _SEQUENCE_ID.fullmatch(identifier)
    shards = f"shards/{name[1]}" if name else None
    with lake.connect() as connection:
        pins = _as_built(lake, connection, shards) if shards in lake.tables() else None
        if pins is None:
            return _links(connection, "trace", identifier) or _refuse(lake, connection, identifier)
    with lake.connect(pins, others=False) as connection:
        return _links(connection, "trace", identifier) or _refuse(lake, connection, identifier)


def trace_forward(lake: Lake, identifier: str) -> list[Link]:
    """Follow a document id or an address to everything that holds its text.

    Returns:
        The rows, each followed by those that were made from it: filtered sets, the copies that stand for it, rewrites,
        mixtures, and a row for each of its places in a sequence (`file`, `start` and `length` in tokens). Shards that
        are older than what they were made from are searched in the versions that they were made from.

    Raises:
        TraceError: no row has that name.
    """
    with lake.connect() as connection:
        links = _links(connection, "trace_forward", identifier)
        older = [_as_built(lake, connection, table) for table in lake.tables() if table.startswith("shards/")]
        for pins in filter(None, older):
            with lake.connect(pins, others=False) as as_built:
                shown = [(link.table, link.identifier, link.facts.get("start")) for link in links]
                links += [
                    link
                    for link in _links(as_built, "trace_forward", identifier)
                    if (link.table, link.identifier, link.facts.get("start")) not in shown
                ]
        return links or _refuse(lake, connection, identifier)


def why(lake: Lake, identifier: str) -> list[Verdict]:
    """What became of a document, by id or address, at each step.

    Returns:
        One verdict a table that read, kept or dropped it, drew it or did not, or holds it, in the order of the steps.

    Raises:
        TraceError: no document has that name.
    """
    with lake.connect() as connection:
        rows = connection.execute("FROM lake.why(?)", [identifier]).fetchall()
        return [Verdict(*row) for row in rows] or _refuse(lake, connection, identifier)


def _as_built(lake: Lake, connection: duckdb.DuckDBPyConnection, table: str) -> Pins | None:
    """The versions that the newest of `table` was made from; None where they are those that `connection` shows."""
    query = """
        SELECT 1 FROM lake.lineage_of($table, $version) AS lineage
        JOIN lineage.commits AS made
            ON made."table" = ancestor AND made.version = ancestor_version
            AND made."partition" IS NOT DISTINCT FROM ancestor_partition
        WHERE until IS NOT NULL LIMIT 1
    """
    commit = lake.last_commit(table)
    values = {"table": table, "version": commit.version if commit else None}
    return lake.as_of(table) if connection.execute(query, values).fetchall() else None


def _links(connection: duckdb.DuckDBPyConnection, macro: str, identifier: str) -> list[Link]:
    """The rows of a macro, each followed by those that were reached from it."""
    rows = connection.execute(f"FROM lake.{macro}(?)", [identifier]).fetchall()
    links = [_link(*row) for row in rows]
    reached: dict[tuple[str, str] | None, list[Link]] = {}
    for link in links:
        reached.setdefault(link.parent, []).append(link)
    ordered: list[Link] = []
    waiting = reached.pop(None, [])[::-1]
    while waiting:
        link = waiting.pop()
        ordered.append(link)
        waiting += reached.pop((link.table, link.identifier), [])[::-1]
    return ordered


def _link(
    depth: int,
    table: str | None,
    identifier: str,
    what: str,
    parent_table: str | None,
    parent: str | None,
    facts: str,
    *warc: Any,
) -> Link:
    place = dict(zip(("warc_file", "warc_offset", "warc_length"), warc, strict=True)) if warc[0] is not None else {}
    origin = (parent_table, parent) if parent_table is not None and parent is not None else None
    return Link(depth, table or "", identifier, what, origin, json.loads(facts) | place)


def _refuse(lake: Lake, connection: duckdb.DuckDBPyConnection, identifier: str) -> Any:
    near = _near(connection, identifier)
    if near:
        hint = f"Did you mean {' or '.join(near)}?"
    elif connection.execute("SELECT 1 FROM lake.shards WHERE sequence_id = ?", [identifier]).fetchall():
        hint = f"It is a sequence: lakehouse trace {identifier}"
    else:
        hint = (
            "Give a sequence_id of a shard, a doc_id or a URL. "
            'Try: lakehouse sql "SELECT sequence_id FROM lake.shards LIMIT 5"'
        )
    raise TraceError(f"Nothing in {lake.root} is called {identifier!r}. {hint}")


def _near(connection: duckdb.DuckDBPyConnection, identifier: str) -> Sequence[str]:
    """Addresses that differ in case, scheme, a slash at the end or the part after # only."""
    if "." not in identifier:
        return []
    stripped = r"lower(regexp_replace(regexp_replace({}, '/?(#.*)?$', ''), '^[a-zA-Z]+://', ''))"
    query = f"""
        SELECT DISTINCT url FROM (SELECT url FROM lineage.raw UNION ALL SELECT url FROM lineage.rejects)
        WHERE {stripped.format("url")} = {stripped.format("$address")} ORDER BY url LIMIT 3
    """
    return [url for (url,) in connection.execute(query, {"address": identifier}).fetchall()]
