"""Tokenizers, packing, ordering and formats of training shards."""

from lakehouse.shard.errors import ShardError, TokenizerError
from lakehouse.shard.formats import FileDigest, read_megatron, token_type, write_index, write_parquet
from lakehouse.shard.manifest import take_over, verify_manifest, write_manifest
from lakehouse.shard.packing import Packing, pack
from lakehouse.shard.plan import ShardPlan, plan_shards, shard_stem
from lakehouse.shard.tokenizer import Encoder, encoder_for, load_definition, tokenize, tokenizer_id, train_tokenizer
from lakehouse.shard.write import PlacingUnit, ShardFiles, ShardSet, ShardUnit, finish_shard, lay_out, place_tokens

__all__ = [
    "Encoder",
    "FileDigest",
    "Packing",
    "PlacingUnit",
    "ShardError",
    "ShardFiles",
    "ShardPlan",
    "ShardSet",
    "ShardUnit",
    "TokenizerError",
    "encoder_for",
    "finish_shard",
    "lay_out",
    "load_definition",
    "pack",
    "place_tokens",
    "plan_shards",
    "read_megatron",
    "shard_stem",
    "take_over",
    "token_type",
    "tokenize",
    "tokenizer_id",
    "train_tokenizer",
    "verify_manifest",
    "write_index",
    "write_manifest",
    "write_parquet",
]
