"""Mixtures of text that models wrote: what is shown of it, what is refused, and the same figures in SQL."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from lakes import definitions_of, environment, write

from assets.materialization import asset_key
from assets.mixtures.component import ComponentOf, Mixture, Tokenizer
from assets.mixtures.synthetic import CHECK, SyntheticText
from assets.stats import project
from assets.stats.component import Statistics
from lakehouse import shard
from lakehouse.cli.instance import open_instance
from lakehouse.lake import Lake, LakeError
from resources import LakeResource

FIRST, SECOND = "s1", "s2"
PLAIN, REWRITES, BEST = "filtered/plain", "synthetic/rewrites", "filtered/best"
Row = dict[str, Any]

# Documents of so many tokens: each letter is one, and one more ends a document.
# plain has 10 + 20 = 30 tokens, rewrites 5 + 10 = 15, which are read twice, best 15 + 25 = 40: 100 in all.
EXPECTED = [
    (None, None, 0, 2, 30, 0.3),
    ("wrap", "large", 1, 1, 20, 0.2),  # 10 tokens, twice
    ("wrap", "small", 1, 1, 10, 0.1),  # 5 tokens, twice
    ("faq", "small", 2, 2, 40, 0.4),  # rewrites of rewrites
]


def document(doc_id: str, tokens: int, *parents: str, **columns: Any) -> Row:
    return {"doc_id": doc_id, "text": "x" * (tokens - 1), "parents": parents} | columns


def rewrite(doc_id: str, tokens: int, recipe: str, model: str, depth: int) -> Row:
    return document(doc_id, tokens, "anchor", recipe=recipe, model=model, depth=depth)


def fill(lake: Lake) -> None:
    """Natural text, a set of rewrites, and rewrites of these that two filters went over."""
    write(lake, PLAIN, [document("p1", 10, "p1")], FIRST, raw__web=1, synthetic__again=1)
    write(lake, PLAIN, [document("p2", 20, "p2")], SECOND, raw__web=2)
    write(lake, REWRITES, [rewrite("a1", 5, "wrap", "small", 1), rewrite("a2", 10, "wrap", "large", 1)], FIRST)
    # Another model's rewrites of the same documents by the same recipes may have the same ids.
    write(lake, "synthetic/others", [rewrite(name, 5, "wrap", "huge", 3) for name in ("a1", "b1", "p1", "c2")], FIRST)
    again = [rewrite("b1", 15, "faq", "small", 2), rewrite("b0", 99, "faq", "small", 2)]
    write(lake, "synthetic/again", again, FIRST)
    write(lake, "filtered/again_clean", [document("b1", 15, "b1")], FIRST, synthetic__again=1)
    write(lake, "synthetic/again", [rewrite("b2", 25, "faq", "small", 2)], SECOND)
    write(lake, "filtered/again_clean", [document("b2", 25, "b2")], SECOND, synthetic__again=2)
    write(lake, BEST, [document("c1", 15, "b1")], FIRST, filtered__again_clean=1)
    write(lake, BEST, [document("c2", 25, "b2")], SECOND, filtered__again_clean=2)


def mixture(tokenizer: Path, **limits: Any) -> Mixture:
    parts = [
        ComponentOf(source=PLAIN, weight=3),
        ComponentOf(source=REWRITES, weight=3, max_repeats=2),
        ComponentOf(source=BEST, weight=4),
    ]
    return Mixture(
        name="main",
        components=parts,
        tokenizer=Tokenizer(file=str(tokenizer)),
        synthetic=SyntheticText(**limits),
    )


def run(
    lake: Lake, instance: dg.DagsterInstance, mixed: Mixture, table: str, snapshot: str | None = None, **options: Any
) -> dg.ExecuteInProcessResult:
    job = definitions_of(mixed, root=lake.root).resolve_implicit_global_asset_job_def()
    return job.execute_in_process(
        instance=instance, asset_selection=[asset_key(table)], partition_key=snapshot, **options
    )


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Takes each byte for one token: one letter has no pairs that could be merged."""
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    path.write_text(shard.train_tokenizer(["x"], vocabulary_size=260), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = Lake(tmp_path_factory.mktemp("synthetic") / "the lake")
    fill(lake)
    return lake


@pytest.fixture(scope="module")
def instance(lake: Lake, tokenizer: Path) -> Iterator[dg.DagsterInstance]:
    """Where the mixture was built once, without limits."""
    with environment(lake.root), open_instance(lake) as instance:
        instance.add_dynamic_partitions("snapshot", [FIRST, SECOND])
        mixed = mixture(tokenizer)
        run(lake, instance, mixed, "tokenizers/main")
        run(lake, instance, mixed, "tokens/main", FIRST)
        run(lake, instance, mixed, "tokens/main", SECOND)
        run(lake, instance, mixed, "mixtures/main")
        yield instance


def shown(instance: dg.DagsterInstance) -> dict[str, Any]:
    event = instance.get_latest_materialization_event(asset_key("mixtures/main"))
    assert event is not None
    assert event.asset_materialization is not None
    return {name: value.value for name, value in event.asset_materialization.metadata.items()}


def test_a_mixture_shows_who_wrote_it(lake: Lake, instance: dg.DagsterInstance) -> None:
    metadata = shown(instance)
    assert metadata["synthetic_share"] == 0.7
    lines = [dict(record.data) for record in metadata["synthetic"].records]
    assert lines[0]["recipe"] == "natural text"
    named = [(row[0] or "natural text", row[1] or "", *row[2:]) for row in EXPECTED]
    columns = ("recipe", "model", "depth", "documents", "tokens", "share")
    assert [tuple(line[name] for name in columns) for line in lines] == named
    assert metadata["synthetic_plot"].startswith("![plot](data:image/png;base64,")


def test_without_limits_nothing_is_checked_and_the_settings_are_what_they_were(tokenizer: Path) -> None:
    def of(mixed: Mixture) -> tuple[set[str], str | None]:
        graph = definitions_of(mixed).resolve_asset_graph()
        key = asset_key("mixtures/main")
        return {check.name for check in graph.get_check_keys_for_assets({key})}, graph.get(key).code_version

    checks, settings = of(mixture(tokenizer))
    assert checks == {"unique_ids"}
    assert of(mixture(tokenizer, max_share=None)) == (checks, settings)
    limited = of(mixture(tokenizer, max_share=0.6))
    assert limited[0] == {"unique_ids", CHECK}
    assert len({settings, limited[1], of(mixture(tokenizer, max_share=0.5))[1]}) == 3


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        (
            {"max_share": 0.6, "max_depth": 2},
            "synthetic tokens are 0.7 of the mixture, max_share is 0.6, and recipe faq (model small) has most of them, "
            "0.4 of the mixture.",
        ),
        (
            {"max_share": 0.7, "max_depth": 1},
            "2 documents are of depth 2, max_depth is 1, and recipe faq (model small) has most of them, 0.4 of the "
            "mixture.",
        ),
    ],
)
def test_too_much_or_too_deep_is_refused_before_it_is_a_version(
    lake: Lake, instance: dg.DagsterInstance, tokenizer: Path, limits: dict[str, Any], sentence: str
) -> None:
    before = lake.version("mixtures/main")
    result = run(lake, instance, mixture(tokenizer, **limits), "mixtures/main", raise_on_error=False)
    assert not result.success
    (failure,) = result.get_step_failure_events()
    error = failure.step_failure_data.error
    assert error is not None
    assert f"mixtures/main: check {CHECK} failed: {sentence}" in error.message
    assert "Nothing was committed." in error.message
    verdicts = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert (verdicts["unique_ids"].passed, verdicts[CHECK].passed) == (True, False)
    facts = {name: value.value for name, value in verdicts[CHECK].metadata.items()}
    assert str(facts.pop("broken")).startswith(sentence)
    assert facts == {"synthetic_share": 0.7, "depth": 2, **limits}
    assert lake.version("mixtures/main") == before


