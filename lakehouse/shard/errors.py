"""What can go wrong between a mixture and its shards."""

from __future__ import annotations


class TokenizerError(ValueError):
    """A tokenizer cannot be trained, read or used. The message says what to do."""


class ShardError(ValueError):
    """Shards cannot be planned, written or read. The message names the document, sequence or file."""
