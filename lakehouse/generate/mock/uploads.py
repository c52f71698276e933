"""The files API of the mock model: what batches read and write, in a folder and not in memory. Imports aiohttp."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import BodyPartReader, web

from lakehouse.generate.mock.api_error import ApiError

LARGEST_FILE = 200 * 2**20
"""Bytes, as with OpenAI."""

_PURPOSE = "batch"
_LONGEST_FIELD = 1_000  # bytes of a form field that is no file
_READ_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class StoredFile:
    """A file that was uploaded, or that a batch has made."""

    file_id: str
    path: Path
    filename: str
    purpose: str
    size: int  # bytes
    created_at: int  # seconds since 1970

    def as_json(self) -> dict[str, Any]:
        """The file as an object of the OpenAI API."""
        return {
            "id": self.file_id,
            "object": "file",
            "bytes": self.size,
            "created_at": self.created_at,
            "filename": self.filename,
            "purpose": self.purpose,
            "status": "processed",
        }


class Uploads:
    """The files of a server."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._made = folder, 0
        self._files: dict[str, StoredFile] = {}

    def routes(self) -> Iterable[web.RouteDef]:
        """What the API offers for files."""
        return [
            web.post("/v1/files", self.upload),
            web.get("/v1/files", self.list_all),
            web.get("/v1/files/{file}", self.show),
            web.get("/v1/files/{file}/content", self.content),
            web.delete("/v1/files/{file}", self.delete),
        ]

    def find(self, file_id: str) -> StoredFile:
        """The file of that name.

        Raises:
            ApiError: there is none.
        """
        if file_id not in self._files:
            raise ApiError(404, f"there is no file {file_id!r}", "not_found")
        return self._files[file_id]

    def new_path(self) -> Path:
        """Where a new file can be written."""
        self._made += 1
        return self._folder / f"{self._made:06}.jsonl"

    def add(self, path: Path, filename: str, purpose: str) -> StoredFile:
        """Take in a file that has been written."""
        file_id = f"file-{path.stem}"
        stored = StoredFile(file_id, path, filename, purpose, path.stat().st_size, int(time.time()))
        self._files[file_id] = stored
        return stored

    async def upload(self, request: web.Request) -> web.StreamResponse:
        """Take in a file for a batch."""
        if request.content_type != "multipart/form-data":
            raise ApiError(400, "the body is no multipart/form-data")
        path = self.new_path()
        try:
            fields = await self._read(request, path)
            if fields.get("purpose") != _PURPOSE:
                raise ApiError(400, f"purpose is {_PURPOSE!r}: this server has no other use for files", param="purpose")
            if not path.exists():
                raise ApiError(400, "there is no part named file", param="file")
        except (ApiError, ValueError) as error:
            path.unlink(missing_ok=True)
            raise error if isinstance(error, ApiError) else ApiError(400, "the multipart body is damaged") from None
        return web.json_response(self.add(path, fields.get("filename", "file"), _PURPOSE).as_json())

    async def list_all(self, request: web.Request) -> web.StreamResponse:
        """List all files, the newest first."""
        return web.json_response(
            {"object": "list", "data": [file.as_json() for file in reversed(self._files.values())], "has_more": False}
        )

    async def show(self, request: web.Request) -> web.StreamResponse:
        """Describe a file."""
        return web.json_response(self.find(request.match_info["file"]).as_json())

    async def content(self, request: web.Request) -> web.StreamResponse:
        """Send what is in a file."""
        file = self.find(request.match_info["file"])
        return web.FileResponse(file.path, headers={"Content-Type": "application/octet-stream"})

    async def delete(self, request: web.Request) -> web.StreamResponse:
        """Remove a file."""
        file = self.find(request.match_info["file"])
        del self._files[file.file_id]
        file.path.unlink(missing_ok=True)
        return web.json_response({"id": file.file_id, "object": "file", "deleted": True})

    async def _read(self, request: web.Request, path: Path) -> dict[str, str]:
        """Write the part named file to `path`; return the other fields, and the name of the file."""
        fields: dict[str, str] = {}
        reader = await request.multipart()
        while (part := await reader.next()) is not None:
            if not isinstance(part, BodyPartReader):
                raise ApiError(400, "the multipart body holds another multipart body")
            if part.name == "file":
                fields["filename"] = part.filename or "file"
                await _write(part, path)
            else:
                fields[str(part.name)] = await _text(part)
        return fields


async def _write(part: BodyPartReader, path: Path) -> None:
    size = 0
    with path.open("wb") as file:
        while chunk := await part.read_chunk(_READ_AT_ONCE):
            size += len(chunk)
            if size > LARGEST_FILE:
                raise ApiError(413, f"the file has more than {LARGEST_FILE} bytes", param="file")
            file.write(chunk)


async def _text(part: BodyPartReader) -> str:
    content = b""
    while chunk := await part.read_chunk(_READ_AT_ONCE):
        content += chunk
        if len(content) > _LONGEST_FIELD:
            raise ApiError(400, f"a form field has more than {_LONGEST_FIELD} bytes")
    return content.decode("utf-8", "replace")
