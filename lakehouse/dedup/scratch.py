"""A folder for the intermediate files of one search."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def own_folder(scratch: Path) -> Iterator[Path]:
    """A new folder in `scratch`, which is made where there is none; both are gone when the `with` block ends."""
    made = not scratch.exists()
    scratch.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="search-", dir=scratch))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
        if made:
            with contextlib.suppress(OSError):  # another search may be at work in it
                scratch.rmdir()
