"""Files and recipes for tests of commands that rewrite, small enough to read on a screen."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from lakehouse.cli import app, show
from lakehouse.generate import MockModel

SENTENCES = (
    "The lamp of the lighthouse was lit in 1824 by two keepers who had come from the mainland.",
    "It burns oil from the north, and ships that pass the cape at night have steered by it ever since.",
    "In winter the keepers take turns every four hours, because the stairs are steep and the wind is strong.",
    "A bell warns the boats when fog hides the light, and the school lends its pupils to ring it.",
)

ONE_STEP = """
name: plain
purpose: To test.
paper: None.
units: {document: {max_tokens: 1000}}
sampling: {temperature: 0, top_p: 1, max_tokens: 200}
steps:
  - name: rewrite
    user: |
      Say it again.
      <text>
      {{ text }}
      </text>
gates: {refusal: false, preface: false, language: false, min_words: 30}
"""

TWO_STEPS = """
name: listed
purpose: To test.
paper: None.
units: {document: {max_tokens: 1000}}
sampling: {temperature: 0, top_p: 1, max_tokens: 200}
steps:
  - name: things
    user: |
      List things.
      <text>
      {{ text }}
      </text>
    answer: {form: lines, most: 4}
  - name: essay
    for_each: things
    user: |
      Write about {{ item }}.
      <text>
      {{ text }}
      </text>
gates: {refusal: false, preface: false, language: false}
"""


def document(number: int, sentences: int = 3) -> str:
    """A text of its own."""
    return f"This is page {number} of the book. " + " ".join(SENTENCES[:sentences])


def written(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Rows as JSON lines."""
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def recipe_file(folder: Path, content: str = ONE_STEP) -> Path:
    """A recipe as a file."""
    file = folder / "recipe.yaml"
    file.write_text(content, encoding="utf-8")
    return file


def lines(path: Path) -> list[dict[str, Any]]:
    """The rows of JSON lines."""
    content = path.read_bytes()
    content = gzip.decompress(content) if path.suffix == ".gz" else content
    return [json.loads(line) for line in content.decode().splitlines()]


def invoke(*arguments: object, given: str | None = None) -> Result:
    """Run a command that succeeds, on a wide terminal; what it raises is raised."""
    with pytest.MonkeyPatch.context() as patch:
        # The console looks for the terminal's width when it is made.
        patch.setattr(show.console, "_width", 200)
        done = CliRunner().invoke(app, [str(one) for one in arguments], input=given, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done


@contextmanager
def pointed_at(model: MockModel | None, **variables: str) -> Iterator[None]:
    """The environment of a server, and summaries on the standard error of the moment."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("LAKEHOUSE_")]:
            patch.delenv(name)
        if model is not None:
            patch.setenv("LAKEHOUSE_MODEL_URL", model.base_url)
            patch.setenv("LAKEHOUSE_MODEL", "lakehouse-mock-1")
        for name, value in variables.items():
            patch.setenv(name, value)
        for module in ("rewrite", "estimate", "journal"):
            patch.setattr(f"lakehouse.cli.{module}.errors", Console(stderr=True, highlight=False, width=200))
        yield