def test_limits_that_are_met_exactly_pass(lake: Lake, instance: dg.DagsterInstance, tokenizer: Path) -> None:
    result = run(lake, instance, mixture(tokenizer, max_share=0.7, max_depth=2), "mixtures/main")
    verdicts = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert verdicts[CHECK].passed
    assert verdicts[CHECK].blocking
    spec = definitions_of(mixture(tokenizer, max_depth=2)).resolve_asset_graph()
    assert spec.get_check_spec(dg.AssetCheckKey(asset_key("mixtures/main"), CHECK)).description


def test_yaml_declares_limits_and_a_wrong_one_is_an_error() -> None:
    text = "name: main\ncomponents:\n  - {source: filtered/web, weight: 1}\nsynthetic: "
    declared = Mixture.resolve_from_yaml(text + "{max_share: 0.6, max_depth: 1}")
    assert (declared.synthetic.max_share, declared.synthetic.max_depth) == (0.6, 1)
    assert Mixture.resolve_from_yaml(text + "{}").synthetic.limits is None
    for wrong in ("{max_share: 60}", "{max_depth: -1}", "{max_shares: 0.6}"):
        with pytest.raises(Exception, match="synthetic"):
            Mixture.resolve_from_yaml(text + wrong)


def figures(lake: Lake, mixture: str, table: str = "stats.synthetic_share") -> list[tuple[object, ...]]:
    columns = "recipe, model, depth, documents, tokens, share"
    return lake.sql(f"SELECT {columns} FROM {table} WHERE \"table\" = '{mixture}'").rows()


