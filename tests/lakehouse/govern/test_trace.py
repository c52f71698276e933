"""Where rows come from, where they went, and why they are or are not there."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest
from archives import article_page, small_web, write_archive
from lakes import build, rows

from lakehouse import govern
from lakehouse.commits import Origin
from lakehouse.generate.mock.server import MODEL, MockModel
from lakehouse.lake import Lake

LATE = "http://late.test/5.html"  # in the second snapshot; the text is that of news.test/5.html in the first
FIRST = "http://news.test/5.html"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Two snapshots with rewrites. Each has 12 articles, a copy of the first of them, and a thin page."""
    root = tmp_path_factory.mktemp("traced") / "the lake"
    write_archive(root / "landing/web/2026-01/first.warc.gz", small_web(0))
    write_archive(root / "landing/web/2026-02/second.warc.gz", [*small_web(100), article_page(5, host="late.test")])
    with MockModel() as model:
        build(root, "+shards/main", LAKEHOUSE_MODEL_URL=model.base_url, LAKEHOUSE_MODEL=MODEL)
    return Lake(root)


def doc_id_of(lake: Lake, url: str) -> str:
    return str(rows(lake, f"SELECT doc_id FROM raw.web WHERE url = '{url}'")[0][0])


def names(links: list[govern.Link]) -> list[tuple[int, str, str]]:
    return [(link.depth, link.table, link.what) for link in links]


def test_a_rewrite_leads_to_its_call_its_anchor_and_the_bytes_of_that(lake: Lake) -> None:
    query = (
        "SELECT s.doc_id, s.parents[1], s.request_id FROM synthetic.web_rewritten s JOIN mixtures.main USING (doc_id)"
    )
    rewrite, anchor, request = map(str, rows(lake, f"{query} ORDER BY 1 LIMIT 1")[0])
    links = govern.trace(lake, rewrite)

    assert [link.identifier for link in links] == [rewrite, rewrite, request, anchor, anchor]
    assert names(links) == [
        (0, "mixtures/main", "mixture"),
        (1, "synthetic/web_rewritten", "synthetic"),
        (2, "generations/rewrite_clearly", "generation"),
        (2, "filtered/web_clean", "filtered"),
        (3, "raw/web", "raw"),
    ]
    call, kept, raw = links[2:]
    assert call.facts["model"] == MODEL
    assert call.facts["prompt_tokens"] > 0
    assert call.facts["cost_usd"] == 0
    assert (kept.facts["n_edits"], kept.parent) == (0, ("synthetic/web_rewritten", rewrite))
    assert raw.facts["warc_file"].endswith(".warc.gz")
    assert "text" not in {name for link in links for name in link.facts}


def test_a_kept_document_names_the_copies_that_it_stands_for(lake: Lake) -> None:
    links = govern.trace(lake, FIRST)
    assert names(links) == [
        (0, "mixtures/main", "mixture"),
        (1, "filtered/web_clean", "filtered"),
        (2, "rejects/web_clean", "copy"),
        (3, "raw/web", "raw"),
        (2, "raw/web", "raw"),
    ]
    assert [link.facts.get("url") for link in links] == [None, FIRST, LATE, LATE, FIRST]
    assert links[2].facts["rule"] == "exact_duplicate"


def test_a_copy_in_a_later_snapshot_leads_to_the_kept_one_and_to_its_own_bytes(lake: Lake) -> None:
    links = govern.trace(lake, LATE)
    assert names(links) == [
        (0, "rejects/web_clean", "reject"),
        (1, "filtered/web_clean", "kept copy"),
        (1, "raw/web", "raw"),
    ]
    assert (links[1].facts["url"], links[1].facts["snapshot"]) == (FIRST, "2026-01")
    assert (links[2].facts["url"], links[2].facts["warc_file"]) == (LATE, "web/2026-02/second.warc.gz")


