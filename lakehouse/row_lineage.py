"""Row lineage as SQL: the table macros `lake.trace` and `lake.trace_forward`, and the views that they read.

Both collect the ids that matter in a few scans of narrow columns, keep the rows of these ids, and do the rest on
what they kept. Which table a row was made from is what the commits say: an id alone may be in several sets.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from lakehouse.schema import sql_name

# The columns that lineage is read from: no text, no token ids, no answers of models.
_COLUMNS = {
    "raw": "doc_id, snapshot, url, http_status, title, warc_file, warc_offset, warc_length",
    "rejects": "doc_id, snapshot, stage, rule, value, threshold, evidence, failed, kept_id, cluster_id, similarity, "
    "parents, url, warc_file, warc_offset, warc_length",
    "filtered": "doc_id, snapshot, parents, url, language, n_words, n_edits, duplicates",
    "synthetic": "doc_id, snapshot, parents, recipe, model, request_id, request_ids, depth, length_ratio, copied_share",
    "generations": "request_id, recipe, model, status, finish_reason, prompt_tokens, completion_tokens, cost_usd, "
    "error",
    "tokens": "doc_id, component, n_tokens",
    "mixtures": "doc_id, parents, component, stage, repeats, tokens",
    "shards": "sequence_id, shard, sequence, n_tokens, padding, file, documents",
}
_DOCUMENTS = """
    CREATE VIEW lineage.documents AS
    SELECT doc_id, parents AS made_from, NULL AS kept_id FROM lineage.filtered
    UNION ALL SELECT doc_id, list_concat(parents, coalesce(request_ids, [request_id])), NULL FROM lineage.synthetic
    UNION ALL SELECT doc_id, parents, kept_id FROM lineage.rejects
"""
_PLACES = """
    CREATE VIEW lineage.places AS
    SELECT "table", sequence_id, file, unnest(documents, recursive := true) FROM lineage.shards
"""

# Documents by their id or their address.
STARTS = """
    starts(id) AS MATERIALIZED (
        SELECT identifier
        UNION SELECT doc_id FROM lineage.raw WHERE url = identifier
        UNION SELECT doc_id FROM lineage.rejects WHERE url = identifier
    )
"""
_IDS_BACKWARD = """
    ids(id) AS (
        (
            SELECT id FROM starts
            UNION SELECT unnest(documents).doc_id FROM lineage.shards WHERE sequence_id = identifier
        )
        UNION (
            SELECT unnest(made_from) FROM lineage.documents WHERE doc_id IN (SELECT id FROM ids)
            UNION ALL SELECT doc_id FROM lineage.rejects WHERE kept_id IN (SELECT id FROM ids)
        )
    ),
    related AS (
        SELECT id FROM ids
        UNION SELECT kept_id FROM lineage.rejects WHERE kept_id IS NOT NULL AND doc_id IN (SELECT id FROM starts)
    )
"""
_IDS_FORWARD = """
    ids(id) AS (
        SELECT id FROM starts
        UNION (
            SELECT doc_id FROM (SELECT doc_id, unnest(made_from) AS parent FROM lineage.documents)
            WHERE parent IN (SELECT id FROM ids)
            UNION ALL
            SELECT kept_id FROM lineage.rejects WHERE kept_id IS NOT NULL AND doc_id IN (SELECT id FROM ids)
        )
    ),
    related AS (FROM ids)
