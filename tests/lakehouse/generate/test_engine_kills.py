"""The engine killed with -9 and resumed: only what was under way is called again, and the outcome is the same."""

from __future__ import annotations

import time
from pathlib import Path

from engine import check_kills, start
from engine_at_work import PLAIN, TABLE, Engine, at_server, chain

from lakehouse.generate.journal.recorder import spool_folder
from lakehouse.generate.mock.server import MockModel


def test_runs_killed_at_random_points_call_again_only_what_was_under_way(tmp_path: Path) -> None:
    found = check_kills(tmp_path, chain(), 40, kills=4, seed=1)
    # Each of 40 documents is asked about in three steps, but for those that fail before.
    assert 2 * 40 < found["requests"] <= 3 * 40
    assert found["calls"] == found["requests"] + found["under way"]


def test_a_batch_that_was_sent_by_a_killed_run_is_not_paid_twice(tmp_path: Path) -> None:
    engine, quiet = Engine(tmp_path / "lake", PLAIN, 60), Engine(tmp_path / "quiet", PLAIN, 60)
    sent = spool_folder(engine.lake, TABLE) / "default"
    with MockModel(batch_seconds=0.4) as model:
        process = start(engine, model.base_url, batch=True)
        while not list(sent.glob("*/batch.json")):
            assert process.is_alive()
            time.sleep(0.005)
        time.sleep(0.1)  # by now it is also created
        process.kill()
        process.join()
        assert engine.journal().is_empty()
        # Documents that come while the batch is under way go into another one.
        more = Engine(engine.root, PLAIN, 80)
        run = more.run(model.base_url, batch=True)
        paid = model.calls_of
    with MockModel() as model:
        quiet.run(model.base_url)
    # 59 and 79 texts: the 50th document repeats one.
    assert (run.report.succeeded, len(paid), set(paid.values())) == (79, 79, {1})
    assert paid.keys() == {at_server(request) for request in more.requests()}
    assert all(one.equals(other) for one, other in zip(engine.outcome(), quiet.outcome(), strict=True))
    assert list(sent.iterdir()) == []