def test_forward_from_a_copy_reaches_what_the_kept_one_reaches(lake: Lake) -> None:
    from_copy, from_kept = govern.trace_forward(lake, LATE), govern.trace_forward(lake, FIRST)
    places = {(link.identifier, link.facts["start"]) for link in from_copy if link.what == "sequence"}
    assert places == {(link.identifier, link.facts["start"]) for link in from_kept if link.what == "sequence"}
    assert [link.what for link in from_copy][:4] == ["raw", "reject", "kept copy", "mixture"]
    held = rows(
        lake,
        "SELECT sequence_id, place.start FROM (SELECT sequence_id, unnest(documents) AS place FROM shards.main) "
        f"WHERE place.doc_id = '{doc_id_of(lake, FIRST)}'",
    )
    assert set(held) <= places


def test_forward_from_an_anchor_reaches_its_rewrite_and_where_that_is_read(lake: Lake) -> None:
    query = "SELECT s.parents[1], s.doc_id FROM synthetic.web_rewritten s JOIN mixtures.main USING (doc_id)"
    anchor, rewrite = map(str, rows(lake, f"{query} ORDER BY 1 LIMIT 1")[0])
    links = govern.trace_forward(lake, anchor)
    assert names(links)[:2] == [(0, "raw/web", "raw"), (1, "filtered/web_clean", "filtered")]
    assert (2, "synthetic/web_rewritten", "synthetic") in names(links)
    of_rewrite = [link for link in links if link.parent == ("mixtures/main", rewrite)]
    ((repeats,),) = rows(lake, f"SELECT repeats FROM mixtures.main WHERE doc_id = '{rewrite}'")
    # It is shorter than a sequence and so never cut: each time that it is read is one place.
    assert len(of_rewrite) == repeats
    assert {link.what for link in of_rewrite} == {"sequence"}


def test_forward_is_the_inverse_of_backward_for_every_sequence_and_every_raw_row(lake: Lake) -> None:
    sequences = [str(row[0]) for row in rows(lake, "SELECT sequence_id FROM lake.shards")]
    documents = [str(row[0]) for row in rows(lake, "SELECT doc_id FROM lake.raw")]
    assert len(sequences) >= 3
    assert len(documents) == 29  # 14 in the first snapshot, 15 in the second
    with lake.connect() as connection:
        backward = {
            (sequence, doc_id)
            for sequence in sequences
            for (doc_id,) in connection.execute(
                "SELECT id FROM lake.trace(?) WHERE what = 'raw'", [sequence]
            ).fetchall()
        }
        forward = {
            (sequence, doc_id)
            for doc_id in documents
            for (sequence,) in connection.execute(
                "SELECT id FROM lake.trace_forward(?) WHERE what = 'sequence'", [doc_id]
            ).fetchall()
        }
    assert backward == forward
    # All but the two thin pages are in some sequence, copies through the document that was kept.
    assert len({doc_id for _, doc_id in backward}) == 27


def test_the_shards_descend_from_every_raw_snapshot(lake: Lake) -> None:
    newest = lake.version("shards/main")
    found = rows(
        lake,
        f"SELECT ancestor_version, ancestor_partition FROM lake.lineage_of('shards/main', {newest}) "
        "WHERE ancestor = 'raw/web' ORDER BY 2",
    )
    commits = [lake.last_commit("raw/web", snapshot) for snapshot in ("2026-01", "2026-02")]
    assert found == [(commit.version, commit.partition) for commit in commits if commit]


