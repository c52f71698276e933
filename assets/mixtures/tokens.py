"""The text that a tokenizer is trained on, and token ids of data files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from lakehouse import shard
from lakehouse.commits import Commit, in_effect
from lakehouse.data_files import DataFile, read_batches
from lakehouse.lake import Lake

_KNOWN = ("doc_id", "component", "text_hash", "token_ids")


@dataclass(frozen=True)
class EncodeUnit:
    """One data file of a component, to be encoded into `table`; `earlier` hold ids of some of its documents."""

    root: Path
    table: str
    component: str
    snapshot: str
    file: Path
    ordinal: int
    definition: str
    end_of_document: str | None
    earlier: tuple[Path, ...]


class TrainingText:
    """The texts of pinned tables, table by table and row by row, up to a limit; counts what was read.

    Args:
        lake: where the tables are.
        inputs: the version of each table.
        max_bytes: where to stop, in bytes of UTF-8.
    """

    def __init__(self, lake: Lake, inputs: Mapping[str, int], max_bytes: int) -> None:
        self._files = [file for table in sorted(inputs) for file in lake.files(table, version=inputs[table])]
        self._max_bytes = max_bytes
        self.documents = 0
        self.bytes = 0

    def __iter__(self) -> Iterator[str]:
        for file in self._files:
            for batch in read_batches(file, ["text"]):
                for text in batch["text"]:
                    if self.bytes >= self._max_bytes:
                        return
                    self.documents += 1
                    self.bytes += len(text.encode())
                    yield text


def encode_units(
    lake: Lake,
    table: str,
    snapshot: str,
    inputs: Mapping[str, int],
    components: Sequence[str],
    definition: str,
    end_of_document: str | None,
    earlier: Sequence[Path],
) -> list[EncodeUnit]:
    """One unit a data file of one snapshot, component by component; `earlier` are token files to take ids from."""
    files = [
        (component, file)
        for component in components
        if component in inputs
        for file in lake.files(component, version=inputs[component], snapshot=snapshot)
    ]
    holding = _files_that_hold([file for _, file in files], earlier)
    return [
        EncodeUnit(
            lake.root, table, component, snapshot, file, ordinal, definition, end_of_document, tuple(holding[file])
        )
        for ordinal, (component, file) in enumerate(files)
    ]


def encoded_before(lake: Lake, table: str, snapshot: str, tokenizer: str) -> list[Path]:
    """The token files that a snapshot has now, if the newest tokenizer made them."""
    commit = in_effect(lake.history(table)).get(snapshot) if lake.exists(table) else None
    return lake.files(table, snapshot=snapshot) if commit and made_by_newest(lake, tokenizer, commit) else []


def made_by_newest(lake: Lake, tokenizer: str, tokens: Commit) -> bool:
    """Whether the token ids of a commit were made by the newest tokenizer, whichever of its versions they name."""
    content = {commit.version: commit.content_version for commit in lake.history(tokenizer) if commit.asset}
    return content.get(tokens.inputs.get(tokenizer, -1)) == content[max(content)]


def encode_file(unit: EncodeUnit) -> list[DataFile]:
    """Write the token ids of one data file's documents. Holds the token files that hold them already in memory."""
    encoder = shard.encoder_for(unit.definition, unit.end_of_document)
    known = pl.read_parquet(list(unit.earlier), columns=list(_KNOWN)) if unit.earlier else None
    if known is not None:
        known = known.filter(pl.col("component") == unit.component)
    with Lake(unit.root).writer(unit.table, snapshot=unit.snapshot, ordinal=unit.ordinal) as writer:
        for batch in read_batches(unit.file, ["doc_id", "text_id", "text"]):
            documents = batch.with_columns(snapshot=pl.lit(unit.snapshot), component=pl.lit(unit.component))
            writer.write(shard.tokenize(documents, encoder, known))
    return writer.finished()


def _files_that_hold(files: Sequence[Path], earlier: Sequence[Path]) -> dict[Path, list[Path]]:
    """For each data file the token files that hold some of its documents."""
    tokens = [pl.scan_parquet(path).select("doc_id", token_file=pl.lit(place)) for place, path in enumerate(earlier)]
    if not tokens:
        return {file: [] for file in files}
    held = pl.concat(tokens).collect()
    found = {}
    for file in files:
        places = pl.scan_parquet(file).select("doc_id").collect().join(held, on="doc_id")["token_file"].unique().sort()
        found[file] = [earlier[place] for place in places]
    return found
