"""Every fault of the mock model, over real HTTP: how it looks to a client, and which prompts meet it."""

from __future__ import annotations

import http.client
import json
import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.generate.errors import GenerationError
from lakehouse.generate.mock.faults import BAD_ANSWERS, MET_AND_GONE
from lakehouse.generate.mock.server import MODEL, Faults, MockModel
from lakehouse.generate.mock.traffic import Allowance, RateLimits, duration

TEXT = "The bridge, which many people use, was built in 1901. It has two large arches and a small tower."
GREEK_TEXT = "Η γέφυρα χτίστηκε το 1901, και πολλοί άνθρωποι τη χρησιμοποιούν κάθε μέρα."


class Sent:
    """One answer as bytes: status (0: none came), headers, body, and whether it broke off."""

    def __init__(self, model: MockModel, text: str = TEXT, timeout: float = 5.0, **changes: Any) -> None:
        body = {"model": MODEL, "messages": [{"role": "user", "content": text}], **changes}
        host = model.base_url.removeprefix("http://").removesuffix("/v1")
        connection = http.client.HTTPConnection(host, timeout=timeout)
        self.status, self.body, self.broke_off = 0, b"", False
        self.headers: dict[str, str] = {}
        started = time.monotonic()
        try:
            connection.request("POST", "/v1/chat/completions", json.dumps(body))
            answer = connection.getresponse()
            self.status, self.headers = answer.status, {name.lower(): value for name, value in answer.getheaders()}
            self.body = answer.read()
        except (http.client.HTTPException, ConnectionError, TimeoutError) as error:
            self.broke_off, self.body = True, getattr(error, "partial", b"")
        finally:
            connection.close()
        self.seconds = time.monotonic() - started

    @property
    def text(self) -> str:
        return str(json.loads(self.body)["choices"][0]["message"]["content"])

    @property
    def reason(self) -> str:
        return str(json.loads(self.body)["choices"][0]["finish_reason"])


def all_of(kind: str, **changes: Any) -> MockModel:
    """A server whose every prompt meets one kind of fault."""
    return MockModel(faults=Faults(**{kind: 1.0, **changes}))


def whole_answer(text: str = TEXT) -> str:
    with MockModel() as model:
        return Sent(model, text).text


@pytest.mark.parametrize(
    ("kind", "status", "header"),
    [
        ("rate_limited", 429, ("retry-after", "1.5")),
        ("rate_limited_ms", 429, ("retry-after-ms", "1500")),
        ("rate_limited_bare", 429, None),
        ("server_errors", 500, None),
        ("unavailable", 503, None),
    ],
)
def test_an_error_comes_so_many_times_and_then_the_answer(kind: str, status: int, header: Any) -> None:
    with all_of(kind, times=2, retry_after=1.5) as model:
        sent = [Sent(model) for _ in range(4)]
        assert (model.calls, model.answered, sorted(model.calls_of.values())) == (4, 2, [4])
        assert model.statuses == {status: 2, 200: 2}
    assert [one.status for one in sent] == [status, status, 200, 200]
    for one in sent[:2]:
        assert json.loads(one.body)["error"]["message"]
        assert {name for name in one.headers if name.startswith("retry-after")} == ({header[0]} if header else set())
        assert not header or one.headers[header[0]] == header[1]
    assert sent[2].text == sent[3].text == whole_answer()


def test_a_connection_is_cut_in_the_middle_or_closed_before_the_first_byte() -> None:
    with all_of("cut_connections") as model:
        first, second = Sent(model), Sent(model)
        assert model.answered == 1
    assert (first.status, first.broke_off) == (200, True)
    assert 0 < len(first.body) < int(first.headers["content-length"])
    assert second.text == whole_answer()
    with all_of("closed_connections") as model:
        first, second = Sent(model), Sent(model)
    assert (first.status, first.body, first.broke_off, first.seconds < 1) == (0, b"", True, True)
    assert second.text == whole_answer()


def test_silence_lasts_until_the_client_hangs_up_or_the_limit() -> None:
    with all_of("timeouts", silence=0.2) as model:
        assert (Sent(model).seconds >= 0.2, Sent(model).text) == (True, whole_answer())
    with all_of("timeouts", silence=60.0) as model:
        silent = Sent(model, timeout=0.1)
        assert (silent.status, silent.broke_off) == (0, True)
        assert Sent(model).text == whole_answer()  # the first one holds nothing up


def test_bodies_that_are_no_json() -> None:
    for kind in ("malformed_json", "half_json"):
        with all_of(kind) as model:
            first, second = Sent(model), Sent(model)
            assert model.answered == 1
        assert (first.status, first.broke_off) == (200, False)
        assert len(first.body) == int(first.headers["content-length"]) > 20
        with pytest.raises(ValueError, match="line 1"):
            json.loads(first.body)
        assert second.text == whole_answer()


