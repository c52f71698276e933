"""What the page asks the lake. Answers are small: what is large is counted where it is."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import duckdb
import polars as pl

from lakehouse.crawl import FetchedPage, read_record
from lakehouse.lake import Lake, LakeError
from lakehouse.schema import sql_name
from lakehouse.version_views import create_version_views
from lakehouse.views import literal

BINS = 50
_ROWS = 1_000
_TEXT_CHARACTERS = 20_000
_TOKENS_A_CHARACTER = 0.25  # a guess, where nothing was tokenised yet
_NUMBERS = ("BIGINT", "INTEGER", "DOUBLE", "FLOAT")
_READING = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)


class QueryError(ValueError):
    """A query that cannot be answered. The message is for the person who wrote it."""


@dataclass(frozen=True)
class Score:
    """A measured column of a set's documents: `annotations/web/gopher_quality`, `n_words`, of `raw/web`."""

    table: str
    column: str
    documents: str

    @property
    def name(self) -> str:
        """As it is offered."""
        return f"{self.table}: {self.column}"


@dataclass(frozen=True)
class Staying:
    """What a threshold leaves. `tokens` are estimated for the documents that no mixture has tokenised."""

    documents: int
    all_documents: int
    tokens: int
    all_tokens: int
    estimated_documents: int


