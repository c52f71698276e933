"""Every table of the lake: its layer, its Arrow schema and its partition columns, in one place.

A table is named `<layer>/<name>`: `raw/web`, `filtered/web_clean`, `annotations/web/gopher_quality`. Column names are
the same everywhere they mean the same. Shares are 0..1, sizes are bytes, times are UTC, money is decimal dollars.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl
import pyarrow as pa

UTC_TIME = pa.timestamp("us", tz="UTC")

TEXT_COLUMNS = [
    pa.field("doc_id", pa.string(), nullable=False),  # hash of where the row comes from
    pa.field("text_id", pa.string(), nullable=False),  # hash of the normalised text
    pa.field("snapshot", pa.string(), nullable=False),
    pa.field("source", pa.string(), nullable=False),  # name of the raw source
    pa.field("text", pa.string(), nullable=False),
    pa.field("n_chars", pa.int64(), nullable=False),
    pa.field("n_words", pa.int64(), nullable=False),  # runs of characters between white space
    pa.field("parents", pa.list_(pa.string()), nullable=False),  # doc_id of each row that this one is made from
]

ORIGIN_COLUMNS = [
    pa.field("url", pa.string()),
    pa.field("host", pa.string()),
    pa.field("warc_file", pa.string()),  # path below the landing folder
    pa.field("warc_offset", pa.int64()),
    pa.field("warc_length", pa.int64()),
]

LANGUAGE_COLUMNS = [
    pa.field("language", pa.string()),  # ISO 639-1 where there is one, else 639-3; "und" where undetermined
    pa.field("language_score", pa.float64()),
]

EDITS = pa.list_(
    pa.struct(
        [
            pa.field("start", pa.int64()),  # first character, in code points of the text
            pa.field("end", pa.int64()),  # the one after the last
            pa.field("rule", pa.string()),  # why
            pa.field("replacement", pa.string()),  # what stands there instead; "" removes
        ]
    )
)
"""Edits of one text: spans in order that do not overlap."""

RAW = pa.schema(
    [
        *TEXT_COLUMNS,
        *ORIGIN_COLUMNS,
        pa.field("fetched_at", UTC_TIME),
        pa.field("http_status", pa.int64()),
        pa.field("content_type", pa.string()),
        pa.field("charset", pa.string()),
        pa.field("digest", pa.string()),
        pa.field("title", pa.string()),
        pa.field("license", pa.string()),  # address or name that the page or its headers declare
        pa.field("consent", pa.string()),  # "allowed", or the signal that forbids training, such as "noai"
        *LANGUAGE_COLUMNS,
    ]
)

REJECTS = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("snapshot", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("stage", pa.string(), nullable=False),  # record, extract, language, quality, duplicates, gate, …
        pa.field("rule", pa.string(), nullable=False),  # the first rule that failed
        pa.field("value", pa.float64()),  # what was measured, where it is a number
        pa.field("threshold", pa.float64()),
        pa.field("evidence", pa.string()),  # what was found, where it is not a number
        pa.field("failed", pa.list_(pa.string()), nullable=False),  # every rule that failed, in order
        pa.field("kept_id", pa.string()),  # the copy that was kept instead
        pa.field("cluster_id", pa.string()),
        pa.field("similarity", pa.float64()),
        pa.field("parents", pa.list_(pa.string())),  # what a dropped row was made from, where it is not a row itself
        *ORIGIN_COLUMNS,
    ]
)

FILES = pa.schema(
    [
        pa.field("snapshot", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("warc_file", pa.string(), nullable=False),
        pa.field("format", pa.string(), nullable=False),  # warc, wet, wat, arc, empty or unknown
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("bytes_read", pa.int64(), nullable=False),
        pa.field("records", pa.int64(), nullable=False),
        pa.field("documents", pa.int64(), nullable=False),
        pa.field("rejected", pa.int64(), nullable=False),  # records that are in the reject ledger
        pa.field("skipped", pa.int64(), nullable=False),  # records that never hold a document: warcinfo, request, …
        pa.field("error", pa.string()),
        pa.field("error_offset", pa.int64()),
    ]
)

FILTERED = pa.schema(
    [
        *TEXT_COLUMNS,
        *ORIGIN_COLUMNS,
        pa.field("title", pa.string()),
        pa.field("license", pa.string()),
        *LANGUAGE_COLUMNS,
        pa.field("n_edits", pa.int64(), nullable=False),
        pa.field("edits", EDITS),  # what was removed and replaced, in characters of the source's text
        pa.field("duplicates", pa.int64(), nullable=False),  # copies that this row stands for, itself included
        pa.field("hosts", pa.list_(pa.string())),  # of those copies, where there are several
        pa.field("fetched_at", UTC_TIME),
        pa.field("depth", pa.int64()),  # of text that a model wrote: 1 for a rewrite, 2 for a rewrite of a rewrite
    ]
)

PAIRS = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("snapshot", pa.string(), nullable=False),
        pa.field("other_id", pa.string(), nullable=False),  # of the same snapshot, of one before, or of another table
        pa.field("other_snapshot", pa.string(), nullable=False),
        pa.field("other_table", pa.string(), nullable=False),
        pa.field("similarity", pa.float64(), nullable=False),
    ]
)
"""Documents that were compared and found alike: each pair once, with the later document first."""

GENERATIONS = pa.schema(
    [
        pa.field("request_id", pa.string(), nullable=False),  # hash of messages, model and sampling parameters
        pa.field("doc_id", pa.string(), nullable=False),  # the anchor document
        pa.field("snapshot", pa.string(), nullable=False),
        pa.field("recipe", pa.string(), nullable=False),
        pa.field("recipe_version", pa.string(), nullable=False),
        pa.field("step", pa.string()),  # of the recipe
        pa.field("model", pa.string(), nullable=False),
        pa.field("params_hash", pa.string(), nullable=False),
        pa.field("prompt_hash", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),  # "ok" or "error"
        pa.field("response", pa.string()),
        pa.field("finish_reason", pa.string()),
        pa.field("prompt_tokens", pa.int64()),
        pa.field("completion_tokens", pa.int64()),
        pa.field("cost_usd", pa.decimal128(18, 9)),
        pa.field("latency_ms", pa.float64()),
        pa.field("tries", pa.int64()),
        pa.field("error", pa.string()),
        pa.field("reused_from", pa.string()),  # the journal that has paid for the answer; null: this one
        pa.field("created_at", UTC_TIME, nullable=False),
    ]
)

GATE_MEASURES = [
    pa.field("language_kept", pa.float64()),  # 1: the language is the one that it has to be, 0: it is another
    pa.field("length_ratio", pa.float64()),  # characters of the output per character of what it was made from
    pa.field("copied_share", pa.float64()),  # share of the output's word 5-grams that stand there
    pa.field("ngram_similarity", pa.float64()),
    pa.field("embedding_similarity", pa.float64()),  # cosine
    pa.field("numbers_kept", pa.float64()),
    pa.field("numbers_added", pa.float64()),
    pa.field("names_kept", pa.float64()),
    pa.field("structure_kept", pa.float64()),
    pa.field("repetition", pa.float64()),
    pa.field("quality", pa.float64()),
    pa.field("round_trip", pa.float64()),
    pa.field("judge", pa.float64()),
    pa.field("compiles", pa.float64()),  # 1 or 0
    pa.field("lint", pa.float64()),  # 0..10
    pa.field("words", pa.float64()),
]
"""What gates measure of an output; null where a recipe has no such gate."""

SYNTHETIC = pa.schema(
    [
        *TEXT_COLUMNS,
        *LANGUAGE_COLUMNS,
        pa.field("recipe", pa.string(), nullable=False),
        pa.field("recipe_version", pa.string(), nullable=False),
        pa.field("model", pa.string(), nullable=False),  # "none" where no model wrote it
        pa.field("request_id", pa.string(), nullable=False),  # the last call that it is made from; "" without any
        pa.field("request_ids", pa.list_(pa.string())),  # all of them
        pa.field("depth", pa.int64(), nullable=False),  # 1: a rewrite; 2: a rewrite of a rewrite
        pa.field("outputs", pa.int64()),  # how many it is made of
        pa.field("attributes", pa.string()),  # JSON: what was drawn, and the values that the recipe keeps
        pa.field("programs", pa.list_(pa.string())),  # that edited the anchor
        pa.field("edits", EDITS),  # in characters of the anchor's text
        *GATE_MEASURES,  # the mean of its outputs
    ]
)

JUDGEMENTS = pa.schema(
    [
        pa.field("unit_id", pa.string(), nullable=False),  # of the output; doc_id in the reject ledger
        pa.field("doc_id", pa.string()),  # of the synthetic document that it is part of
        pa.field("snapshot", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("parents", pa.list_(pa.string()), nullable=False),  # the anchors
        pa.field("recipe", pa.string(), nullable=False),
        pa.field("recipe_version", pa.string(), nullable=False),
        pa.field("model", pa.string(), nullable=False),
        pa.field("request_ids", pa.list_(pa.string()), nullable=False),
        pa.field("n_chars", pa.int64(), nullable=False),
        pa.field("accepted", pa.bool_(), nullable=False),
        pa.field("gate", pa.string()),  # the first that failed
        pa.field("value", pa.float64()),
        pa.field("threshold", pa.float64()),
        pa.field("evidence", pa.string()),
        pa.field("failed", pa.list_(pa.string()), nullable=False),  # every gate that failed
        *GATE_MEASURES,
    ]
)
"""Every output of a synthetic set, accepted or not, with what its gates measured."""

DIVERSITY = pa.schema(
    [
        pa.field("snapshot", pa.string(), nullable=False),
        pa.field("recipe", pa.string(), nullable=False),
        pa.field("side", pa.string(), nullable=False),  # synthetic or anchors
        pa.field("measure", pa.string(), nullable=False),
        pa.field("value", pa.float64()),
    ]
)

CLASSIFIERS = pa.schema(
    [
        pa.field("classifier_id", pa.string(), nullable=False),  # hash of the model and its card
        pa.field("model", pa.binary(), nullable=False),  # the fastText model's file
        pa.field("model_hash", pa.string(), nullable=False),  # XXH3 of it
        pa.field("card", pa.string(), nullable=False),  # JSON: labels, text form, calibration, parameters, seed
        pa.field("metrics", pa.string(), nullable=False),  # JSON: figures on the test part
        pa.field("roc_auc", pa.float64(), nullable=False),  # on the test part
        pa.field("seed", pa.int64(), nullable=False),
    ]
)

EXAMPLES = pa.schema(
    [
        pa.field("text_id", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),  # train, validation or test
        pa.field("source", pa.string(), nullable=False),  # the file or the table that it came from
        pa.field("text", pa.string(), nullable=False),
        pa.field("score", pa.float64(), nullable=False),  # probability of the positive label
    ]
)

TOKENIZERS = pa.schema(
    [
        pa.field("tokenizer_id", pa.string(), nullable=False),  # SHA-256 of the definition
        pa.field("vocabulary_size", pa.int64(), nullable=False),
        pa.field("trained_documents", pa.int64(), nullable=False),  # 0: the definition was given
        pa.field("trained_bytes", pa.int64(), nullable=False),
        pa.field("end_of_document", pa.int64(), nullable=False),  # id of the token between documents
        pa.field("definition", pa.string(), nullable=False),  # the whole tokenizer.json
    ]
)

TOKENS = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("snapshot", pa.string(), nullable=False),
        pa.field("component", pa.string(), nullable=False),  # the table that the document is in
        pa.field("text_id", pa.string(), nullable=False),
        pa.field("text_hash", pa.int64(), nullable=False),  # XXH3 of the very text: text_id is of its normalised form
        pa.field("n_tokens", pa.int64(), nullable=False),  # end-of-document token included
        pa.field("token_ids", pa.list_(pa.int32()), nullable=False),
    ]
)

MIXTURES = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("snapshot", pa.string(), nullable=False),
        pa.field("component", pa.string(), nullable=False),
        pa.field("text_id", pa.string(), nullable=False),
        pa.field("stage", pa.int64(), nullable=False),
        pa.field("repeats", pa.int64(), nullable=False),  # how often the document is read: its epochs
        pa.field("tokens", pa.int64(), nullable=False),  # of one repeat
        pa.field("order_key", pa.int64(), nullable=False),
        pa.field("parents", pa.list_(pa.string()), nullable=False),
    ]
)

SHARDS = pa.schema(
    [
        pa.field("sequence_id", pa.string(), nullable=False),  # <name>-<shard>-<sequence>
        pa.field("shard", pa.int64(), nullable=False),
        pa.field("sequence", pa.int64(), nullable=False),  # place in the shard, from 0
        pa.field("n_tokens", pa.int64(), nullable=False),  # without padding
        pa.field("padding", pa.int64(), nullable=False),
        pa.field("file", pa.string(), nullable=False),  # the shard's file below the training folder, without suffix
        pa.field(
            "documents",
            pa.list_(
                pa.struct(
                    [
                        pa.field("doc_id", pa.string()),
                        pa.field("start", pa.int64()),  # first token's place in the sequence
                        pa.field("length", pa.int64()),
                        pa.field("document_start", pa.int64()),  # first token's place in the document
                    ]
                )
            ),
            nullable=False,
        ),
    ]
)


def annotation_schema(columns: Sequence[pa.Field]) -> pa.Schema:
    """Schema of an annotator's table: the document's id and snapshot, then what the annotator measures."""
    return pa.schema(
        [pa.field("doc_id", pa.string(), nullable=False), pa.field("snapshot", pa.string(), nullable=False), *columns]
    )


@dataclass(frozen=True)
class Layer:
    """What the tables of one layer have in common. `schema` is None where each table has its own."""

    schema: pa.Schema | None
    partition_by: tuple[str, ...]
    description: str


BY_SNAPSHOT = ("snapshot",)

LAYERS = {
    "raw": Layer(RAW, BY_SNAPSHOT, "text documents as they were fetched"),
    "files": Layer(FILES, BY_SNAPSHOT, "what became of each archive file"),
    "annotations": Layer(None, BY_SNAPSHOT, "one annotator's measurements of one set"),
    "pairs": Layer(PAIRS, BY_SNAPSHOT, "documents that are alike, compared pair by pair"),
    "filtered": Layer(FILTERED, BY_SNAPSHOT, "documents that passed every rule"),
    "rejects": Layer(REJECTS, BY_SNAPSHOT, "the reject ledger: what was dropped, where, by which rule"),
    "generations": Layer(GENERATIONS, (), "the journal of model calls"),
    "synthetic": Layer(SYNTHETIC, BY_SNAPSHOT, "accepted generated documents"),
    "judgements": Layer(JUDGEMENTS, BY_SNAPSHOT, "what gates measured of each output of a model"),
    "diversity": Layer(DIVERSITY, BY_SNAPSHOT, "how varied synthetic texts are, beside their anchors"),
    "classifiers": Layer(CLASSIFIERS, (), "trained classifiers of texts, one row each"),
    "examples": Layer(EXAMPLES, (), "what classifiers were trained and judged on"),
    "tokenizers": Layer(TOKENIZERS, (), "tokenizer definitions"),
    "tokens": Layer(TOKENS, BY_SNAPSHOT, "token ids of each candidate document of a mixture"),
    "mixtures": Layer(MIXTURES, (), "which documents are trained on, how often, in which order"),
    "shards": Layer(SHARDS, (), "training sequences and the place of each document in them"),
    "stats": Layer(None, (), "corpus statistics that dbt builds"),
}

# A name that begins with a digit would have to be quoted in SQL.
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_SNAPSHOT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class TableNameError(ValueError):
    """A table, snapshot or set name that is not allowed."""


def check_name(name: str, what: str = "name") -> str:
    """Return `name` if it can be part of a table's name: a lower-case letter, then also digits and single underscores.

    Raises:
        TableNameError: otherwise.
    """
    if not _NAME.fullmatch(name) or "__" in name:
        raise TableNameError(
            f"{what} {name!r} is not allowed: use lower-case letters, digits and single underscores, a letter first."
        )
    return name


def check_snapshot(snapshot: str) -> str:
    """Return `snapshot` if it can name a partition: letters, digits, '.', '_' and '-'.

    Raises:
        TableNameError: otherwise.
    """
    # DuckDB takes the folder `snapshot=null` for rows without a snapshot, and Dagster `a...b` for a range.
    if not _SNAPSHOT.fullmatch(snapshot) or snapshot.lower() == "null" or "..." in snapshot:
        raise TableNameError(
            f"snapshot {snapshot!r} is not allowed: use letters, digits, '.', '_' and '-' "
            "(a crawl id such as CC-MAIN-2026-43, or a date)."
        )
    return snapshot


def layer_of(table: str) -> Layer:
    """Return the layer of `table` and check its name.

    Raises:
        TableNameError: the layer is unknown or a part of the name is not allowed.
    """
    layer, *parts = table.split("/")
    # A table in the folder of another would be what vacuum finds there and no version needs.
    if layer not in LAYERS or len(parts) != (2 if layer in ("annotations", "pairs") else 1):
        layers = ", ".join(LAYERS)
        raise TableNameError(
            f"table {table!r} is unknown: a table is <layer>/<name>, annotations/<set>/<annotator> or "
            f"pairs/<set>/<annotator>, with a layer of {layers}."
        )
    for part in parts:
        check_name(part, "table name")
    return LAYERS[layer]


def sql_name(table: str) -> str:
    """The view's name in SQL: `raw/web` is `raw.web`, `annotations/web/language` is `annotations.web__language`."""
    layer, *parts = table.split("/")
    return f"{layer}.{'__'.join(parts)}"


def empty(schema: pa.Schema) -> pl.DataFrame:
    """A frame without rows that has the schema's columns and types."""
    frame = pl.from_arrow(schema.empty_table())
    assert isinstance(frame, pl.DataFrame)
    return frame


def conform(frame: pl.DataFrame, schema: pa.Schema) -> pa.Table:
    """Cast `frame` to `schema`: columns in its order, missing nullable columns filled with nulls.

    Raises:
        ValueError: a column that must not be null is missing or holds nulls, or a column is not in the schema.
    """
    unknown = set(frame.columns) - set(schema.names)
    if unknown:
        raise ValueError(f"columns {sorted(unknown)} are not in the schema")
    table = frame.to_arrow()
    columns = []
    for field in schema:
        if field.name in table.column_names:
            column = table.column(field.name).cast(field.type)
        else:
            column = pa.nulls(len(table), field.type)
        if not field.nullable and column.null_count:
            raise ValueError(f"column {field.name!r} must not be null: {column.null_count} of {len(table)} rows are")
        columns.append(column)
    return pa.table(columns, schema=schema)
