"""Copies through Dagster: found by text, address and similarity, within and across snapshots, and explained."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from archives import REPOSITORY, WebPage, write_archive
from lakes import builder_of, definitions_of, environment, rows

from assets.filtered.alarms import Alarms
from assets.filtered.component import FilteredSet
from assets.materialization import asset_key
from assets.raw.component import RawSource
from lakehouse.cli.failures import IncompleteBuildError
from lakehouse.cli.instance import open_instance
from lakehouse.cli.runs import Built
from lakehouse.generate.mock.server import MODEL, MockModel
from lakehouse.lake import Lake
from lakehouse.select import RuleError

_SOUNDS = ("ba", "ke", "lo", "mi", "nu", "ra", "so", "ti", "vo", "ze")


def words(seed: int, count: int = 60) -> list[str]:
    """Words of which no five in a row come again, another list for every seed."""
    chance = random.Random(seed)
    return ["".join(chance.choices(_SOUNDS, k=4)) for _ in range(count)]


def changed(text: Sequence[str], *places: int) -> list[str]:
    """The text with other words at some places."""
    return [f"other{word}" if place in places else word for place, word in enumerate(text)]


def jaccard(one: Sequence[str], other: Sequence[str]) -> float:
    """The similarity of two texts by their word 5-grams, the slow way."""
    grams = [{tuple(text[start : start + 5]) for start in range(len(text) - 4)} for text in (one, other)]
    return len(grams[0] & grams[1]) / len(grams[0] | grams[1])


def page(name: str, text: Sequence[str]) -> WebPage:
    host, _, path = name.partition("/")
    return WebPage(f"http://{host}.test/{path}", f"<html><body><main><p>{' '.join(text)}.</p></main></body></html>")


def land(lake: Lake, source: str, snapshot: str, pages: dict[str, Sequence[str]]) -> None:
    write_archive(lake.landing / source / snapshot / "a.warc.gz", [page(name, text) for name, text in pages.items()])


def dropping(**settings: Any) -> dict[str, Any]:
    """What stands under `duplicates`."""
    return settings


def parts(*duplicates: dict[str, Any], annotator: Any = "minhash", **attributes: Any) -> list[Any]:
    declared = list(duplicates) if len(duplicates) > 1 else duplicates[0]
    clean = FilteredSet(name="clean", source="raw/web", duplicates=declared, **attributes)
    return [RawSource(name="web", annotators=[annotator]), clean]


def build(lake: Lake, *declared: Any) -> Built:
    with builder_of(lake.root, *declared) as builder:
        return builder.build()


def name(host: Any, url: Any) -> str:
    return f"{host.removesuffix('.test')}/{url.rpartition('/')[2]}"


def kept(lake: Lake) -> set[str]:
    return {name(host, url) for host, url in rows(lake, "SELECT host, url FROM filtered.clean")}


def dropped(lake: Lake) -> dict[str, tuple[str, str, float]]:
    """For each dropped page the rule, the page that is kept instead and the similarity."""
    found = rows(
        lake,
        """
        SELECT lost.host, lost.url, rule, stays.host, stays.url, similarity FROM rejects.clean AS lost
        JOIN raw.web AS stays ON stays.doc_id = kept_id WHERE stage = 'duplicates'
        """,
    )

    return {name(a, b): (rule, name(c, d), similarity) for a, b, rule, c, d, similarity in found}


A, D = words(1), words(2)
FIRST = {
    "news/a": A,
    "mirror/a": [word.upper() for word in A],
    "news/b": changed(A, 30),  # 5 of its 56 shingles are others: 51 of 61 in both; it is the longest of these three
    "news/c": changed(A, 0, 12, 24, 36, 48),  # 1 + 4 × 5 others: unlike all
    "news/d": D,
    "tiny/x": ["one", "small", "page"],
    "tiny/y": ["One,", "small", "page!"],
}
SECOND = {
    "late/a": changed(A, 59),  # one shingle of a is another: like a, which was dropped, so it is compared with b
    "late/b": changed(A, 30, 59),
    "late/d": D,
    "late/e": words(3),
}


def lake_of(root: Path, duplicates: dict[str, Any], *snapshots: dict[str, Sequence[str]], **attributes: Any) -> Lake:
    """A lake of snapshots s1, s2 and so on, each built when it has arrived."""
    lake = Lake(root)
    for number, pages in enumerate(snapshots, 1):
        land(lake, "web", f"s{number}", pages)
        build(lake, *parts(duplicates, **attributes))
    return lake


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Two snapshots. Tests only read it."""
    root = tmp_path_factory.mktemp("duplicates") / "the lake"
    return lake_of(root, dropping(method="minhash", keep="longest"), FIRST, SECOND)


