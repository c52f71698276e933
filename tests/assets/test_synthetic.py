"""Synthetic sets through Dagster and a real HTTP server: what is called, what is kept, what waits and why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from lakes import definitions_of, environment, rows, write

from assets.filtered.component import FilteredSet
from assets.materialization import asset_key
from assets.plan import Planner
from assets.synthetic.component import ExamplesFrom, RouteTo, SyntheticSet
from lakehouse.cli.instance import open_instance
from lakehouse.generate import GenerationError, MockModel, RecipeError
from lakehouse.generate.mock.server import MODEL, Faults
from lakehouse.lake import Lake
from resources import LanguageModelResource

SNAPSHOT = "s1"
SOURCE = "filtered/plain"
SENTENCES = (
    "The harbour master keeps a ledger of every ship that enters, because the town lives on its tolls.",
    "In spring the river rises by two metres, and the lower road is closed for about nine days.",
    "Bakers start at three in the morning, which is why the market smells of bread before dawn.",
    "An old lighthouse stands on the cape; it was lit with whale oil until 1871.",
    "Children learn to sail in small boats that the school repairs every winter.",
)
RECIPE = """
name: {name}
purpose: To test.
paper: None.
units: {units}
sampling: {{temperature: 0, top_p: 1, max_tokens: 2000}}
steps:
  - name: rewrite
    user: |
      {prompt}
      <text>
      {{{{ text }}}}
      </text>
gates: {{refusal: false, preface: false, language: false{gates}}}
"""


def recipe(lake: Lake, name: str, prompt: str = "", units: str = "{document: {}}", gates: str = "") -> str:
    """A recipe's file. Its prompt is like no other's: what another recipe has asked costs nothing."""
    path = lake.root.parent / f"{name}.yaml"
    path.write_text(RECIPE.format(name=name, prompt=prompt or f"As {name}:", units=units, gates=gates), "utf-8")
    return str(path)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Ten documents of two hosts; five of them are long. Each test has a set and journals of its own."""
    lake = Lake(tmp_path_factory.mktemp("synthetic") / "the lake")
    documents = [
        {
            "doc_id": f"d{n}",
            "text": " ".join(SENTENCES[n % 5 :] + SENTENCES[: n % 5]) if n < 5 else f"{SENTENCES[n % 5]} Number {n}.",
            "n_words": 80 if n < 5 else 20,
            "language": "en",
            "host": f"host{n % 2}",
            "source": "web",
        }
        for n in range(10)
    ]
    write(lake, SOURCE, documents, SNAPSHOT)
    return lake


@pytest.fixture(scope="module")
def instance(lake: Lake) -> Iterator[dg.DagsterInstance]:
    with environment(lake.root), open_instance(lake) as instance:
        instance.add_dynamic_partitions("snapshot", [SNAPSHOT])
        yield instance


class Builder:
    """Builds a set with a model server, or without one."""

    def __init__(self, lake: Lake, instance: dg.DagsterInstance, address: str = "", **settings: Any) -> None:
        self.lake, self.instance = lake, instance
        self.model = LanguageModelResource(base_url=address, model=MODEL if address else "", **settings)

    def build(self, declared: SyntheticSet, *tables: str) -> None:
        definitions = definitions_of(declared, root=self.lake.root, language_model=self.model)
        job = definitions.resolve_implicit_global_asset_job_def()
        wanted = [*declared.plan.journals, declared.plan.table] if not tables else list(tables)
        job.execute_in_process(
            instance=self.instance,
            asset_selection=[asset_key(table) for table in wanted]
            + [asset_key(table) for table in _written_with(declared)] * (not tables),
            partition_key=SNAPSHOT,
        )

    def reasons(self, declared: SyntheticSet) -> dict[str, str | None]:
        definitions = definitions_of(declared, root=self.lake.root, language_model=self.model)
        planner = Planner(definitions.resolve_asset_graph(), self.instance, self.lake, models=self.model.models())
        states = planner.states([asset_key(table) for table in declared.plan.journals], [SNAPSHOT])
        return {state.table: state.reason for state in states}