def test_an_error_with_status_200() -> None:
    with all_of("error_objects") as model:
        first, second = Sent(model), Sent(model)
    assert (first.status, set(json.loads(first.body))) == (200, {"error"})
    assert second.text == whole_answer()


def test_slow_answers_are_late_or_trickle() -> None:
    with all_of("slow", slowness=0.5) as model:
        slow, quick = Sent(model), Sent(model)
        assert slow.seconds >= 0.5 > quick.seconds
        assert slow.text == quick.text == whole_answer()
        trickling = Sent(model, "Another text, which is asked for as a stream.", stream=True)
        assert trickling.seconds >= 0.4
        assert trickling.body.endswith(b"data: [DONE]\n\n")
        assert model.answered == 3


@pytest.mark.parametrize("kind", ["cut_connections", "malformed_json", "half_json", "error_objects"])
def test_a_stream_is_damaged_too(kind: str) -> None:
    with all_of(kind) as model:
        first, second = Sent(model, stream=True), Sent(model, stream=True)
        assert model.answered == 1
    assert first.status == 200
    assert first.broke_off == (kind == "cut_connections")
    assert second.body.endswith(b"data: [DONE]\n\n")
    assert first.body != second.body
    if kind == "malformed_json":
        with pytest.raises(ValueError, match="line 1"):
            json.loads(first.body.split(b"\n\n")[0].removeprefix(b"data: "))
    if kind == "error_objects":
        assert set(json.loads(first.body.removeprefix(b"data: "))) == {"error"}
    if kind == "half_json":
        assert second.body.startswith(first.body[:10])
        assert not first.body.endswith(b"[DONE]\n\n")


def test_bad_answers_come_every_time() -> None:
    whole = whole_answer()
    for kind in BAD_ANSWERS:
        with all_of(kind) as model:
            first, second = Sent(model), Sent(model)
            assert model.answered == 2
        assert (first.status, first.text, first.reason) == (200, second.text, second.reason)
        assert first.reason == ("length" if kind == "truncated" else "stop")
        expected = {
            "truncated": first.text == whole[: len(whole) // 2],
            "refusals": whole[:20] not in first.text and 20 < len(first.text) < 100,
            "prefaces": first.text.endswith(f"\n\n{whole}") and len(first.text) > len(whole) + 20,
            "wrong_language": not first.text.isascii() and abs(len(first.text) - len(whole)) < 80,
            "empty": first.text == "",
        }
        assert expected[kind], (kind, first.text)


def test_greek_is_answered_in_another_language_than_greek() -> None:
    with all_of("wrong_language") as model:
        text = Sent(model, GREEK_TEXT).text
    assert all(letter < "\u0370" for letter in text)
    assert len(text) > 40


def test_truncated_answers_can_heal_also_for_one_who_asks_for_more_tokens() -> None:
    with all_of("truncated", heals=True) as model:
        reasons = [Sent(model, max_tokens=tokens).reason for tokens in (200, 200, 400)]
        other = Sent(model, f"{TEXT} Again.", max_tokens=400).reason
    assert (reasons, other) == (["length", "stop", "stop"], "length")


def test_each_request_meets_its_fault_whatever_the_order_and_however_many_at_once() -> None:
    faults = Faults.evenly(0.0, seed=5, rate_limited=0.3, half_json=0.3, refusals=0.2, cut_connections=0.1)
    texts = [f"{TEXT} Number {place}." for place in range(60)]

    def outcomes(order: list[str], at_once: int) -> dict[str, list[Any]]:
        with MockModel(faults=faults) as model, ThreadPoolExecutor(at_once) as pool:
            found: dict[str, list[Any]] = {text: [] for text in order}
            for _ in range(2):
                for text, sent in zip(order, pool.map(lambda text: Sent(model, text), order), strict=True):
                    found[text].append((sent.status, sent.broke_off, len(sent.body)))
            return found

    shuffled = random.Random(1).sample(texts, len(texts))
    found = outcomes(texts, 1)
    assert found == outcomes(shuffled, 16)
    for text, (first, second) in found.items():
        kind = faults.of(text)
        assert (first == second) == (kind in {"", "refusals"}), kind
    assert {faults.of(text) for text in texts} == {"rate_limited", "half_json", "refusals", "cut_connections", ""}


def test_more_at_once_than_allowed_is_refused() -> None:
    with MockModel(delay=0.6, most_in_flight=3) as model, ThreadPoolExecutor(8) as pool:
        statuses = sorted(sent.status for sent in pool.map(lambda n: Sent(model, f"{TEXT} {n}"), range(8)))
        assert statuses == [200] * 3 + [503] * 5
        assert model.most_at_once == 3
        assert Sent(model).status == 200  # there is room again


def test_requests_a_second_are_limited_and_the_headers_say_what_is_left() -> None:
    with MockModel(requests_per_second=1, tokens_per_minute=60_000) as model:
        sent = [Sent(model, f"{TEXT} {n}", max_tokens=76) for n in range(2)]
    assert [one.status for one in sent] == [200, 429]
    names = {f"x-ratelimit-{what}-{of}" for what in ("limit", "remaining", "reset") for of in ("requests", "tokens")}
    for one in sent:
        assert names <= one.headers.keys()
        assert one.headers["x-ratelimit-limit-requests"] == "1"
    assert [one.headers["x-ratelimit-remaining-requests"] for one in sent] == ["0", "0"]
    # each takes 98 characters / 4 = 24 tokens and max_tokens; 1,000 of them come back in a second
    assert sent[0].headers["x-ratelimit-remaining-tokens"] == "59900"
    assert 0 < float(sent[1].headers["retry-after"]) <= 1
    assert json.loads(sent[1].body)["error"]["code"] == "rate_limit_exceeded"


def test_tokens_a_minute_are_limited_by_arithmetic() -> None:
    limits = RateLimits(None, 6_000)  # 100 a second
    assert [limits.admit(2_500, now=10.0) for _ in range(2)] == [0.0, 0.0]
    assert limits.admit(2_500, now=10.0) == pytest.approx(15.0)  # 1,000 are left, 1,500 are missing
    assert limits.admit(2_500, now=24.9) > 0
    assert limits.admit(2_500, now=25.0) == 0.0
    assert limits.headers(25.0) == {
        "x-ratelimit-limit-tokens": "6000",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "1m0s",
    }
    both = RateLimits(4, 6_000)  # four requests at once, and one more every quarter of a second
    assert [both.admit(10, now=0.0) for _ in range(5)] == [0.0] * 4 + [0.25]
    assert both.headers(0.0)["x-ratelimit-remaining-tokens"] == "5960"  # what is refused takes nothing
    assert both.headers(0.5)["x-ratelimit-remaining-requests"] == "2"
    assert both.headers(0.5)["x-ratelimit-reset-requests"] == "500ms"
    # what is larger than the bucket takes all of it, or it would never be let in
    assert limits.admit(1_000_000, now=85.0) == 0.0


@given(
    st.floats(0.5, 20), st.lists(st.tuples(st.floats(0, 2), st.floats(0.1, 5)), min_size=1, max_size=40)
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_a_bucket_never_gives_more_than_has_flowed_into_it(rate: float, steps: list[tuple[float, float]]) -> None:
    bucket, now, taken = Allowance(10.0, rate), 100.0, 0.0
    for pause, amount in steps:
        now += pause
        if not bucket.wait(amount, now):
            bucket.take(amount, now)
            taken += amount
        else:
            later = now + bucket.wait(amount, now)
            assert bucket.wait(amount, later) < 1e-6
        assert taken <= 10.0 + (now - 100.0) * rate + 1e-6
        assert 0 <= bucket.level(now) <= 10.0


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.0, "0ms"), (0.0171, "18ms"), (0.999, "999ms"), (1.0, "1s"), (6.5, "6.5s"), (60, "1m0s"), (7205, "2h0m5s")],
)
def test_times_are_written_as_the_api_writes_them(seconds: float, told: str) -> None:
    assert duration(seconds) == told


