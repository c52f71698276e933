"""What is kept on disk of batches that are under way, so that a killed process sends none of them twice.

A folder a batch: `requests.jsonl` is what the server gets, `calls.jsonl` what each row of the journal needs beside the
answer, `batch.json` how far the batch is. Without `batch.json` nothing was sent. No file holds a key.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO

from lakehouse.generate.errors import GenerationError
from lakehouse.generate.requests import Request

_ROOM = {"messages", "params"}  # of a request: in `requests.jsonl`, and not needed afterwards


@dataclass
class BatchState:
    """One batch: its mark (by which the server's list of batches is searched), and the server's names for it."""

    folder: Path
    url: str  # "/v1/chat/completions" or "/v1/completions"
    file_id: str | None = None
    batch_id: str | None = None

    @property
    def mark(self) -> str:
        """A name that no other batch has."""
        return self.folder.name

    @property
    def requests_file(self) -> Path:
        """What the server gets."""
        return self.folder / "requests.jsonl"

    def note(self) -> None:
        """Make what is known durable."""
        said = {"url": self.url, "file_id": self.file_id, "batch_id": self.batch_id}
        new = self.folder / "batch.json.new"
        with new.open("w", encoding="utf-8") as file:
            json.dump(said, file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.folder / "batch.json")
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def requests(self) -> Iterator[Request]:
        """The requests of the batch, without messages and parameters.

        Raises:
            GenerationError: the file is damaged.
        """
        path = self.folder / "calls.jsonl"
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                try:
                    yield Request(**json.loads(line), messages=[], params={})
                except (ValueError, TypeError):
                    raise GenerationError(
                        f"{path}:{number} is damaged. Remove the folder {self.folder}: its batch is then called again."
                    ) from None

    def recorded(self) -> set[str]:
        """Request ids whose rows are in the journal."""
        path = self.folder / "recorded.txt"
        return set(path.read_text(encoding="ascii").split()) if path.exists() else set()

    def note_recorded(self, request_ids: list[str]) -> None:
        """Rows of these requests are in the journal."""
        with (self.folder / "recorded.txt").open("a", encoding="ascii") as file:
            file.write("".join(f"{request_id}\n" for request_id in request_ids))

    def forget(self) -> None:
        """The batch is over, and all of it is in the journal."""
        shutil.rmtree(self.folder)


def left_in(folder: Path) -> list[BatchState]:
    """The batches that an earlier process sent, or began to send. What it had not finished to write is removed."""
    found = []
    for place in sorted(folder.iterdir()) if folder.exists() else []:
        if not place.is_dir():
            continue
        if not (place / "batch.json").exists():
            shutil.rmtree(place)
            continue
        try:
            found.append(BatchState(place, **json.loads((place / "batch.json").read_text(encoding="utf-8"))))
        except (ValueError, TypeError):
            raise GenerationError(f"{place / 'batch.json'} is damaged. Look for the batch at the server.") from None
    return found


class BatchWriter:
    """A batch that is being filled."""

    def __init__(self, folder: Path, url: str) -> None:
        self.state = BatchState(folder / uuid.uuid4().hex, url)
        self.state.folder.mkdir(parents=True)
        self._requests: IO[bytes] = self.state.requests_file.open("wb")
        self._calls: IO[bytes] = (self.state.folder / "calls.jsonl").open("wb")
        self.size = self.count = 0
        self._request_ids: list[str] = []

    def add(self, request: Request, line: bytes) -> None:
        """Write one request, and its line for the server."""
        self._requests.write(line)
        kept = {field.name: getattr(request, field.name) for field in fields(request) if field.name not in _ROOM}
        self._calls.write(json.dumps(kept).encode() + b"\n")
        self._request_ids.append(request.request_id)
        self.size += len(line)
        self.count += 1

    def finish(self) -> BatchState:
        """Make the files durable; from here on the batch counts as sent."""
        for file in (self._requests, self._calls):
            file.flush()
            os.fsync(file.fileno())
            file.close()
        self.state.note()
        return self.state

    def drop(self) -> list[str]:
        """Give it up: nothing was sent. Its request ids."""
        self._requests.close()
        self._calls.close()
        self.state.forget()
        return self._request_ids