def _written_with(declared: SyntheticSet) -> list[str]:
    plan = declared.plan
    return [plan.rejects, plan.judgements, plan.diversity]


def one(lake: Lake, query: str) -> Any:
    return rows(lake, query)[0][0]


def test_a_document_goes_the_first_way_that_is_open_to_it(lake: Lake, instance: dg.DagsterInstance) -> None:
    declared = SyntheticSet(
        name="routed",
        source=SOURCE,
        routes=[
            RouteTo(recipe=recipe(lake, "long"), where="n_words > 50"),
            RouteTo(recipe=recipe(lake, "short"), where="doc_id <> 'd9'"),
        ],
    )
    with MockModel() as model:
        Builder(lake, instance, model.base_url).build(declared)
    routed = dict(rows(lake, "SELECT recipe, list_sort(list(parents[1])) FROM judgements.routed GROUP BY ALL"))
    assert routed == {"long": ["d0", "d1", "d2", "d3", "d4"], "short": ["d5", "d6", "d7", "d8"]}
    assert rows(lake, "SELECT count(*) FROM generations.long UNION ALL SELECT count(*) FROM generations.short") == [
        (5,),
        (4,),
    ]


def test_a_changed_gate_calls_the_model_for_nothing(lake: Lake, instance: dg.DagsterInstance) -> None:
    with MockModel() as model:
        builder = Builder(lake, instance, model.base_url)
        builder.build(SyntheticSet(name="gated", source=SOURCE, recipe=recipe(lake, "gated")))
        calls, kept = model.calls, one(lake, "SELECT count(*) FROM synthetic.gated")
        strict = SyntheticSet(
            name="gated", source=SOURCE, recipe=recipe(lake, "gated", gates=", length_ratio: {min: 9}")
        )
        builder.build(strict)
    assert (calls, model.calls) == (10, 10)
    assert kept == 10
    assert rows(lake, "SELECT rule, count(*), min(threshold) FROM rejects.gated GROUP BY ALL") == [
        ("gate_length_ratio", 10, 9.0)
    ]
    measured = (
        "SELECT count(*) FROM judgements.gated WHERE NOT accepted AND gate = 'length_ratio' AND length_ratio > 0.5"
    )
    assert one(lake, measured) == 10


def test_without_an_endpoint_units_wait_and_what_was_answered_stays(lake: Lake, instance: dg.DagsterInstance) -> None:
    some = SyntheticSet(name="waiting", source=SOURCE, recipe=recipe(lake, "waiting"), where="doc_id < 'd3'")
    everything = SyntheticSet(name="waiting", source=SOURCE, recipe=recipe(lake, "waiting"))
    with MockModel() as model:
        Builder(lake, instance, model.base_url).build(some)
    without = Builder(lake, instance)
    without.build(everything)
    assert one(lake, "SELECT count(*) FROM synthetic.waiting") == 3
    last = lake.last_commit("generations/waiting", SNAPSHOT)
    assert last is not None
    assert last.details["pending"] == 7
    with MockModel() as model:
        again = Builder(lake, instance, model.base_url)
        assert again.reasons(everything) == {"generations/waiting": "7 units wait for the model"}
        again.build(everything)
        assert model.calls == 7
        assert again.reasons(everything) == {"generations/waiting": None}
    assert one(lake, "SELECT count(*) FROM synthetic.waiting") == 10


