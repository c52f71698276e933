"""What changed between two versions of a table: which rows, by which rules, and in the text of one document.

Data files that both versions share are not read, nor are snapshots of which both have the same content: the cost
follows the change. The rest is compared in DuckDB, which spills to disk: only the summary is held in memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import polars as pl

from lakehouse.govern.version_pair import LEDGER, Side, VersionPair
from lakehouse.lake import Lake, LakeError
from lakehouse.schema import sql_name
from lakehouse.views import literal


@dataclass(frozen=True)
class Shape:
    """How the rows of a layer are told apart, by which columns changes are counted, and which column is read as text.

    Without a key a row is all of its columns: it is added or removed, never changed.
    """

    key: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    text: str | None = None


SHAPES = {
    "raw": Shape(("doc_id",), ("snapshot", "source", "language"), "text"),
    "files": Shape(("warc_file",), ("snapshot", "source")),
    "annotations": Shape(("doc_id",), ("snapshot",)),
    "pairs": Shape(("doc_id", "other_id"), ("snapshot", "other_table")),
    "filtered": Shape(("doc_id",), ("snapshot", "source", "language"), "text"),
    "rejects": Shape(("doc_id",), ("snapshot", "source")),
    "generations": Shape(("request_id",), ("snapshot", "recipe", "status"), "response"),
    "synthetic": Shape(("doc_id",), ("snapshot", "source", "language"), "text"),
    "tokenizers": Shape(("tokenizer_id",), (), "definition"),
    "tokens": Shape(("doc_id",), ("snapshot", "component")),
    "mixtures": Shape(("doc_id",), ("snapshot", "component")),
    "shards": Shape(("sequence_id",)),
    "stats": Shape(),
}

CHANGES = ("added", "removed", "changed")

# Columns that may hold a whole document: their MD5 is compared, or a comparison would write every text to disk.
_WIDE = {"text", "response", "definition", "token_ids"}


@dataclass(frozen=True)
class Difference:
    """What changed in a table.

    `totals` counts rows: added, removed, changed (same key, another value) and unchanged. `columns` counts the changed
    rows in which a column differs. `groups` counts changes by the columns of the layer's `Shape`. `rules` says, of a
    ledger, which rule dropped the rows before and after; of a set with a ledger, which rule drops what was removed now
    and which had dropped what was added (None: no rule, the source has them no longer, or had them not yet). `notes`
    says what else was different when the rows were made, and in which snapshots. `rows` lists the first rows of each
    kind of change, by key. `missing_ledgers` (`rejects/web_clean@3`) are those that vacuum removed: their rules are
    unknown.
    """

    table: str
    before: Side
    after: Side
    totals: dict[str, int]
    columns: dict[str, int]
    groups: list[dict[str, Any]]
    rules: list[dict[str, Any]]
    notes: list[dict[str, Any]]
    rows: list[dict[str, Any]]
    missing_ledgers: list[str]
    files_read: int


@dataclass(frozen=True)
class DocumentDifference:
    """One row before and after, None where it is not there; and its ledger row in each version, if there is one."""

    key: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    ledger_before: dict[str, Any] | None
    ledger_after: dict[str, Any] | None

    @property
    def columns(self) -> list[str]:
        """The columns that differ, where the row is in both versions."""
        if self.before is None or self.after is None:
            return []
        # A NaN is not equal to itself, but it is written as itself.
        return [name for name, value in self.after.items() if repr(value) != repr(self.before[name])]


def shape_of(table: str) -> Shape:
    """The shape of a table's layer."""
    return SHAPES[table.split("/")[0]]


def compare(lake: Lake, table: str, before: int, after: int, *, max_rows: int = 0) -> Difference:
    """Compare two versions of a table.

    Args:
        max_rows: how many rows of each kind of change are listed.

    Raises:
        LakeError: there is no such version, or vacuum removed its files.
    """
    pair = VersionPair(lake, table, before, after)
    shape = shape_of(table)
    with pair.opened() as connection:
        _find_changes(connection, pair, shape)
        totals = dict.fromkeys(CHANGES, 0)
        totals |= dict(connection.sql("SELECT change, count(*) FROM changes GROUP BY change").fetchall())
        totals["unchanged"] = pair.side(after).rows - totals["added"] - totals["changed"]
        if pair.has_ledger:
            _find_dropped(connection)
        return Difference(
            table=table,
            before=pair.side(before),
            after=pair.side(after),
            totals=totals,
            columns=_changed_columns(connection, pair.columns.names),
            groups=_groups(connection, shape),
            rules=_rules(connection, pair),
            notes=pair.notes(),
            rows=_listed(connection, pair, shape, max_rows),
            missing_ledgers=pair.missing_ledgers,
            files_read=sum(map(len, pair.differing_files())),
        )