@given(st.integers(0, 2**31), st.floats(0, 1))
@settings(max_examples=30, deadline=None)
def test_the_share_of_prompts_is_about_the_rate(seed: int, rate: float) -> None:
    faults = Faults.evenly(rate, seed=seed)
    met = [faults.of(f"prompt {place}") for place in range(400)]
    # three and a half standard deviations of at most 0.025
    assert sum(kind != "" for kind in met) / 400 == pytest.approx(rate, abs=0.09)
    assert met == [replace(faults).of(f"prompt {place}") for place in range(400)]


def test_all_kinds_occur_and_one_can_have_a_share_of_its_own() -> None:
    even = Faults.evenly(1.0)
    met = [even.of(f"prompt {place}") for place in range(2_000)]
    # 1/17 each: 118 expected
    assert {kind: 60 < met.count(kind) < 180 for kind in MET_AND_GONE + BAD_ANSWERS} == dict.fromkeys(met, True)
    special = Faults.evenly(0.1, timeouts=0.0, empty=0.5)
    assert (special.timeouts, special.empty, special.slow) == (0.0, 0.5, pytest.approx(0.1 / 17))


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda: Faults(empty=1.5), "empty is 1.5: give a share"),
        (lambda: Faults(empty=float("nan")), "empty is nan"),
        (lambda: Faults(empty=0.6, slow=0.6), "add up to 1.2"),
        (lambda: Faults(silence=-1), "silence is -1: it cannot be negative"),
        (lambda: Faults.evenly(2.0), "the rate is 2.0"),
        (lambda: Faults.evenly(0.1, emty=0.1), "there is no kind 'emty'. There are: rate_limited, "),
    ],
)
def test_shares_that_make_no_sense_are_one_clear_line(made: Any, says: str) -> None:
    with pytest.raises(GenerationError) as caught:
        made()
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
