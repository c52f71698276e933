"""Whether Python accepts what a model wrote. The texts are compiled, never run, by a process that may die of them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lakehouse.generate.errors import GenerationError

MAX_CHARACTERS = 500_000
"""Longer texts are not compiled: they are data, and take seconds and much memory."""

_COMPILER = Path(__file__).with_name("compiler.py")
_BATCH_CHARACTERS = 20_000_000


@dataclass(frozen=True)
class Compiled:
    """What the compiler says of one text.

    Attributes:
        compiles: None where that is not known: the text is too long, or the compiler died of it.
        message: why it does not compile, or why it is not known; None where it compiles.
        statements: as pylint counts them (exception handlers are some, documentation strings are none); 0 where it
            does not compile.
        comment_share: share of its tokens that are comments, 0..1. Since Python 3.12 an f-string is several tokens.
    """

    compiles: bool | None
    message: str | None
    statements: int = 0
    comment_share: float = 0.0


def compiles(texts: Sequence[str], seconds: float = 10.0) -> list[Compiled]:
    """Compile Python programs without running them.

    What is accepted is what the Python that runs accepts: "match" is a statement since 3.10. A crash of
    the compiler costs the answer for the text that it died of, and no other.

    Args:
        texts: n programs; anything may be in them.
        seconds: processor time that a text may take. Its memory is limited to 2 GiB.

    Returns:
        n answers in the same order.

    Raises:
        GenerationError: no process can be started.
    """
    answers: list[Compiled] = []
    while len(answers) < len(texts):
        answers += _compile_batch(_batch(texts, len(answers)), seconds)
    return answers


def _batch(texts: Sequence[str], start: int) -> Sequence[str]:
    """The texts from `start` on that one process takes: one at least."""
    characters, end = 0, start
    while end < len(texts) and (end == start or characters + len(texts[end]) <= _BATCH_CHARACTERS):
        characters += len(texts[end])
        end += 1
    return texts[start:end]


def _compile_batch(texts: Sequence[str], seconds: float) -> list[Compiled]:
    """Answers for the first texts, one at least: up to and with the one that the process died of."""
    short = [text if len(text) <= MAX_CHARACTERS else "" for text in texts]
    ended = subprocess.run(  # noqa: S603  # our own file, and the texts are its data
        [sys.executable, "-I", "-S", str(_COMPILER), str(seconds)],
        input=json.dumps(short).encode("ascii"),
        capture_output=True,
    )
    ready, *lines = ended.stdout.split(b"\n")[:-1] or [b""]
    if not ready:
        last = ended.stderr.decode("utf-8", "replace").strip().rsplit("\n", 1)[-1]
        raise GenerationError(f"the process that compiles programs did not start: {last or ended.returncode}")
    answers = []
    for text, line in zip(texts, lines, strict=False):
        if len(text) > MAX_CHARACTERS:
            answers.append(Compiled(None, f"the text has more than {MAX_CHARACTERS:,} characters"))
        else:
            answers.append(Compiled(*json.loads(line)))
    if len(answers) < len(texts):
        answers.append(Compiled(None, "the compiler died of it: too much time, memory or nesting"))
    return answers
