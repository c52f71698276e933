"""Tokenizers, packing, ordering and formats of training shards."""

from lakehouse.shard.errors import ShardError, TokenizerError
from lakehouse.shard.formats import FileDigest, read_megatron, token_type, write_megatron, write_parquet
from lakehouse.shard.manifest import verify_manifest, write_manifest
from lakehouse.shard.packing import Packing, pack
from lakehouse.shard.plan import ShardPlan, plan_shards, shard_stem
from lakehouse.shard.tokenizer import Encoder, encoder_for, load_definition, tokenize, tokenizer_id, train_tokenizer
from lakehouse.shard.write import ShardFiles, ShardUnit, ShuffleUnit, shuffle_tokens, write_shard

__all__ = [
    "Encoder",
    "FileDigest",
    "Packing",
    "ShardError",
    "ShardFiles",
    "ShardPlan",
    "ShardUnit",
    "ShuffleUnit",
    "TokenizerError",
    "encoder_for",
    "load_definition",
    "pack",
    "plan_shards",
    "read_megatron",
    "shard_stem",
    "shuffle_tokens",
    "token_type",
    "tokenize",
    "tokenizer_id",
    "train_tokenizer",
    "verify_manifest",
    "write_manifest",
    "write_megatron",
    "write_parquet",
    "write_shard",
]