"""
# Through a list, because DuckDB takes the rows of a recursion for many, and would build its joins on the large side.
_FOUND = """
    wanted(id) AS MATERIALIZED (SELECT unnest(list(id)) FROM related),
    found AS MATERIALIZED (
        SELECT
            "table", sequence_id AS id, 'sequence' AS what, 1 AS rank,
            list_transform(documents, lambda place: place.doc_id) AS made_from,
            json_object('shard', shard, 'sequence', "sequence", 'n_tokens', n_tokens, 'padding', padding, 'file', file,
                'documents', len(documents)) AS facts,
        FROM lineage.shards WHERE sequence_id = identifier
        UNION ALL BY NAME
        SELECT
            "table", doc_id AS id, 'mixture' AS what, 2 AS rank, parents AS made_from, component,
            json_object('component', component, 'stage', stage, 'repeats', repeats, 'tokens', tokens) AS facts,
        FROM lineage.mixtures WHERE doc_id IN (SELECT id FROM wanted)
        UNION ALL BY NAME
        SELECT
            "table", doc_id AS id, 'synthetic' AS what, 3 AS rank,
            list_concat(parents, coalesce(request_ids, [request_id])) AS made_from,
            json_object('snapshot', snapshot, 'recipe', recipe, 'model', model, 'depth', depth,
                'length_ratio', length_ratio, 'copied_share', copied_share) AS facts,
        FROM lineage.synthetic WHERE doc_id IN (SELECT id FROM wanted)
        UNION ALL BY NAME
        SELECT
            "table", request_id AS id, 'generation' AS what, 4 AS rank,
            json_object('recipe', recipe, 'model', model, 'status', status, 'finish_reason', finish_reason,
                'prompt_tokens', prompt_tokens, 'completion_tokens', completion_tokens, 'cost_usd', cost_usd,
                'error', error) AS facts,
        FROM lineage.generations WHERE request_id IN (SELECT id FROM wanted)
        UNION ALL BY NAME
        SELECT
            "table", doc_id AS id, 'filtered' AS what, 5 AS rank, parents AS made_from,
            json_object('snapshot', snapshot, 'language', language, 'n_words', n_words, 'n_edits', n_edits,
                'duplicates', duplicates, 'url', url) AS facts,
        FROM lineage.filtered WHERE doc_id IN (SELECT id FROM wanted)
        UNION ALL BY NAME
        SELECT
            "table", doc_id AS id, 'reject' AS what, 6 AS rank, coalesce(parents, [doc_id]) AS made_from, kept_id,
            json_object('stage', stage, 'rule', rule, 'value', value, 'threshold', threshold, 'evidence', evidence,
                'kept_id', kept_id, 'cluster_id', cluster_id, 'similarity', similarity, 'snapshot', snapshot,
                'url', url) AS facts,
            warc_file, warc_offset, warc_length
        FROM lineage.rejects WHERE doc_id IN (SELECT id FROM wanted)
        UNION ALL BY NAME
        SELECT
            "table", doc_id AS id, 'raw' AS what, 7 AS rank,
            json_object('url', url, 'snapshot', snapshot, 'http_status', http_status, 'title', title) AS facts,
            warc_file, warc_offset, warc_length
        FROM lineage.raw WHERE doc_id IN (SELECT id FROM wanted)
    )
"""

# From each row to those that it was made from; from a kept one also to the ledger's rows of the copies it stands for.
_EDGES = """
    made AS (SELECT "table", id, what, component, unnest(made_from) AS parent FROM found),
    edges AS MATERIALIZED (
        SELECT DISTINCT made."table", made.id, parent."table" AS source, parent.id AS source_id, false AS is_copy
        FROM made
        LEFT JOIN lineage.sources ON sources."table" = made."table"
        JOIN found AS parent ON parent.id = made.parent AND parent."table" = coalesce(made.component, sources.source)
        UNION ALL
        SELECT DISTINCT kept."table", kept.id, dropped."table", dropped.id, true
        FROM found AS dropped
        JOIN found AS kept
            ON kept.id = dropped.kept_id AND kept."table" = replace(dropped."table", 'rejects/', 'filtered/')
    )
"""
_LINKS_BACKWARD = """
    links AS MATERIALIZED (
        SELECT "table" AS origin_table, id AS origin, source AS "table", source_id AS id,
            CASE WHEN is_copy THEN 'copy' END AS role
        FROM edges
        UNION ALL
        SELECT source, source_id, "table", id, 'kept copy' FROM edges
        WHERE is_copy AND source_id IN (SELECT id FROM starts)
    ),
    reached AS (SELECT source AS "table", source_id AS id FROM edges WHERE id IN (SELECT id FROM starts))
"""
_LINKS_FORWARD = """
    links AS MATERIALIZED (
        SELECT source AS origin_table, source_id AS origin, "table", id, CASE WHEN is_copy THEN 'kept copy' END AS role
        FROM edges
    ),
    reached AS (SELECT "table", id FROM edges WHERE source_id IN (SELECT id FROM starts))