def test_a_budget_stops_the_calls_until_it_is_raised(lake: Lake, instance: dg.DagsterInstance) -> None:
    prices = {"prompt_price": "1000", "completion_price": "1000"}  # a tenth of a cent a token
    with MockModel() as model:
        builder = Builder(lake, instance, model.base_url, max_in_flight=1, **prices)
        declared = SyntheticSet(name="limited", source=SOURCE, recipe=recipe(lake, "limited"), max_cost=2.5)
        builder.build(declared)
        spent = one(lake, "SELECT sum(cost_usd) FROM generations.limited")
        calls = model.calls
        assert 0 < spent <= 2.5
        assert 0 < calls < 10
        # The nightly refresh leaves it alone until the limit is another.
        assert builder.reasons(declared) == {"generations/limited": None}
        builder.build(declared)
        assert model.calls == calls
        raised = SyntheticSet(name="limited", source=SOURCE, recipe=recipe(lake, "limited"), max_cost=100)
        assert builder.reasons(raised) == {"generations/limited": "its settings or its code changed"}
        builder.build(raised)
        assert model.calls == 10
    assert one(lake, "SELECT count(*) FROM synthetic.limited") == 10


def test_two_recipes_that_ask_the_same_pay_once(lake: Lake, instance: dg.DagsterInstance) -> None:
    with MockModel() as model:
        builder = Builder(lake, instance, model.base_url)
        builder.build(SyntheticSet(name="one", source=SOURCE, recipe=recipe(lake, "first", prompt="Twice:")))
        builder.build(SyntheticSet(name="two", source=SOURCE, recipe=recipe(lake, "second", prompt="Twice:")))
        assert model.calls == 10
    reused = "SELECT count(*), any_value(reused_from) FROM generations.second WHERE status = 'ok' AND cost_usd = 0"
    assert rows(lake, reused) == [(10, "generations/first")]
    assert one(lake, "SELECT count(*) FROM synthetic.two") == 10


def test_documents_that_belong_together_are_asked_about_together(lake: Lake, instance: dg.DagsterInstance) -> None:
    grouped = recipe(lake, "grouped", units="{group: {documents: 3, max_tokens: 1000}}")
    declared = SyntheticSet(name="groups", source=SOURCE, recipe=grouped, group_by="host")
    with MockModel() as model:
        Builder(lake, instance, model.base_url).build(declared)
    groups = rows(lake, "SELECT parents FROM judgements.groups ORDER BY parents")
    # Five documents of each host: groups of three and two.
    assert groups == [(["d0", "d2", "d4"],), (["d1", "d3", "d5"],), (["d6", "d8"],), (["d7", "d9"],)]


def test_prompts_show_examples_of_the_lake(lake: Lake, instance: dg.DagsterInstance) -> None:
    prompt = "Like {% for example in examples %}{{ example.doc_id }} {% endfor %}:"
    shown = recipe(lake, "shown", prompt=prompt)
    examples = ExamplesFrom(sql="SELECT doc_id FROM filtered.plain WHERE n_words > 50", count=2, seed=1)
    declared = SyntheticSet(name="shown", source=SOURCE, recipe=shown, examples=examples)
    plan = declared.plan
    assert plan.examples is not None
    first = plan.examples.read(lake, {SOURCE: lake.version(SOURCE)})
    assert first == plan.examples.read(lake, {SOURCE: lake.version(SOURCE)})
    assert len(first) == 2
    with MockModel() as model:
        Builder(lake, instance, model.base_url).build(declared)
    assert one(lake, "SELECT count(*) FROM synthetic.shown") == 10


def test_another_model_is_asked_anew_and_the_set_says_which(lake: Lake, instance: dg.DagsterInstance) -> None:
    declared = SyntheticSet(name="asked_anew", source=SOURCE, recipe=recipe(lake, "asked_anew"))
    with MockModel(models=(MODEL, "lakehouse-mock-2")) as model:
        Builder(lake, instance, model.base_url).build(declared)
        other = Builder(lake, instance, model.base_url)
        other.model = LanguageModelResource(base_url=model.base_url, model="lakehouse-mock-2")
        assert other.reasons(declared) == {"generations/asked_anew": "the model is lakehouse-mock-2 now"}
        other.build(declared)
    assert rows(lake, "SELECT DISTINCT model FROM synthetic.asked_anew") == [("lakehouse-mock-2",)]
    assert one(lake, "SELECT count(*) FROM generations.asked_anew") == 20


