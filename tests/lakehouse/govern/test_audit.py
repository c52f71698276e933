"""People judge what a filter did."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import polars as pl
import pytest
from archives import small_web, write_archive
from browser import browsing
from lakes import build

from lakehouse.govern import audit
from lakehouse.lake import Lake, LakeError


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    root = tmp_path_factory.mktemp("audited")
    write_archive(root / "landing/web/s1/a.warc.gz", small_web())
    build(root, "+filtered/web_clean")
    return Lake(root)


def drawn(lake: Lake, per_rule: int = 20, per_kept: int = 3, seed: int = 0) -> pl.DataFrame:
    return audit.draw_sample(lake, "filtered/web_clean", snapshot=None, per_rule=per_rule, per_kept=per_kept, seed=seed)


def test_a_sample_has_kept_and_dropped_texts_and_does_not_tell_which(lake: Lake) -> None:
    sample = drawn(lake)
    assert sample.columns == list(audit.COLUMNS)
    dropped = set(lake.scan("rejects/web_clean").collect()["doc_id"])
    kept = set(lake.scan("filtered/web_clean").collect()["doc_id"])
    assert dropped <= set(sample["doc_id"])
    assert len(kept & set(sample["doc_id"])) == 3
    assert sample["text"].null_count() == 0
    assert sample["judgement"].null_count() == sample.height


def test_the_same_seed_draws_the_same_and_another_seed_others(lake: Lake) -> None:
    assert drawn(lake).equals(drawn(lake))
    assert set(drawn(lake, seed=1)["doc_id"]) != set(drawn(lake)["doc_id"])


def test_judgements_give_the_precision_of_each_rule(lake: Lake) -> None:
    sample = drawn(lake)
    kept = set(lake.scan("filtered/web_clean").collect()["doc_id"])
    # All that was dropped is boilerplate, and so is one of the three that were kept.
    first = next(doc_id for doc_id in sample["doc_id"] if doc_id in kept)
    judged = sample.with_columns(
        judgement=pl.when(pl.col("doc_id").is_in(list(kept)) & (pl.col("doc_id") != first))
        .then(pl.lit(" cc "))
        .otherwise(pl.lit("CB"))
    )
    report = audit.precision(audit.read_judgements(lake, judged))
    found = {row["rule"]: row for row in report.to_dicts()}
    assert found["kept"]["judged"] == 3
    assert found["kept"]["right"] == 2
    assert found["kept"]["CB"] == 1
    assert all(row["precision"] == 1 for rule, row in found.items() if rule != "kept")
    # Wilson's interval of 2 of 3, by an independent calculator: 0.208 to 0.939.
    assert (found["kept"]["low"], found["kept"]["high"]) == pytest.approx((0.2077, 0.9385), abs=1e-4)
    by_language = audit.precision(audit.read_judgements(lake, judged), by_language=True)
    assert by_language["judged"].sum() == report["judged"].sum()
    assert "language" in by_language.columns


def test_judgements_that_make_no_sense_are_refused(lake: Lake) -> None:
    sample = drawn(lake)
    with pytest.raises(LakeError, match="no judgement in the file yet"):
        audit.read_judgements(lake, sample)
    with pytest.raises(LakeError, match="judgement 'GOOD' is none of CC, CB, CS, WL, NL"):
        audit.read_judgements(lake, sample.with_columns(judgement=pl.lit("good")))
    judged = sample.with_columns(judgement=pl.lit("CC"))
    with pytest.raises(LakeError, match="names no version of this lake"):
        audit.read_judgements(lake, judged.with_columns(sample=pl.lit("filtered/other@1/1/1")))
    with pytest.raises(LakeError, match="the sample is of another lake"):
        audit.read_judgements(lake, judged.with_columns(doc_id=pl.lit("0" * 32)))
    with pytest.raises(LakeError, match="have no column 'sample'"):
        audit.read_judgements(lake, judged.drop("sample"))
    with pytest.raises(LakeError, match="raw/web is no filtered set"):
        audit.draw_sample(lake, "raw/web", snapshot=None, per_rule=1, per_kept=1, seed=0)


def test_the_page_takes_judgements_and_gives_them_as_csv(lake: Lake, tmp_path: Path) -> None:
    hostile = '</script><script>document.title = "taken"</script><img src="http://127.0.0.1:9/x">'
    sample = drawn(lake).with_columns(text=pl.when(pl.int_range(pl.len()) == 0).then(pl.lit(hostile)).otherwise("text"))
    file = tmp_path / "audit.html"
    file.write_text(audit.page(sample), encoding="utf-8")
    with browsing(file.as_uri(), tmp_path / "profile") as page:
        page.wait_for(f"Text 1 of {sample.height}")
        assert page.run("return document.title") == "Audit"
        assert page.run('return document.getElementById("text").textContent') == hostile
        page.click("button", "2 CB: correct language, but boilerplate or of low quality")
        page.wait_for("1 judged")
        page.wait_for(f"Text 2 of {sample.height}")
        page.click("button", "offensive")
        page.run('document.dispatchEvent(new KeyboardEvent("keydown", {key: "1"}))')
        page.wait_for("2 judged")
        rows = list(csv.DictReader(io.StringIO(page.run("return csv()"))))
    assert [row["doc_id"] for row in rows] == sample["doc_id"].to_list()
    assert [row["judgement"] for row in rows[:3]] == ["CB", "CC", ""]
    assert [row["offensive"] for row in rows[:2]] == ["", "yes"]
    assert rows[0]["text"] == hostile
    saved = pl.DataFrame(rows)
    judged = audit.read_judgements(lake, saved)
    assert judged["judgement"].to_list() == ["CB", "CC"]
    assert judged["offensive"].to_list() == [False, True]


def test_a_page_holds_its_texts_as_data(lake: Lake) -> None:
    source = audit.page(drawn(lake).with_columns(text=pl.lit("</script>")))
    content = source.partition('id="sample">')[2].partition("</script>")[0]
    assert {row["text"] for row in json.loads(content)["rows"]} == {"</script>"}