def test_copies_are_dropped_for_what_they_are_measurably_alike_to(lake: Lake) -> None:
    assert jaccard(A, FIRST["news/b"]) == 51 / 61
    assert jaccard(SECOND["late/a"], FIRST["news/b"]) == 50 / 62
    assert jaccard(SECOND["late/b"], FIRST["news/b"]) == 55 / 57
    assert dropped(lake) == {
        "news/a": ("near_duplicate", "news/b", 51 / 61),
        "mirror/a": ("near_duplicate", "news/b", 51 / 61),  # it has the very text of news/a
        "tiny/x": ("near_duplicate", "tiny/y", 1.0),
        "late/a": ("near_duplicate", "news/b", 50 / 62),
        "late/b": ("near_duplicate", "news/b", 55 / 57),
        "late/d": ("exact_duplicate", "news/d", 1.0),
    }
    assert kept(lake) == {"news/b", "news/c", "news/d", "tiny/y", "late/e"}
    assert rows(lake, "SELECT DISTINCT value, threshold FROM rejects.clean WHERE rule = 'exact_duplicate'") == [
        (None, None)
    ]
    query = "SELECT DISTINCT threshold, value = similarity FROM rejects.clean WHERE rule = 'near_duplicate'"
    assert rows(lake, query) == [(0.7, True)]


def test_what_is_kept_says_how_many_it_stands_for_and_where_they_are(lake: Lake) -> None:
    query = "SELECT host, duplicates, hosts FROM filtered.clean WHERE duplicates > 1 ORDER BY host"
    # What later snapshots drop for it is in their ledger: nothing old is written anew.
    assert rows(lake, query) == [
        ("news.test", 3, ["mirror.test", "news.test"]),
        ("tiny.test", 2, ["tiny.test"]),
    ]


def test_members_of_a_cluster_share_its_name(lake: Lake) -> None:
    query = """
        SELECT cluster_id = text_id, count(*) FROM rejects.clean JOIN filtered.clean AS stays ON stays.doc_id = kept_id
        GROUP BY ALL
    """
    assert rows(lake, query) == [(True, 6)]


def test_a_new_snapshot_joins_what_is_there_and_writes_none_of_it_anew(lake: Lake) -> None:
    for table in ("annotations/web/minhash", "pairs/clean/minhash", "filtered/clean"):
        assert [commit.partition for commit in reversed(lake.history(table)) if commit.asset] == ["s1", "s2"]
    pairs = rows(lake, "SELECT snapshot, other_snapshot, count(*) FROM pairs.clean__minhash GROUP BY ALL ORDER BY ALL")
    # a, mirror/a, b; x, y | late/a and late/b with a and b, and with each other; late/d
    assert pairs == [("s1", "s1", 3), ("s2", "s1", 5), ("s2", "s2", 1)]
    assert rows(lake, "SELECT min(similarity) >= 0.5 FROM pairs.clean__minhash") == [(True,)]


def test_the_questions_of_the_docs_have_answers(lake: Lake) -> None:
    text = (REPOSITORY / "docs" / "duplicates.md").read_text()
    queries = [block.partition("```")[0].replace("web_clean", "clean") for block in text.split("```sql\n")[1:]]
    largest, hosts, nearly, thresholds, in_all = (rows(lake, query) for query in queries)
    assert largest[0] == ("http://news.test/b", 5, 50 / 62, largest[0][3])
    assert hosts[0][:3] == ("late.test", "news.test", 3)
    assert nearly == []
    assert sum(int(str(count)) for _, count in thresholds) == 9
    assert in_all[0] == ("http://news.test/b", 5)


def test_the_reason_is_a_sentence(lake: Lake) -> None:
    query = "SELECT sentence FROM lake.why('http://late.test/b') WHERE verdict = 'dropped'"
    ((sentence,),) = rows(lake, query)
    assert str(sentence).startswith("filtered/clean dropped it: near_duplicate of http://news.test/b (")
    assert str(sentence).endswith("), which it is 0.9649 alike: from 0.7 on it is a copy.")


def test_a_threshold_moves_without_a_comparison_made_again(lake: Lake, tmp_path: Path) -> None:
    root = tmp_path / "the lake"
    shutil.copytree(lake.root, root)
    moved = Lake(root)
    build(moved, *parts(dropping(method="minhash", keep="longest", threshold=0.82)))
    assert moved.version("pairs/clean/minhash") == lake.version("pairs/clean/minhash")
    # 50 of 62 is 0.806 now too little; the others are above.
    assert kept(moved) == {"news/b", "news/c", "news/d", "tiny/y", "late/e", "late/a"}