def test_after_a_second_build_old_and_new_shards_name_what_they_were_made_from(lake: Lake, tmp_path: Path) -> None:
    copy = Lake(shutil.copytree(lake.root, tmp_path / "lake", symlinks=True))
    before = copy.last_commit("shards/main")
    versions = dict(
        rows(copy, "SELECT partition, max(version) FROM lake.versions WHERE \"table\" = 'raw/web' GROUP BY 1")
    )
    sequence = str(rows(copy, "SELECT min(sequence_id) FROM lake.shards")[0][0])
    links = govern.trace(copy, sequence)
    write_archive(copy.root / "landing/web/2026-02/third.warc.gz", [article_page(700)])
    write_archive(copy.root / "landing/web/2026-02/second.warc.gz", [article_page(5, host="late.test")])

    build(copy.root, "+mixtures/main")
    newest = copy.last_commit("raw/web", "2026-02")
    assert newest is not None
    assert newest.version > versions["2026-02"]
    # The shards are stale now: the newest tables lack what they were made from. They are traced in the old ones.
    assert govern.trace(copy, sequence) == links
    gone = str(rows(lake, "SELECT min(doc_id) FROM filtered.web_clean WHERE snapshot = '2026-02'")[0][0])
    assert rows(copy, f"SELECT 1 FROM raw.web WHERE doc_id = '{gone}'") == []
    assert "sequence" in [link.what for link in govern.trace_forward(copy, gone)]

    build(copy.root, "+shards/main")
    after = copy.last_commit("shards/main")
    assert before is not None
    assert after is not None
    query = """
        SELECT ancestor_partition, ancestor_version FROM lake.lineage_of('shards/main', {})
        WHERE ancestor = 'raw/web' ORDER BY 1
    """
    assert dict(rows(copy, query.format(before.version))) == versions  # type: ignore[arg-type]
    of_new = rows(copy, query.format(after.version))
    # Rewrites without an endpoint are those of before for the first snapshot, which did not change.
    assert ("2026-01", versions["2026-01"]) in of_new
    assert ("2026-02", newest.version) in of_new


def test_why_says_which_rule_dropped_a_document_and_with_which_value(lake: Lake) -> None:
    # "The end of the story is here." has seven words.
    verdicts = govern.why(lake, "http://news.test/thin-0")
    assert [(one.table, one.verdict) for one in verdicts] == [("raw/web", "read"), ("rejects/web_clean", "dropped")]
    dropped = verdicts[1]
    assert (dropped.rule, dropped.value, dropped.threshold) == ("gopher_min_words", 7.0, 50.0)
    assert dropped.sentence == ("filtered/web_clean dropped it: gopher_min_words, 7 where at least 50 is asked.")


def test_why_names_the_kept_copy_the_mixture_and_the_sequences(lake: Lake) -> None:
    dropped = govern.why(lake, LATE)[-1]
    kept_id = doc_id_of(lake, FIRST)
    assert (dropped.kept_id, dropped.kept_url) == (kept_id, FIRST)
    assert dropped.sentence == f"filtered/web_clean dropped it: exact_duplicate of {FIRST} ({kept_id})."

    kept = [one for one in govern.why(lake, FIRST) if one.identifier == kept_id]
    assert [one.verdict for one in kept] == ["read", "kept", "drawn", "held"]
    # A later copy is counted in its own snapshot, where the set stood for itself only.
    assert kept[1].sentence == "filtered/web_clean kept it."
    tokens = rows(lake, f"SELECT tokens FROM mixtures.main WHERE doc_id = '{kept_id}'")[0][0]
    assert kept[2].sentence == f"mixtures/main drew it from filtered/web_clean: {tokens:,} tokens, read once."
    assert kept[3].sentence.startswith("shards/main holds it in ")

    gone = govern.why(lake, "http://news.test/gone-0")
    assert [one.sentence for one in gone] == ["raw/web dropped it: http_status, 404 (Status)."]


