"""What peers take for MinHash signatures, and DataTrove's near duplicates. Runs in an environment that has the peer.

    python benchmarks/duplicate_peers.py datatrove < texts.jsonl
    python benchmarks/duplicate_peers.py text_dedup < texts.jsonl
    python benchmarks/duplicate_peers.py remove TEXTS FOLDER [--workers 2] [--white-space]

`texts.jsonl` has one JSON string a line. Printed are the seconds of processor of each way to use the peer, for five
words in a row and 14 bands of 8 rows; nothing is read, written or compared meanwhile. DataTrove 0.10.1 needs xxhash
below 4, tokenizers and orjson.

`remove` runs DataTrove's four stages on the JSON lines (id and text) in TEXTS; what stays is in FOLDER/kept. Its words
are those of spaCy's English tokenizer, or with `--white-space` those of a tokenizer of one's own, which it takes too.
"""

from __future__ import annotations

import argparse
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


def remove(texts: str, folder: str, workers: int, white_space: bool) -> None:
    """Remove near duplicates with DataTrove's defaults: five words in a row, 14 buckets of 8 hashes."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import (
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter
    from datatrove.utils.word_tokenizers import WhitespaceTokenizer
    from datatrove.utils.word_tokenizers import load_word_tokenizer as tokenizer_of

    class Whitespace(WhitespaceTokenizer):  # the peer's own of that name runs spaCy
        def word_tokenize(self, text: str) -> list[str]:
            return text.split()

    config = MinhashConfig()
    signatures, buckets, removed, kept = (f"{folder}/{name}" for name in ("signatures", "buckets", "removed", "kept"))
    words = tokenizer_of(Whitespace() if white_space else "eng")
    stages = [
        ([JsonlReader(texts), MinhashDedupSignature(signatures, config, words)], workers),
        ([MinhashDedupBuckets(signatures, buckets, config=config)], config.num_buckets),
        ([MinhashDedupCluster(buckets, removed, config=config)], 1),
        ([JsonlReader(texts), MinhashDedupFilter(removed), JsonlWriter(kept, compression=None)], workers),
    ]
    for number, (stage, tasks) in enumerate(stages, 1):
        logs = f"{folder}/logs/{number}"
        LocalPipelineExecutor(stage, tasks=tasks, workers=min(tasks, workers), logging_dir=logs).run()


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
    """Print the seconds of each way to use the peer, or remove near duplicates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, ways in (("datatrove", datatrove), ("text_dedup", text_dedup)):
        commands.add_parser(name).set_defaults(run=show_seconds, ways=ways)
    command = commands.add_parser("remove")
    command.add_argument("texts")
    command.add_argument("folder")
    command.add_argument("--workers", type=int, default=2)
    command.add_argument("--white-space", action="store_true")
    command.set_defaults(run=remove)
    arguments = vars(parser.parse_args())
    arguments.pop("run")(**arguments)


def show_seconds(ways: Callable[[], dict[str, Sign]]) -> None:
    """Print the seconds of each way to make signatures of the texts in the standard input."""
    texts = [json.loads(line) for line in sys.stdin]
    seconds = {}
    for name, sign in ways().items():
        sign("The first text loads what the peer needs for it.")
        start = time.process_time()
        for text in texts:
            sign(text)
        seconds[name] = time.process_time() - start
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
