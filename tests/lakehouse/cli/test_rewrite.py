"""`lakehouse rewrite`: what it writes, what it asks a server for, and what it says when it cannot."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rewrites import ONE_STEP, TWO_STEPS, document, invoke, lines, pointed_at, recipe_file, written

from lakehouse.cli.anchors import _whole_groups, read_anchors
from lakehouse.cli.failures import is_known
from lakehouse.commits import Origin
from lakehouse.generate import (
    Asking,
    GenerationError,
    Index,
    Limits,
    MockModel,
    Model,
    Others,
    RecipeError,
    Rewriting,
    Tools,
    load_recipe,
    spool_folder,
)
from lakehouse.generate.accept_rate import AcceptRate, WatchedRecorder, WatchedRewriting
from lakehouse.generate.answers import AnswerError
from lakehouse.generate.journal.spool import Spool
from lakehouse.generate.replay import State
from lakehouse.generate.transforms import LexiconError
from lakehouse.lake import Lake, LakeError

# A test run in the background ignores Ctrl-C, and so do the processes that it starts.
HEEDS_CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"


def test_every_output_is_a_document_or_a_reject_and_a_rerun_calls_for_nothing(tmp_path: Path) -> None:
    recipe = recipe_file(tmp_path)
    # The mock server's answers are about as long as what they rewrite: the first ones have fewer than 30 words.
    rows = [{"id": f"d{n}", "text": document(n, 1 if n < 3 else 3)} for n in range(10)]
    file = written(tmp_path / "in.jsonl", rows)
    output, rejects = tmp_path / "out.jsonl", tmp_path / "rejects.jsonl.gz"
    command = ("rewrite", file, "--recipe", recipe, "--output", output, "--rejects", rejects)
    with MockModel() as model, pointed_at(model):
        done = invoke(*command)
        assert model.calls == 10
        kept, rejected = lines(output), lines(rejects)
        assert sorted(row["parents"][0] for row in [*kept, *rejected]) == [row["id"] for row in rows]
        assert {row["parents"][0] for row in rejected} == {"d0", "d1", "d2"}
        assert {(row["gate"], row["threshold"]) for row in rejected} == {("min_words", 30.0)}
        assert all(row["value"] < 30 for row in rejected)
        for row in kept:
            assert (row["recipe"], row["model"], row["depth"], row["language"]) == (
                "plain",
                "lakehouse-mock-1",
                1,
                "en",
            )
            assert row["scores"]["length_ratio"] == pytest.approx(1, abs=0.5)
            assert len(row["request_ids"]) == 1
        assert "10 calls, 0 of them failed" in done.stderr
        assert "10 outputs: 7 accepted (70%) in 7 documents, 3 rejected" in done.stderr
        assert "3 by min_words" in done.stderr

        before = output.read_bytes()
        again = invoke(*command)
        assert (model.calls, output.read_bytes()) == (10, before)
        assert "0 calls" in again.stderr
        written(file, [*rows, {"id": "new", "text": document(99)}])
        invoke(*command)
        assert model.calls == 11
        # The answers are the journal's: another gate needs no call.
        recipe.write_text(ONE_STEP.replace("min_words: 30", "min_words: 1"), encoding="utf-8")
        invoke(*command)
        assert (model.calls, len(lines(output))) == (11, 11)


def test_standard_input_a_sample_and_a_recipe_without_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [{"id": f"d{n}", "text": document(n)} for n in range(20)]
    with pointed_at(None):
        given = "".join(json.dumps(row) + "\n" for row in rows)
        command = ("rewrite", "-", "--recipe", "reversal", "--max-documents", "5", "--seed", "3")
        done = invoke(*command, given=given)
        found = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(found) == 5
        assert {row["model"] for row in found} == {"none"}
        assert all("book the of" in row["text"] for row in found)
        # Which documents are chosen does not depend on where they stand.
        turned = invoke(*command, given="".join(json.dumps(row) + "\n" for row in reversed(rows)))
        other = [json.loads(line) for line in turned.stdout.splitlines()]
        assert other == found[::-1]
        further = invoke(*command[:-1], "4", given=given)
        assert {json.loads(line)["id"] for line in further.stdout.splitlines()} != {row["id"] for row in found}
    assert list(tmp_path.iterdir()) == []  # nothing is called, so there is no journal


def test_what_lines_lack_is_found_out(tmp_path: Path) -> None:
    german = "Der Leuchtturm steht seit zweihundert Jahren auf der Klippe, und das Licht brennt die ganze Nacht."
    rows: list[dict[str, object]] = [
        {"text": german},
        {"text": document(1), "language": "fr", "depth": 2, "source": "books"},
        {"id": "empty", "text": " \n"},
        {"id": 7, "text": document(2)},
    ]
    file = written(tmp_path / "in.jsonl.gz", rows)
    anchors = read_anchors([file], tmp_path, load_recipe(recipe_file(tmp_path)))
    assert (anchors.documents, anchors.without_text) == (3, 1)
    units = [unit for chunk in anchors.units() for unit in chunk]
    found = [(unit.anchors, unit.language, unit.depth, unit.source) for unit in units]
    assert found == [(("1",), "de", 0, file.name), (("2",), "fr", 2, "books"), (("7",), "en", 0, file.name)]
    assert [unit.text for unit in anchors.units().__next__()] == [german, document(1), document(2)]


def test_groups_are_asked_about_together(tmp_path: Path) -> None:
    # Three documents of an even host stand apart from each other; one has no host.
    rows = [{"id": f"d{n}", "text": document(n), "host": f"h{n % 2}"} for n in range(6)] + [
        {"id": "x", "text": "Alone."}
    ]
    file = written(tmp_path / "in.jsonl", rows)
    anchors = read_anchors([file], tmp_path, load_recipe("dialogue"), group_by="host")
    groups = [unit.anchors for chunk in anchors.units() for unit in chunk]
    assert groups == [("d0", "d2", "d4"), ("d1", "d3", "d5")]


@given(st.lists(st.integers(1, 5), min_size=1, max_size=12), st.lists(st.integers(1, 6), min_size=1))
def test_batches_end_where_groups_end(sizes: list[int], cuts: list[int]) -> None:
    names = [f"g{place}" for place, size in enumerate(sizes) for _ in range(size)]
    rows = pl.DataFrame({"group": names}).with_row_index()
    parts: list[pl.DataFrame] = []
    start = 0
    while start < rows.height:
        parts.append(rows.slice(start, cuts[len(parts) % len(cuts)]))
        start += parts[-1].height
    found = list(_whole_groups(iter(parts)))
    assert pl.concat(found).equals(rows)
    held = [set(batch["group"]) for batch in found]
    assert sum(map(len, held)) == len(sizes)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"text": "a"}\n{"text": "b", "depth": "deep"}\n', "document 2 has depth 'deep'"),
        ('{"text": "a", "language": ["en"]}\n', "language, source, depth must be text or numbers"),
        ('{"id": "x", "text": "a"}\n{"id": "x", "text": "b"}\n', "2 documents have the id 'x'"),
        ("\n", "there is no document with a text"),
        ("[" * 100_000 + "\n", "in.jsonl:1: this is no JSON object with a text: maximum recursion depth"),
        ('{"text": "a"}\n{"te', "in.jsonl:2: this is no JSON object"),
    ],
)
def test_a_wrong_line_is_one_clear_error(tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "in.jsonl"
    file.write_text(content)
    output = tmp_path / "out.jsonl"
    with pytest.raises((LakeError, GenerationError), match=said) as error, pointed_at(None):
        invoke("rewrite", file, "--recipe", "reversal", "--output", output)
    assert "\n" not in str(error.value)
    assert not output.exists()


def test_what_does_not_fit_together_is_said_before_any_work(tmp_path: Path) -> None:
    file, recipe = written(tmp_path / "in.jsonl", [{"text": "a"}]), recipe_file(tmp_path)

    def refuses(*further: object) -> str:
        with pytest.raises((LakeError, GenerationError, RecipeError)) as error:
            invoke("rewrite", file, *further)
        return str(error.value)

    with MockModel() as model, pointed_at(model):
        assert "in.jsonl is read: write to another file" in refuses("--recipe", recipe, "--output", file)
        assert "there is no folder" in refuses("--recipe", recipe, "--output", tmp_path / "no" / "out.jsonl")
        assert "--max-cost is 'much'" in refuses("--recipe", recipe, "--max-cost", "much")
        assert "--group-by" in refuses("--recipe", "dialogue")
        assert "Did you mean 'wrap_easy'?" in refuses("--recipe", "wrap_eay")
        column = tmp_path / "column.yaml"
        column.write_text(ONE_STEP.replace("units:", "columns: [title]\nunits:").replace("Say", "{{ title }}: say"))
        assert "document 1 has no 'title', which recipe plain shows" in refuses("--recipe", column)
        with pointed_at(model, LAKEHOUSE_MODEL="lakehouse-mock-3"):
            assert "no model 'lakehouse-mock-3'. Did you mean" in refuses("--recipe", recipe)
        with pointed_at(model, LAKEHOUSE_MODEL_URL="http://127.0.0.1:9/v1"):
            assert "http://127.0.0.1:9/v1 cannot be used" in refuses("--recipe", recipe)
        with pointed_at(None):
            said = refuses("--recipe", recipe)
            assert all(name in said for name in ("LAKEHOUSE_MODEL_URL", "LAKEHOUSE_MODEL=", "LAKEHOUSE_API_KEY"))
            assert "lakehouse mock-llm" in said
        assert model.calls == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["column.yaml", "in.jsonl", "recipe.yaml"]


def test_a_limit_counts_over_all_runs_and_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    file = written(tmp_path / "in.jsonl", [{"text": document(n)} for n in range(12)])
    command = ("rewrite", file, "--recipe", recipe_file(tmp_path), "--output", tmp_path / "out.jsonl")
    prices = {"LAKEHOUSE_PROMPT_PRICE": "10", "LAKEHOUSE_COMPLETION_PRICE": "10", "LAKEHOUSE_MODEL_IN_FLIGHT": "1"}
    with MockModel() as model, pointed_at(model, **prices):
        there = set(tmp_path.iterdir())
        shown = invoke(*command, "--dry-run").stdout
        assert "12 calls, about" in shown
        assert "; at most $" in shown
        assert (model.calls, set(tmp_path.iterdir())) == (0, there)

        # A call costs about $0.0017; while few are known, one is reckoned with all of 200 tokens: $0.003.
        stopped = invoke(*command, "--max-cost", "0.01")
        made = model.calls
        assert 3 <= made <= 6
        assert f"{12 - made} units wait: max_cost is reached" in stopped.stderr
        assert len(lines(tmp_path / "out.jsonl")) == made
        invoke(*command, "--max-cost", "0.01")
        assert model.calls == made
        invoke(*command)
        assert model.calls == 12


def test_a_dry_run_knows_what_a_killed_run_has_left(tmp_path: Path) -> None:
    file = written(tmp_path / "in.jsonl", [{"text": document(n)} for n in range(3)])
    command = ("rewrite", file, "--recipe", recipe_file(tmp_path), "--output", tmp_path / "out.jsonl")
    with MockModel() as model, pointed_at(model):
        invoke(*command)
        kept = tmp_path / "out.jsonl.journal"
        rows = Lake(kept).scan("generations/plain").collect().to_dicts()
        shutil.rmtree(kept)
        spool = Spool(spool_folder(Lake(kept), "generations/plain"))
        spool.append(rows[:2])
        spool.close()
        assert "1 calls, about" in invoke(*command, "--dry-run").stdout
        assert model.calls == 3
        invoke(*command)
        assert model.calls == 4


def test_ctrl_c_keeps_what_was_answered_and_the_same_command_goes_on(tmp_path: Path) -> None:
    file = written(tmp_path / "in.jsonl", [{"text": document(n)} for n in range(30)])
    command = ["rewrite", file, "--recipe", recipe_file(tmp_path), "--output", tmp_path / "out.jsonl"]
    in_flight = 2
    with MockModel(delay=0.2) as model, pointed_at(model, LAKEHOUSE_MODEL_IN_FLIGHT=str(in_flight)):
        process = subprocess.Popen(
            [sys.executable, "-c", f"{HEEDS_CTRL_C}; from lakehouse.cli import main; main()", *map(str, command)],
            stderr=subprocess.PIPE,
            text=True,
            env=dict(os.environ),
        )
        until = time.monotonic() + 60
        while model.answered < 6 and time.monotonic() < until and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
        assert process.returncode == 130
        assert "Traceback" not in said
        assert "What was answered is kept in" in said
        assert "the same command goes on from there" in " ".join(said.split())
        assert not (tmp_path / "out.jsonl").exists()
        made = model.calls
        assert 6 <= made < 30
    with MockModel() as model, pointed_at(model):
        invoke(*command)
        # Only those that were under way are called twice.
        assert 30 - made <= model.calls <= 30 - made + in_flight
        assert len(lines(tmp_path / "out.jsonl")) == 30


def rewriting(folder: Path, documents: int, content: str = ONE_STEP) -> Rewriting:
    rows = [{"text": document(n, 1 + n % 4)} for n in range(documents)]
    recipe = load_recipe(recipe_file(folder, content))
    anchors = read_anchors([written(folder / "in.jsonl", rows)], folder, recipe)
    asking = Asking(recipe, {"default": Model("lakehouse-mock-1")})
    return Rewriting(anchors.units, asking, Index(Lake(folder / "journal"), f"generations/{recipe.name}"), Tools())


@pytest.mark.parametrize("content", [ONE_STEP, TWO_STEPS])
def test_the_accept_rate_is_that_of_the_documents_in_the_end(tmp_path: Path, content: str) -> None:
    # An essay is about as long as the document: all pass but those of documents with one sentence.
    content = content.replace("language: false}", "language: false, min_words: 30}")
    watched = WatchedRewriting.of(rewriting(tmp_path, 8, content))
    rate, lake = watched.accept_rate, Lake(tmp_path / "journal")
    table = f"generations/{watched.asking.recipe.name}"
    rate._spent = -100.0  # time enough to judge all
    with MockModel() as model, pointed_at(model), WatchedRecorder(lake, table, Origin(), "files", rate) as recorder:
        from resources.language_model import from_environment

        assert rate.rate is None
        watched.run(from_environment().endpoints(), recorder, Others(lake, table), Limits(), batches=tmp_path)
    while rate._due:
        rate.hear([])
    laid = list(watched.documents())
    outputs, accepted = (
        sum(counts) for counts in zip(*((one.outputs, one.documents.height) for one in laid), strict=True)
    )
    assert 0 < accepted < outputs
    assert (rate.outputs, rate.accepted) == (outputs, accepted)
    assert rate.summary == f"{accepted / outputs:.0%} of {outputs} accepted"


def test_the_sample_of_the_accept_rate_is_bounded_and_no_order_matters(tmp_path: Path) -> None:
    some = rewriting(tmp_path, 3)
    (states,) = some.states()
    rate = AcceptRate(some.asking, Tools())

    def sample(many: list[State]) -> set[str]:
        rate.begin()
        for start in range(0, len(many), 100):
            rate.see(many[start : start + 100])
        return set(rate._waiting)

    many = []
    for number in range(2_000):
        request = some.asking.request(some.asking.recipe.steps[0], states[0].unit, {"text": str(number)})
        many.append(State(states[0].unit, request.request_id, waiting=request))
    found = sample(many)
    assert len(found) == 500
    assert found == sample(many[::-1]) == {state.unit_id for state in sorted(many, key=lambda one: one.unit_id)[:500]}


@pytest.mark.parametrize("error", [GenerationError("x"), RecipeError("x"), LexiconError("x"), AnswerError("x")])
def test_errors_of_rewriting_are_known(error: Exception) -> None:
    assert is_known(error)