def compare_document(lake: Lake, table: str, before: int, after: int, identifier: str) -> list[DocumentDifference]:
    """Compare the rows of one document, which its `doc_id`, its address or the row's key names.

    Returns:
        One difference for each row, by key; where neither version has it but a ledger does, one for each ledger row.

    Raises:
        LakeError: no row of either version has that name, or there is no such version, or vacuum removed its files.
    """
    pair = VersionPair(lake, table, before, after)
    if not shape_of(table).key:
        raise LakeError(f"{table}: its rows have no ids. Without --doc you see which were added and removed.")
    found: list[DocumentDifference] = []
    for names in ([identifier], _ids_of(lake, identifier)):
        # What both versions share has not changed: it is read only if the document is nowhere else.
        for everything in (False, True) if names else ():
            with pair.opened(everything=everything) as connection:
                found = _find_document(connection, pair, names) or found
            if any(one.before or one.after for one in found):
                return found
    if not found:
        raise LakeError(
            f"Neither version {before} nor version {after} of {table} has {identifier!r}, and no ledger row says why: "
            "give a doc_id or a URL."
        )
    return found


def _find_changes(connection: duckdb.DuckDBPyConnection, pair: VersionPair, shape: Shape) -> None:
    """Make the table `changes`: each changed row before and after, as structs.

    Rows that both sides have as often cancel out first, so that few are left to be paired by their key. Grouping takes
    nulls for equal and looks into lists and structs. Where a key is there more than once, the rows that are left of it
    are paired in the order of their columns.
    """
    names = pair.columns.names
    columns = ", ".join(map(_quoted, names))
    read = ", ".join(_fingerprint(name) if name in _WIDE else _quoted(name) for name in names)
    key = ", ".join(map(_quoted, shape.key or names))
    connection.execute(
        f"""
        CREATE TEMP TABLE differing AS
        SELECT {columns}, sum("#side") AS "#surplus"
        FROM (
            SELECT {read}, -1 AS "#side" FROM before.{pair.sql_name}
            UNION ALL SELECT {read}, 1 FROM after.{pair.sql_name}
        )
        GROUP BY {columns} HAVING "#surplus" <> 0
        """
    )
    connection.execute(
        f"""
        CREATE TEMP TABLE changes AS
        WITH numbered AS (
            SELECT *, row_number() OVER (PARTITION BY {key}, "#new" ORDER BY {columns}) AS "#place"
            FROM (SELECT {columns}, "#surplus" > 0 AS "#new", unnest(range(abs("#surplus")::BIGINT)) FROM differing)
        )
        SELECT
            CASE WHEN b."#new" IS NULL THEN 'added' WHEN a."#new" IS NULL THEN 'removed' ELSE 'changed' END AS change,
            b AS before,
            a AS after
        FROM (SELECT * FROM numbered WHERE NOT "#new") AS b
        FULL JOIN (SELECT * FROM numbered WHERE "#new") AS a USING ({key}, "#place")
        """
    )
    connection.execute("DROP TABLE differing")


