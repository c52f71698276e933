"""Answers without what a model says before and after them."""

from __future__ import annotations

import re
from functools import cache

from lakehouse.generate.gates.phrases import CLOSING, INTRODUCTION, LAST_SENTENCES, READ_CHARS, SENTENCE


def without_preface(text: str) -> str:
    """The text without an introduction ("Sure, here is the rewritten text:") and without closing words.

    They are found as the gate `preface` finds them. A text of nothing else stays as it is.
    """
    introduction, closing, sentence = _compiled()
    said = text.strip()
    if begins := introduction.match(said[:READ_CHARS]):
        said = said[begins.end() :].lstrip(" \t\n\r*_")
    start = max(said.rstrip().rfind("\n") + 1, len(said) - READ_CHARS)
    for found in list(sentence.finditer(said, start))[-LAST_SENTENCES:]:
        if closing.match(found[0]):
            said = said[: found.start()].rstrip().removesuffix("---").rstrip()
            break
    return said or text


@cache
def _compiled() -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    return re.compile(INTRODUCTION), re.compile(CLOSING), re.compile(SENTENCE)
