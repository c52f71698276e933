"""Embeddings: what a text is about as a vector, by a model server or by a fastText file of one's own."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from lakehouse.annotate.annotator import Annotator, AnnotatorError
from lakehouse.annotate.words import Batch
from lakehouse.models import LINE

ENDPOINT_VARIABLES = ("LAKEHOUSE_EMBEDDING_URL", "LAKEHOUSE_MODEL_URL")
"""Where the server's address is looked for when the settings do not say; the first one that is set counts."""

_VERSION = 1
_MOST_IN_BATCH = 2048  # what OpenAI's own API takes

Vectors = npt.NDArray[np.float32]


def embedding(
    *,
    model: str | None = None,
    endpoint: str | None = None,
    file: str | None = None,
    characters: int = 2000,
    batch: int = 64,
    dimensions: int | None = None,
) -> Annotator:
    """Measure the embedding of a text's beginning.

    Args:
        model: name of an embedding model at a server that speaks the OpenAI API.
        endpoint: the server's address, up to and with /v1. Without it the environment says: `ENDPOINT_VARIABLES`, which
            may change without anything being measured anew. The key is in LAKEHOUSE_API_KEY.
        file: in place of a model at a server, a fastText model's file (.bin): a text is the mean of its words' vectors.
        characters: of each text, from its beginning, that are looked at.
        batch: texts of one request.
        dimensions: numbers of a vector, where the model can be asked for fewer than it has.

    Returns:
        An annotator of `embedding` (a list of float32 of length 1, so that the inner product of two is their cosine;
        null for a text without characters, and where the model finds no direction in a text) and of `n_embedded`, how
        many characters were looked at.

    Raises:
        AnnotatorError: a setting is not allowed. A server that cannot be reached, an unknown model and a file that is
            missing or damaged are found when measuring begins.
    """
    _check(model, endpoint, file, characters, batch, dimensions)

    def measure(documents: Batch) -> pl.DataFrame:
        heads = documents.documents["text"].str.head(characters).str.strip_chars()
        wanted = (heads != "").arg_true()
        texts = heads.gather(wanted)
        found = np.zeros((0, 0), np.float32)
        if len(texts) and file is not None:
            found = _of_file(Path(file).resolve(), texts)
        elif len(texts):
            assert model is not None
            found = _of_server(texts, _address(endpoint), model, batch, dimensions)
        return pl.DataFrame(
            {"embedding": _lists(found, wanted.to_numpy(), len(heads)), "n_embedded": heads.str.len_chars()}
        )

    return Annotator(
        name="embedding",
        version=_VERSION,
        columns=(pa.field("embedding", pa.list_(pa.float32())), pa.field("n_embedded", pa.int64())),
        measure=measure,
        description=f"What the beginning of a text is about, as a vector of {model or Path(file or '').name}.",
        settings={
            "model": model,
            "endpoint": endpoint,
            "file": file,
            "characters": characters,
            "batch": batch,
            "dimensions": dimensions,
        },
        files=(Path(file),) if file else (),
    )


def _check(
    model: str | None,
    endpoint: str | None,
    file: str | None,
    characters: int,
    batch: int,
    dimensions: int | None,
) -> None:
    for name, text in (("model", model), ("endpoint", endpoint), ("file", file)):
        if text is not None and (not isinstance(text, str) or not text):
            raise AnnotatorError(f"embedding: {name} is {text!r}: give a text.")
    if (model is None) == (file is None):
        raise AnnotatorError("embedding: give either model (its name at a server) or file (a fastText model).")
    if file is not None and (endpoint is not None or dimensions is not None):
        raise AnnotatorError("embedding: endpoint and dimensions are for a model at a server, not for a file.")
    for name, number, most in (("characters", characters, None), ("batch", batch, _MOST_IN_BATCH)):
        if type(number) is not int or number < 1 or (most and number > most):
            raise AnnotatorError(f"embedding: {name} is {number!r}: give {f'1 to {most:,}' if most else '1 or more'}.")
    if dimensions is not None and (type(dimensions) is not int or dimensions < 1):
        raise AnnotatorError(f"embedding: dimensions is {dimensions!r}: give 1 or more, or leave it out.")
    if endpoint is not None:
        _check_address(endpoint, "endpoint")


def _check_address(address: str, what: str) -> None:
    parts = urlsplit(address)
    if parts.username or parts.password or parts.query:
        raise AnnotatorError(
            f"embedding: {what} must hold no user, password or query: put the key into LAKEHOUSE_API_KEY."
        )
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise AnnotatorError(f"embedding: {what} {address!r} is no address: give one like http://127.0.0.1:8000/v1.")


def _address(endpoint: str | None) -> str:
    if endpoint is not None:
        return endpoint
    for variable in ENDPOINT_VARIABLES:
        if address := os.environ.get(variable, "").strip():
            _check_address(address, variable)
            return address
    raise AnnotatorError(
        f"embedding: there is no server: set {ENDPOINT_VARIABLES[0]}, or endpoint, to its address up to and with /v1."
    )


def _of_server(texts: pl.Series, address: str, model: str, batch: int, dimensions: int | None) -> Vectors:
    # Here, because importing openai takes as long as importing Dagster.
    from lakehouse.annotate import embedding_server

    return embedding_server.embed(texts.to_list(), address, model, batch=batch, dimensions=dimensions)


def _of_file(file: Path, texts: pl.Series) -> Vectors:
    # fastText's words are what stands between spaces.
    spaced = pl.Series(Batch(texts.alias("text").to_frame()).spaced())
    vector_of = _loaded(file)
    return np.array([vector_of(line) for line in LINE.apply(spaced)], np.float32)


@cache
def _loaded(file: Path) -> Callable[[str], npt.NDArray[np.float32]]:
    """The vectors of sentences of a model, which is loaded once a process."""
    import fasttext

    from lakehouse.annotate.word_vectors import check_word_vectors

    check_word_vectors(file)
    try:
        loaded = fasttext.load_model(str(file))
    except (ValueError, RuntimeError, MemoryError) as error:
        raise AnnotatorError(f"{file} cannot be loaded: {error}") from error
    vector_of: Callable[[str], npt.NDArray[np.float32]] = loaded.get_sentence_vector
    return vector_of


def _lists(vectors: Vectors, places: npt.NDArray[np.uint32], rows: int) -> pl.Series:
    """The vectors at length 1 as lists, at their places among n rows; null elsewhere, and without a direction."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    sound = np.isfinite(lengths) & (lengths > 0)
    units = (vectors[sound] / lengths[sound, None]).astype(np.float32)
    offsets = np.zeros(rows + 1, np.int64)
    offsets[places[sound] + 1] = units.shape[1]
    missing = np.append(offsets[1:] == 0, False)
    starts = pa.array(np.cumsum(offsets), pa.int64(), mask=missing)
    found = pl.from_arrow(pa.LargeListArray.from_arrays(starts, pa.array(units.ravel(), pa.float32())))
    assert isinstance(found, pl.Series)
    return found
