"""The journal: what was answered is never lost, never paid twice, and found again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from recipes_of_tests import asking, documents, recipe

from lakehouse import identity
from lakehouse.commits import Origin
from lakehouse.generate import GenerationError
from lakehouse.generate.journal import spool
from lakehouse.generate.journal.index import Index
from lakehouse.generate.journal.recorder import Recorder, spool_folder
from lakehouse.generate.journal.sharing import IMPORTED, Others, export_answers, import_answers
from lakehouse.generate.replay import replay, to_call
from lakehouse.generate.units import units_of
from lakehouse.lake import Lake

TABLE = "generations/test"
ORIGIN = Origin("run", TABLE)
BEGAN = datetime(2026, 11, 1, tzinfo=UTC)


def call(prompt: str, at: int = 0, **further: Any) -> dict[str, Any]:
    """A call that was answered, `at` seconds after the first."""
    row = {
        "request_id": identity.hash_of(prompt),
        "doc_id": "d",
        "snapshot": "s1",
        "recipe": "test",
        "recipe_version": "1",
        "step": "rewrite",
        "model": "m",
        "params_hash": "p",
        "prompt_hash": prompt,
        "status": "ok",
        "response": f"re: {prompt}",
        "finish_reason": "stop",
        "prompt_tokens": 3,
        "completion_tokens": 4,
        "cost_usd": Decimal("0.000000125"),
        "latency_ms": 1.5,
        "tries": 1,
        "error": None,
        "reused_from": None,
        "created_at": BEGAN + timedelta(seconds=at),
    }
    return row | further


def failed(prompt: str, at: int = 0, error: str = "HTTP 400") -> dict[str, Any]:
    nothing = dict.fromkeys(("response", "finish_reason", "prompt_tokens", "completion_tokens", "cost_usd"))
    return call(prompt, at, status="error", error=error, **nothing)


def journal(lake: Lake, *batches: list[dict[str, Any]], table: str = TABLE) -> Index:
    for rows in batches:
        with Recorder(lake, table, ORIGIN, "s1") as recorder:
            recorder.record(rows)
    return Index(lake, table)


def responses(index: Index, *prompts: str) -> list[str | None]:
    found = index.find([identity.hash_of(prompt) for prompt in prompts])
    return [
        found[identity.hash_of(prompt)].response if identity.hash_of(prompt) in found else None for prompt in prompts
    ]


def test_answers_are_found_whichever_file_they_are_in(tmp_path: Path) -> None:
    index = journal(Lake(tmp_path), [call("a"), call("b")], [call("c")])
    assert responses(index, "c", "a", "nothing", "b") == ["re: c", "re: a", None, "re: b"]
    assert len(index) == 3


def test_what_is_recorded_is_in_the_table_as_it_was(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    rows = [call("a \ud800 half".encode("utf-8", "replace").decode()), failed("b", 1)]
    journal(lake, rows)
    assert lake.scan(TABLE).sort("created_at").collect().to_dicts() == rows
    assert not list(spool_folder(lake, TABLE).iterdir())


def test_of_several_calls_the_first_good_answer_counts_and_all_are_counted(tmp_path: Path) -> None:
    cut_off = call("a", 1, response="cut", finish_reason="length")
    index = journal(Lake(tmp_path), [failed("a"), cut_off], [call("a", 2), call("a", 3, response="later")])
    answered = index.find([identity.hash_of("a")])[identity.hash_of("a")]
    assert (answered.response, answered.calls) == ("re: a", 4)


def test_of_failed_calls_the_last_one_counts(tmp_path: Path) -> None:
    index = journal(Lake(tmp_path), [failed("a", 1, "first"), failed("a", 2, "second")])
    answered = index.find([identity.hash_of("a")])[identity.hash_of("a")]
    assert (answered.status, answered.error, answered.calls) == ("error", "second", 2)


def test_an_index_of_an_older_version_does_not_know_what_came_later(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    journal(lake, [call("a")])
    version = lake.version(TABLE)
    newest = journal(lake, [call("b")])
    assert responses(Index(lake, TABLE, version), "a", "b") == ["re: a", None]
    assert responses(newest, "a", "b") == ["re: a", "re: b"]


def test_what_is_recorded_later_is_found_after_a_refresh(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    index = Index(lake, TABLE)
    assert responses(index, "a") == [None]
    with Recorder(lake, TABLE, ORIGIN, "s1") as recorder:
        recorder.record([call("a")])
        recorder.flush()
        index.refresh()
        assert responses(index, "a") == ["re: a"]


_KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from lakehouse.generate.journal.recorder import Recorder
from lakehouse.lake import Lake
from test_journal import ORIGIN, TABLE, call
with Recorder(Lake({root!r}), TABLE, ORIGIN, "s1") as recorder:
    for number in range(3):
        recorder.record([call(str(number))])
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_calls_that_ended_before_a_kill_are_taken_in_by_the_next_process(tmp_path: Path) -> None:
    program = _KILLED.format(tests=str(Path(__file__).parent), root=str(tmp_path))
    ended = subprocess.run([sys.executable, "-c", program], check=False)
    assert ended.returncode == -signal.SIGKILL
    lake = Lake(tmp_path)
    assert not lake.exists(TABLE)
    with Recorder(lake, TABLE, ORIGIN, "s1"):
        pass
    assert responses(Index(lake, TABLE), "0", "1", "2") == ["re: 0", "re: 1", "re: 2"]


def test_a_line_that_the_end_of_its_process_cut_off_is_no_call(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    left = spool.Spool(spool_folder(lake, TABLE))
    left.append([call("a"), call("b")])
    left.close()
    content = left.path.read_bytes()
    left.path.write_bytes(content[:-10])
    with Recorder(lake, TABLE, ORIGIN, "s1"):
        pass
    assert responses(Index(lake, TABLE), "a", "b") == ["re: a", None]


def test_a_kill_between_commit_and_removal_doubles_no_call(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    journal(lake, [call("a")])
    left = spool.Spool(spool_folder(lake, TABLE))
    left.append([call("a"), call("b", 1)])
    left.close()
    with Recorder(lake, TABLE, ORIGIN, "s1"):
        pass
    assert lake.scan(TABLE).sort("created_at").collect()["prompt_hash"].to_list() == ["a", "b"]


def test_the_file_of_a_living_process_is_left_alone(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    with Recorder(lake, TABLE, ORIGIN, "s1") as first:
        first.record([call("a")])
        with Recorder(lake, TABLE, ORIGIN, "s1"):
            pass
        assert not lake.exists(TABLE)
    assert responses(Index(lake, TABLE), "a") == ["re: a"]


def test_calls_are_kept_even_if_the_run_ends_with_an_error(tmp_path: Path) -> None:
    lake = Lake(tmp_path)

    def interrupted() -> None:
        with Recorder(lake, TABLE, ORIGIN, "s1") as recorder:
            recorder.record([call("a")])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert responses(Index(lake, TABLE), "a") == ["re: a"]


def test_only_the_owner_can_read_what_waits(tmp_path: Path) -> None:
    waiting = spool.Spool(tmp_path)
    assert os.stat(waiting.path).st_mode & 0o077 == 0
    waiting.close()


def test_another_recipe_s_answer_is_taken_over_and_costs_nothing(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    made = recipe()
    chunks = [list(units_of(documents("One.", "Two."), made))]
    first, second = to_call(replay(chunks, asking(made), lambda ids: {}), set())
    journal(lake, [call("a", request_id=first.request_id)], [failed("b") | {"request_id": second.request_id}])
    (row,) = Others(lake, "generations/other").reused([first, second])
    assert (row["request_id"], row["doc_id"], row["response"]) == (first.request_id, "a", "re: a")
    assert (row["cost_usd"], row["prompt_tokens"], row["reused_from"]) == (0, 0, TABLE)
    assert Others(lake, TABLE).reused([first]) == []


def test_answers_go_from_lake_to_lake_by_a_file(tmp_path: Path) -> None:
    one, other, file = Lake(tmp_path / "one"), Lake(tmp_path / "other"), tmp_path / "answers.parquet"
    journal(one, [call("a"), failed("b"), call("c", finish_reason="length")], [call("a", 5, response="later")])
    assert export_answers(one, [TABLE], file) == 1
    assert import_answers(other, file) == 1
    assert import_answers(other, file) == 0
    assert responses(Index(other, IMPORTED), "a", "b", "c") == ["re: a", None, None]
    (row,) = other.scan(IMPORTED).collect().to_dicts()
    assert (row["cost_usd"], row["reused_from"]) == (0, "answers.parquet")


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (pl.DataFrame({"text": ["x"]}), "is no exported journal: it has no column 'completion_tokens'"),
        (pl.DataFrame([call("a", request_id="../../etc")]), "row 1 is no answer of a journal"),
        (pl.DataFrame([call("a"), failed("b")]), "row 2 is no answer of a journal"),
    ],
)
def test_a_file_that_is_no_export_is_refused_in_one_line(tmp_path: Path, frame: pl.DataFrame, says: str) -> None:
    file = tmp_path / "x.parquet"
    frame.write_parquet(file)
    with pytest.raises(GenerationError, match=says):
        import_answers(Lake(tmp_path / "lake"), file)


def test_without_journals_there_is_nothing_to_export(tmp_path: Path) -> None:
    with pytest.raises(GenerationError, match="there is no journal to export"):
        export_answers(Lake(tmp_path), [], tmp_path / "x.parquet")
