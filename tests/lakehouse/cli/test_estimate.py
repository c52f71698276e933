"""What calls will take, before the first of them: by hand, beside what a run really takes, and on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from lakes import write
from rewrites import ONE_STEP, TWO_STEPS, document, invoke, pointed_at, recipe_file, written

from lakehouse.cli.anchors import read_anchors
from lakehouse.commits import Origin
from lakehouse.generate import (
    Asking,
    Endpoint,
    Index,
    Limits,
    MockModel,
    Model,
    Others,
    Recorder,
    Request,
    Rewriting,
    Tools,
    load_recipe,
    spool_folder,
)
from lakehouse.generate.estimate import StepEstimate, estimate
from lakehouse.generate.replay import to_call
from lakehouse.lake import Lake, LakeError


def rewriting(folder: Path, texts: Sequence[str], content: str = ONE_STEP, model: str = "m") -> tuple[Rewriting, Lake]:
    recipe = load_recipe(recipe_file(folder, content))
    file = written(folder / "in.jsonl", [{"text": text, "language": "en"} for text in texts])
    anchors = read_anchors([file], folder, recipe)
    lake = Lake(folder / "journal")
    asking = Asking(recipe, dict.fromkeys(recipe.endpoints, Model(model)))
    return Rewriting(anchors.units, asking, Index(lake, f"generations/{recipe.name}"), Tools()), lake


def priced(prompt: str, completion: str) -> dict[str, Endpoint]:
    address = ("http://127.0.0.1:1/v1",)
    return {"default": Endpoint(address, "m", prompt_price=Decimal(prompt), completion_price=Decimal(completion))}


def answer(some: Rewriting, lake: Lake, responses: dict[str, str], tokens: dict[str, int]) -> list[Request]:
    """Answer those requests that wait for a document whose id is among the responses."""
    requests = [one for one in to_call(some.states(), set()) if one.doc_id in responses]
    table = f"generations/{some.asking.recipe.name}"
    with Recorder(lake, table, Origin(asset=table), "files") as recorder:
        recorder.record([row(one, responses[one.doc_id], tokens) for one in requests])
    some.index.refresh()
    return requests


def row(request: Request, response: str, tokens: dict[str, int]) -> dict[str, Any]:
    names = (
        "request_id",
        "doc_id",
        "snapshot",
        "recipe",
        "recipe_version",
        "step",
        "model",
        "params_hash",
        "prompt_hash",
    )
    return {
        **{name: getattr(request, name) for name in names},
        "status": "ok",
        "response": response,
        "finish_reason": "stop",
        "prompt_tokens": 1000,
        "completion_tokens": tokens[request.step],
        "cost_usd": Decimal(0),
        "latency_ms": 1.0,
        "tries": 1,
        "error": None,
        "reused_from": None,
        "created_at": datetime.now(UTC),
    }


def test_the_first_step_is_counted_and_its_price_worked_out_by_hand(tmp_path: Path) -> None:
    # "Say it again.\n<text>\n" has 21 bytes and "\n</text>" 8: with a text of 371 bytes that is 400 bytes, 100 tokens.
    # The second is one byte longer: 401 bytes, 101 tokens. The same text once more is the same request.
    some, _ = rewriting(tmp_path, ["a" * 371, "b" * 372, "a" * 371])
    (found,) = estimate(some, priced("10", "100"))
    # An answer is as long as its passage: 371 / 4 and 372 / 4 are both 93 rounded up.
    assert found == StepEstimate(
        recipe="plain",
        step="rewrite",
        endpoint="default",
        model="m",
        units=3,
        answered=0,
        calls=2,
        prompt_tokens=201,
        completion_tokens=186,
        most_completion_tokens=400,
        # 201 · 10 + 186 · 100 = 20,610, and 201 · 10 + 400 · 100 = 42,010 millionths of a dollar.
        cost_usd=Decimal("0.02061"),
        most_cost_usd=Decimal("0.04201"),
        is_counted=True,
    )
    (free,) = estimate(some, {})
    assert (free.cost_usd, free.most_cost_usd, free.prompt_tokens) == (None, None, 201)


def test_later_steps_are_estimated_from_what_the_journal_shows(tmp_path: Path) -> None:
    some, lake = rewriting(tmp_path, [document(n) for n in range(4)], TWO_STEPS)
    first, later = estimate(some, priced("1", "1"))
    # Nothing is known: four things a document, as many as the recipe takes.
    assert (first.calls, first.is_counted, later.calls, later.is_counted) == (4, True, 16, False)
    assert later.most_completion_tokens == 16 * 200

    tokens = {"things": 20, "essay": 50}
    answer(some, lake, {"1": "ship\nbell", "2": "lamp\nfog\noil\nstairs"}, tokens)
    journal = lake.scan("generations/listed")
    first, later = estimate(some, priced("1", "1"), journal)
    # Six essays wait and can be counted. Of the other two documents there may be up to four each.
    assert (first.units, first.answered, first.calls, first.completion_tokens) == (4, 2, 2, 2 * 20)
    assert (later.answered, later.calls, later.is_counted) == (0, 6 + 2 * 4, False)

    answer(some, lake, {"1": "An essay.", "2": "An essay."}, tokens)
    first, later = estimate(some, priced("1", "1"), journal := lake.scan("generations/listed"))
    # Two documents led to six essays: three each, of 50 tokens, with prompts of 1,000.
    assert (first.answered, first.calls) == (2, 2)
    assert (later.answered, later.calls, later.prompt_tokens, later.completion_tokens) == (6, 6, 6_000, 300)
    # At most four each, of 200 tokens.
    assert later.most_completion_tokens == 2 * 4 * 200
    # Another model's answers may be as long.
    other, _ = rewriting(tmp_path, [document(n) for n in range(4)], TWO_STEPS, model="stronger")
    assert [one.answered for one in estimate(other, {}, journal)] == [0, 0]
    assert estimate(other, {}, journal)[1].completion_tokens == 4 * 3 * 50


@pytest.mark.parametrize("content", ["entigraph", "synthllm", ONE_STEP])
def test_it_agrees_with_what_a_run_takes(tmp_path: Path, content: str) -> None:
    written_out = (
        content
        if "\n" in content
        else (Path(load_recipe.__code__.co_filename).parent / f"recipes/{content}.yaml").read_text()
    )
    texts = [document(n, 4) for n in range(5)]
    some, lake = rewriting(tmp_path, texts, written_out, model="lakehouse-mock-1")
    table = f"generations/{some.asking.recipe.name}"
    survey = some.survey()
    before = estimate(some, {}, None)
    assert (before[0].calls, before[0].prompt_tokens) == (survey.requests, survey.prompt_tokens)
    with MockModel() as model, pointed_at(model), Recorder(lake, table, Origin(asset=table), "files") as recorder:
        endpoints = {"default": Endpoint((model.base_url,), "lakehouse-mock-1", prompt_price=Decimal(1))}
        run = some.run(endpoints, recorder, Others(lake, table), Limits(), batches=spool_folder(lake, table))
        made = dict(lake.scan(table).group_by("step").agg(pl.col("request_id").n_unique()).collect().iter_rows())
        after = estimate(some, endpoints, lake.scan(table), Others(lake, table))
    assert run.report.failed == 0
    assert {one.step: one.answered for one in after} == made
    assert [(one.calls, one.prompt_tokens, one.cost_usd) for one in after] == [(0, 0, Decimal(0))] * len(after)
    # What the recipe allows at most is never less than what there was.
    for one in before:
        assert one.calls >= made[one.step]


def test_answers_of_other_journals_are_no_calls(tmp_path: Path) -> None:
    some, lake = rewriting(tmp_path, [document(n) for n in range(3)])
    requests = answer(some, lake, {"1": "Again.", "2": "Again."}, {"rewrite": 9})
    assert len(requests) == 2
    empty = Rewriting(some.units, some.asking, Index(lake, "generations/other"), some.tools)
    (found,) = estimate(empty, {}, None, Others(lake, "generations/other"))
    assert (found.answered, found.calls) == (2, 1)


def test_the_command_estimates_the_synthetic_sets_of_a_lake(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    common = {"language": "en", "source": "web", "n_words": 60}
    rows = [{"doc_id": f"d{n}", "text": document(n), **common} for n in range(5)]
    write(lake, "filtered/web_clean", rows[:3], "s1")
    write(lake, "filtered/web_clean", rows[3:], "s2")
    with pointed_at(None, LAKEHOUSE_ROOT=str(tmp_path)):
        done = invoke("estimate")
        titles = [line.strip() for line in done.stdout.splitlines() if line.startswith("synthetic/")]
        assert titles == [f"synthetic/web_rewritten {snapshot}, recipe rewrite_clearly" for snapshot in ("s1", "s2")]
        counted = [line.split()[:4] for line in done.stdout.splitlines() if line.split()[:1] == ["rewrite"]]
        assert counted == [["rewrite", "3", "0", "3"], ["rewrite", "2", "0", "2"]]
        assert "5 calls, about" in done.stdout
        assert "$" not in done.stdout
        assert "prices are not known" in " ".join(done.stderr.split())
        assert "synthetic/web_recycled: rejects/web_clean is not built yet" in " ".join(done.stderr.split())
    with MockModel() as model, pointed_at(model, LAKEHOUSE_ROOT=str(tmp_path), LAKEHOUSE_COMPLETION_PRICE="2"):
        shown = invoke("estimate", "web_rewritten", "--snapshot", "s2").stdout
        assert "2 calls, about" in shown
        assert "; at most $" in shown
        with pytest.raises(LakeError, match="no synthetic set 'web_rewriten'; there are web_recycled, web_rewritten"):
            invoke("estimate", "web_rewriten")
        assert model.calls == 0
