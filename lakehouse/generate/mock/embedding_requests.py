"""Requests for embeddings to the mock model, and the form of their answers."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

from lakehouse import identity
from lakehouse.generate.mock.api_error import ApiError
from lakehouse.generate.mock.completions import tokens_of
from lakehouse.generate.mock.embedding import DIMENSIONS, embed

_MOST_INPUTS = 2048  # texts of one request
_MOST_DIMENSIONS = 4096


@dataclass(frozen=True)
class AskedVectors:
    """A request for the vectors of texts."""

    model: str
    texts: list[str]
    dimensions: int
    encoding: str  # float or base64

    @property
    def prompt(self) -> str:
        """All texts, a line each."""
        return "\n".join(self.texts)

    @property
    def request_hash(self) -> str:
        """The same for the same model, texts and dimensions."""
        return identity.hash_of("embedding", self.model, self.dimensions, *self.texts)

    @property
    def tokens(self) -> int:
        """Estimated tokens of all texts."""
        return sum(tokens_of(text) for text in self.texts)

    def as_json(self) -> dict[str, Any]:
        """The answer as an object of the OpenAI API."""
        vectors = [embed(text, self.dimensions) for text in self.texts]
        data = [
            {
                "object": "embedding",
                "index": place,
                "embedding": base64.b64encode(vector.astype("<f4").tobytes()).decode()
                if self.encoding == "base64"
                else vector.tolist(),
            }
            for place, vector in enumerate(vectors)
        ]
        usage = {"prompt_tokens": self.tokens, "total_tokens": self.tokens}
        return {"object": "list", "model": self.model, "data": data, "usage": usage}


def parse(content: bytes) -> AskedVectors:
    """Read the body of a request.

    Raises:
        ApiError: it is no request that can be answered.
    """
    try:
        asked = json.loads(content)
        given, model = asked["input"], asked["model"]
        texts = [given] if isinstance(given, str) else list(given)
        dimensions, form = asked.get("dimensions") or DIMENSIONS, asked.get("encoding_format") or "float"
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise ApiError(400, "the body is no request for embeddings") from None
    if not isinstance(model, str):
        raise ApiError(400, "model is no text", param="model")
    if not 1 <= len(texts) <= _MOST_INPUTS or not all(isinstance(text, str) and text for text in texts):
        raise ApiError(400, f"give 1 to {_MOST_INPUTS} texts, none of them empty", param="input")
    if type(dimensions) is not int or not 1 <= dimensions <= _MOST_DIMENSIONS or form not in ("float", "base64"):
        raise ApiError(400, "no such dimensions or encoding_format")
    return AskedVectors(model, texts, dimensions, form)
