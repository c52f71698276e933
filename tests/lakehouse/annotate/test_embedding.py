"""Embeddings: what a server or a file gives becomes unit vectors, and what goes wrong is one clear line."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from openai import OpenAI

from lakehouse.annotate import AnnotatorError, annotate, annotator, embedding_server
from lakehouse.annotate.embedding import ENDPOINT_VARIABLES
from lakehouse.annotate.word_vectors import check_word_vectors
from lakehouse.generate.mock.server import MODEL, Faults, MockModel

BRIDGE = "The bridge, which many people use, was built in 1901. It has two large arches and a small tower."
BRIDGE_AGAIN = "Built in 1901, the bridge has two large arches and a small tower, and many people use it."
MARKET = "Bread and salt are sold at the market in the old town every day of the week."


def documents(*texts: str) -> pl.DataFrame:
    columns = {"doc_id": [str(place) for place in range(len(texts))], "text": list(texts)}
    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String)).with_columns(language=pl.lit("en"))


def measured(*texts: str, **settings: Any) -> pl.DataFrame:
    return annotate(documents(*texts), [annotator({"embedding": settings})])


def vectors(frame: pl.DataFrame) -> np.ndarray:
    return np.array(frame["embedding"].to_list(), np.float64)


@pytest.fixture(scope="module")
def server() -> Iterator[MockModel]:
    with MockModel() as model:
        yield model


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*ENDPOINT_VARIABLES, "LAKEHOUSE_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def test_texts_that_say_the_same_have_a_greater_cosine(server: MockModel) -> None:
    frame = measured(BRIDGE, BRIDGE_AGAIN, MARKET, model=MODEL, endpoint=server.base_url)
    assert frame.schema["embedding"] == pl.List(pl.Float32)
    first, again, other = vectors(frame)
    np.testing.assert_allclose([first @ first, again @ again, other @ other], 1, atol=1e-6)
    assert first @ again > 0.9
    assert abs(first @ other) < 0.3
    assert frame["n_embedded"].to_list() == [len(BRIDGE), len(BRIDGE_AGAIN), len(MARKET)]


def test_a_text_without_characters_has_no_embedding_and_is_not_sent(server: MockModel) -> None:
    frame = measured("", BRIDGE, " \n\t ", model=MODEL, endpoint=server.base_url)
    assert frame["embedding"].is_null().to_list() == [True, False, True]
    assert frame["n_embedded"].to_list() == [0, len(BRIDGE), 0]
    before = server.calls
    assert measured("", " ", model=MODEL, endpoint=server.base_url)["embedding"].null_count() == 2
    assert measured(model=MODEL, endpoint=server.base_url)["embedding"].len() == 0
    assert server.calls == before


def test_only_the_beginning_counts_and_batches_change_nothing(server: MockModel) -> None:
    texts = [f"{BRIDGE} {number}" for number in range(7)]
    whole = measured(*texts, model=MODEL, endpoint=server.base_url)
    before = server.calls
    parts = measured(*texts, model=MODEL, endpoint=server.base_url, batch=3)
    assert server.calls - before == 3  # 3 + 3 + 1 texts
    assert parts.equals(whole)
    heads = measured(*texts, model=MODEL, endpoint=server.base_url, characters=10)
    assert heads["embedding"].n_unique() == 1  # "The bridge"
    assert heads["n_embedded"].to_list() == [10] * 7


def test_fewer_dimensions_are_asked_for(server: MockModel) -> None:
    frame = measured(BRIDGE, model=MODEL, endpoint=server.base_url, dimensions=16)
    assert frame["embedding"].list.len().to_list() == [16]


def test_the_address_may_come_from_the_environment(server: MockModel, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AnnotatorError, match="there is no server: set LAKEHOUSE_EMBEDDING_URL, or endpoint"):
        measured(BRIDGE, model=MODEL)
    monkeypatch.setenv("LAKEHOUSE_MODEL_URL", server.base_url)
    assert measured(BRIDGE, model=MODEL)["embedding"].null_count() == 0
    # The settings, by which it is known whether to measure anew, do not name the address.
    assert annotator({"embedding": {"model": MODEL}}).settings == {"model": MODEL}
    monkeypatch.setenv("LAKEHOUSE_EMBEDDING_URL", "ftp://elsewhere")
    with pytest.raises(AnnotatorError, match="LAKEHOUSE_EMBEDDING_URL 'ftp://elsewhere' is no address"):
        measured(BRIDGE, model=MODEL)


def test_what_passes_is_tried_again() -> None:
    faults = Faults(rate_limited=0.4, server_errors=0.3, cut_connections=0.3, times=1, retry_after=0.01)
    with MockModel(faults=faults) as model:
        frame = measured(*(f"{MARKET} {n}" for n in range(6)), model=MODEL, endpoint=model.base_url, batch=1)
        assert model.calls == 12  # each met one fault
    assert frame["embedding"].null_count() == 0


def test_requests_under_way_are_bounded() -> None:
    with MockModel(delay=0.02) as model:
        measured(*(f"{MARKET} {n}" for n in range(30)), model=MODEL, endpoint=model.base_url, batch=1)
        assert 1 < model.most_at_once <= 8


def test_an_unknown_model_and_a_server_that_is_not_there_are_one_line(
    server: MockModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AnnotatorError, match=r"has no model 'other' for embeddings: there is no model 'other'\.$"):
        measured(BRIDGE, model="other", endpoint=server.base_url)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    monkeypatch.setattr(embedding_server, "_RETRIES", 0)
    with pytest.raises(AnnotatorError, match=rf"^{address} cannot be reached: no answer") as caught:
        measured(BRIDGE, model=MODEL, endpoint=address)
    assert "\n" not in str(caught.value)


def test_a_server_elsewhere_needs_a_key_and_no_error_holds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AnnotatorError, match="is not on this machine and LAKEHOUSE_API_KEY is not set"):
        measured(BRIDGE, model=MODEL, endpoint="http://models.invalid/v1")
    monkeypatch.setenv("LAKEHOUSE_API_KEY", "two words")
    with pytest.raises(AnnotatorError, match="LAKEHOUSE_API_KEY is no API key"):
        measured(BRIDGE, model=MODEL, endpoint="http://models.invalid/v1")


class Answers(BaseHTTPRequestHandler):
    """Answers every request with what the server's `answer` says, and remembers the headers."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        status, body = self.server.answer  # type: ignore[attr-defined]
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.server.keys.append(self.headers["Authorization"])  # type: ignore[attr-defined]
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture(scope="module")
def scripted() -> Iterator[HTTPServer]:
    server = HTTPServer(("127.0.0.1", 0), Answers)
    server.keys = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def answering(server: HTTPServer, body: Any, status: int = 200) -> str:
    server.answer = (status, body)  # type: ignore[attr-defined]
    return f"http://127.0.0.1:{server.server_address[1]}/v1"


