"""Requests: what is sent to a model, and its identity, from which it is known whether it was sent before."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl

from lakehouse import identity
from lakehouse.generate.errors import GenerationError
from lakehouse.generate.recipe import Recipe

_SENTENCE_END = re.compile(r"[.!?…][\"'”’»)\]]*(?=\s)|[。！？][”’」』）]*|[।؟۔]")


@dataclass(frozen=True)
class Request:
    """One call: what a recipe asks a model about one document.

    `request_id` depends on messages, model and parameters alone: documents with the same text share it, and the answer.
    """

    request_id: str
    doc_id: str  # the anchor document
    snapshot: str
    recipe: str
    recipe_version: str
    model: str
    messages: list[dict[str, str]]
    params: dict[str, Any]  # temperature, top_p, max_tokens
    prompt_hash: str
    params_hash: str


def requests_for(documents: pl.DataFrame, recipe: Recipe, model: str) -> Iterator[Request]:
    """Yield the request about each document, in the order of the documents.

    Args:
        documents: columns doc_id, snapshot, text and language (null where it is unknown).
        recipe: what to ask.
        model: the model's name at the endpoint.

    Raises:
        GenerationError: a document has no text.
    """
    params = recipe.sampling.model_dump()
    params_hash = identity.hash_of(json.dumps(params, sort_keys=True))
    version = recipe.version
    for doc_id, snapshot, text, language in documents.select("doc_id", "snapshot", "text", "language").iter_rows():
        passage = cut(text or "", recipe.unit.max_chars)
        if not passage:
            raise GenerationError(f"document {doc_id} has no text to rewrite: leave empty documents out of the source.")
        messages = recipe.messages(passage, language or "und")
        prompt_hash = identity.hash_of(json.dumps(messages, sort_keys=True))
        yield Request(
            request_id=identity.hash_of(prompt_hash, model, params_hash),
            doc_id=doc_id,
            snapshot=snapshot,
            recipe=recipe.name,
            recipe_version=version,
            model=model,
            messages=messages,
            params=params,
            prompt_hash=prompt_hash,
            params_hash=params_hash,
        )


def cut(text: str, max_chars: int) -> str:
    """The beginning of a text, without outer white space: at most `max_chars` characters.

    A longer text is cut at the last end of a paragraph in the second half of that length; failing that at the last end
    of a sentence there, then at white space, then anywhere.
    """
    text = text.strip()
    if len(text) <= max_chars:
        return text
    # One character more, so that what ends exactly at the limit is seen to end.
    head, half = text[: max_chars + 1], max_chars // 2
    sentences = [match.end() for match in _SENTENCE_END.finditer(head, half) if match.end() <= max_chars]
    ends = [head.rfind("\n", half), *sentences[-1:], head.rfind(" ", half), max_chars]
    return text[: next(end for end in ends if end > 0)].rstrip()