def test_other_settings_make_signatures_stale_and_are_never_mixed(lake: Lake, tmp_path: Path) -> None:
    root = tmp_path / "the lake"
    shutil.copytree(lake.root, root)
    other = parts(dropping(method="minhash"), annotator={"minhash": {"seed": 7}})
    with builder_of(root, *other) as builder:
        stale = {(state.table, state.snapshot): state.reason for state in builder.states() if state.reason}
        assert stale["annotations/web/minhash", "s1"] == "its settings or its code changed"
        with pytest.raises(
            IncompleteBuildError, match=r"annotations/web/minhash of s1 and .* were measured with other settings"
        ):
            builder.build("+filtered/clean", "s2")
        builder.build()
        assert not [state for state in builder.states() if state.reason]
    assert kept(Lake(root)) == kept(lake)


def test_one_snapshot_and_two_find_the_same_pairs(lake: Lake, tmp_path: Path) -> None:
    both = lake_of(tmp_path / "lake", dropping(method="minhash"), FIRST | SECOND)
    query = """
        SELECT least(a.url, b.url), greatest(a.url, b.url), similarity FROM pairs.clean__minhash AS pairs
        JOIN raw.web AS a USING (doc_id) JOIN raw.web AS b ON b.doc_id = other_id ORDER BY ALL
    """
    found, expected = rows(both, query), rows(lake, query)
    # Which of documents with the same shingles is compared with others depends on where they stand.
    assert len(found) == len(expected)
    assert {row[2] for row in found} == {row[2] for row in expected}


def test_where_newcomers_compete_the_better_copy_of_a_later_snapshot_takes_the_place_of_an_earlier_one(
    tmp_path: Path,
) -> None:
    longest = dropping(method="minhash", keep="longest", newcomers="compete")
    lake = lake_of(tmp_path / "lake", longest, FIRST, SECOND)
    # late/b is longer than news/b; late/d is as long as news/d, and its address comes first.
    assert kept(lake) == {"late/b", "news/c", "late/d", "late/e", "tiny/y"}
    assert dropped(lake)["news/d"] == ("exact_duplicate", "late/d", 1.0)
    assert [commit.partition for commit in reversed(lake.history("filtered/clean")) if commit.asset] == [
        "s1",
        "s1",
        "s2",
    ]
    assert rows(
        lake, "SELECT count(*) FROM (SELECT doc_id FROM filtered.clean UNION ALL SELECT doc_id FROM rejects.clean)"
    ) == [(11,)]
    with builder_of(lake.root, *parts(longest)) as builder:
        assert not [state for state in builder.states() if state.reason]


