"""The mock model behaves like a server of that API, and like a model that is mostly good."""

from __future__ import annotations

import http.client
import json
from typing import Any

import polars as pl
import pytest

from lakehouse.generate import GenerationError, MockModel, load_recipe
from lakehouse.generate.gates import copied_share
from lakehouse.generate.mock_server import MODEL
from lakehouse.generate.mock_text import rewrite

ENGLISH = "The bridge, which many people use, was built in 1901. It has two large arches and a small tower."
PARAGRAPHS = {
    "en": ENGLISH,
    "de": "Die Brücke wurde 1901 gebaut und oft erneuert, aber sie trägt auch heute noch sehr viele schwere Wagen.",
    "fr": "Le pont est très ancien, mais il est souvent utilisé par les habitants, et donc réparé chaque année.",
    "zh": "这座桥建于一九零一年，但是现在仍然非常坚固，因为人们每年都会修理它。许多人每天走过这座桥，所以它很重要。",
    "am": "ድልድዩ በከተማው መሃል ይገኛል፣ ብዙ ሰዎችም በየቀኑ ይሻገሩታል። ድልድዩ የተሠራው ከብዙ ዓመታት በፊት ነው፣ አሁንም ጠንካራ ነው።",
}


def send(model: MockModel, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    host = model.base_url.removeprefix("http://").removesuffix("/v1")
    connection = http.client.HTTPConnection(host, timeout=10)
    connection.request(method, path, body if isinstance(body, str | None) else json.dumps(body))
    answer = connection.getresponse()
    content = json.loads(answer.read())
    connection.close()
    return answer.status, content


def chat(text: str, **changes: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], **changes}


def test_it_lists_one_model_and_answers_with_counted_tokens() -> None:
    with MockModel() as model:
        status, models = send(model, "GET", "/v1/models")
        assert (status, [entry["id"] for entry in models["data"]]) == (200, ["lakehouse-mock-1"])
        status, answer = send(model, "POST", "/v1/chat/completions", chat(f"Rewrite this.\n<text>\n{ENGLISH}\n</text>"))
    assert (status, answer["object"], answer["model"]) == (200, "chat.completion", MODEL)
    (choice,) = answer["choices"]
    assert (choice["message"]["role"], choice["finish_reason"]) == ("assistant", "stop")
    assert choice["message"]["content"] == rewrite(ENGLISH)
    # 4 characters a token: 14 + 8 + 96 + 8 = 126 characters asked
    assert answer["usage"]["prompt_tokens"] == 126 // 4
    assert answer["usage"]["total_tokens"] == sum(
        answer["usage"][f"{kind}_tokens"] for kind in ("prompt", "completion")
    )


def test_an_answer_that_is_too_long_is_cut_and_says_so() -> None:
    with MockModel() as model:
        _, answer = send(model, "POST", "/v1/chat/completions", chat(ENGLISH, max_tokens=5))
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["choices"][0]["message"]["content"] == rewrite(ENGLISH)[:20]
    assert answer["usage"]["completion_tokens"] == 5


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/chat/completions", "{broken", 400),
        ("/v1/chat/completions", "[]", 400),
        ("/v1/chat/completions", {"model": MODEL, "messages": []}, 400),
        ("/v1/chat/completions", chat("x", model="other"), 404),
        ("/v1/completions", chat("x"), 404),
    ],
)
def test_a_bad_request_gets_an_error_of_the_api(path: str, body: Any, status: int) -> None:
    with MockModel() as model:
        answered, content = send(model, "POST", path, body)
        assert answered == status
        assert content["error"]["message"]
        assert send(model, "POST", "/v1/chat/completions", chat(ENGLISH))[0] == 200


@pytest.mark.parametrize("language", PARAGRAPHS)
def test_a_rewrite_is_no_copy_and_keeps_about_the_length(language: str) -> None:
    text = PARAGRAPHS[language]
    (share,) = copied_share(pl.Series([rewrite(text)]), pl.Series([text]))
    assert share < 0.8
    assert 0.8 < len(rewrite(text)) / len(text) < 1.5
    assert rewrite(text) == rewrite(text)


def test_most_rewrites_pass_the_recipe_and_some_do_not() -> None:
    bounds = load_recipe("rewrite_clearly").gates
    assert bounds.length_ratio is not None
    assert bounds.length_ratio.min is not None
    assert bounds.copied_share is not None
    texts = [f"{ENGLISH} Number {place} of the list is as old, because the town grew then." for place in range(300)]
    rewrites = [rewrite(text) for text in texts]
    copied = copied_share(pl.Series(rewrites), pl.Series(texts))
    lengths = pl.Series([len(new) / len(old) for new, old in zip(rewrites, texts, strict=True)])
    short = lengths < bounds.length_ratio.min
    verbatim = ~short & (copied > (bounds.copied_share.max or 0))
    # 4 % each: 12 of 300 expected, give or take three standard deviations of 3.4
    assert 2 <= short.sum() <= 22
    assert 2 <= verbatim.sum() <= 22


def test_a_text_without_a_sentence_is_answered() -> None:
    assert rewrite("") == ""
    assert rewrite("word") == "word"
    assert rewrite("(an aside)\n\n...") is not None


def test_a_port_in_use_is_one_clear_line() -> None:
    with MockModel() as model:
        port = int(model.base_url.rsplit(":", 1)[1].removesuffix("/v1"))
        with pytest.raises(GenerationError, match=f"port {port} of 127.0.0.1 cannot be used"):
            MockModel(port)
