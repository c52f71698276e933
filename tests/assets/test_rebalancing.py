"""Mixtures whose documents are read as often as their copies and their measurements say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from lakes import definitions_of, environment, rows

from assets.filtered.component import FilteredSet
from assets.materialization import asset_key, configuration_hash
from assets.mixtures.component import ComponentOf, Mixture, Tokenizer, Training
from assets.mixtures.repeats import Steps
from assets.plan import Planner
from assets.raw.component import RawSource
from assets.unchanged import ONLY_CHANGED
from lakehouse import annotate, schema
from lakehouse.cli.instance import open_instance
from lakehouse.commits import Origin
from lakehouse.lake import Lake
from lakehouse.mix import MixtureError

SETS = [
    FilteredSet(name="even", source="raw/web", annotators=["c4"]),
    FilteredSet(name="odd", source="raw/web"),
]


def mixture(**of_even: Any) -> Mixture:
    """Nearly all of the set `even`, so that it decides how much there is in all."""
    even = ComponentOf(source="filtered/even", weight=1000, **of_even)
    odd = ComponentOf(source="filtered/odd", weight=0.001)
    return Mixture(name="both", components=[even, odd], tokenizer=Tokenizer(train=Training(vocabulary_size=300)))


def definitions(root: Path, mixed: Mixture) -> dg.Definitions:
    return definitions_of(RawSource(name="web"), *SETS, mixed, root=root)


def run(lake: Lake, instance: dg.DagsterInstance, mixed: Mixture, table: str, snapshot: str | None = None) -> None:
    """Build a table as a planned run does."""
    job = definitions(lake.root, mixed).resolve_implicit_global_asset_job_def()
    job.execute_in_process(
        instance=instance,
        asset_selection=[asset_key(table)],
        partition_key=snapshot,
        tags={ONLY_CHANGED: "true"},
    )


PLAIN = mixture()
C4 = "annotations/even/c4"


def fill(lake: Lake, name: str, copies: list[int]) -> None:
    """Make so many documents, each of so many copies, the rows of a filtered set."""
    documents = pl.DataFrame({"duplicates": copies}).with_columns(
        doc_id=name + pl.int_range(pl.len()).cast(pl.String),
        text_id=name + pl.int_range(pl.len()).cast(pl.String),
        snapshot=pl.lit("s1"),
        source=pl.lit("web"),
        text=pl.format("the {} documents of a set have words", pl.int_range(pl.len())),
        n_chars=pl.lit(1),
        n_words=pl.lit(1),
        parents=pl.lit([], pl.List(pl.String)),
        n_edits=pl.lit(0),
    )
    lake.replace_frame(f"filtered/{name}", documents, Origin(asset=f"filtered/{name}"), snapshot="s1")


def measure(lake: Lake, sentences: list[int]) -> None:
    """Make so many sentences what the annotator found in each document of `even`."""
    columns = schema.annotation_schema(annotate.annotator("c4").columns)
    with lake.writer(C4, snapshot="s1", columns=columns) as writer:
        documents = pl.DataFrame({"n_sentences": sentences}).with_columns(
            doc_id="even" + pl.int_range(pl.len()).cast(pl.String), snapshot=pl.lit("s1")
        )
        writer.write(documents)
    lake.replace(C4, writer.finished(), Origin(asset=C4), snapshot="s1", columns=columns)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Two filtered sets, and what an annotator measured of one of them."""
    lake = Lake(tmp_path_factory.mktemp("rebalanced") / "the lake")
    fill(lake, "even", [1, 1, 2, 1, 7, 1, 1, 1])
    fill(lake, "odd", [1] * 5)
    measure(lake, [3, 20, 3, 12, 3, 3, 3, 3])
    return lake


@pytest.fixture(scope="module")
def instance(lake: Lake) -> Iterator[dg.DagsterInstance]:
    with environment(lake.root), open_instance(lake) as instance:
        instance.add_dynamic_partitions("snapshot", ["s1"])
        run(lake, instance, PLAIN, "tokenizers/both")
        run(lake, instance, PLAIN, "tokens/both", snapshot="s1")
        yield instance


def read(lake: Lake) -> dict[object, object]:
    """How often each document of `even` is read."""
    return dict(rows(lake, "SELECT doc_id, repeats FROM mixtures.both WHERE component = 'filtered/even'"))  # type: ignore[arg-type]


def reason(lake: Lake, instance: dg.DagsterInstance, mixed: Mixture) -> str | None:
    """Why the mixture would have to be built."""
    graph = definitions(lake.root, mixed).resolve_asset_graph()
    states = Planner(graph, instance, lake).states([asset_key("mixtures/both")], ["s1"])
    return states[0].reason


def test_copies_decide_how_often_a_document_is_read(lake: Lake, instance: dg.DagsterInstance) -> None:
    mixed = mixture(repeats=Steps(by="duplicates", steps={1: 1, 2: 2, 5: 3}))
    run(lake, instance, mixed, "mixtures/both")
    assert read(lake) == {f"even{number}": 1 for number in range(8)} | {"even2": 2, "even4": 3}
    event = instance.get_latest_materialization_event(asset_key("mixtures/both"))
    assert event is not None
    assert event.asset_materialization is not None
    shown: Any = event.asset_materialization.metadata["repeats"]
    lines = [dict(record.data) for record in shown.value.records]
    of_even = [(line["repeats"], line["documents"]) for line in lines if line["component"] == "filtered/even"]
    assert of_even == [(1, 6), (2, 1), (3, 1)]
    assert all(line["tokens_read"] == line["tokens"] * line["repeats"] for line in lines)
    commit = lake.last_commit("mixtures/both")
    assert commit is not None
    assert commit.inputs == {table: lake.version(table) for table in ("tokens/both", "filtered/even")}
    assert reason(lake, instance, mixed) is None
    assert reason(lake, instance, PLAIN) == "its settings or its code changed"


