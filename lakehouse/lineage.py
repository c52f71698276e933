"""Lineage in SQL: what each version was made from, and the objects that every connection gets for it.

`lake.inputs` and `lake.lineage` are views over the commits, `lake.lineage_of` starts from one version. `lake.trace`,
`lake.trace_forward` and `lake.why` follow rows (see `row_lineage` and `row_verdicts`). What these are made of is in the
schema `lineage`: in a file that is itself called `lake`, DuckDB takes the name of the schema `lake` for ambiguous.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb

from lakehouse import row_lineage, row_verdicts

# A commit is in effect for every version from its own up to `until`. In a journal, which is appended to, all are.
_COMMITS = """
    CREATE TABLE lineage.commits AS
    SELECT
        row_number() OVER (ORDER BY "table", version, "partition") AS id, "table", version, "partition",
        CASE WHEN NOT starts_with("table", 'generations/')
            THEN lead(version) OVER (PARTITION BY "table", "partition" ORDER BY version) END AS until,
        TRY_CAST(TRY_CAST(inputs AS JSON) AS MAP(VARCHAR, BIGINT)) AS inputs,
        TRY_CAST(details AS JSON) AS details
    FROM lake.versions
"""
_READS = """
    CREATE VIEW lineage.reads AS
    SELECT id, "table", version, "partition", read.key AS input, read.value AS input_version
    FROM (SELECT *, unnest(map_entries(inputs)) AS read FROM lineage.commits)
"""
_INPUTS = 'CREATE VIEW lake.inputs AS SELECT "table", version, "partition", input, input_version FROM lineage.reads'

# A commit of a snapshot reads that snapshot of its inputs, and of its own table the snapshots before.
_EDGES = """
    CREATE VIEW lineage.edges AS
    SELECT reader.id AS reader, made.id AS made
    FROM lineage.reads AS reader
    JOIN lineage.commits AS made
        ON made."table" = reader.input
        AND made.version <= reader.input_version
        AND (made.until IS NULL OR made.until > reader.input_version)
        AND CASE WHEN reader.input = reader."table"
            THEN made."partition" < reader."partition"
            ELSE reader."partition" IS NULL OR made."partition" IS NULL OR made."partition" = reader."partition" END
"""

# One row a start and distance, with lists of what is that far away and of what was seen: a commit is never reached
# twice, so that no log can make it loop. DuckDB's own USING KEY was fifty times slower on a year of nights.
_CLOSURE = """
    WITH RECURSIVE
    commits AS MATERIALIZED (FROM lineage.commits),
    edges AS MATERIALIZED (FROM lineage.edges),
    reached(start, distance, fresh, seen) AS (
        SELECT id, 0, [id], [id] FROM commits WHERE {start}
        UNION ALL
        SELECT * FROM (
            WITH
            near AS (
                SELECT DISTINCT start, edges.made AS id
                FROM (SELECT start, unnest(fresh) AS id FROM reached) AS last JOIN edges ON edges.reader = last.id
            ),
            added AS (
                SELECT start, list(id) AS ids
                FROM (FROM near ANTI JOIN (SELECT start, unnest(seen) AS id FROM reached) AS old USING (start, id))
                GROUP BY start
            )
            SELECT start, distance + 1, ids, seen || ids FROM reached JOIN added USING (start)
        )
    )
    SELECT
        descendant."table", descendant.version, descendant."partition",
        ancestor."table" AS ancestor, ancestor.version AS ancestor_version, ancestor."partition" AS ancestor_partition,
        distance
    FROM (SELECT start, unnest(fresh) AS id, distance FROM reached WHERE distance > 0) AS pair
    JOIN commits AS descendant ON descendant.id = pair.start
    JOIN commits AS ancestor ON ancestor.id = pair.id
"""
_LINEAGE = f"CREATE VIEW lake.lineage AS {_CLOSURE.format(start='true')}"
_LINEAGE_OF = f"""
    CREATE MACRO lake.lineage_of(of_table, of_version) AS TABLE
    {_CLOSURE.format(start='"table" = of_table AND version = of_version')}
"""

# What the connection's views show, where it is not the newest.
_PINS = 'CREATE TABLE lineage.pins ("table" VARCHAR, whole BOOLEAN, "partition" VARCHAR, version BIGINT)'
_SOURCES = """
    CREATE VIEW lineage.sources AS
    WITH shown AS (
        SELECT read."table", read.input
        FROM lineage.reads AS read
        JOIN lineage.commits AS made USING (id)
        LEFT JOIN lineage.pins AS pin
            ON pin."table" = made."table" AND (pin.whole OR pin."partition" IS NOT DISTINCT FROM made."partition")
        WHERE CASE WHEN pin.version IS NULL
            THEN made.until IS NULL
            ELSE made.version <= pin.version AND (made.until IS NULL OR made.until > pin.version) END
    )
    SELECT DISTINCT "table", input AS source FROM shown WHERE input <> "table"
"""


def create(
    connection: duckdb.DuckDBPyConnection, tables: Sequence[str], pins: Mapping[str, int | Mapping[str | None, int]]
) -> None:
    """Give a connection that has `lake.versions` and the layers' views the objects of lineage.

    Args:
        tables: those that the connection has views of.
        pins: the versions that its views show, where they are not the newest.
    """
    connection.execute("CREATE SCHEMA lineage")
    for statement in (_COMMITS, _READS, _INPUTS, _EDGES, _LINEAGE, _LINEAGE_OF, _PINS, _SOURCES):
        connection.execute(statement)
    rows = [
        (table, not isinstance(pin, Mapping), partition, version)
        for table, pin in pins.items()
        for partition, version in (pin.items() if isinstance(pin, Mapping) else [(None, pin)])
    ]
    if rows:
        connection.executemany("INSERT INTO lineage.pins VALUES (?, ?, ?, ?)", rows)
    row_lineage.create_views(connection, tables)
    for statement in (*row_lineage.STATEMENTS, *row_verdicts.STATEMENTS):
        connection.execute(statement)
