"""What a model's answer says: the value of a step, read from the answer in the form that the recipe asks for.

An answer is hostile input: reading it takes time linear in its length, and only `AnswerError` comes out.
"""

from __future__ import annotations

import math
import re
from collections import deque
from typing import Any

from lakehouse.generate.sections import Answer

_EVIDENCE_CHARS = 80  # of the answer that an error may show
_HALF_A_PAIR = re.compile("[\ud800-\udfff]")
_OUTSIDE = " \t\n\v\f\r\u00a0\u200b\ufeff"
_CLOSING_TAG = re.compile(r"</([^<>\s]{1,40})>")
_PROSE = frozenset({"text", "lines", "pairs", "number", "choice"})

# Every repetition is bounded or possessive: no answer makes these patterns go back more than a few characters.
_HEADING_OR_RULE = re.compile(r"[ \t]*+(?:#{1,6}\s|(?:`{3,}+|~{3,}+|-{3,}+|={3,}+|\*{3,}+|_{3,}+).{0,20}$)")
_BULLET = r"[-*+•‣◦⁃∙·–—▪■●○►➤]\s++"
_CHECKBOX = r"(?:\[[ xX✓✔]\]\s++|[☐☑☒✓✔✗]\s*+)"
_ENUMERATOR = r"(?:[(（]\d{1,3}[)）]\s*+|\d{1,3}(?:[.)]\s++|[、．）]\s*+)|[a-zA-Z]\)\s++)"
_MARKER = re.compile(rf"\s*+(?=\S)(?:{_BULLET})?(?:{_CHECKBOX})?(?:{_ENUMERATOR})?")
_NUMBER = re.compile(r"(?<![\w.,])[-+−]?\d++(?:[.,]\d++)*+(?:\s{0,2}(?:/|out of|von|sur|de|из)\s{0,2}\d++)?")
_THOUSANDS = re.compile(r"[-+−]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_MOST_DIGITS = 40
_AROUND_A_CHOICE = _OUTSIDE + "\"'`*_.,:;()[]<>“”‘’„«»「」。："
_FENCE = re.compile(r"^([ \t]{0,12})(`{3,}+|~{3,}+)[ \t]*+([^`\n]*+)$", re.MULTILINE)
_NO_PROGRAM = frozenset({"text", "txt", "plaintext", "console", "output", "bash", "sh", "shell", "diff"})


class AnswerError(ValueError):
    """An answer that is not what its step asks for.

    Attributes:
        evidence: one short line that says why; it shows at most 80 characters of the answer.
    """

    def __init__(self, evidence: str) -> None:
        self.evidence = " ".join(evidence.split())
        super().__init__(self.evidence)


def parse(answer: Answer, response: str, text: str) -> Any:
    """Read the value of a step from a model's answer.

    Before anything else line ends become `\\n`, NUL goes, half surrogate pairs become U+FFFD, and what is not the
    answer goes: all up to the last `after` (an answer without reasoning counts whole; reasoning that does not end is an
    error), what is not in the last complete `tag`, the tags of the passage where the model repeats them, outer white
    space.

    Args:
        answer: the form, and its limits.
        response: what the model answered.
        text: what the step was about; only programs are applied to it.

    Returns:
        By form: text and code: str (text may be empty: a gate is about that). lines: list of str, without bullets,
        numbers and checkboxes, exact duplicates once. pairs: list of {"question", "answer"}. json: what `schema`
        allows. number: float. choice: one of `of`, as it is written there. program: `programs.Executed`.

    Raises:
        AnswerError: the answer does not have that form.
    """
    said = clean(response)
    if answer.after is not None:
        said = _after(said, answer.after)
    if answer.tag is not None:
        said = _inside(said, answer.tag)
    said = _without_passage_tags(said)
    if answer.form in _PROSE:
        said = _prose(said, answer)
    if answer.form == "json":
        from lakehouse.generate.answer_json import read_json

        return read_json(answer, said)
    if answer.form == "program":
        return _executed(said, text)
    if answer.form in {"lines", "pairs"}:
        return _items(answer, said)
    if answer.form == "number":
        return _number(answer, said)
    if answer.form == "choice":
        return _choice(answer, said)
    return _code(said) if answer.form == "code" else said


def clean(response: str) -> str:
    """The answer with `\\n` as line ends, without NUL and outer white space; half a surrogate pair becomes U+FFFD."""
    said = response.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "").strip(_OUTSIDE)
    return said if said.isascii() else _HALF_A_PAIR.sub("\ufffd", said)


def shown(part: str) -> str:
    """The beginning of a part of an answer, as evidence shows it: one line, quoted, at most 80 characters."""
    line = " ".join(part[: 4 * _EVIDENCE_CHARS].split())
    return repr(line if len(line) <= _EVIDENCE_CHARS - 10 else line[: _EVIDENCE_CHARS - 11] + "…")


def _after(said: str, mark: str) -> str:
    _, found, rest = said.rpartition(mark)
    closing = _CLOSING_TAG.fullmatch(mark)
    if closing and f"<{closing[1]}>" in rest:
        raise AnswerError(f"the reasoning never ends: there is no {mark} after the last <{closing[1]}>")
    # A server that takes the reasoning out itself leaves no closing tag; any other mark is part of the answer's form.
    if not found and not closing:
        raise AnswerError(f"{shown(mark)} does not stand in the answer")
    return rest.strip(_OUTSIDE)


