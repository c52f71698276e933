"""The whole path through Dagster: archives in, shards out, and what must stay true on the way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from archives import WebPage, article, article_page, small_web, write_archive
from lakes import build, environment, rows

from assets.synthetic.anchors import Choice
from lakehouse import govern, shard
from lakehouse.cli.instance import open_instance
from lakehouse.cli.runs import Builder, BuildError
from lakehouse.crawl import FetchedPage, read_record
from lakehouse.generate import RecipeError
from lakehouse.generate.mock.server import MODEL, MockModel
from lakehouse.lake import Lake

SHARDS = "+shards/main"  # everything but the statistics, which take longest


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """A lake of two snapshots, built with a model endpoint. Tests only read it."""
    root = tmp_path_factory.mktemp("built") / "the lake"
    write_archive(root / "landing/web/2026-01/first.warc.gz", small_web(0))
    write_archive(root / "landing/web/2026-02/second.warc.gz", [*small_web(100), article_page(5, host="late.test")])
    with MockModel() as model:
        build(root, LAKEHOUSE_MODEL_URL=model.base_url, LAKEHOUSE_MODEL=MODEL)
    return Lake(root)


def test_every_record_is_a_document_or_in_the_ledger(lake: Lake) -> None:
    # 17 response records a snapshot, and one more article in the second: 404, redirect and image become no document.
    assert rows(lake, "SELECT snapshot, records, documents, rejected FROM files.web ORDER BY 1") == [
        ("2026-01", 17, 14, 3),
        ("2026-02", 18, 15, 3),
    ]
    found = rows(lake, "SELECT rule, count(*) FROM rejects.web GROUP BY 1 ORDER BY 1")
    assert found == [("content_type", 2), ("http_status", 2), ("redirect", 2)]


def test_every_document_is_kept_or_in_the_ledger_with_its_rule(lake: Lake) -> None:
    assert rows(lake, "SELECT DISTINCT difference FROM stats.balance") == [(0,)]
    dropped = rows(lake, "SELECT snapshot, rule, count(*) FROM rejects.web_clean GROUP BY ALL ORDER BY ALL")
    assert dropped == [
        ("2026-01", "exact_duplicate", 1),
        ("2026-01", "gopher_min_words", 1),
        ("2026-02", "exact_duplicate", 2),  # one copy within the snapshot, one of the snapshot before
        ("2026-02", "gopher_min_words", 1),
    ]


def test_a_copy_in_a_later_snapshot_names_the_one_that_was_kept_before(lake: Lake) -> None:
    query = """
        SELECT kept.snapshot, kept.url FROM rejects.web_clean AS dropped
        JOIN filtered.web_clean AS kept ON kept.doc_id = dropped.kept_id
        WHERE dropped.url = 'http://late.test/5.html'
    """
    assert rows(lake, query) == [("2026-01", "http://news.test/5.html")]


def test_a_dropped_document_says_what_was_measured_and_what_was_asked(lake: Lake) -> None:
    query = "SELECT value, threshold, failed FROM rejects.web_clean WHERE url = 'http://news.test/thin-0'"
    # "The end of the story is here." has seven words.
    ((value, threshold, failed),) = rows(lake, query)
    assert (value, threshold) == (7.0, 50.0)
    assert "gopher_min_words" in failed


def test_the_shards_hold_the_mixture_token_for_token(lake: Lake) -> None:
    folder = lake.training / "main" / "latest"
    assert shard.verify_manifest(folder) == []
    encoder = shard.encoder_for(lake.scan("tokenizers/main").collect()["definition"][0])
    texts = {**_texts(lake, "filtered/web_clean"), **_texts(lake, "synthetic/web_rewritten")}
    mixed = set(lake.scan("mixtures/main").collect()["doc_id"])
    seen: set[str] = set()
    for sequence in lake.scan("shards/main").collect().iter_rows(named=True):
        tokens = shard.read_megatron(lake.training / sequence["file"])[sequence["sequence"]]
        for place in sequence["documents"]:
            ids = tokens[place["start"] : place["start"] + place["length"]]
            assert encoder.decode(ids).removesuffix(shard.tokenizer.END_OF_DOCUMENT) in texts[place["doc_id"]]
            seen.add(place["doc_id"])
    assert seen == mixed


def test_a_sequence_leads_back_to_the_bytes_that_were_crawled(lake: Lake) -> None:
    sequence = rows(lake, "SELECT min(sequence_id) FROM shards.main")[0][0]
    links = govern.trace(lake, str(sequence))

    assert links[0].table == "shards/main"
    raw = [link for link in links if link.table == "raw/web"]
    assert raw
    for link in raw:
        record = read_record(lake.landing / link.facts["warc_file"], link.facts["warc_offset"])
        assert isinstance(record, FetchedPage)
        assert record.url == link.facts["url"]


def test_an_address_leads_to_its_row_or_to_why_there_is_none(lake: Lake) -> None:
    kept = govern.trace(lake, "http://news.test/3.html")
    assert [link.table for link in kept][-1] == "raw/web"
    gone = govern.trace(lake, "http://news.test/gone-0")
    assert [(link.table, link.facts["rule"], link.facts["value"]) for link in gone] == [
        ("rejects/web", "http_status", 404.0)
    ]
    with pytest.raises(govern.TraceError, match=r"Nothing in .* is called 'nonsense'"):
        govern.trace(lake, "nonsense")


def test_synthetic_rows_name_their_anchor_and_their_model(lake: Lake) -> None:
    query = """
        SELECT count(*), count(DISTINCT anchor.doc_id), any_value(synthetic.model),
            min(synthetic.depth), max(synthetic.depth)
        FROM synthetic.web_rewritten AS synthetic
        JOIN filtered.web_clean AS anchor ON synthetic.parents = [anchor.doc_id]
    """
    ((accepted, anchors, model, shallowest, deepest),) = rows(lake, query)
    assert accepted == anchors > 0
    assert (model, shallowest, deepest) == (MODEL, 1, 1)
    calls = rows(lake, "SELECT count(*) FROM generations.rewrite_clearly WHERE status = 'ok'")[0][0]
    rejected = rows(lake, "SELECT count(*) FROM rejects.web_rewritten")[0][0]
    assert calls == accepted + rejected == rows(lake, "SELECT count(*) FROM filtered.web_clean")[0][0]


def test_dropped_documents_can_be_rewritten_too(lake: Lake) -> None:
    choice = Choice("rejects/web_clean", "raw/web", "rule LIKE 'gopher%'")
    inputs = {table: lake.version(table) for table in ("rejects/web_clean", "raw/web")}
    (batch,) = choice.read(lake, inputs, "2026-01")
    assert batch["text"].to_list() == ["The end of the story is here."]
    with pytest.raises(RecipeError, match=r"the conditions on rejects/web_clean cannot be answered: .*rulee"):
        list(Choice("rejects/web_clean", "raw/web", "rulee = 1").read(lake, inputs, "2026-01"))


def test_every_step_is_in_dagster_with_its_commit_its_counts_and_its_plot(lake: Lake) -> None:
    with open_instance(lake) as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey(["filtered", "web_clean"]))
        assert event is not None
        materialization = event.asset_materialization
        assert materialization is not None
        commit = lake.last_commit("filtered/web_clean")
        assert commit is not None
        assert materialization.metadata["dagster/row_count"].value == commit.rows
        assert materialization.tags is not None
        assert materialization.tags["dagster/data_version"] == commit.data_version
        assert str(materialization.metadata["waterfall"].value).startswith("![plot](data:image/png;base64,")
        assert commit.run_id == event.run_id
        summary = instance.event_log_storage.get_asset_check_summary_records(
            [dg.AssetCheckKey(dg.AssetKey(["shards", "main"]), "tokens_add_up")]
        )
        ((_, record),) = summary.items()
        assert record.last_check_execution_record is not None
        assert record.last_check_execution_record.status.value == "SUCCEEDED"


def test_each_commit_pins_what_it_was_made_from(lake: Lake) -> None:
    commit = lake.last_commit("shards/main")
    assert commit is not None
    assert commit.inputs == {
        table: lake.version(table) for table in ("mixtures/main", "tokens/main", "tokenizers/main")
    }
    first = lake.last_commit("filtered/web_clean", "2026-01")
    assert first is not None
    raw = lake.last_commit("raw/web", "2026-01")
    assert raw is not None
    assert first.inputs["raw/web"] == raw.version
    assert first.details["with"] == {"rejects/web_clean": lake.last_commit("rejects/web_clean", "2026-01").version}  # type: ignore[union-attr]


def test_a_build_with_nothing_to_do_does_nothing(tmp_path: Path) -> None:
    write_archive(tmp_path / "landing/web/s1/a.warc.gz", small_web())
    assert build(tmp_path).materialized > 10
    before = {table: Lake(tmp_path).version(table) for table in Lake(tmp_path).tables()}
    assert build(tmp_path).runs == 0
    assert {table: Lake(tmp_path).version(table) for table in Lake(tmp_path).tables()} == before


def test_a_new_snapshot_leaves_the_old_ones_alone(tmp_path: Path) -> None:
    write_archive(tmp_path / "landing/web/s1/a.warc.gz", small_web())
    build(tmp_path, SHARDS)
    lake = Lake(tmp_path)
    before = lake.last_commit("filtered/web_clean", "s1")
    tokenizer = lake.version("tokenizers/main")
    write_archive(tmp_path / "landing/web/s2/b.warc.gz", small_web(50))
    build(tmp_path, SHARDS)

    assert lake.last_commit("filtered/web_clean", "s1") == before
    assert lake.version("tokenizers/main") == tokenizer
    assert rows(lake, "SELECT DISTINCT snapshot FROM mixtures.main ORDER BY 1") == [("s1",), ("s2",)]
    assert build(tmp_path, SHARDS).runs == 0


def test_a_file_that_arrives_later_is_read(tmp_path: Path) -> None:
    write_archive(tmp_path / "landing/web/s1/a.warc.gz", small_web())
    build(tmp_path, "raw/web")
    write_archive(tmp_path / "landing/web/s1/b.warc.gz", [article_page(77)])
    (tmp_path / "landing/web/s1/c.warc.gz.partial").write_bytes(b"half a file")
    build(tmp_path, "raw/web")

    lake = Lake(tmp_path)
    files = rows(lake, "SELECT warc_file, documents FROM files.web ORDER BY 1")
    assert files == [("web/s1/a.warc.gz", 14), ("web/s1/b.warc.gz", 1)]
    assert rows(lake, "SELECT count(*), count(DISTINCT doc_id) FROM raw.web") == [(15, 15)]


def test_without_an_endpoint_the_rest_goes_on_and_a_later_one_catches_up(tmp_path: Path) -> None:
    write_archive(tmp_path / "landing/web/s1/a.warc.gz", small_web())
    build(tmp_path, SHARDS)
    lake = Lake(tmp_path)
    assert rows(lake, "SELECT count(*) FROM synthetic.web_rewritten") == [(0,)]
    assert rows(lake, "SELECT count(*) > 0 FROM shards.main") == [(True,)]

    with MockModel() as model:
        build(tmp_path, SHARDS, LAKEHOUSE_MODEL_URL=model.base_url, LAKEHOUSE_MODEL=MODEL)
        assert model.calls == 12
        build(tmp_path, SHARDS, LAKEHOUSE_MODEL_URL=model.base_url, LAKEHOUSE_MODEL=MODEL)
        assert model.calls == 12  # no call is paid for twice
    assert rows(lake, "SELECT count(*) > 0 FROM synthetic.web_rewritten") == [(True,)]
    assert build(tmp_path, SHARDS).runs == 0


def test_another_model_is_asked_anew_and_what_follows_is_built(lake: Lake) -> None:
    address = {"LAKEHOUSE_MODEL_URL": "http://127.0.0.1:9/v1"}
    with environment(lake.root, **address, LAKEHOUSE_MODEL=MODEL), Builder(lake).opened() as builder:
        assert {state.reason for state in builder.states()} == {None}
    with environment(lake.root, **address, LAKEHOUSE_MODEL="another"), Builder(lake).opened() as builder:
        reasons = {state.table: state.reason for state in builder.states()}
    assert reasons["generations/rewrite_clearly"] == "the model is another now"
    assert reasons["synthetic/web_rewritten"] == "generations/rewrite_clearly is built anew"
    assert reasons["shards/main"]
    assert reasons["filtered/web_clean"] is None


def test_one_worker_and_two_write_the_same_shards(tmp_path: Path) -> None:
    for workers in ("1", "2"):
        root = tmp_path / workers
        write_archive(root / "landing/web/s1/a.warc.gz", small_web(0, 40))
        write_archive(root / "landing/web/s1/b.warc.gz", small_web(300, 40))
        build(root, SHARDS, LAKEHOUSE_WORKERS=workers)
    manifests = [(tmp_path / workers / "training/main/latest/manifest.json").read_text() for workers in ("1", "2")]
    assert manifests[0] == manifests[1]
    texts = [Lake(tmp_path / workers).scan("filtered/web_clean").collect() for workers in ("1", "2")]
    assert texts[0].equals(texts[1])


def test_the_shards_depend_on_the_texts_not_on_where_they_stood(tmp_path: Path) -> None:
    # 60 articles, of which 40 are drawn to be rewritten.
    pages = list(small_web(0, 60))
    write_archive(tmp_path / "1/landing/web/s1/a.warc.gz", pages)
    write_archive(tmp_path / "2/landing/web/s1/z.warc.gz", [WebPage("http://news.test/new", "", status=404), *pages])
    with MockModel() as model:
        for root in ("1", "2"):
            build(tmp_path / root, SHARDS, LAKEHOUSE_MODEL_URL=model.base_url, LAKEHOUSE_MODEL=MODEL)
    manifests = [(tmp_path / root / "training/main/latest/manifest.json").read_text() for root in ("1", "2")]
    assert manifests[0] == manifests[1]
    assert rows(Lake(tmp_path / "1"), "SELECT count(*) > 20 FROM synthetic.web_rewritten") == [(True,)]


def test_a_changed_document_changes_the_shards(tmp_path: Path) -> None:
    for root, last in (("1", 500), ("2", 501)):
        write_archive(tmp_path / root / "landing/web/s1/a.warc.gz", [*small_web(0, 20), article_page(9999, seed=last)])
        build(tmp_path / root, SHARDS)
    manifests = [(tmp_path / root / "training/main/latest/manifest.json").read_text() for root in ("1", "2")]
    assert manifests[0] != manifests[1]
    assert article(500) != article(501)


def test_a_selection_that_names_nothing_is_one_clear_line(tmp_path: Path) -> None:
    write_archive(tmp_path / "landing/web/s1/a.warc.gz", small_web())
    for selection, message in (
        ("filtered/web_claen", "names no asset. There are .*filtered/web_clean"),
        ("filtered/web_clean and and", "is no selection of assets"),
    ):
        with pytest.raises(BuildError, match=message):
            build(tmp_path, selection)
    with pytest.raises(BuildError, match=r"Snapshot 's9' has no files in .* There are s1"):
        build(tmp_path, snapshot="s9")


def test_a_selection_with_what_it_needs_can_be_built(tmp_path: Path) -> None:
    write_archive(tmp_path / "landing/web/s1/a.warc.gz", small_web())
    build(tmp_path, "+filtered/web_clean")
    assert Lake(tmp_path).tables() == [
        "raw/web",
        "files/web",
        "annotations/web/gopher_quality",
        "filtered/web_clean",
        "rejects/web",
        "rejects/web_clean",
    ]


def test_an_empty_lake_says_what_to_do_first(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"There are no files in .*landing yet: `lakehouse crawl URL`"):
        build(tmp_path)


def _texts(lake: Lake, table: str) -> dict[str, str]:
    frame = lake.scan(table).select("doc_id", "text").collect()
    return dict(zip(frame["doc_id"], frame["text"], strict=True))