def rows(*embeddings: Any) -> dict[str, Any]:
    return {"data": [{"index": place, "embedding": found} for place, found in enumerate(embeddings)]}


def test_lists_in_any_order_are_read_and_vectors_without_direction_are_null(scripted: HTTPServer) -> None:
    body = rows([3.0, 4.0], [0.0, 0.0], [float("nan"), 1.0])
    frame = measured("a", "b", "c", model="m", endpoint=answering(scripted, {"data": body["data"][::-1]}))
    # 3-4-5: the vector of length 5 becomes 0.6, 0.8.
    np.testing.assert_allclose(frame["embedding"][0].to_list(), [0.6, 0.8], rtol=1e-6)
    assert frame["embedding"].is_null().to_list() == [False, True, True]


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (200, b"<html>", "the answer is not JSON"),
        (200, {"data": []}, "the answer has another form"),
        (200, rows([1.0], [2.0]), "the answer has another form"),  # two vectors of one text
        (200, rows("no base64"), "the answer has another form"),
        (400, {"error": {"message": "at most 512 tokens."}}, "HTTP 400: at most 512 tokens.$"),
        (400, {"error": {"message": f"what is {MARKET[:30]}?"}}, "repeats the key or a text and is left out"),
        (400, {"error": {"message": "sk-secret-1234 is not allowed"}}, "repeats the key or a text and is left out"),
        (401, {"error": {"message": "the key ends in 1234"}}, r"HTTP 401\.$"),
    ],
)
def test_an_answer_that_is_none_is_refused_without_secrets(
    scripted: HTTPServer, monkeypatch: pytest.MonkeyPatch, status: int, body: Any, message: str
) -> None:
    monkeypatch.setenv("LAKEHOUSE_API_KEY", "sk-secret-1234")
    with pytest.raises(AnnotatorError, match=message) as caught:
        measured(MARKET, model="m", endpoint=answering(scripted, body, status))
    assert scripted.keys[-1] == "Bearer sk-secret-1234"  # type: ignore[attr-defined]
    assert "secret" not in str(caught.value)
    assert MARKET[:20] not in str(caught.value)


