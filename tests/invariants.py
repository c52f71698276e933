"""What must hold in every lake after every build, as SQL: each query gives the rows that break a promise."""

from __future__ import annotations

import graphlib
from pathlib import Path

from lakehouse import shard
from lakehouse.lake import Lake

INVARIANTS = {
    "nothing is lost between the rows of a set and its ledger": """
        SELECT "table", snapshot, difference FROM stats.balance WHERE difference <> 0
    """,
    "each snapshot of a source is in the balance": """
        SELECT DISTINCT snapshot FROM files.web
        WHERE snapshot NOT IN (SELECT snapshot FROM stats.balance WHERE "table" = 'filtered/web_clean')
    """,
    "each record of a file is a document, in the ledger, or of a kind that holds none": """
        WITH documents AS (SELECT warc_file, count(*) AS n FROM raw.web GROUP BY ALL),
             dropped AS (SELECT warc_file, count(*) AS n FROM rejects.web GROUP BY ALL)
        SELECT warc_file FROM files.web AS file
        LEFT JOIN documents USING (warc_file) LEFT JOIN dropped USING (warc_file)
        WHERE (documents, rejected) IS DISTINCT FROM (coalesce(documents.n, 0), coalesce(dropped.n, 0))
            OR records <> file.documents + rejected + skipped
    """,
    "no record is there twice": """
        SELECT doc_id FROM (SELECT doc_id FROM raw.web UNION ALL SELECT doc_id FROM rejects.web)
        GROUP BY doc_id HAVING count(*) > 1
    """,
    "each document is kept or in the ledger, once": """
        SELECT doc_id FROM raw.web
        FULL JOIN (
            SELECT doc_id, count(*) AS times
            FROM (SELECT doc_id FROM filtered.web_clean UNION ALL SELECT doc_id FROM rejects.web_clean) GROUP BY doc_id
        ) USING (doc_id)
        WHERE times IS DISTINCT FROM 1
    """,
    "each document is measured once": """
        SELECT doc_id FROM raw.web
        FULL JOIN (SELECT doc_id, count(*) AS times FROM annotations.web__gopher_quality GROUP BY doc_id) USING (doc_id)
        WHERE times IS DISTINCT FROM 1 OR raw.web.snapshot IS NULL
    """,
    "of each text one copy is kept, in all snapshots": """
        SELECT text_id FROM filtered.web_clean GROUP BY text_id HAVING count(*) > 1
    """,
    "the copy that was kept instead of a dropped one is kept": """
        SELECT kept_id FROM rejects.web_clean
        WHERE kept_id IS NOT NULL AND kept_id NOT IN (SELECT doc_id FROM filtered.web_clean)
    """,
    "each parent is a row": """
        SELECT parent FROM (SELECT unnest(parents) AS parent FROM filtered.web_clean)
        WHERE parent NOT IN (SELECT doc_id FROM raw.web)
        UNION ALL
        SELECT parent FROM (SELECT unnest(parents) AS parent FROM synthetic.web_rewritten)
        WHERE parent NOT IN (SELECT doc_id FROM filtered.web_clean)
    """,
    "each rewrite is the answer to a call in the journal": """
        SELECT request_id FROM synthetic.web_rewritten
        WHERE request_id NOT IN (SELECT request_id FROM generations.rewrite_clearly WHERE status = 'ok')
    """,
    "no call was paid for twice": """
        SELECT request_id FROM generations.rewrite_clearly WHERE status = 'ok' GROUP BY request_id HAVING count(*) > 1
    """,
    "the candidates of the mixture are what is kept and rewritten": """
        SELECT doc_id FROM tokens.main
        FULL JOIN (SELECT doc_id FROM filtered.web_clean UNION ALL SELECT doc_id FROM synthetic.web_rewritten) AS kept
            USING (doc_id)
        WHERE tokens.main.doc_id IS NULL OR kept.doc_id IS NULL
    """,
    "the mixture counts the tokens that its documents have": """
        SELECT doc_id FROM mixtures.main LEFT JOIN tokens.main USING (doc_id, component, snapshot)
        WHERE tokens IS DISTINCT FROM n_tokens OR n_tokens <> len(token_ids)
    """,
    "the shards hold each document of the mixture as often as it says": """
        WITH places AS (SELECT unnest(documents, recursive := true) FROM shards.main),
             packed AS (SELECT doc_id, sum(length) AS length FROM places GROUP BY doc_id)
        SELECT doc_id FROM packed FULL JOIN mixtures.main USING (doc_id)
        WHERE length IS DISTINCT FROM tokens * repeats
    """,
    "each sequence is as full as it says": """
        SELECT sequence_id FROM shards.main
        WHERE n_tokens + padding <> 2048 OR n_tokens <> list_sum(list_transform(documents, lambda one: one.length))
    """,
    "each input of a commit was there before it": """
        SELECT reader."table", reader.version, input, input_version
        FROM lake.inputs AS reader
        JOIN lake.versions AS commit USING ("table", version)
        LEFT JOIN lake.versions AS made ON made."table" = input AND made.version = input_version
        WHERE reader."table" NOT LIKE 'stats/%'
            AND (made.committed_at > commit.committed_at OR (made.version IS NULL AND input_version <> 0))
    """,
}


def violations(lake: Lake) -> list[str]:
    """What is wrong in the lake: one line a promise that is broken."""
    found = []
    with lake.connect() as connection:
        for promise, query in INVARIANTS.items():
            rows = connection.execute(query).fetchall()
            if rows:
                found.append(f"{promise}: not so {len(rows)} times, first {rows[0]}")
        edges = connection.execute("SELECT reader, made FROM lineage.edges").fetchall()
    return found + _cycles(edges) + _shard_files(lake)


def lost_versions(lake: Lake) -> list[str]:
    """Inputs of commits that cannot be read any more: one line each. Opens every version that was ever read."""
    lost = []
    pairs = lake.sql("SELECT DISTINCT input, input_version FROM lake.inputs ORDER BY ALL").rows()
    for table, version in pairs:
        lost += [
            f"{table}@{version} lacks {file.name}" for file in lake.files(table, version=version) if not file.exists()
        ]
    return lost


def _cycles(edges: list[tuple[int, int]]) -> list[str]:
    """Commits that were made from themselves."""
    sorter: graphlib.TopologicalSorter[int] = graphlib.TopologicalSorter()
    for reader, made in edges:
        sorter.add(reader, made)
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        return [f"no commit is made from itself: {error.args[1]}"]
    return []


def _shard_files(lake: Lake) -> list[str]:
    """What is wrong with the files that training reads, or with what says which they are."""
    commit = lake.last_commit("shards/main")
    folder = lake.training / "main" / "latest"
    if commit is None or folder.resolve() != (lake.training / commit.details["folder"]).resolve():
        return [f"the newest shards are not what {folder} points to"]
    return [f"the shards are whole: {problem}" for problem in shard.verify_manifest(folder)]


def manifest(root: Path) -> bytes:
    """The manifest of the newest shards: the same tokens in the same order give the same bytes."""
    return (Lake(root).training / "main" / "latest" / "manifest.json").read_bytes()
