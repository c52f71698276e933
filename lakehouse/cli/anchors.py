"""Documents of plain files that a recipe is asked about: read once, then from disk as often as they are needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import polars as pl
import pyarrow.parquet as pq

from lakehouse import compute
from lakehouse.cli.texts import documents as documents_of
from lakehouse.data_files import read_batches
from lakehouse.generate import GenerationError, Recipe, Unit, units_of
from lakehouse.identity import order_key, text_id
from lakehouse.lake import LakeError

SNAPSHOT = "files"
"""The snapshot of documents that come from no lake."""

_BATCH_DOCUMENTS = 512
_SORT_MEMORY = "512MB"  # what is more is sorted on disk
_TASK = "Reading documents"
_ALWAYS = {
    "place": pl.Int64,
    "doc_id": pl.String,
    "snapshot": pl.String,
    "source": pl.String,
    "language": pl.String,
    "depth": pl.Int64,
    "order_key": pl.Int64,
    "group": pl.String,
    "text": pl.String,
}


@dataclass(frozen=True)
class Anchors:
    """Documents as a Parquet file.

    Attributes:
        file: doc_id, snapshot, source, language, depth, text, group, and the recipe's columns.
        documents: how many.
        without_text: how many lines were left out because there was no text in them.
    """

    file: Path
    recipe: Recipe
    documents: int
    without_text: int

    def units(self) -> Iterator[list[Unit]]:
        """The recipe's units from the beginning, in chunks; those of one document or group stand in one chunk."""
        batches = read_batches(self.file, rows=_BATCH_DOCUMENTS)
        for batch in _whole_groups(batches) if self.recipe.units.group else batches:
            yield list(units_of(batch, self.recipe))


def read_anchors(
    files: Sequence[Path],
    folder: Path,
    recipe: Recipe,
    *,
    group_by: str | None = None,
    max_documents: int | None = None,
    seed: int = 0,
) -> Anchors:
    """Read JSON lines once and keep what a recipe needs of them in a folder.

    Languages are identified where lines lack them. Documents keep their order, but those of a group follow each other;
    those without a group are left out. A sample depends on the texts and the seed, not on where they stand.

    Args:
        files: JSON lines with id and text, as `texts.documents` reads them.
        folder: for the Parquet file, and for what is sorted on disk.
        recipe: its columns are read, too.
        group_by: name of a column.
        max_documents: how many are chosen, at random; None: all.
        seed: of that choice.

    Raises:
        LakeError: a file cannot be read, or has a value that is neither text nor number where one is needed.
        GenerationError: two documents have the same id, one lacks a column, or there are none at all.
    """
    written = folder / "read.parquet"
    documents, without_text = _write(files, written, recipe, group_by, sampled_by=seed if max_documents else None)
    _check_ids(written)
    if max_documents is not None or group_by is not None:
        chosen = folder / "chosen.parquet"
        documents = _choose(written, chosen, max_documents, grouped=group_by is not None)
        written.unlink()
        written = chosen
    if not documents:
        raise GenerationError(f"{', '.join(map(str, files))}: there is no document with a text to rewrite.")
    return Anchors(written, recipe, documents, without_text)


def _write(
    files: Sequence[Path], to: Path, recipe: Recipe, group_by: str | None, *, sampled_by: int | None
) -> tuple[int, int]:
    """Write all documents; return how many there are, and how many more have no text."""
    schema: dict[str, pl.DataType | type[pl.DataType]] = {**_ALWAYS, **dict.fromkeys(recipe.columns, pl.String)}
    documents = without_text = 0
    progress = compute.progress()
    progress.start(_TASK, 0)
    try:
        with pq.ParquetWriter(to, pl.DataFrame(schema=schema).to_arrow().schema, compression="zstd") as writer:
            for file in files:
                for batch in _batches(file, recipe, group_by):
                    texts = batch.filter(pl.col("text").str.strip_chars() != "")
                    without_text += batch.height - texts.height
                    rows = _completed(texts, file, group_by, first=documents, sampled_by=sampled_by)
                    writer.write_table(
                        rows.select(pl.col(name).cast(kind) for name, kind in schema.items())
                        .to_arrow()
                        .cast(writer.schema)
                    )
                    documents += rows.height
                    progress.advance(_TASK, batch.height)
    finally:
        progress.finish(_TASK)
    return documents, without_text