def test_failed_calls_are_in_the_ledger_and_made_again(lake: Lake, instance: dg.DagsterInstance) -> None:
    declared = SyntheticSet(name="failing", source=SOURCE, recipe=recipe(lake, "failing"), error_budget=20)
    with MockModel(faults=Faults(server_errors=0.5, times=99)) as model:
        Builder(lake, instance, model.base_url, max_retries=0).build(declared)
    failed = one(lake, "SELECT count(*) FROM rejects.failing WHERE rule = 'call_failed' AND evidence LIKE 'HTTP 500%'")
    assert 0 < failed < 10
    with MockModel() as model:
        Builder(lake, instance, model.base_url).build(declared)
        assert model.calls == failed
    assert one(lake, "SELECT count(*) FROM synthetic.failing") == 10


def test_more_errors_than_may_be_stop_the_run_in_one_line(lake: Lake, instance: dg.DagsterInstance) -> None:
    declared = SyntheticSet(name="erring", source=SOURCE, recipe=recipe(lake, "erring"), error_budget=1)
    with (
        MockModel(faults=Faults(server_errors=1.0, times=99)) as model,
        pytest.raises(GenerationError, match=r"calls failed; 1 may\. .* at endpoint default .* HTTP 500"),
    ):
        Builder(lake, instance, model.base_url, max_retries=0).build(declared)


def test_synthetic_text_is_filtered_and_rewritten_as_any_other(lake: Lake, instance: dg.DagsterInstance) -> None:
    first = SyntheticSet(name="once", source=SOURCE, recipe=recipe(lake, "once"), annotators=["gopher_quality"])
    clean = FilteredSet(
        name="clean",
        source="synthetic/once",
        rules=[{"short": {"where": "n_words < 50"}}],
        duplicates={"method": "exact"},
    )
    again = SyntheticSet(name="again", source="filtered/clean", recipe=recipe(lake, "again"))
    with MockModel() as model:
        builder = Builder(lake, instance, model.base_url)
        builder.build(first)
        definitions = definitions_of(first, clean, again, root=lake.root, language_model=builder.model)
        job = definitions.resolve_implicit_global_asset_job_def()
        keys = ["annotations/once/gopher_quality", "filtered/clean", "rejects/clean", "generations/again"]
        written = [*keys, "synthetic/again", *_written_with(again)]
        job.execute_in_process(
            instance=instance, asset_selection=[asset_key(table) for table in written], partition_key=SNAPSHOT
        )
    assert rows(lake, "SELECT count(*), min(depth), max(depth) FROM filtered.clean") == [(5, 1, 1)]
    assert rows(lake, "SELECT DISTINCT rule FROM rejects.clean") == [("short",)]
    assert rows(lake, "SELECT count(*), min(depth), max(depth) FROM synthetic.again") == [(5, 2, 2)]


def test_two_sets_with_one_journal_are_told_apart_in_one_line() -> None:
    sets = [SyntheticSet(name=name, source=SOURCE, recipe="rewrite_clearly") for name in ("one", "two")]
    with pytest.raises(RecipeError, match="one and synthetic/two have the same journal generations/rewrite_clearly"):
        definitions_of(*sets)
    definitions_of(sets[0], SyntheticSet(name="two", source=SOURCE, recipe="rewrite_clearly", journal="other"))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "give either a recipe or routes"),
        ({"recipe": "rewrite_clearli"}, "Did you mean 'rewrite_clearly'"),
        ({"recipe": "rewrite_clearly", "source": "rejects/plain"}, "is a ledger without texts"),
        ({"recipe": "dialogue"}, "say which belong together"),
        ({"recipe": "rewrite_clearly", "where": "n_words >"}, "is no SQL expression"),
        ({"routes": [RouteTo(recipe="rewrite_clearly"), RouteTo(recipe="rewrite_clearly")]}, "have the same journal"),
    ],
)
def test_settings_that_do_not_fit_together_are_one_line(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        _ = SyntheticSet(**({"name": "x", "source": SOURCE} | settings)).plan.sources
