"""The scripted embeddings of the mock model: similar words give similar vectors. No language model in it."""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from lakehouse import identity

DIMENSIONS = 256
"""Of a vector, where the request does not say."""

# Scripts without spaces are taken a character at a time.
_WORD = re.compile(r"[\u2e80-\ua4cf\uac00-\ud7ff\uf900-\ufaff]|[^\W\u2e80-\ua4cf\uac00-\ud7ff\uf900-\ufaff]+")
_LONGEST = 6  # long words say more than short ones, up to this many characters
_NEIGHBOURS = 0.5  # weight of two words that follow each other, so that their order counts for something


def embed(text: str, dimensions: int = DIMENSIONS) -> npt.NDArray[np.float32]:
    """A unit vector of a text, the same for the same text: a stand-in for an embedding, to try out a pipeline.

    Each word has a direction of its own, and so has each pair of neighbours; a text is the sum of its words, rare ones
    and long ones above all. A text without words has the direction of its characters.
    """
    words = [word.lower() for word in _WORD.findall(text)] or [f"no word {text.strip()}"]
    vector = np.zeros(dimensions)
    for word, count in sorted(Counter(words).items()):
        vector += np.sqrt(count) * min(len(word), _LONGEST) * _direction(word, dimensions)
    for pair, count in sorted(Counter(pairwise(words)).items()):
        vector += _NEIGHBOURS * np.sqrt(count) * _direction(" ".join(pair), dimensions)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


@lru_cache(maxsize=50_000)
def _direction(word: str, dimensions: int) -> npt.NDArray[np.float64]:
    """One of many directions, nearly at right angles to the others."""
    return np.random.default_rng(identity.order_key(0, "direction", word)).standard_normal(dimensions)
