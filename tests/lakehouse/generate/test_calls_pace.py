"""How fast a server is asked: windows, pauses, rests and buckets, with a clock that the test turns."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.generate.calls.headers import allowance, retry_after
from lakehouse.generate.calls.pace import MOST_PAUSE, Allowance, Bucket, Replica, choose

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)


def replica(ceiling: int = 256, name: str = "a") -> Replica:
    return Replica(name, ceiling)


def fill(server: Replica, now: float) -> int:
    """Begin as many calls as may; how many those were."""
    begun = 0
    while server.free_at(now) <= now:
        server.begin(now)
        begun += 1
    return begun


def test_a_server_of_one_second_has_256_calls_under_way_after_four() -> None:
    server, under_way = replica(), []
    for second in range(6):
        for _ in range(server.in_flight):
            server.answered(second - 1.0)
        under_way.append(fill(server, float(second)))
    # It begins with 8; each answer makes room for two more: times three, up to the ceiling.
    assert under_way == [8, 24, 72, 216, 256, 256]


def test_refusals_halve_the_window_once_for_all_calls_that_were_under_way_together() -> None:
    server = replica()
    server.window = 64.0
    fill(server, 0.0)
    for _ in range(10):
        server.refused(0.0, 1.0)
    assert server.window == 32
    server.refused(1.5, 2.0)  # it began after the decrease: the server still has too much to do
    assert server.window == 16
    for turn in range(10):
        server.begin(10.0 + 2 * turn)
        server.refused(10.0 + 2 * turn, 11.0 + 2 * turn)
    assert server.window == 1  # never less: then nothing would ever be learnt


def test_after_a_refusal_the_window_grows_by_a_32nd_of_the_ceiling_in_the_time_of_a_call() -> None:
    server = replica(320)
    server.window = 100.0
    fill(server, 0.0)
    server.refused(0.0, 1.0)
    assert server.window == 50
    while server.in_flight:
        server.failed()
    assert fill(server, 2.0) == 50
    for _ in range(50):
        server.answered(2.0)
    # 50 answers of 10 / window each, the window growing from 50 to 60 on the way: just under 10 in all.
    assert 59 < server.window < 60


def test_an_idle_window_does_not_grow() -> None:
    server = replica()
    for now in range(100):
        server.begin(float(now))
        server.answered(float(now))
    assert server.window == 8


def test_a_server_that_asks_for_a_pause_gets_it_but_not_for_ever() -> None:
    server = replica()
    server.begin(0.0)
    server.refused(0.0, 1.0, pause=7.0)
    assert server.free_at(2.0) == 8.0
    server.begin(8.0)
    server.refused(8.0, 9.0, pause=1e9)
    assert server.free_at(9.0) == 9.0 + MOST_PAUSE


def test_a_server_that_only_refuses_gets_growing_rests() -> None:
    server, rests = replica(), []
    for turn in range(6):
        now = 1000.0 * turn
        server.begin(now)
        server.refused(now, now + 1)
        rests.append(server.free_at(now + 1) - (now + 1))
    assert rests == [0, 0, 0.25, 0.5, 1.0, 2.0]
    server.begin(9000.0)
    server.answered(9000.0)
    server.begin(9001.0)
    server.refused(9001.0, 9002.0)
    assert server.free_at(9002.0) == 9002.0


def test_headers_slow_a_server_down_before_it_refuses() -> None:
    server = replica()
    server.told(0.0, Allowance(remaining=10, reset=5.0), None, None)
    server.begin(0.0)
    assert server.free_at(0.0) == 0.5  # ten calls in five seconds
    server.told(1.0, Allowance(remaining=0, reset=4.0), None, None)
    assert server.free_at(1.0) == 5.0
    other = replica()
    other.told(0.0, None, Allowance(remaining=3000, reset=6.0), tokens_a_call=500)
    other.begin(0.0)
    assert other.free_at(0.0) == 1.0  # six calls of 500 tokens in six seconds
    other.told(0.5, Allowance(remaining=10_000, reset=0.006), None, None)
    other.begin(1.0)
    assert other.free_at(1.0) == 1.0  # the limit is far and whole again at once: no spacing


def test_the_next_call_goes_to_the_replica_with_the_fewest() -> None:
    a, b = replica(name="a"), replica(name="b")
    a.begin(0.0)
    assert choose([a, b], 0.0)[0] is b
    b.begin(0.0)
    b.begin(0.0)
    assert choose([a, b], 0.0)[0] is a
    assert choose([a, b], 0.0, avoid=a)[0] is b  # it failed there before
    assert choose([a], 0.0, avoid=a)[0] is a  # but there is no other


def test_a_replica_that_does_not_answer_is_left_alone_and_tried_again() -> None:
    a, b = replica(name="a"), replica(name="b")
    for _ in range(3):
        a.begin(0.0)
        a.failed()
        a.silent(1.0)
    b.begin(1.0)
    assert choose([a, b], 1.0)[0] is b
    assert choose([a, b], 3.0)[0] is a  # two seconds later: one call
    a.begin(3.0)
    assert choose([a, b], 3.0)[0] is b  # and no second one
    a.failed()
    a.silent(4.0)
    assert choose([a, b], 7.9)[0] is b  # now four seconds
    a_again, _ = choose([a, b], 8.0)
    assert a_again is a
    a.begin(8.0)
    a.answered(8.0)
    assert choose([a, b], 8.0)[0] is a  # it answers again


def test_if_no_replica_answers_all_are_asked() -> None:
    a, b = replica(name="a"), replica(name="b")
    for server in (a, b):
        for _ in range(5):
            server.begin(0.0)
            server.failed()
            server.silent(0.0)
    assert choose([a, b], 0.1)[0] is not None


@given(st.floats(1, 1e6), st.lists(st.tuples(st.floats(0, 10), st.floats(0.1, 5000)), min_size=1, max_size=60))
def test_a_bucket_gives_no_more_than_its_rate_and_a_second(per_minute: float, asked: list[tuple[float, float]]) -> None:
    bucket, now, taken, largest = Bucket(per_minute), 0.0, 0.0, 0.0
    for pause, amount in asked:
        now = max(now + pause, bucket.ready_at(amount, now + pause))
        assert bucket.ready_at(amount, now) <= now + 1e-6
        bucket.take(amount, now)
        taken, largest = taken + amount, max(largest, amount)
    # What has flowed in, a second's worth that was there, and one call that may overdraw.
    most = now * per_minute / 60 + max(1.0, per_minute / 60) + largest
    assert taken <= most * (1 + 1e-6) + 1e-3


def test_a_bucket_takes_back_what_an_estimate_was_too_much() -> None:
    bucket = Bucket(600.0)  # ten a second
    bucket.take(30, 0.0)
    assert bucket.ready_at(1, 0.0) == pytest.approx(2.1)  # 20 are lacking, and one
    bucket.take(-25, 0.0)
    assert bucket.ready_at(1, 0.0) == 0.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "Sat, 21 Nov 2026 12:00:07 GMT"}, 7.0),
        ({"retry-after": "Sat, 21 Nov 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "Sat, 21 Nov 2099 11:00:00 GMT"}, MOST_PAUSE),
        ({"retry-after": "86400"}, MOST_PAUSE),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "9" * 5000}, None),
    ],
)
def test_when_to_ask_again_is_read_from_headers(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, NOW) == seconds


@pytest.mark.parametrize(
    ("reset", "seconds"),
    [("1s", 1.0), ("6m0s", 360.0), ("20ms", 0.02), ("1h2m3.5s", 3723.5), ("12.5", 12.5), ("", None), ("later", None),
     (f"{NOW.timestamp() + 30:.0f}", 30.0), ("1s later", None)],
)  # fmt: skip
def test_what_is_left_of_a_limit_is_read_from_headers(reset: str, seconds: float | None) -> None:
    headers = {"x-ratelimit-remaining-tokens": "1200", "x-ratelimit-reset-tokens": reset}
    found = allowance(headers, "tokens", NOW)
    assert found == (None if seconds is None else Allowance(1200.0, pytest.approx(seconds)))
    assert allowance(headers, "requests", NOW) is None


@given(st.text(max_size=80))
def test_no_header_breaks_anything(value: str) -> None:
    said = dict.fromkeys(("retry-after", "retry-after-ms", "x-ratelimit-remaining-requests"), value)
    wait = retry_after(said, NOW)
    assert wait is None or 0 <= wait <= MOST_PAUSE
    found = allowance({**said, "x-ratelimit-reset-requests": value}, "requests", NOW)
    assert found is None or (math.isfinite(found.remaining) and found.reset >= 0)
