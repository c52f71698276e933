"""The process that compiles programs of strangers: what crashes it crashes nothing else.

Run as `python -I -S compiler.py SECONDS` with a JSON list of texts on standard input. Writes a line when it has read
them, then a line of JSON a text, in order, as soon as it is known: `[compiles, message, statements, comment_share]`. A
text that takes more than SECONDS of processor time, or too much memory or stack, ends the process: the first text
without a line is the one.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import resource
import signal
import sys
import tokenize
import warnings

MAX_MESSAGE = 200  # characters: some quote the text
BYTES_OF_THE_PROCESS = 2 << 30

Answer = tuple[bool, str | None, int, float]


def main() -> None:
    """Answer for every text of standard input."""
    # Some systems refuse such limits: the time limit still holds there.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (BYTES_OF_THE_PROCESS, BYTES_OF_THE_PROCESS))
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    seconds = float(sys.argv[1])
    texts = json.load(sys.stdin)
    _write("ready")
    for text in texts:
        # Python handles signals between its instructions, and the compiler is one instruction: this signal kills.
        signal.setitimer(signal.ITIMER_PROF, seconds)
        answer = judge(text)
        signal.setitimer(signal.ITIMER_PROF, 0)
        _write(json.dumps(answer))


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def judge(text: str) -> Answer:
    """Whether a text compiles, why not, how many statements it has as pylint counts them, and its share of comments."""
    try:
        tree = ast.parse(text.removeprefix("\ufeff"))
        compile(tree, "text", "exec", dont_inherit=True, optimize=0)
    except SyntaxError as error:
        return False, f"line {error.lineno or 1}: {error.msg}"[:MAX_MESSAGE], 0, 0.0
    except (ValueError, RecursionError, MemoryError) as error:
        return False, str(error)[:MAX_MESSAGE] or "the parser gave up", 0, 0.0
    return True, None, statements(tree), comment_share(text)


def statements(tree: ast.Module) -> int:
    """Statements and exception handlers; documentation strings are none."""
    found = 0
    for node in ast.walk(tree):
        found += isinstance(node, ast.stmt | ast.ExceptHandler)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found -= ast.get_docstring(node, clean=False) is not None
    return found


def comment_share(text: str) -> float:
    """Share of the tokens that are comments, 0..1."""
    if "#" not in text:
        return 0.0
    every = comments = 0
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            every += 1
            comments += token.type == tokenize.COMMENT
    except (tokenize.TokenError, SyntaxError):
        return 0.0
    return comments / every


if __name__ == "__main__":
    main()