"""

# From the rows that were asked for and that no other one leads to, over the links. Rows that lead round in a circle
# end at a depth that no true chain has.
_WALK = """
    candidates AS (
        SELECT DISTINCT "table", id, rank, ("table", id) IN (SELECT ("table", id) FROM reached) AS is_reached
        FROM found WHERE id IN (SELECT id FROM starts)
    ),
    roots AS (
        SELECT row_number() OVER (ORDER BY rank, "table", id) AS root, "table", id FROM candidates
        WHERE NOT is_reached OR (SELECT bool_and(is_reached) FROM candidates)
    ),
    walk(root, depth, "table", id, role, parent_table, parent) AS (
        SELECT root, 0, "table", id, NULL::VARCHAR, NULL::VARCHAR, NULL::VARCHAR FROM roots
        UNION
        SELECT root, depth + 1, links."table", links.id, links.role, origin_table, origin
        FROM walk JOIN links ON origin_table = walk."table" AND origin = walk.id
        WHERE depth < 64 AND NOT ({ends})
    ),
    visits AS MATERIALIZED (
        FROM walk QUALIFY row_number() OVER (PARTITION BY "table", id ORDER BY root, depth, parent_table, parent) = 1
    ),
    steps AS MATERIALIZED (
        SELECT
            root, depth, "table", id, coalesce(role, what) AS what, rank, parent_table, parent, facts,
            warc_file, warc_offset, warc_length
        FROM visits JOIN found USING ("table", id)
    )
"""
_STEP_COLUMNS = """
    depth, "table", id, what, parent_table, parent, json_merge_patch('{}', facts) AS facts,
    warc_file, warc_offset, warc_length
"""

_TRACE = f"""
    CREATE MACRO lake.trace(identifier) AS TABLE
    WITH RECURSIVE {STARTS}, {_IDS_BACKWARD}, {_FOUND}, {_EDGES}, {_LINKS_BACKWARD},
    {_WALK.format(ends="coalesce(walk.role = 'kept copy', false)")},
    places AS (FROM lineage.places WHERE sequence_id = identifier),
    placed AS (
        SELECT steps.* REPLACE (
            CASE WHEN start IS NULL THEN facts ELSE json_merge_patch(facts, json_object(
                'start', start, 'length', length, 'document_start', document_start)) END AS facts), start
        FROM steps LEFT JOIN places ON doc_id = id AND places."table" = parent_table AND sequence_id = parent
    ),
    missing AS (
        SELECT
            visits.root, depth + 1 AS depth, NULL AS "table", made.parent AS id, 'missing' AS what,
            visits."table" AS parent_table, visits.id AS parent, '{{}}'::JSON AS facts
        FROM visits JOIN made USING ("table", id)
        ANTI JOIN edges ON edges."table" = visits."table" AND edges.id = visits.id AND source_id = made.parent
        WHERE made.what <> 'reject'
    )
    SELECT {_STEP_COLUMNS} FROM (FROM placed UNION ALL BY NAME FROM missing)
    ORDER BY depth, root, start, parent_table, parent, rank, "table", id, facts
"""
_TRACE_FORWARD = f"""
    CREATE MACRO lake.trace_forward(identifier) AS TABLE
    WITH RECURSIVE {STARTS}, {_IDS_FORWARD}, {_FOUND}, {_EDGES}, {_LINKS_FORWARD},
    {_WALK.format(ends="false")},
    held AS (
        SELECT
            root, depth + 1 AS depth, places."table", sequence_id AS id, 'sequence' AS what,
            steps."table" AS parent_table, steps.id AS parent, start,
            json_object('file', file, 'start', start, 'length', length, 'document_start', document_start) AS facts
        FROM steps JOIN lineage.places ON doc_id = id
        QUALIFY row_number() OVER (
            PARTITION BY places."table", sequence_id, start
            ORDER BY (places."table", steps."table") IN (SELECT ("table", source) FROM lineage.sources) DESC, depth DESC
        ) = 1
    )
    SELECT {_STEP_COLUMNS} FROM (SELECT *, NULL AS start FROM steps UNION ALL BY NAME FROM held)
    ORDER BY depth, root, parent_table, parent, rank, "table", id, start, facts
"""


STATEMENTS = (_DOCUMENTS, _PLACES, _TRACE, _TRACE_FORWARD)


def create_views(connection: duckdb.DuckDBPyConnection, tables: Sequence[str]) -> None:
    """Make a view of each layer with the columns that lineage is read from.

    Args:
        connection: has the views of `tables` and of their layers.
    """
    for layer, columns in _COLUMNS.items():
        members = [table for table in tables if table.startswith(f"{layer}/")]
        parts = [f"SELECT '{table}' AS \"table\", {columns} FROM {sql_name(table)}" for table in members]
        if parts:
            connection.execute(f"CREATE VIEW lineage.{layer} AS {' UNION ALL '.join(parts)}")
        else:
            connection.execute(f'CREATE TABLE lineage.{layer} AS SELECT "table", {columns} FROM lake.{layer}')