def test_what_another_set_holds_is_dropped_whichever_came_first(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    land(lake, "web", "s1", {"news/b": changed(A, 30), "news/d": D, "news/e": words(3)})
    land(lake, "books", "shelf", {"books/a": A, "books/d": D})
    against = [
        dropping(method="exact", by="text", against=["raw/books"]),
        dropping(method="minhash", against=["raw/books"]),
    ]
    books = RawSource(name="books", annotators=["minhash"])
    build(lake, *parts(*against), books)
    found = rows(
        lake,
        """
        SELECT lost.url, rule, other.url FROM rejects.clean AS lost
        JOIN raw.books AS other ON other.doc_id = kept_id ORDER BY 1
        """,
    )
    assert found == [
        ("http://news.test/b", "near_duplicate", "http://books.test/a"),
        ("http://news.test/d", "exact_duplicate", "http://books.test/d"),
    ]
    land(lake, "books", "shelf2", {"books/e": words(3)})
    build(lake, *parts(*against), books)
    assert kept(lake) == set()


def test_a_source_that_loses_too_much_and_a_document_that_stands_for_too_many_fail_a_check(tmp_path: Path) -> None:
    pages = {"news/a": A, **{f"news/{place}": changed(A, place) for place in (0, 1, 2)}, "news/d": D}
    alarms = Alarms(min_documents=5, max_duplicates=0.5, max_cluster=2)
    lake = lake_of(tmp_path / "lake", dropping(method="minhash"), pages, alarms=alarms)
    assert kept(lake) == {"news/0", "news/d"}  # of the longest copies that whose address is the smallest
    check = dg.AssetCheckKey(asset_key("filtered/clean"), "duplicates_in_bounds")
    with environment(lake.root), open_instance(lake) as instance:
        (record,) = instance.event_log_storage.get_asset_check_execution_history(check, limit=1)
        shown = instance.get_latest_materialization_event(asset_key("filtered/clean"))
    assert record.status.value == "FAILED"
    found = [one.data for one in record.evaluation.metadata["found"].value.records]  # type: ignore[union-attr]
    (kept_id,) = (one for (one,) in rows(lake, "SELECT doc_id FROM filtered.clean WHERE duplicates > 1"))
    assert found == [
        {"group": "source web", "documents": 5, "lost": 0.6},
        {"group": f"copies of {kept_id}", "documents": 3, "lost": 1.0},
    ]
    assert shown is not None
    metadata = shown.asset_materialization.metadata  # type: ignore[union-attr]
    (largest,) = (one.data for one in metadata["largest"].value.records)
    assert (largest["documents"], largest["kept"]) == (4, "http://news.test/0")
    assert str(metadata["clusters"].value).startswith("![plot]")
    with environment(lake.root), open_instance(lake) as instance:
        event = instance.get_latest_materialization_event(asset_key("pairs/clean/minhash"))
    metadata = event.asset_materialization.metadata  # type: ignore[union-attr]
    assert all(str(metadata[name].value).startswith("![plot]") for name in ("similarities", "s_curve"))
    # Each of the four with each other, if a band brings them together.
    assert metadata["verified"].value == metadata["candidates"].value == 6


def test_a_set_made_from_another_keeps_count_of_the_copies(tmp_path: Path) -> None:
    first = FilteredSet(name="exact", source="raw/web", duplicates=dropping(), annotators=["minhash"])
    near = FilteredSet(name="clean", source="filtered/exact", duplicates=dropping(method="minhash"))
    lake = Lake(tmp_path / "lake")
    land(lake, "web", "s1", FIRST)
    build(lake, RawSource(name="web"), first, near)
    assert kept(lake) == {"news/b", "news/c", "news/d", "tiny/y"}
    query = "SELECT host, duplicates, hosts FROM filtered.clean WHERE duplicates > 1 ORDER BY host"
    # mirror/a was dropped for news/a, or the other way round, by the first of the sets.
    assert rows(lake, query) == [
        ("news.test", 3, ["mirror.test", "news.test"]),
        ("tiny.test", 2, ["tiny.test"]),
    ]


def test_texts_that_mean_the_same_are_dropped_by_their_embeddings(tmp_path: Path) -> None:
    # The mock's vectors are of the words of a text, in whatever order they stand.
    pages = {"news/a": A, "news/shuffled": [*A[30:], *A[:30]], "news/reversed": A[::-1], "news/d": D}
    lake = Lake(tmp_path / "lake")
    land(lake, "web", "s1", pages)
    with MockModel() as model:
        embedding = {"embedding": {"model": MODEL, "endpoint": model.base_url}}
        build(lake, *parts(dropping(method="semantic", keep="url"), annotator=embedding))
    assert kept(lake) == {"news/a", "news/d"}
    found = dropped(lake)
    assert {page: (rule, instead) for page, (rule, instead, _) in found.items()} == {
        "news/shuffled": ("semantic_duplicate", "news/a"),
        "news/reversed": ("semantic_duplicate", "news/a"),
    }
    assert all(similarity > 0.99 for _, _, similarity in found.values())


def test_too_little_memory_is_refused_before_anything_is_done_and_the_next_build_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = Lake(tmp_path / "lake")
    land(lake, "web", "s1", FIRST)
    with monkeypatch.context() as patch:
        patch.setattr("lakehouse.dedup.room._available", lambda meminfo: 1_000)
        with pytest.raises(IncompleteBuildError, match=r"of memory are needed to look for pairs among 7 documents"):
            build(lake, *parts(dropping(method="minhash")))
    assert not lake.exists("pairs/clean/minhash")
    assert not lake.scratch.exists() or not list(lake.scratch.iterdir())
    build(lake, *parts(dropping(method="minhash")))
    assert kept(lake) == {"news/b", "news/c", "news/d", "tiny/y"}


def test_a_copy_is_compared_with_what_was_kept_for_the_twin_of_a_page_that_a_rule_dropped(tmp_path: Path) -> None:
    # With this seed the two bands bring the bad page together with news/b and with late/a, and these two not. The bad
    # page is dropped by a rule; its twin news/a was dropped for news/b, and so late/a is compared with that.
    first = {"bad/a": A, "news/a": A, "news/b": changed(A, 30)}
    annotator = {"minhash": {"bands": 2, "rows": 6, "seed": 12}}
    rule = {"good_host": {"where": "host <> 'bad.test'"}}
    lake = lake_of(
        tmp_path / "lake",
        dropping(method="minhash"),
        first,
        {"late/a": changed(A, 59)},
        annotator=annotator,
        rules=[rule],
    )
    assert rows(lake, "SELECT round(similarity, 2) FROM pairs.clean__minhash WHERE snapshot = 's2'") == [(0.96,)]
    assert kept(lake) == {"news/b"}
    assert dropped(lake)["late/a"] == ("near_duplicate", "news/b", 50 / 62)


def test_of_one_address_the_policy_keeps_one_and_what_was_dropped_for_it_follows_it(tmp_path: Path) -> None:
    # x?1 and x#2 are one page; the newer is dropped for news/y, which has its text and more. So are both.
    pages = {"news/x": A, "news/x#2": D, "news/y": [*D, "more"]}
    rules = [dropping(by="url", keep="newest"), dropping(method="minhash", keep="n_chars DESC")]
    lake = Lake(tmp_path / "lake")
    land(lake, "web", "s1", pages)
    build(lake, *parts(*rules))
    assert kept(lake) == {"news/y"}
    assert dropped(lake) == {
        "news/x": ("url_duplicate", "news/y", None),
        "news/x#2": ("near_duplicate", "news/y", 56 / 57),
    }
    assert rows(lake, "SELECT duplicates FROM filtered.clean") == [(3,)]


KILLED = """
import os, signal, sys
from pathlib import Path
from lakes import builder_of
from test_duplicates import dropping, parts
from lakehouse.dedup import near

merge, calls = near.merge, []

def killed(*arguments):
    calls.append(arguments)
    if len(calls) == 2:  # while the pairs of s2 are looked for
        os.kill(os.getpid(), signal.SIGKILL)
    return merge(*arguments)

near.merge = killed
with builder_of(Path(sys.argv[1]), *parts(dropping(method="minhash", keep="longest"))) as builder:
    builder.build()
"""


def test_a_build_that_is_killed_goes_on_as_if_it_had_not_been(lake: Lake, tmp_path: Path) -> None:
    again = Lake(tmp_path / "the lake")
    land(again, "web", "s1", FIRST)
    land(again, "web", "s2", SECOND)
    paths = [str(REPOSITORY), str(REPOSITORY / "tests"), str(REPOSITORY / "tests/assets")]
    variables = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-c", KILLED, str(again.root)]
    done = subprocess.run(command, env=variables, capture_output=True, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    build(again, *parts(dropping(method="minhash", keep="longest")))
    assert (kept(again), dropped(again)) == (kept(lake), dropped(lake))
    pairs = "SELECT * FROM pairs.clean__minhash ORDER BY ALL"
    assert rows(again, pairs) == rows(lake, pairs)
    assert rows(again, "SELECT count(*), count(DISTINCT doc_id) FROM rejects.clean") == [(6, 6)]


@pytest.mark.parametrize(
    ("duplicates", "complaint"),
    [
        ({"method": "minhash", "annotator": "minhsh"}, "Did you mean 'minhash'?"),
        ({"methd": "minhash"}, "duplicates: key 'methd' is unknown. Did you mean 'method'?"),
        ({"method": "minhsh"}, "duplicates: 'method': Input should be 'exact', 'minhash' or 'semantic'."),
        ({"method": "minhash", "threshold": 2}, "duplicates: 'threshold': Input should be less than or equal to 1."),
        ({"method": "semantic"}, "Add embedding to the annotators of raw/web."),
        ({"method": "minhash", "threshold": 0.4}, "pairs below 0.5 are not stored"),
        ({"method": "minhash", "by": "url"}, "by is for method exact"),
        ({"threshold": 0.9}, "threshold and annotator are for the methods"),
        ({"keep": "n_chras DESC"}, "Did you mean 'n_chars'?"),
        ({"keep": "n_chars DESCENDING"}, "is no SQL expression"),
        ({"by": "minhash.n_shingles"}, "by looks at the columns of raw/web only"),
        ({"against": ["shards/main"]}, "is neither raw/"),
        ({"scope": "snapshot", "newcomers": "compete"}, "that needs scope: all_snapshots"),
    ],
)
def test_a_mistake_in_the_declaration_is_an_error_before_anything_runs(
    duplicates: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(RuleError, match=re.escape(complaint)):
        definitions_of(*parts(dropping(**duplicates)))