def test_what_annotators_measured_counts_and_a_change_of_it_is_followed(
    lake: Lake, instance: dg.DagsterInstance
) -> None:
    mixed = mixture(repeats="CASE WHEN c4.n_sentences >= 12 THEN 2 ELSE 0 END", max_repeats=2)
    run(lake, instance, mixed, "mixtures/both")
    assert read(lake) == {"even1": 2, "even3": 2}
    version = lake.version("mixtures/both")
    run(lake, instance, mixed, "mixtures/both")
    assert lake.version("mixtures/both") == version, "nothing changed"

    measure(lake, [3, 20, 3, 3, 3, 3, 99, 3])
    assert reason(lake, instance, mixed) == f"{C4} changed"
    run(lake, instance, mixed, "mixtures/both")
    assert read(lake) == {"even1": 2, "even6": 2}


def test_a_document_that_was_not_measured_is_named(lake: Lake, instance: dg.DagsterInstance) -> None:
    measure(lake, [3, 20, 3])
    mixed = mixture(repeats="c4.n_sentences", max_repeats=20)
    with pytest.raises(MixtureError, match=r"the repeats of document even3 are null \(5 such documents\)"):
        run(lake, instance, mixed, "mixtures/both")
    run(lake, instance, mixture(repeats="coalesce(c4.n_sentences, 0)", max_repeats=20), "mixtures/both")
    assert read(lake) == {"even0": 3, "even1": 20, "even2": 3}


def test_without_repeats_the_settings_are_what_they_were() -> None:
    spec = definitions(Path("lake"), PLAIN).resolve_asset_graph().get(asset_key("mixtures/both"))
    components = [
        {"source": "filtered/even", "weight": 1000.0, "max_repeats": 1.0},
        {"source": "filtered/odd", "weight": 0.001, "max_repeats": 1.0},
    ]
    settings = {"components": components, "token_budget": None, "seed": 0}
    assert spec.code_version == f"1-{configuration_hash(settings)}"
    assert [key.path for key in spec.parent_keys] == [["tokens", "both"]]


def test_yaml_declares_steps_and_expressions() -> None:
    declared = Mixture.resolve_from_yaml(
        """
        name: main
        components:
          - source: filtered/web
            weight: 0.9
            max_repeats: 4
            repeats: {by: duplicates, steps: {1: 1, 2: 2, 5: 3, 100: 1}}
          - {source: filtered/books, weight: 0.1, max_repeats: 3, repeats: "least(3, 1 + log2(duplicates))"}
          - {source: filtered/talks, weight: 0.1}
        """
    )
    steps, expression, plain = declared.components
    assert isinstance(steps.repeats, Steps)
    assert steps.repeats.steps == {1: 1, 2: 2, 5: 3, 100: 1}
    assert (steps.as_part.max_repeats, steps.as_part.rebalanced) == (4, True)
    assert expression.repeats == "least(3, 1 + log2(duplicates))"
    assert (plain.as_part.max_repeats, plain.as_part.rebalanced) == (1, False)


def test_steps_count_from_their_number_on() -> None:
    import duckdb

    expression = Steps(by="copies", steps={1: 1, 2: 2, 5: 3, 100: 1}).expression
    values = duckdb.sql(
        f"SELECT {expression} FROM unnest([0, 1, 2, 4, 5, 99, 100, 7000]) AS numbers(copies)"
    ).fetchall()
    assert [value for (value,) in values] == [None, 1, 2, 2, 3, 3, 1, 1]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"repeats": "duplicate", "max_repeats": 4}, "no column 'duplicate'. Did you mean 'duplicates'"),
        ({"repeats": "c4.n_sentenses", "max_repeats": 4}, "no column 'n_sentenses'. Did you mean 'n_sentences'"),
        ({"repeats": "quality.score", "max_repeats": 4}, "no column 'quality'"),
        ({"repeats": "duplicates > 1", "max_repeats": 4}, "gives BOOLEAN, not a number"),
        ({"repeats": "duplicates +", "max_repeats": 4}, "is no SQL expression"),
        ({"repeats": Steps(by="copies", steps={1: 1})}, "no column 'copies'"),
        ({"repeats": "duplicates"}, "add max_repeats, the most that any document may be read"),
        (
            {"repeats": "duplicates", "max_repeats": 2.5},
            "no document is read 2.5 times: give max_repeats a",
        ),
        (
            {"repeats": Steps(by="duplicates", steps={1: 1, 2: 5}), "max_repeats": 4},
            "steps go up to 5, and max_repeats",
        ),
    ],
)
def test_a_mistake_is_an_error_when_definitions_load(wanted: dict[str, Any], message: str) -> None:
    with pytest.raises(MixtureError) as caught:
        definitions(Path("lake"), mixture(**wanted))
    assert str(caught.value).startswith("repeats of filtered/even: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