def _batches(file: Path, recipe: Recipe, group_by: str | None) -> Iterator[pl.DataFrame]:
    """The lines of a file; what the recipe shows must be there."""
    shown = [*recipe.columns, *([group_by] if group_by else [])]
    batches = documents_of(file, "language", "source", "depth", *(name for name in shown if name not in ("text", "id")))
    while True:
        try:
            batch = next(batches, None)
        except pl.exceptions.PolarsError:
            names = ", ".join(dict.fromkeys(("language", "source", "depth", *shown)))
            raise LakeError(f"{file}: {names} must be text or numbers in every line that has them.") from None
        if batch is None:
            return
        for name in recipe.columns:
            lacking = batch.filter(pl.col(name).is_null())
            if lacking.height:
                raise GenerationError(
                    f"{file}: document {lacking['doc_id'][0]} has no {name!r}, which recipe {recipe.name} shows."
                )
        yield batch


def _completed(
    texts: pl.DataFrame, file: Path, group_by: str | None, *, first: int, sampled_by: int | None
) -> pl.DataFrame:
    """Add what a line may lack, and its place."""
    from lakehouse import annotate

    unknown = pl.col("language").is_null() | (pl.col("language") == "")
    lacking = texts.filter(unknown)
    if lacking.height:
        found = annotate.identify(lacking["text"].to_list())["language"]
        identified = lacking.select("doc_id").with_columns(found.alias("found")).unique("doc_id", keep="first")
        texts = texts.join(identified, on="doc_id", how="left", maintain_order="left")
        texts = texts.with_columns(language=pl.when(unknown).then("found").otherwise("language")).drop("found")
    keys = None
    if sampled_by is not None:
        keys = [order_key(sampled_by, text_id(text)) for text in texts["text"]]
    grouped = (
        pl.col("doc_id" if group_by == "id" else group_by).cast(pl.String) if group_by else pl.lit(None, pl.String)
    )
    depth = pl.col("depth").cast(pl.Int64, strict=False)
    bad = texts.filter(pl.col("depth").is_not_null() & depth.is_null())
    if bad.height:
        raise LakeError(f"{file}: document {bad['doc_id'][0]} has depth {bad['depth'][0]!r}, which is no whole number.")
    return texts.with_columns(
        place=pl.int_range(first, first + texts.height, dtype=pl.Int64),
        snapshot=pl.lit(SNAPSHOT),
        source=pl.col("source").fill_null("stdin" if str(file) == "-" else file.name),
        depth=depth.fill_null(0),
        order_key=pl.Series(keys, dtype=pl.Int64) if keys is not None else pl.lit(None, pl.Int64),
        group=grouped,
    )


def _check_ids(file: Path) -> None:
    repeated = (
        pl.scan_parquet(file).group_by("doc_id").agg(n=pl.len(), at=pl.col("place").min()).filter(pl.col("n") > 1)
    )
    found = repeated.sort("at").head(1).collect()
    if found.height:
        raise GenerationError(
            f"{found['n'][0]} documents have the id {found['doc_id'][0]!r}: give each one of its own, so that rewrites "
            "can name what they are made from (a line without an id is named by its number in its file)."
        )


def _choose(file: Path, to: Path, max_documents: int | None, *, grouped: bool) -> int:
    """Write a sample, or documents by group; DuckDB sorts on disk what does not fit into memory."""
    names = ", ".join(f'"{name}"' for name in pl.read_parquet_schema(file))
    conditions = ['"group" IS NOT NULL'] if grouped else []
    if max_documents is not None:
        keys = pl.scan_parquet(file).select("place", "order_key", "doc_id").collect()
        sample = keys.sort("order_key", "doc_id").head(max_documents).select("place")
        conditions.append("place IN (SELECT place FROM sample)")
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    order = '"group", doc_id' if grouped else "place"
    with duckdb.connect(config={"temp_directory": str(to.parent), "memory_limit": _SORT_MEMORY}) as connection:
        if max_documents is not None:
            connection.register("sample", sample.to_arrow())
        source, target = (str(path).replace("'", "''") for path in (file, to))
        rows = f"SELECT {names} FROM read_parquet('{source}'){where} ORDER BY {order}"
        connection.execute(f"COPY ({rows}) TO '{target}' (FORMAT parquet, ROW_GROUP_SIZE 2048)")
    return int(pq.read_metadata(to).num_rows)


def _whole_groups(batches: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The same rows in batches that end where a group ends."""
    held: list[pl.DataFrame] = []
    for batch in batches:
        last = batch["group"][-1]
        ended = batch.filter(pl.col("group") != last)
        if ended.height:
            yield pl.concat([*held, ended]) if held else ended
            held = []
        held.append(batch.filter(pl.col("group") == last))
    if held:
        yield pl.concat(held)