def test_why_says_that_a_mixture_left_a_document_out(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    text = {"text_id": "t", "snapshot": "s", "source": "web", "text": "x", "n_chars": 1, "n_words": 1}
    kept = [{"doc_id": name, "parents": [name], "n_edits": 0, "duplicates": 1} | text for name in "ab"]
    lake.replace_frame("filtered/web", pl.DataFrame(kept), Origin(asset="filtered/web"), snapshot="s")
    counted = [
        {"doc_id": name, "snapshot": "s", "component": "filtered/web", "text_id": "t", "text_hash": 1, "n_tokens": 60}
        | {"token_ids": [1]}
        for name in "ab"
    ]
    lake.replace_frame("tokens/main", pl.DataFrame(counted), Origin(asset="tokens/main"), snapshot="s")
    drawn = {"doc_id": "a", "snapshot": "s", "component": "filtered/web", "text_id": "t", "stage": 1, "repeats": 2}
    rest = {"tokens": 60, "order_key": 1, "parents": ["a"]}
    summary = {"component": "filtered/web", "weight": 0.5, "target_tokens": 110}
    details = {"summary": [summary | {"available_tokens": 120, "tokens": 120}]}
    lake.replace_frame("mixtures/main", pl.DataFrame([drawn | rest]), Origin(asset="mixtures/main", details=details))
    assert [one.sentence for one in govern.why(lake, "b")] == [
        "filtered/web kept it.",
        "mixtures/main did not draw it: its 60 tokens are among the 120 of filtered/web, of which 120 were drawn "
        "(weight 0.5, target 110), in an order that the seed gives.",
    ]
    assert [one.sentence for one in govern.why(lake, "a")][1] == (
        "mixtures/main drew it from filtered/web: 60 tokens, read 2 times."
    )


@pytest.mark.parametrize("identifier", ["x' OR 1=1 --", '"; DROP TABLE lake.versions; --', "%", "", "NULL", "$1"])
def test_a_name_is_never_taken_for_sql(lake: Lake, identifier: str) -> None:
    for follow in (govern.trace, govern.trace_forward, govern.why):
        with pytest.raises(govern.TraceError, match="is called"):
            follow(lake, identifier)


@pytest.mark.parametrize(
    "written",
    ["https://news.test/5.html", "news.test/5.html", "http://news.test/5.html/", "HTTP://News.test/5.html#top"],
)
def test_an_address_that_is_nearly_right_is_suggested(lake: Lake, written: str) -> None:
    with pytest.raises(govern.TraceError, match=r"Did you mean http://news\.test/5\.html\?"):
        govern.why(lake, written)


def test_a_sequence_is_no_document(lake: Lake) -> None:
    with pytest.raises(govern.TraceError, match="It is a sequence: lakehouse trace main-00000-000000"):
        govern.why(lake, "main-00000-000000")


def test_rows_that_lead_round_in_a_circle_end(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    common = {"text_id": "t", "snapshot": "s", "source": "web", "text": "x", "n_chars": 1, "n_words": 1, "depth": 1}
    model = {"recipe": "r", "recipe_version": "1", "model": "m", "request_id": "q"}
    for name, other in (("a", "b"), ("b", "a")):
        made = [
            {"doc_id": f"{name}{n}", "parents": [f"{other}{m}" for m in range(9)]} | common | model for n in range(9)
        ]
        origin = Origin(asset=f"synthetic/{name}", inputs={f"synthetic/{other}": 9})
        lake.replace_frame(f"synthetic/{name}", pl.DataFrame(made), origin, snapshot="s")
    for follow in (govern.trace, govern.trace_forward):
        links = [link for link in follow(lake, "a0") if link.what != "missing"]
        assert len({(link.table, link.identifier) for link in links}) == len(links) == 18


def test_what_is_gone_is_said_to_be(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    row = {"doc_id": "a", "parents": ["a"], "text_id": "t", "snapshot": "s", "source": "web", "text": "x"}
    counts = {"n_chars": 1, "n_words": 1, "n_edits": 0, "duplicates": 1}
    origin = Origin(asset="filtered/web", inputs={"raw/web": 1})
    lake.replace_frame("filtered/web", pl.DataFrame([row | counts]), origin, snapshot="s")
    assert names(govern.trace(lake, "a")) == [(0, "filtered/web", "filtered"), (1, "", "missing")]


def test_no_text_is_read(lake: Lake) -> None:
    columns = set(rows(lake, "SELECT column_name FROM information_schema.columns WHERE table_schema = 'lineage'"))
    assert ("doc_id",) in columns
    assert not columns & {("text",), ("response",), ("token_ids",), ("definition",)}
    with lake.connect() as connection:
        for macro in ("trace", "trace_forward", "why"):
            plan = connection.execute(f"EXPLAIN FROM lake.{macro}('x')").fetchall()[0][1]
            words = {word for line in plan.splitlines() for word in line.replace("│", " ").split()}
            assert "doc_id" in words
            assert not words & {"text", "response", "token_ids", "definition"}
