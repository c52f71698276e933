"""Where a row comes from: from a training sequence, a document or an address back to WARC records."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import duckdb

from lakehouse.lake import Lake

_DOCUMENT_LAYERS = ("synthetic", "filtered", "rejects", "raw")


class TraceError(ValueError):
    """Nothing in the lake has that name."""


@dataclass(frozen=True)
class Link:
    """One row on the way back. `depth` says how many rows it is away from the one that was asked for."""

    depth: int
    table: str
    identifier: str
    facts: dict[str, Any]


def trace(lake: Lake, identifier: str) -> list[Link]:
    """Follow a sequence id (`main-00000-000017`), a document id or an address back to its raw rows.

    Returns:
        The rows, each before those that it was made from. Raw rows and ledger rows of raw sources carry `warc_file`,
        `warc_offset` and `warc_length`.

    Raises:
        TraceError: no row has that name.
    """
    with lake.connect() as connection:
        rows = _Rows(connection)
        links = list(_from_sequence(rows, identifier)) or list(_from_document(rows, identifier, 0))
        if not links:
            for doc_id in rows.ids_of(identifier):
                links += _from_document(rows, doc_id, 0)
    if not links:
        raise TraceError(
            f"Nothing in {lake.root} is called {identifier!r}: give a sequence_id of a shard, a doc_id or a URL. "
            'Try: lakehouse sql "SELECT sequence_id FROM lake.shards LIMIT 5"'
        )
    return links


class _Rows:
    """Looks rows up, and remembers which documents were followed: copies of one passage share an origin."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self.followed: set[str] = set()

    def select(self, columns: str, layer: str, condition: str, value: str) -> list[dict[str, Any]]:
        query = f'SELECT "table", {columns} FROM lake.{layer} WHERE {condition}'
        return self._connection.execute(query, {"value": value}).pl().to_dicts()

    def ids_of(self, url: str) -> list[str]:
        query = """
            SELECT DISTINCT doc_id FROM (
                SELECT doc_id FROM lake.raw WHERE url = $value
                UNION ALL SELECT doc_id FROM lake.rejects WHERE url = $value
            ) ORDER BY doc_id
        """
        return [row[0] for row in self._connection.execute(query, {"value": url}).fetchall()]


def _from_sequence(rows: _Rows, sequence_id: str) -> Iterator[Link]:
    columns = "sequence_id, shard, sequence, n_tokens, padding, file, documents"
    for row in rows.select(columns, "shards", "sequence_id = $value", sequence_id):
        documents = row.pop("documents")
        yield Link(0, row.pop("table"), row.pop("sequence_id"), row | {"documents": len(documents)})
        for place in documents:
            yield from _from_document(rows, place["doc_id"], 1, place)


def _from_document(rows: _Rows, doc_id: str, depth: int, place: dict[str, Any] | None = None) -> Iterator[Link]:
    if doc_id in rows.followed:
        return
    rows.followed.add(doc_id)
    for row in rows.select("component, stage, repeats, tokens", "mixtures", "doc_id = $value", doc_id):
        taken = {name: place[name] for name in ("start", "length", "document_start")} if place else {}
        yield Link(depth, row.pop("table"), doc_id, row | taken)
    parents: list[str] = []
    for layer in _DOCUMENT_LAYERS:
        for row in rows.select(_FACTS[layer], layer, "doc_id = $value", doc_id):
            parents += row.pop("parents", None) or []
            yield Link(
                depth + 1, row.pop("table"), doc_id, {key: value for key, value in row.items() if value is not None}
            )
    for parent in dict.fromkeys(parents):
        yield from _from_document(rows, parent, depth + 2)


_FACTS = {
    "synthetic": "recipe, model, request_id, depth, length_ratio, copied_share, parents",
    "filtered": "snapshot, language, n_words, n_edits, duplicates",
    "rejects": "stage, rule, value, threshold, evidence, kept_id, url, warc_file, warc_offset, warc_length",
    "raw": "url, snapshot, http_status, title, warc_file, warc_offset, warc_length",
}
