"""Texts without the marks of Markdown that models put into them."""

from __future__ import annotations

import re

# Characters that Unicode keeps free of meaning stand for the marks inside code, so that they are not read as marks.
_MARKS = "*_[]()~`!#>\\<|$"
_SHELTER = {ord(mark): 0xFDD0 + place for place, mark in enumerate(_MARKS)}
_UNSHELTER = {stand_in: mark for mark, stand_in in _SHELTER.items()}

_LONGEST_LINE = 20_000  # characters; longer ones are data, and could keep a regular expression busy for long

_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})")
_TABLE_ROW = re.compile(r"[ \t]*\|.*\|[ \t]*")
# Every run of white space is possessive: a long one would else be tried in all ways of splitting it.
_TABLE_RULE = re.compile(r"[ \t]*+\|?[ \t]*+:?-{2,}+:?[ \t]*+(?:\|[ \t]*+:?-{2,}+:?[ \t]*+)*+\|?[ \t]*+")
_RULE = re.compile(r"[ \t]{0,3}(?:(?:\*[ \t]*+){3,}+|(?:-[ \t]*+){3,}+|(?:_[ \t]*+){3,}+)")
_QUOTE = re.compile(r"([ \t]*)(?:>[ \t]?)+")
_HEADING = re.compile(r"[ \t]{0,3}#{1,6}[ \t]+")
_ITEM = re.compile(r"([ \t]*)[-*+•][ \t]+(?:\[[ xX]\][ \t]+)?")
_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")
_CODE = re.compile(r"(?<!`)(`{1,2})(?!`)(.{1,2000}?)(?<!`)\1(?!`)")
_TITLE = r"(?:[ \t]+(?:\"[^\"\n]{0,300}\"|'[^'\n]{0,300}'))?"
_ADDRESS = rf"\(<?[^()\s<>]{{0,2000}}(?:\([^()\s]{{0,200}}\)[^()\s<>]{{0,2000}})?>?{_TITLE}\)"
_LINK = re.compile(rf"!?\[([^\[\]\n]{{0,1000}})\]{_ADDRESS}")
_AUTOLINK = re.compile(r"<(https?://[^\s<>]{1,2000})>")

# Marks of emphasis touch what they emphasise. Those of one character, and underscores, stand at the edges of words;
# two asterisks do so too, or between scripts that have no spaces.
_EMPHASIS = (
    re.compile(r"(?<![\w*])\*\*\*(?=[^\s*])(.{1,500}?)(?<=[^\s*])\*\*\*(?![\w*])"),
    re.compile(r"(?<!\*)\*\*(?=[^\s*])(.{1,500}?)(?<=[^\s*])\*\*(?!\*)"),
    # One word between underscores is rather a name in a program, such as __init__.
    re.compile(r"(?<!\w)__(?=[^\s_])((?:(?!__).){1,500}?\s(?:(?!__).){1,500}?)(?<=[^\s_])__(?!\w)"),
    re.compile(r"(?<!~)~~(?=[^\s~])(.{1,500}?)(?<=[^\s~])~~(?!~)"),
    re.compile(r"(?<![\w*])\*(?=[^\s*])([^*]{1,500}?)(?<=[^\s*])\*(?![\w*])"),
    re.compile(r"(?<!\w)_(?=[^\s_])([^_]{1,500}?)(?<=[^\s_])_(?!\w)"),
)


def without_markdown(text: str) -> str:
    """The text as a plain one: what Markdown marks stays, its marks go.

    Headings, quotes and items keep their words (an item's number too), links and images their words, tables their cells
    with a tab between them. Fences and rules go, and what is inside fences stays as it is. What only looks like a mark
    stays: snake_case, 2 * 3 * 4, a*b*c, __init__, lone asterisks. Of Markdown that spans lines only fences are read,
    and lines of more than 20,000 characters stay as they are.
    """
    lines: list[str] = []
    closing = ""  # the fence that a block of code waits for
    for line in text.split("\n"):
        fence = _FENCE.match(line)
        if closing:
            if fence and fence[1].startswith(closing) and not line[fence.end() :].strip():
                closing = ""
            else:
                lines.append(line)
        elif fence and "`" not in line[fence.end() :]:
            closing = fence[1]
        elif _RULE.fullmatch(line) or (_TABLE_RULE.fullmatch(line) and "|" in line):
            continue
        else:
            lines.append(_plain(line))
    return "\n".join(lines)


def _plain(line: str) -> str:
    """A line outside of blocks of code without its marks."""
    if len(line) > _LONGEST_LINE:
        return line
    line = _CODE.sub(lambda code: code[2].translate(_SHELTER), line)
    line = _ESCAPED.sub(lambda mark: mark[1].translate(_SHELTER), line)
    line = _QUOTE.sub(r"\1", line, count=1) if line.lstrip().startswith(">") else line
    if heading := _HEADING.match(line):
        line = line[heading.end() :].rstrip()
        words = line.rstrip("#")
        line = words.rstrip() if words.endswith((" ", "\t")) else line
    elif item := _ITEM.match(line):
        line = item[1] + line[item.end() :]
    if "](" in line:
        line = _LINK.sub(r"\1", line)
    line = _AUTOLINK.sub(r"\1", line)
    if any(mark in line for mark in "*_~"):
        for emphasis in _EMPHASIS:
            line = emphasis.sub(r"\1", line)
    if _TABLE_ROW.fullmatch(line):
        line = "\t".join(cell.strip() for cell in line.strip().strip("|").split("|"))
    return line.translate(_UNSHELTER)