def _find_dropped(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the table `dropped`: of what was removed, the ledger row of now; of what was added, the one of before."""
    parts = [
        f"""
        SELECT DISTINCT ON (doc_id) '{change}' AS change, doc_id, stage, rule, value, threshold, evidence
        FROM {ledger_side}.{sql_name(LEDGER)}
        WHERE doc_id IN (SELECT {row_side}.doc_id FROM changes WHERE change = '{change}')
        ORDER BY doc_id, stage, rule
        """
        for change, row_side, ledger_side in (("removed", "before", "after"), ("added", "after", "before"))
    ]
    connection.execute(f"CREATE TEMP TABLE dropped AS ({parts[0]}) UNION ALL ({parts[1]})")


def _changed_columns(connection: duckdb.DuckDBPyConnection, names: Sequence[str]) -> dict[str, int]:
    differs = (f"before.{_quoted(name)} IS DISTINCT FROM after.{_quoted(name)}" for name in names)
    counts = ", ".join(f"count(*) FILTER ({condition})" for condition in differs)
    counted = connection.sql(f"SELECT {counts} FROM changes WHERE change = 'changed'").fetchall()[0]
    found = {name: count for name, count in zip(names, counted, strict=True) if count}
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _groups(connection: duckdb.DuckDBPyConnection, shape: Shape) -> list[dict[str, Any]]:
    if not shape.groups:
        return []
    columns = ", ".join(f"{_value(name)} AS {name}" for name in shape.groups)
    counts = ", ".join(f"count(*) FILTER (change = '{change}') AS {change}" for change in CHANGES)
    order = ", ".join(f"{name} NULLS LAST" for name in shape.groups)
    return connection.sql(f"SELECT {columns}, {counts} FROM changes GROUP BY ALL ORDER BY {order}").pl().to_dicts()


def _rules(connection: duckdb.DuckDBPyConnection, pair: VersionPair) -> list[dict[str, Any]]:
    if pair.table.startswith("rejects/"):
        query = """
            SELECT before.rule AS rule_before, after.rule AS rule_after, count(*) AS rows
            FROM changes GROUP BY ALL ORDER BY rows DESC, rule_before NULLS LAST, rule_after NULLS LAST
        """
    elif pair.has_ledger:
        query = f"""
            SELECT
                stage, rule,
                count(*) FILTER (change = 'removed') AS removed,
                min(threshold) FILTER (change = 'removed') AS threshold_after,
                count(*) FILTER (change = 'added') AS added,
                min(threshold) FILTER (change = 'added') AS threshold_before
            FROM (SELECT change, {_value("doc_id")} AS doc_id FROM changes WHERE change <> 'changed')
            LEFT JOIN dropped USING (change, doc_id)
            GROUP BY stage, rule
            ORDER BY removed + added DESC, stage NULLS LAST, rule NULLS LAST
        """
    else:
        return []
    return connection.sql(query).pl().to_dicts()


def _listed(
    connection: duckdb.DuckDBPyConnection, pair: VersionPair, shape: Shape, max_rows: int
) -> list[dict[str, Any]]:
    """The first rows of each kind of change: key, address, the rule that dropped them, and the columns that changed."""
    names = pair.columns.names
    key = ", ".join(f"{_quoted(name)} := {_value(name)}" for name in shape.key or names)
    facts, joined = [f"{_value('url')} AS url"] if "url" in names and shape.key else [], ""
    if pair.table.startswith("rejects/"):
        facts += ["before.rule AS rule_before", "after.rule AS rule_after"]
    elif pair.has_ledger:
        facts += ["rule", "value", "threshold", "evidence"]
        joined = f"LEFT JOIN dropped ON dropped.change = changes.change AND dropped.doc_id = {_value('doc_id')}"
    differs = (f"before.{_quoted(name)} IS DISTINCT FROM after.{_quoted(name)}" for name in names)
    cases = ", ".join(
        f"CASE WHEN {condition} THEN {literal(name)} END" for name, condition in zip(names, differs, strict=True)
    )
    facts.append(f"CASE changes.change WHEN 'changed' THEN list_sort(list_distinct([{cases}])) END AS \"columns\"")
    found: list[dict[str, Any]] = []
    for change in CHANGES if max_rows else ():
        query = f"""
            SELECT changes.change, struct_pack({key}) AS "key", {", ".join(facts)}
            FROM changes {joined}
            WHERE changes.change = '{change}' ORDER BY "key" LIMIT {max_rows}
        """
        found += connection.sql(query).pl().to_dicts()
    return found


def _find_document(
    connection: duckdb.DuckDBPyConnection, pair: VersionPair, names: Sequence[str]
) -> list[DocumentDifference]:
    key = shape_of(pair.table).key[0]
    sides: list[dict[tuple[str, int], dict[str, Any]]] = []
    for catalog in ("before", "after"):
        places = [name for name in dict.fromkeys((key, "doc_id", "url")) if name in pair.columns.names]
        sides.append(_rows_named(connection, f"{catalog}.{pair.sql_name}", places, names, key))
    keys = {row_key for side in sides for row_key, _ in side}
    ledgers = [
        _rows_named(connection, f"{catalog}.{sql_name(LEDGER)}", ["doc_id", "url"], [*names, *sorted(keys)], "doc_id")
        for catalog in ("before", "after")
    ]
    places_found = sides[0].keys() | sides[1].keys() or ledgers[0].keys() | ledgers[1].keys()
    return [
        DocumentDifference(place[0], *(rows.get(place) for rows in sides), *(rows.get(place) for rows in ledgers))
        for place in sorted(places_found)
    ]


def _rows_named(
    connection: duckdb.DuckDBPyConnection, view: str, columns: Sequence[str], names: Sequence[str], key: str
) -> dict[tuple[str, int], dict[str, Any]]:
    """The rows in which one of the columns has one of the names, by key and by how often the key came before."""
    condition = " OR ".join(f"list_contains($names, {column})" for column in columns)
    query = f"SELECT * FROM {view} WHERE {condition} ORDER BY ALL"
    found: dict[tuple[str, int], dict[str, Any]] = {}
    seen: Counter[str] = Counter()
    for row in connection.execute(query, {"names": list(names)}).pl().to_dicts():
        found[row[key], seen[row[key]]] = row
        seen[row[key]] += 1
    return found


def _ids_of(lake: Lake, address: str) -> list[str]:
    """The documents of an address: in most tables a row has no address of its own."""
    if "://" not in address:
        return []
    raw = [table for table in lake.tables() if table.startswith("raw/")]
    scans = [lake.scan(table).filter(pl.col("url") == address).select("doc_id") for table in raw]
    return sorted({doc_id for scan in scans for doc_id in scan.collect()["doc_id"]})


def _value(column: str) -> str:
    """A column of a changed row: as it is now, or as it was where the row was removed."""
    return f"CASE changes.change WHEN 'removed' THEN before.{_quoted(column)} ELSE after.{_quoted(column)} END"


def _fingerprint(column: str) -> str:
    return f"md5({_quoted(column)}::VARCHAR) AS {_quoted(column)}"


def _quoted(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'