def test_vectors_of_another_length_than_asked_are_refused(scripted: HTTPServer) -> None:
    address = answering(scripted, rows([1.0, 0.0]))
    with pytest.raises(AnnotatorError, match="gives vectors of 2 numbers, not 16 as asked: leave dimensions out"):
        measured(MARKET, model="m", endpoint=address, dimensions=16)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "either model .* or file"),
        ({"model": "m", "file": "f.bin"}, "either model .* or file"),
        ({"model": ""}, "model is ''"),
        ({"file": "f.bin", "dimensions": 8}, "for a model at a server, not for a file"),
        ({"model": "m", "characters": 0}, "characters is 0: give 1 or more"),
        ({"model": "m", "batch": 5000}, "batch is 5000: give 1 to 2,048"),
        ({"model": "m", "batch": True}, "batch is True"),
        ({"model": "m", "dimensions": 1.5}, "dimensions is 1.5"),
        ({"model": "m", "endpoint": "models.test"}, "endpoint 'models.test' is no address"),
        ({"model": "m", "endpoint": "http://me:word@models.test/v1"}, "must hold no user, password or query"),
    ],
)
def test_settings_that_make_no_sense_are_refused_at_once(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(AnnotatorError, match=message) as caught:
        annotator({"embedding": settings})
    assert "word@" not in str(caught.value)


@pytest.fixture(scope="module")
def word_vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import fasttext

    folder = tmp_path_factory.mktemp("vectors")
    (folder / "texts.txt").write_text("the cat sat on the mat and the dog ran home\n" * 50)
    model = fasttext.train_unsupervised(
        str(folder / "texts.txt"), dim=4, minCount=1, minn=0, maxn=0, epoch=1, thread=1, bucket=0, verbose=0
    )
    model.save_model(str(folder / "words.bin"))
    return folder / "words.bin"


def test_a_file_gives_the_mean_of_the_words(word_vectors: Path) -> None:
    import fasttext

    frame = measured("cat dog", "cat\ndog\n", "cat </s> dog", "zebra", "", file=str(word_vectors))
    model = fasttext.load_model(str(word_vectors))
    words = [model.get_word_vector(word) / np.linalg.norm(model.get_word_vector(word)) for word in ("cat", "dog")]
    mean = sum(words) / np.linalg.norm(sum(words))
    for row in (0, 1, 2):  # a line end, or what fastText takes for one, is only a space
        np.testing.assert_allclose(frame["embedding"][row].to_list(), mean, atol=1e-6)
    assert frame["embedding"].is_null().to_list() == [False, False, False, True, True]
    assert annotator({"embedding": {"file": str(word_vectors)}}).files == (word_vectors,)


def test_a_file_that_is_cut_off_is_named_before_fasttext_sees_it(word_vectors: Path, tmp_path: Path) -> None:
    content = word_vectors.read_bytes()
    check_word_vectors(word_vectors)
    damaged = tmp_path / "damaged.bin"
    for size in (*range(0, len(content), 7), len(content) - 1):
        damaged.write_bytes(content[:size])
        with pytest.raises(AnnotatorError, match=r"damaged\.bin"):
            check_word_vectors(damaged)
    damaged.write_bytes(content + b"\0")
    with pytest.raises(AnnotatorError, match="damaged or cut off"):
        measured("cat", file=str(damaged))
    with pytest.raises(AnnotatorError, match="is not there"):
        measured("cat", file=str(tmp_path / "none.bin"))


def test_the_mock_speaks_to_the_client_of_openai(server: MockModel) -> None:
    with OpenAI(base_url=server.base_url, api_key="none", max_retries=0) as client:
        asked = client.embeddings.create(model=MODEL, input=[BRIDGE, MARKET], dimensions=32)
        plain = client.embeddings.create(model=MODEL, input=MARKET, dimensions=32, encoding_format="float")
    assert [row.index for row in asked.data] == [0, 1]
    np.testing.assert_allclose(asked.data[1].embedding, plain.data[0].embedding, atol=1e-6)
    # 96 and 76 characters, 4 a token
    assert asked.usage.prompt_tokens == asked.usage.total_tokens == len(BRIDGE) // 4 + len(MARKET) // 4


def test_the_columns_are_plain_lists_for_any_reader(server: MockModel) -> None:
    one = annotator({"embedding": {"model": MODEL, "endpoint": server.base_url}})
    assert [(field.name, field.type) for field in one.columns] == [
        ("embedding", pa.list_(pa.float32())),
        ("n_embedded", pa.int64()),
    ]
