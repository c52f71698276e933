"""Tokenizers: trained on the lake or given by the user, always a Hugging Face `tokenizer.json`.

`tokenizers` trains and is the reference for what ids a text has; `kitoken` encodes, three times as fast. An `Encoder`
exists only where the two agree.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import kitoken
import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import xxhash
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from lakehouse import schema
from lakehouse.shard.errors import TokenizerError

END_OF_DOCUMENT = "<|endoftext|>"
KNOWN_ENDS = (END_OF_DOCUMENT, "</s>", "<|end_of_text|>", "<eos>")
"""Tokens that end a document in the tokenizers people use, in the order in which they are looked for."""

SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"  # English contractions
    r"|[^\r\n\p{L}\p{M}\p{N}]?[\p{L}\p{M}]+"  # a word, with the space or mark before it
    r"|\p{N}{1,3}"  # numbers by threes, so that no vocabulary is spent on long ones
    r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"  # punctuation and symbols
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"  # line ends, white space
)
"""Where text is cut before merging: the split of GPT-4 and Llama 3, except that combining marks belong to words.
Without that, Hindi, Thai or Tamil words fall apart at every vowel sign."""

MAX_TOKEN_BYTES = 48
"""Without a limit, a boilerplate sentence of a script without spaces becomes one token."""

MIN_PAIR_COUNT = 2

_BYTES = 256
_TRAINED_CHARACTERS = 96
_BATCH_CHARACTERS = 4_000_000

_PROBE = (
    "The crawl's 1st page; it'S 12345.67 words' worth,\tisn't it?  \n\n  \r\nA\u0301 naïve ﬁt of Straße İstanbul česky "
    "русский ελληνικά עברית العربية हिन्दी தமிழ் ภาษาไทย 中文、日本語 한국어 "
    "१२३ ½① 👩\u200d👧 x = {'a': [1, 2]} -> None  # …\n"
)
_PROBE_CUT = _PROBE.index(" words")

# A run of a million spaces overflows the stack of kitoken's regular expressions and aborts the process, so it sees no
# text that long. Before a space that follows a word, byte-level BPE splits anyway: there a cut changes no id.
_PART_CHARACTERS = 200_000
_SAFE_CUT = re.compile(r"(?<=\S) (?=\S)")


def train_tokenizer(texts: Iterable[str], *, vocabulary_size: int) -> str:
    """Train a byte-level BPE tokenizer whose only special token, `END_OF_DOCUMENT`, has id 0.

    Every byte is in the vocabulary, so there is no unknown token and decoding gives the text back. The same texts in
    the same order give the same definition byte for byte.

    Args:
        texts: read once; memory grows with the number of distinct words, so pass a sample of a large corpus.
        vocabulary_size: an upper limit; small corpora run out of pairs that occur twice before it is reached.

    Returns:
        The definition: the content of a `tokenizer.json`.

    Raises:
        TokenizerError: the vocabulary cannot hold all bytes, or there is no text.

    Source: Sennrich et al., Neural Machine Translation of Rare Words with Subword Units; bytes as in Radford et al.,
    Language Models are Unsupervised Multitask Learners.
    """
    if vocabulary_size <= _BYTES:
        raise TokenizerError(
            f"vocabulary_size is {vocabulary_size}: all bytes and {END_OF_DOCUMENT} need {_BYTES + 1}."
        )
    words = pre_tokenizers.Split(Regex(SPLIT), behavior="isolated")
    # Training takes quadratic time in the length of a word, and one page can be a single word of a million letters.
    pieces = pre_tokenizers.Split(Regex(rf"[\s\S]{{1,{_TRAINED_CHARACTERS}}}"), behavior="isolated")
    as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([words, pieces, as_bytes])
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        min_frequency=MIN_PAIR_COUNT,
        max_token_length=MAX_TOKEN_BYTES,
        special_tokens=[END_OF_DOCUMENT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_some(texts), trainer)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([words, as_bytes])
    return tokenizer.to_str()


def _some(texts: Iterable[str]) -> Iterator[str]:
    empty = True
    for text in texts:
        empty = empty and not text
        yield text
    if empty:
        raise TokenizerError("there is no text to train a tokenizer on: build the sets it is to be trained on first.")


def load_definition(path: Path) -> str:
    """Read a `tokenizer.json`.

    Raises:
        TokenizerError: the file is missing or is no tokenizer definition.
    """
    try:
        definition = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TokenizerError(f"{path} cannot be read as a tokenizer.json: {error}") from error
    _reference(definition, str(path))
    return definition


def tokenizer_id(definition: str) -> str:
    """SHA-256 of the definition, in hexadecimal digits."""
    return hashlib.sha256(definition.encode()).hexdigest()


class Encoder:
    """Turns texts into token ids and back.

    The text of a special token inside a document is encoded as ordinary text, so a page cannot end a document or open a
    chat turn. Not picklable: pass the definition to worker processes and call `encoder_for` there.

    Attributes:
        tokenizer_id: SHA-256 of the definition.
        vocabulary_size: one more than the largest id.
        end_of_document: id of the token between documents.
    """

    def __init__(self, definition: str, end_of_document: str | None = None) -> None:
        """Load a definition.

        Args:
            end_of_document: the token between documents; needed where the tokenizer has none of `KNOWN_ENDS`.

        Raises:
            TokenizerError: the definition cannot be read, has no such token, or is of a kind that the fast encoder
                does not reproduce exactly.
        """
        self.tokenizer_id = tokenizer_id(definition)
        self._tokenizers = _reference(definition, "the tokenizer definition")
        vocabulary = self._tokenizers.get_vocab(with_added_tokens=True)
        self.vocabulary_size = max(vocabulary.values()) + 1
        self.end_of_document = _end_of_document(vocabulary, end_of_document)
        try:
            self._kitoken = kitoken.Kitoken.from_tokenizers(_without_specials(definition).encode())
        except ValueError as error:
            raise TokenizerError(
                f"the tokenizer definition is of a kind that cannot be encoded fast: {error}"
            ) from error
        self._check_agreement(definition)
        head, tail = self.encode([_PROBE[:_PROBE_CUT], _PROBE[_PROBE_CUT:]])
        self._can_cut = np.array_equal(np.concatenate([head, tail]), self.encode([_PROBE])[0])

    def encode(self, texts: Sequence[str]) -> list[npt.NDArray[np.int32]]:
        """Token ids of each text, without an end-of-document token."""
        if any(len(text) > _PART_CHARACTERS for text in texts) and self._can_cut:
            return [np.concatenate([self._array(part) for part in _parts(text)]) for text in texts]
        return [np.array(ids, dtype=np.int32) for ids in self._kitoken.encode_all(list(texts))]

    def _array(self, text: str) -> npt.NDArray[np.int32]:
        return np.array(self._kitoken.encode(text), dtype=np.int32)

    def decode(self, ids: npt.ArrayLike) -> str:
        """The text of a run of ids, special tokens included; a character that was cut in two shows as U+FFFD."""
        return self._tokenizers.decode(np.asarray(ids).tolist(), skip_special_tokens=False)

    def _check_agreement(self, definition: str) -> None:
        if self._kitoken.encode(_PROBE) != self._tokenizers.encode(_PROBE, add_special_tokens=False).ids:
            raise TokenizerError(
                "this tokenizer is not supported: the fast encoder gives other ids than the tokenizers library. "
                "Byte-level BPE definitions (GPT-2, Llama 3, Qwen, …) work."
            )
        for token in _special_tokens(json.loads(definition)):
            if self._tokenizers.token_to_id(token) in self._kitoken.encode(f"a{token} b"):
                raise TokenizerError(
                    f"this tokenizer is not supported: the text {token!r} would become a special token."
                )


@functools.lru_cache(maxsize=4)
def encoder_for(definition: str, end_of_document: str | None = None) -> Encoder:
    """The `Encoder` of a definition, built once a process."""
    return Encoder(definition, end_of_document)


def tokenize(documents: pl.DataFrame, encoder: Encoder, known: pl.DataFrame | None = None) -> pl.DataFrame:
    """Encode n documents and end each with the end-of-document token.

    Args:
        documents: doc_id, snapshot, component, text_id, text; about 40 bytes of memory a token are needed for a batch
            of 4 million characters (or one longer document), 4 bytes a token for the rest.
        known: doc_id, text_hash and token_ids of documents that this tokenizer encoded before: they are not encoded
            again where the text is the same.

    Returns:
        n rows with the columns of `schema.TOKENS`, in the same order.
    """
    hashes = np.fromiter(map(_text_hash, documents["text"]), dtype=np.uint64, count=documents.height)
    documents = documents.with_columns(text_hash=pl.Series(hashes.view(np.int64)))
    if known is None:
        known = schema.empty(schema.TOKENS)
    known = known.select("doc_id", "text_hash", "token_ids")
    found = documents.drop("text").join(known, on=["doc_id", "text_hash"], how="left", maintain_order="left")
    is_new = found["token_ids"].is_null()
    row = pl.int_range(pl.len(), dtype=pl.Int64).alias("row")
    encoded = (
        found.select(row).filter(is_new).with_columns(token_ids=_encode(documents["text"].filter(is_new), encoder))
    )
    kept = found.select(row, "token_ids").filter(~is_new)
    token_ids = pl.concat([kept, encoded]).sort("row")["token_ids"]
    tokens = found.with_columns(n_tokens=token_ids.list.len().cast(pl.Int64), token_ids=token_ids)
    return tokens.select(schema.TOKENS.names)


def _encode(texts: pl.Series, encoder: Encoder) -> pl.Series:
    """The token ids of each text, with the end-of-document token."""
    end = np.array([encoder.end_of_document], dtype=np.int32)
    lengths = [np.zeros(1, dtype=np.int64)]
    values = [np.zeros(0, dtype=np.int32)]
    for batch in _batches(texts):
        encoded = encoder.encode(batch)
        lengths.append(np.fromiter((len(ids) + 1 for ids in encoded), dtype=np.int64, count=len(encoded)))
        values.append(np.concatenate([part for ids in encoded for part in (ids, end)]))
    offsets = np.cumsum(np.concatenate(lengths))
    return pl.Series(pa.LargeListArray.from_arrays(offsets, np.concatenate(values)))


def _text_hash(text: str) -> int:
    return xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass"))


def _batches(texts: pl.Series) -> Iterator[list[str]]:
    batch_of = texts.str.len_chars().cum_sum() // _BATCH_CHARACTERS
    for _, batch in pl.DataFrame({"batch": batch_of, "text": texts}).group_by("batch", maintain_order=True):
        yield batch["text"].to_list()


def _parts(text: str) -> Iterator[str]:
    start = 0
    while len(text) - start > _PART_CHARACTERS:
        end = start + _PART_CHARACTERS
        safe = _SAFE_CUT.search(text, start + _PART_CHARACTERS // 2, end)
        end = safe.start() if safe else end
        yield text[start:end]
        start = end
    yield text[start:]


def _reference(definition: str, what: str) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_str(definition)
    except Exception as error:  # tokenizers raises nothing narrower
        raise TokenizerError(f"{what} is no tokenizer.json: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _end_of_document(vocabulary: dict[str, int], wanted: str | None) -> int:
    for token in KNOWN_ENDS if wanted is None else (wanted,):
        if token in vocabulary:
            return vocabulary[token]
    if wanted is None:
        raise TokenizerError(
            f"the tokenizer has no end-of-document token that is known ({', '.join(KNOWN_ENDS)}): "
            "name its own with end_of_document."
        )
    raise TokenizerError(f"the tokenizer has no token {wanted!r}: end_of_document must be in its vocabulary.")


def _special_tokens(content: dict[str, Any]) -> set[str]:
    """Special tokens, except the one that stands for what the vocabulary lacks."""
    model = content["model"]
    unknown = model.get("unk_token")
    if model.get("unk_id") is not None:
        unknown = model["vocab"][model["unk_id"]][0]
    return {token["content"] for token in content.get("added_tokens") or () if token["special"]} - {unknown}


def _without_specials(definition: str) -> str:
    """The definition without special tokens, where the model is BPE.

    kitoken cuts a text at a special token's text even when it encodes it as ordinary text, which gives other ids than
    the tokenizers library has for it. What it does not know it does not cut.
    """
    content = json.loads(definition)
    model = content["model"]
    if model.get("type") != "BPE":
        return definition
    hidden = _special_tokens(content)
    content["added_tokens"] = [token for token in content.get("added_tokens") or () if token["content"] not in hidden]
    model["vocab"] = {token: number for token, number in model["vocab"].items() if token not in hidden}
    return json.dumps(content, ensure_ascii=False)
