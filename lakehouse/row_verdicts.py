"""The table macro `lake.why`: what became of a document at each step, as columns and as a sentence.

One row a table that read, kept or dropped the document, that drew it or did not, and that holds it. Like the rest of
row lineage it reads narrow columns only.
"""

from __future__ import annotations

from lakehouse.row_lineage import STARTS

_NUMBER = """
    CREATE MACRO lineage.number(x) AS
    CASE WHEN x = trunc(x) AND abs(x) < 1e15 THEN format('{:,}', CAST(x AS BIGINT)) ELSE format('{:.4g}', x) END
"""

# A bound is an allowed value itself: what is below it was asked to be at least that.
_REASON = """
    rule
    || CASE WHEN kept_id IS NOT NULL THEN '' ELSE coalesce(', ' || lineage.number(value), '') END
    || CASE
        WHEN kept_id IS NOT NULL THEN ''
        WHEN value < threshold THEN ' where at least ' || lineage.number(threshold) || ' is asked'
        WHEN value > threshold THEN ' where at most ' || lineage.number(threshold) || ' is asked'
        ELSE coalesce(', threshold ' || lineage.number(threshold), '') END
    || CASE WHEN kept_id IS NULL THEN '' ELSE ' of ' || coalesce(kept_url || ' (' || kept_id || ')', kept_id) END
    || CASE WHEN kept_id IS NULL OR similarity IS NULL OR similarity = 1 THEN ''
        ELSE ', which it is ' || lineage.number(similarity) || coalesce(
            ' alike: from ' || lineage.number(threshold) || ' on it is a copy', ' alike') END
    || coalesce(' (' || evidence || ')', '') || '.'
    || CASE WHEN len(failed) < 2 THEN '' ELSE
        ' It also fails ' || array_to_string(list_filter(failed, lambda name: name <> rule), ', ') || '.' END
"""
_DOCUMENTS = f"""
    raws AS MATERIALIZED (SELECT *, doc_id AS id FROM lineage.raw WHERE doc_id IN (SELECT id FROM starts)),
    keeps AS MATERIALIZED (SELECT *, doc_id AS id FROM lineage.filtered WHERE doc_id IN (SELECT id FROM starts)),
    drops AS MATERIALIZED (
        SELECT *, doc_id AS id, doc_id NOT IN (SELECT id FROM starts) AS is_rewrite FROM lineage.rejects
        WHERE doc_id IN (SELECT id FROM starts) OR list_has_any(parents, (SELECT list(id) FROM starts))
    ),
    rewrites AS MATERIALIZED (
        SELECT *, doc_id AS id, doc_id NOT IN (SELECT id FROM starts) AS is_rewrite FROM lineage.synthetic
        WHERE doc_id IN (SELECT id FROM starts) OR list_has_any(parents, (SELECT list(id) FROM starts))
    ),
    kept_copies AS (
        SELECT doc_id AS kept_id, any_value(url) AS kept_url FROM lineage.filtered
        WHERE doc_id IN (SELECT kept_id FROM drops) GROUP BY doc_id
    ),
    makers AS (
        SELECT DISTINCT "table" AS maker, 'rejects/' || split_part("table", '/', 2) AS "table",
            CASE split_part("table", '/', 1) WHEN 'raw' THEN 1 WHEN 'filtered' THEN 2 WHEN 'synthetic' THEN 4 END
            AS step
        FROM lineage.commits WHERE step IS NOT NULL
    ),
    addresses AS (
        SELECT id, any_value(url) AS url
        FROM (SELECT id, url FROM raws UNION ALL SELECT id, url FROM drops UNION ALL SELECT id, url FROM keeps)
        GROUP BY id
    ),
    of_documents AS (
        SELECT 1 AS step, "table", id, 'read' AS verdict,
            "table" || ' read it' || coalesce(format(' from {{}} at byte {{:,}}', warc_file, warc_offset), '') || '.'
            AS sentence
        FROM raws
        UNION ALL BY NAME
        SELECT coalesce(step, 2) AS step,
            "table", id, 'dropped' AS verdict, stage, rule, value, threshold, evidence, kept_id, kept_url, similarity,
            coalesce(maker, "table") || CASE WHEN is_rewrite THEN ' dropped a rewrite of it: ' ELSE ' dropped it: ' END
            || {_REASON} AS sentence
        FROM drops LEFT JOIN makers USING ("table") LEFT JOIN kept_copies USING (kept_id)
        UNION ALL BY NAME
        SELECT 2 AS step, "table", id, 'kept' AS verdict,
            "table" || ' kept it' || CASE WHEN duplicates > 1
                THEN format(': it stands for {{:,}} documents that are alike.', duplicates) ELSE '.' END AS sentence
        FROM keeps
        UNION ALL BY NAME
        SELECT 3 AS step, sources."table", there.id, 'undecided' AS verdict,
            sources."table" || ' has not decided on it: ' || sources.source || ' has changed since. Build it.'
            AS sentence
        FROM (SELECT "table", id FROM raws UNION ALL SELECT "table", id FROM keeps) AS there
        JOIN lineage.sources ON sources.source = there."table" AND starts_with(sources."table", 'filtered/')
        ANTI JOIN keeps ON keeps."table" = sources."table" AND keeps.id = there.id
        ANTI JOIN drops ON replace(drops."table", 'rejects/', 'filtered/') = sources."table" AND drops.id = there.id
        UNION ALL BY NAME
        SELECT 4 AS step, "table", id, 'kept' AS verdict,
            "table" || CASE WHEN is_rewrite THEN ' kept a rewrite of it, ' || id
                ELSE ' kept it: a rewrite of ' || array_to_string(parents, ', ') END
            || ' (' || recipe || ' by ' || model || ').' AS sentence
        FROM rewrites
    )
"""
_MIXED = """
    drawn AS MATERIALIZED (SELECT *, doc_id AS id FROM lineage.mixtures WHERE doc_id IN (SELECT id FROM starts)),
    counted AS MATERIALIZED (
        SELECT replace("table", 'tokens/', 'mixtures/') AS "table", doc_id AS id, component, n_tokens
        FROM lineage.tokens WHERE doc_id IN (SELECT id FROM starts)
    ),
    targets AS (
        SELECT "table", unnest(from_json(details->'summary', '[{"component": "VARCHAR", "weight": "DOUBLE",
            "target_tokens": "BIGINT", "available_tokens": "BIGINT", "tokens": "BIGINT"}]'), recursive := true)
        FROM lineage.commits WHERE starts_with("table", 'mixtures/') AND until IS NULL
    ),
    held AS MATERIALIZED (
        SELECT "table", doc_id AS id, list(DISTINCT sequence_id ORDER BY sequence_id) AS sequences
        FROM lineage.places WHERE doc_id IN (SELECT id FROM starts) GROUP BY ALL
    ),
    of_mixtures AS (
        SELECT 5 AS step, "table", id, 'drawn' AS verdict,
            format('{} drew it from {}: {:,} tokens, read {}.', "table", component, tokens,
                CASE repeats WHEN 1 THEN 'once' ELSE format('{:,} times', repeats) END) AS sentence
        FROM drawn
        UNION ALL BY NAME
        SELECT 5 AS step, "table", id, 'not drawn' AS verdict,
            format('{} did not draw it: its {:,} tokens are among the {:,} of {}, of which {:,} were drawn'
                || ' (weight {:.2g}, target {:,}), in an order that the seed gives.',
                "table", n_tokens, available_tokens, component, targets.tokens, weight, target_tokens) AS sentence
        FROM counted JOIN targets USING ("table", component) ANTI JOIN drawn USING ("table", id)
        UNION ALL BY NAME
        SELECT 5 AS step, "table", id, 'not counted' AS verdict,
            'No mixture takes it from ' || "table" || ', or none was built since it is there.' AS sentence
        FROM (SELECT "table", id FROM keeps UNION ALL SELECT "table", id FROM rewrites WHERE NOT is_rewrite) AS there
        ANTI JOIN counted ON counted.component = there."table" AND counted.id = there.id
        UNION ALL BY NAME
        SELECT 6 AS step, "table", id, 'held' AS verdict,
            format('{} holds it in {:,} sequence{}: {}{}.', "table", len(sequences),
                CASE len(sequences) WHEN 1 THEN '' ELSE 's' END, array_to_string(sequences[:3], ', '),
                CASE WHEN len(sequences) > 3 THEN ', …' ELSE '' END) AS sentence
        FROM held
        UNION ALL BY NAME
        SELECT 6 AS step, sources."table", id, 'not held' AS verdict,
            sources."table" || ' does not hold it: ' || drawn."table" || ' has changed since. Build it.' AS sentence
        FROM drawn JOIN lineage.sources ON sources.source = drawn."table" AND starts_with(sources."table", 'shards/')
        ANTI JOIN held ON held."table" = sources."table" AND held.id = drawn.id
    )
"""
_WHY = f"""
    CREATE MACRO lake.why(identifier) AS TABLE
    WITH {STARTS}, {_DOCUMENTS}, {_MIXED}
    SELECT "table", id, url, verdict, stage, rule, value, threshold, evidence, kept_id, kept_url, similarity,
        sentence
    FROM (FROM of_documents UNION ALL BY NAME FROM of_mixtures) LEFT JOIN addresses USING (id)
    ORDER BY id NOT IN (SELECT id FROM starts), id, step, "table", rule
"""
STATEMENTS = (_NUMBER, _WHY)