def in_sql(lake: Lake, mixture: str) -> list[tuple[object, ...]]:
    """The mart's figures, by its model without dbt."""
    model = (project.FOLDER / "models" / "synthetic_share.sql").read_text(encoding="utf-8")
    query = re.sub(r"{{ source\('lake', '([a-z]+)'\) }}", r"lake.\1", model)
    return figures(lake, mixture, f"({query})")


def member(doc_id: str, component: str, tokens: int, repeats: int = 1, **columns: Any) -> Row:
    return {"doc_id": doc_id, "component": component, "tokens": tokens, "repeats": repeats} | columns


def test_sql_has_the_same_figures(lake: Lake, instance: dg.DagsterInstance) -> None:
    write(lake, "mixtures/natural", [member("p1", PLAIN, 10, 3), member("p2", PLAIN, 20)], None)
    # One document was in the sets when this was mixed, and is no longer; which of 4 stages reads it does not matter.
    lost = [
        member("gone", REWRITES, 5),
        member("c9", BEST, 5),
        member("p1", PLAIN, 10, stage=1),
        member("p1", PLAIN, 10, stage=2),
    ]
    write(lake, "mixtures/older", lost, None)
    assets = list(Statistics(after=["mixtures/main"]).build_defs(None).assets or [])  # type: ignore[arg-type]
    result = dg.materialize(
        assets,
        resources={"lake": LakeResource(root=str(lake.root))},
        selection=[asset_key("stats/synthetic_share")],
    )
    verdicts = {check.check_name: check.passed for check in result.get_asset_check_evaluations()}
    assert verdicts["synthetic_shares_sum_to_one"]
    assert len(verdicts) >= 4
    assert all(verdicts.values())
    assert figures(lake, "mixtures/main") == EXPECTED
    assert figures(lake, "mixtures/natural") == [(None, None, 0, 2, 50, 1.0)]  # 3 * 10 + 20
    assert figures(lake, "mixtures/older") == [
        (None, None, 0, 1, 20, 20 / 30),
        (None, None, None, 2, 10, 10 / 30),
    ]
    assert in_sql(lake, "mixtures/main") == EXPECTED


def test_a_lake_without_synthetic_sets_is_natural_and_one_without_mixtures_has_no_rows(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    assert in_sql(lake, "mixtures/main") == []
    write(lake, PLAIN, [document("p1", 10, "p1")], FIRST, raw__web=1)
    write(lake, "mixtures/main", [member("p1", PLAIN, 10)], None)
    assert in_sql(lake, "mixtures/main") == [(None, None, 0, 1, 10, 1.0)]


def test_commits_that_go_round_in_a_circle_end(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    write(lake, "synthetic/set", [rewrite("a", 5, "wrap", "small", 1)], FIRST)
    write(lake, "filtered/one", [document("a", 5, "a")], FIRST, filtered__two=1, synthetic__set=1)
    write(lake, "filtered/two", [document("a", 5, "a")], FIRST, filtered__one=1)
    write(lake, "mixtures/main", [member("a", "filtered/two", 5)], None)
    assert in_sql(lake, "mixtures/main") == [("wrap", "small", 1, 1, 5, 1.0)]


def test_figures_are_those_of_the_rows_that_were_encoded(
    lake: Lake, instance: dg.DagsterInstance, tokenizer: Path, tmp_path: Path
) -> None:
    # The set is made anew by another model. Token ids are still those of the rows before, and so is the mixture.
    other = Lake(shutil.copytree(lake.root, tmp_path / "lake"))
    encoded = other.files(REWRITES, snapshot=FIRST)
    write(other, REWRITES, [rewrite("z1", 5, "wrap", "huge", 1)], FIRST)
    with environment(other.root):
        result = run(other, instance, mixture(tokenizer, max_share=0.7), "mixtures/main")
        verdict = next(check for check in result.get_asset_check_evaluations() if check.check_name == CHECK)
        assert verdict.metadata["synthetic_share"].value == 0.7
        # In the lake as it is now, nobody knows who wrote them.
        assert in_sql(other, "mixtures/main") == [EXPECTED[0], EXPECTED[3], (None, None, None, 2, 30, 0.3)]

        encoded[0].unlink()
        with pytest.raises(
            LakeError, match=r"synthetic/rewrites: version 1, which tokens/main was made from, has lost"
        ):
            run(other, instance, mixture(tokenizer), "mixtures/main")


def test_a_rewrite_that_is_not_found_is_no_natural_text(
    lake: Lake, instance: dg.DagsterInstance, tokenizer: Path, tmp_path: Path
) -> None:
    other = Lake(shutil.copytree(lake.root, tmp_path / "lake"))
    shutil.rmtree(other.folder("synthetic/again"))
    for _ in (FIRST, SECOND):
        write(other, "synthetic/again", [rewrite("b1", 15, "faq", "small", 2)], FIRST)
    with environment(other.root), pytest.raises(LakeError, match=r"document c2 has token ids, .* not in filtered/best"):
        run(other, instance, mixture(tokenizer), "mixtures/main")
