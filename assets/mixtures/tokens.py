"""The text that a tokenizer is trained on, and token ids of data files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from lakehouse import shard
from lakehouse.data_files import DataFile
from lakehouse.lake import Lake, read_batches


@dataclass(frozen=True)
class EncodeUnit:
    """One data file of a component, to be encoded into `table`."""

    root: Path
    table: str
    component: str
    snapshot: str
    file: Path
    ordinal: int
    definition: str
    end_of_document: str | None


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
) -> list[EncodeUnit]:
    """One unit a data file of one snapshot, component by component."""
    files = [
        (component, file)
        for component in components
        if component in inputs
        for file in lake.files(component, version=inputs[component], snapshot=snapshot)
    ]
    return [
        EncodeUnit(lake.root, table, component, snapshot, file, ordinal, definition, end_of_document)
        for ordinal, (component, file) in enumerate(files)
    ]


def encode_file(unit: EncodeUnit) -> list[DataFile]:
    """Write the token ids of one data file's documents."""
    encoder = shard.encoder_for(unit.definition, unit.end_of_document)
    with Lake(unit.root).writer(unit.table, snapshot=unit.snapshot, ordinal=unit.ordinal) as writer:
        for batch in read_batches(unit.file, ["doc_id", "text_id", "text"]):
            documents = batch.with_columns(snapshot=pl.lit(unit.snapshot), component=pl.lit(unit.component))
            writer.write(shard.tokenize(documents, encoder))
    return writer.finished()