class Explorer:
    """Asks one lake, and nothing beside it: its connection reads no other files and writes none."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._connection = lake.connect()
        self._tables = set(lake.tables())
        self._connection.execute(f"SET allowed_directories = [{literal(str(lake.root))}]")
        self._connection.execute("SET enable_external_access = false")
        self._connection.execute("SET lock_configuration = true")

    def waterfall(self) -> pl.DataFrame:
        """What became of every record: the mart `stats/waterfall`, without rows until it is built."""
        if "stats/waterfall" not in self._tables:
            return pl.DataFrame()
        return self._ask('SELECT "table", step, stage, rule, documents, tokens FROM stats.waterfall ORDER BY position')

    def sets(self) -> list[str]:
        """The tables of documents that statistics were made of."""
        if "stats/documents" not in self._tables:
            return []
        return self._ask('SELECT DISTINCT "table" FROM stats.documents ORDER BY ALL')["table"].to_list()

    def largest(self, table: str, column: str, most: int = 20) -> pl.DataFrame:
        """The largest groups of a set by language or host: `group`, documents, words, tokens."""
        if column not in ("language", "host", "source", "snapshot"):
            raise QueryError(f"{column!r} is nothing to group by.")
        query = f"""
            SELECT coalesce({column}, 'none') AS "group", sum(documents)::BIGINT AS documents,
                   sum(words)::BIGINT AS words, coalesce(sum(tokens), 0)::BIGINT AS tokens
            FROM stats.documents WHERE "table" = $table GROUP BY ALL ORDER BY documents DESC, "group" LIMIT {most:d}
        """
        return self._ask(query, {"table": table})

    def scores(self) -> list[Score]:
        """Every number that is measured of documents."""
        found = []
        for table in sorted(self._tables):
            layer, *parts = table.split("/")
            documents = table
            if layer == "annotations":
                owners = [f"{kind}/{parts[0]}" for kind in ("raw", "filtered", "synthetic")]
                documents = next((owner for owner in owners if owner in self._tables), "")
            if layer in ("annotations", "raw", "filtered", "synthetic") and documents:
                columns = self._ask(f"DESCRIBE {sql_name(table)}")
                numbers = columns.filter(pl.col("column_type").is_in(_NUMBERS))["column_name"]
                hidden = () if layer == "annotations" else ("warc_offset", "warc_length", "http_status", "depth")
                found += [Score(table, column, documents) for column in numbers if column not in hidden]
        return found

    def measure(self, score: Score) -> tuple[float, float]:
        """Get a score ready for `histogram` and `staying`; return its lowest and its highest value.

        Where several mixtures tokenised a document, the first by name counts. Others are estimated from their
        characters, at the tokens per character of those that were tokenised.
        """
        query = f"""
            CREATE OR REPLACE TEMP TABLE measured AS
            WITH counted AS (
                SELECT doc_id, arg_min(n_tokens, "table") AS n_tokens FROM lake.tokens GROUP BY doc_id
            ),
            joined AS (
                SELECT scores."{score.column}"::DOUBLE AS value, documents.n_chars, counted.n_tokens
                FROM {sql_name(score.table)} AS scores
                JOIN {sql_name(score.documents)} AS documents USING (doc_id)
                LEFT JOIN counted USING (doc_id)
            ),
            rate AS (
                SELECT coalesce(sum(n_tokens) / nullif(sum(n_chars) FILTER (n_tokens IS NOT NULL), 0),
                                {_TOKENS_A_CHARACTER}) AS a_character
                FROM joined
            )
            SELECT value, coalesce(n_tokens, n_chars * a_character) AS tokens, n_tokens IS NULL AS is_estimated
            FROM joined, rate
        """
        self._connection.execute(query)
        row = self._connection.execute("SELECT min(value), max(value) FROM measured WHERE isfinite(value)").fetchone()
        assert row is not None
        return (row[0], row[1]) if row[0] is not None else (0.0, 0.0)

    def histogram(self) -> pl.DataFrame:
        """Documents by value of the score that was measured last: `value_from`, `value_to`, documents, tokens."""
        query = f"""
            WITH bounds AS (
                SELECT min(value) AS low, greatest(max(value) - min(value), 1e-9) / {BINS} AS width
                FROM measured WHERE isfinite(value)
            )
            SELECT low + bin * width AS value_from, low + (bin + 1) * width AS value_to, documents, tokens
            FROM (
                SELECT least(floor((value - low) / width), {BINS - 1}) AS bin, count(*) AS documents,
                       sum(tokens)::BIGINT AS tokens
                FROM measured, bounds WHERE isfinite(value) GROUP BY bin
            ), bounds
            ORDER BY value_from
        """
        return self._ask(query)

    def staying(self, threshold: float, *, at_least: bool) -> Staying:
        """What stays of the score that was measured last, where the value is at least (or at most) the threshold."""
        stays = f"value {'>=' if at_least else '<='} $threshold"
        query = f"""
            SELECT count(*) FILTER ({stays}), count(*), coalesce(sum(tokens) FILTER ({stays}), 0)::BIGINT,
                   coalesce(sum(tokens), 0)::BIGINT, count(*) FILTER (is_estimated)
            FROM measured
        """
        row = self._connection.execute(query, {"threshold": threshold}).fetchone()
        assert row is not None
        return Staying(*row)

    def rules(self) -> list[str]:
        """Every rule that dropped something, the most frequent first."""
        query = "SELECT rule FROM lake.rejects GROUP BY rule ORDER BY count(*) DESC, rule"
        return self._ask(query)["rule"].to_list()

    def random_document(self, rule: str | None, seed: int) -> str | None:
        """The id of a kept document, or of one that a rule dropped; the same seed gives the same one."""
        table, where = ("lake.filtered", "true") if rule is None else ("lake.rejects", "rule = $rule")
        values = {} if rule is None else {"rule": rule}
        count = self._connection.execute(f"SELECT count(*) FROM {table} WHERE {where}", values).fetchone()
        assert count is not None
        if not count[0]:
            return None
        place = random.Random(seed).randrange(count[0])  # noqa: S311
        query = f"SELECT doc_id FROM {table} WHERE {where} ORDER BY doc_id LIMIT 1 OFFSET {place:d}"
        return str(self._ask(query, values)["doc_id"][0])

    def find(self, identifier: str) -> list[str]:
        """The documents that an id or an address stands for."""
        query = """
            SELECT DISTINCT doc_id FROM (
                SELECT doc_id, url FROM lake.raw
                UNION ALL SELECT doc_id, url FROM lake.rejects
                UNION ALL SELECT doc_id, NULL FROM lake.synthetic
            ) WHERE doc_id = $it OR url = $it ORDER BY doc_id LIMIT 20
        """
        return self._ask(query, {"it": identifier.strip()})["doc_id"].to_list()

    def texts(self, doc_id: str) -> pl.DataFrame:
        """A document's text as each layer has it, and its rewrites: table, doc_id, text (cut), n_chars, n_edits."""
        columns = f'"table", doc_id, left(text, {_TEXT_CHARACTERS}) AS text, n_chars'
        query = f"""
            SELECT * FROM (
                SELECT 1 AS place, {columns}, NULL::BIGINT AS n_edits FROM lake.raw WHERE doc_id = $id
                UNION ALL
                SELECT 2, {columns}, n_edits FROM lake.filtered WHERE doc_id = $id
                UNION ALL
                SELECT 3, {columns}, NULL FROM lake.synthetic WHERE doc_id = $id OR list_contains(parents, $id)
            ) ORDER BY place, "table", doc_id
        """
        return self._ask(query, {"id": doc_id})

    def rejects(self, doc_id: str) -> pl.DataFrame:
        """Why a document, or a rewrite of it, was dropped."""
        query = """
            SELECT "table", stage, rule, value, threshold, evidence, array_to_string(failed, ', ') AS failed, kept_id
            FROM lake.rejects WHERE doc_id = $id OR list_contains(parents, $id) ORDER BY "table", rule
        """
        return self._ask(query, {"id": doc_id})

    def source(self, doc_id: str) -> str | None:
        """What was fetched, as text and cut; None where it is no longer in the landing folder."""
        query = "SELECT warc_file, warc_offset FROM lake.raw WHERE doc_id = $id AND warc_file IS NOT NULL LIMIT 1"
        row = self._connection.execute(query, {"id": doc_id}).fetchone()
        if row is None or not (self._lake.landing / row[0]).is_file():
            return None
        record = read_record(self._lake.landing / row[0], row[1])
        if not isinstance(record, FetchedPage):
            return None
        return record.body[:_TEXT_CHARACTERS].decode("utf-8", "replace")

    def sql(self, query: str) -> pl.DataFrame:
        """The first thousand rows of an answer.

        Raises:
            QueryError: DuckDB cannot answer it, or it would do more than read.
        """
        try:
            statements = duckdb.extract_statements(query)
            if len(statements) != 1 or statements[0].type not in _READING:
                raise QueryError("One query that reads, please: SELECT, FROM, DESCRIBE, SUMMARIZE or EXPLAIN.")
            create_version_views(self._connection, self._lake, query)
            with self._connection.cursor() as cursor:
                batches = cursor.execute(statements[0]).to_arrow_reader(_ROWS)
                first = next(iter(batches), None)
                frame = pl.from_arrow(first if first is not None else batches.schema.empty_table())
                assert isinstance(frame, pl.DataFrame)
                return frame
        except (duckdb.Error, LakeError, OSError) as error:
            raise QueryError(str(error)) from error

    def _ask(self, query: str, values: Mapping[str, Any] | None = None) -> pl.DataFrame:
        return self._connection.execute(query, dict(values or {})).pl()
