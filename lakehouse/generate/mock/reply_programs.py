"""Programs of the scripted model that clean, correct and mask numbered lines, and programs in Python made tidier."""

from __future__ import annotations

import ast
import re
import warnings

from lakehouse.generate.mock.paraphrase import draw
from lakehouse.generate.mock.reply_reading import Reading

_NUMBERED = re.compile(r"^\[(\d+)\] ?(.*)$", re.MULTILINE)
_ENDS = (".", "!", "?", "。", "！", "？", ":", "…", "»", "”", '"', ")", "।", "؟")
_KEPT_STARTS = ("#", "-", "*", "|", "```", "    ", "\t", ">", "$")
_SHORT_LINE = 40  # characters
_DROPPED = 0.05  # share of documents that are dropped whatever they hold
_MOST_CALLS = 40
_EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}")
_PHONE = re.compile(r"\+?\d{2,4}(?:[ /-]\d{2,5}){2,4}")
_PERSON = re.compile(r"(?<=Mr |Ms |Dr )[A-Z]\w{2,20}|(?<=Mr\. |Dr\. |Mrs )[A-Z]\w{2,20}|(?<=Frau |Herr )[A-Z]\w{2,20}")
_DOUBLED = re.compile(r"\b([^\W\d_]{2,12}) \1\b")
_MISSPELT = {
    "teh": "the", "recieve": "receive", "seperate": "separate", "definately": "definitely", "occured": "occurred",
    "untill": "until", "wich": "which", "becuase": "because", "goverment": "government", "enviroment": "environment",
}  # fmt: skip
_MISSPELT_WORD = re.compile(rf"\b(?:{'|'.join(_MISSPELT)})\b", re.IGNORECASE)
_MOST_CODE = 100_000  # characters
_FENCE = re.compile(r"`{3,}")


def program(reading: Reading, instructions: str) -> str:
    """The program that the instructions ask for, known by the operators that they name."""
    if "drop_doc" in instructions and "remove_lines" not in instructions:
        return verdict(reading)
    lines = [(int(number), line) for number, line in _NUMBERED.findall(reading.passage)]
    if "mask(" in instructions:
        return "\n".join(_masks(lines)[:_MOST_CALLS]) or "keep_all()"
    if "replace(" in instructions:
        return "\n".join(_corrections(lines)[:_MOST_CALLS]) or "keep_all()"
    return "\n".join(_removals(lines)[:_MOST_CALLS]) or "keep_all()"


def verdict(reading: Reading) -> str:
    """Keep a document, unless most of its lines are no sentences."""
    lines = [line for line in reading.passage.split("\n") if line.strip()]
    stray = sum(len(line) for line in lines if _is_stray(line))
    drops = stray > 0.6 * sum(map(len, lines)) or draw("verdict", reading.passage) < _DROPPED
    return "drop_doc()" if drops else "keep_doc()"


def tidy_code(reading: Reading, step: str) -> str:
    """A Python program that does the same, with docstrings where it has none, in a fenced block."""
    code = reading.passage[:_MOST_CODE]
    longest = max((len(fence) for fence in _FENCE.findall(code)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}python\n{_documented(code, step)}\n{fence}"


def _is_stray(line: str) -> bool:
    line = line.rstrip()
    return len(line) < _SHORT_LINE and not line.endswith(_ENDS) and not line.startswith(_KEPT_STARTS)


def _removals(lines: list[tuple[int, str]]) -> list[str]:
    """Calls for each run of lines that look like the frame of a page."""
    calls: list[str] = []
    first = last = -1
    for number, line in [*lines, (-9, "The end of the lines.")]:
        if line.strip() and _is_stray(line):
            first = number if first < 0 else first
            last = number
        elif line.strip() and first >= 0:
            calls.append(f"remove_lines(line_start={first}, line_end={last})")
            first = -1
    return calls


def _corrections(lines: list[tuple[int, str]]) -> list[str]:
    calls = []
    for number, line in lines:
        for found in [*_DOUBLED.finditer(line), *_MISSPELT_WORD.finditer(line)]:
            old = found[0]
            new = found[1] if found.re is _DOUBLED else _MISSPELT[old.lower()]
            if line.count(old) == 1:
                new = new[:1].upper() + new[1:] if old[0].isupper() else new
                calls.append(f'replace({number}, "{old}", "{new}")')
    return calls


def _masks(lines: list[tuple[int, str]]) -> list[str]:
    calls = []
    for number, line in lines:
        for kind, form in (("EMAIL", _EMAIL), ("PHONE", _PHONE), ("PERSON", _PERSON)):
            calls += [f'mask({number}, "{text}", "{kind}")' for text in dict.fromkeys(form.findall(line))]
    return calls


def _documented(code: str, step: str) -> str:
    """The code with docstrings of its own; as it is, with a comment, where it is no Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return f"# {step.capitalize()}: this could not be read as Python.\n{code}"
    lines = code.split("\n")
    added: list[tuple[int, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            first = node.body[0]
            line = min([first.lineno, *(mark.lineno for mark in getattr(first, "decorator_list", []))])
            indent = lines[line - 1][: len(lines[line - 1]) - len(lines[line - 1].lstrip(" \t"))]
            # A body on the line of its `def` has no place for a docstring.
            if (
                line > node.lineno
                and len(indent.encode()) == first.col_offset
                and not ast.get_docstring(node, clean=False)
            ):
                words = node.name.strip("_").replace("_", " ") or node.name
                added.append((line, f'{indent}"""{words[:1].upper()}{words[1:]}."""'))
    is_documented = isinstance(tree.body[0], ast.Expr) and ast.get_docstring(tree, clean=False) if tree.body else True
    for line, docstring in sorted(added, reverse=True):
        lines.insert(line - 1, docstring)
    if is_documented:
        return "\n".join([f"# {step.capitalize()}: what it does is unchanged.", *lines])
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)]
    about = ", ".join(names[:4]) or "a short program"
    # Lines before the first statement may say the encoding or how to run the file.
    head = 1 if lines[0].startswith("#!") else 0
    head += bool(re.match(r"#.*coding[:=]", lines[head])) if head < len(lines) else 0
    return "\n".join([*lines[:head], f'"""Holds {about}."""', "", *lines[head:]])
