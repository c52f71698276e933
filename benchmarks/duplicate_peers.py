"""Seconds that a peer takes for the MinHash signatures of given texts. Runs in an environment that has the peer.

    python benchmarks/duplicate_peers.py datatrove < texts.jsonl
    python benchmarks/duplicate_peers.py text_dedup < texts.jsonl

`texts.jsonl` has one JSON string a line. Printed are the seconds of processor of each way to use the peer, for five
words in a row and 14 bands of 8 rows; nothing is read, written or compared meanwhile. DataTrove 0.10.1 needs xxhash
below 4, and tokenizers.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

BANDS, ROWS, WORDS = 14, 8, 5

Sign = Callable[[str], Any]


def datatrove() -> dict[str, Sign]:
    """DataTrove with spaCy's English tokenizer, as it is installed, and with words that end at white space."""
    from datatrove.pipeline.dedup import MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig

    class Whitespace:
        def word_tokenize(self, text: str) -> list[str]:
            return text.split()

    def signer(step: MinhashDedupSignature) -> Sign:
        def sign(text: str) -> Any:
            shingles = step.get_shingles(text)
            return step.get_signature(shingles) if shingles.size else None  # as the step itself does

        return sign

    config = MinhashConfig(n_grams=WORDS, num_buckets=BANDS, hashes_per_bucket=ROWS)
    folder = tempfile.mkdtemp()
    installed, whitespace = MinhashDedupSignature(folder, config), MinhashDedupSignature(folder, config)
    whitespace.word_tokenizer = Whitespace()
    return {"as installed": signer(installed), "white space": signer(whitespace)}


def text_dedup() -> dict[str, Sign]:
    """text-dedup with its defaults (SHA-1, 64 bits), and with its fastest hash in 32 bits."""
    import numpy as np
    from text_dedup.minhash import embed_func
    from text_dedup.utils import sha1_hash, xxh3_32hash

    def signer(hash_function: Callable[[bytes], int], kind: type, prime: int) -> Sign:
        drawn = np.random.RandomState(1)
        settings = {
            "num_perm": BANDS * ROWS,
            "ngram_size": WORDS,
            "min_length": WORDS,
            "hashranges": [(band * ROWS, (band + 1) * ROWS) for band in range(BANDS)],
            "permutations": tuple(drawn.randint(least, prime, BANDS * ROWS, dtype=kind) for least in (1, 0)),
            "hash_func": hash_function,
            "dtype": kind,
            "max_hash": np.uint32(2**32 - 1),
            "modulo_prime": kind(prime),
        }
        return lambda text: embed_func(text, 0, **settings)

    return {
        "as installed": signer(sha1_hash, np.uint64, 2**61 - 1),
        "xxh3, 32 bits": signer(xxh3_32hash, np.uint32, 2**32 - 5),
    }


def main() -> None:
    """Print the seconds of each way to use the peer."""
    ways = {"datatrove": datatrove, "text_dedup": text_dedup}[sys.argv[1]]()
    texts = [json.loads(line) for line in sys.stdin]
    seconds = {}
    for name, sign in ways.items():
        sign("The first text loads what the peer needs for it.")
        start = time.process_time()
        for text in texts:
            sign(text)
        seconds[name] = time.process_time() - start
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