def _inside(said: str, tag: str) -> str:
    """What stands in the last complete <tag>…</tag> that is inside no other, without tags of that name."""
    open_at: list[int] = []
    found: tuple[int, int] | None = None
    for match in re.finditer(rf"<(/?){re.escape(tag)}[ \t]{{0,8}}>", said, re.IGNORECASE):
        if not match[1]:
            open_at.append(match.end())
        elif open_at:
            found = open_at.pop(), match.start()
    # "I put it into <tag>…</tag>:" and then half an answer: what is complete is not the answer.
    if found is None or (open_at and open_at[-1] > found[1]):
        raise AnswerError(f"there is no complete <{tag}>…</{tag}> at the end of the answer")
    return re.sub(rf"</?{re.escape(tag)}[ \t]{{0,8}}>", "", said[slice(*found)], flags=re.IGNORECASE).strip(_OUTSIDE)


def _without_passage_tags(said: str) -> str:
    return said.removeprefix("<text>").removesuffix("</text>").strip(_OUTSIDE)


def _prose(said: str, answer: Answer) -> str:
    if answer.preface == "remove":
        from lakehouse.generate.gates.preface import without_preface

        said = without_preface(said)
    if answer.markdown == "remove":
        from lakehouse.generate.gates.markdown import without_markdown

        said = without_markdown(said)
    return said.strip(_OUTSIDE)


def _items(answer: Answer, said: str) -> list[Any]:
    items: list[Any]
    if answer.form == "lines":
        items, name = _lines(said), "lines"
    else:
        from lakehouse.generate.answer_pairs import read_pairs

        items, name = read_pairs(said), "question-answer pairs"
    if len(items) < answer.least:
        raise AnswerError(f"{len(items)} {name}, at least {answer.least} are asked for")
    return items[: answer.most]


def _lines(said: str) -> list[str]:
    """The items of a list: headings, rules and the line that introduces it are none; indented lines go on with one."""
    items: list[str] = []
    is_list = False
    for line in said.split("\n"):
        if not line.strip() or _HEADING_OR_RULE.match(line):
            continue
        marker = _MARKER.match(line)
        marked = marker is not None and bool(marker[0].strip())
        item = line[marker.end() :].strip() if marker else line.strip()
        if marked and not is_list:
            is_list, items = True, [item for item in items if item[-1] not in ":："]
        if is_list and not marked and line[0].isspace() and items:
            items[-1] += " " + item
        elif item:
            items.append(item)
    return list(dict.fromkeys(items))


def _number(answer: Answer, said: str) -> float:
    """The last number, decimal comma or point; of "7/10" and "7 out of 10" the 7."""
    last = next(iter(deque(_NUMBER.finditer(said), maxlen=1)), None)
    if last is None:
        raise AnswerError(f"there is no number in {shown(said)}" if said else "the answer is empty: there is no number")
    digits = re.match(r"[-+−]?[\d.,]+", last[0])
    written = digits[0].rstrip(".,") if digits else last[0]
    written = written.replace(",", "") if _THOUSANDS.fullmatch(written) else written.replace(",", ".")
    if len(written) > _MOST_DIGITS or written.count(".") > 1:
        raise AnswerError(f"{shown(written)} is no number")
    number = float(written.replace("−", "-"))
    if not math.isfinite(number):
        raise AnswerError(f"{shown(written)} is no number")
    if answer.min is not None and number < answer.min:
        raise AnswerError(f"{number:g} is below {answer.min:g}")
    if answer.max is not None and number > answer.max:
        raise AnswerError(f"{number:g} is above {answer.max:g}")
    return number


def _choice(answer: Answer, said: str) -> str:
    """The choice that the whole answer is, whatever its case, quotes and outer punctuation."""
    given = said.strip(_AROUND_A_CHOICE).casefold()
    for choice in answer.of or ():
        if given == choice.strip(_AROUND_A_CHOICE).casefold():
            return choice
    raise AnswerError(f"{shown(said)} is none of {', '.join(answer.of or ())[:200]}")


def fenced_blocks(said: str) -> tuple[list[tuple[str, str]], bool]:
    """The fenced blocks of an answer as (language, content), and whether the last one ends."""
    blocks: list[tuple[str, str]] = []
    opened: re.Match[str] | None = None
    for fence in _FENCE.finditer(said):
        if opened is None:
            opened = fence
        elif fence[2].startswith(opened[2]) and not fence[3].strip():
            body = said[opened.end() + 1 : max(opened.end() + 1, fence.start() - 1)]
            blocks.append((opened[3].strip().casefold(), _dedented(body, len(opened[1]))))
            opened = None
    return blocks, opened is None


def _code(said: str) -> str:
    """The last fenced block that is no console output, or all of the answer where it has no fences."""
    blocks, ends = fenced_blocks(said)
    if not ends:
        raise AnswerError("the last code block does not end")
    programs = [body for language, body in blocks if language not in _NO_PROGRAM] or [body for _, body in blocks]
    code = programs[-1] if programs else said
    if not code.strip():
        raise AnswerError("there is no code in the answer")
    return code.rstrip(_OUTSIDE) + "\n"


def _dedented(body: str, width: int) -> str:
    """A block in a list item is indented as its fence is."""
    return re.sub(rf"^[ \t]{{1,{width}}}", "", body, flags=re.MULTILINE) if width else body


def _executed(said: str, text: str) -> Any:
    from lakehouse.generate import programs

    try:
        return programs.execute(programs.parse_program(said), text)
    except programs.ProgramError as error:
        raise AnswerError(f"the program cannot be used: {str(error)[:200]}") from None
