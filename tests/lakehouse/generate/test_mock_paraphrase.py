"""The scripted paraphrase is another wording of about the same length, in several languages, and at times a bad one."""

from __future__ import annotations

import pytest

from lakehouse.generate.mock.paraphrase import rewrite

ENGLISH = "The bridge, which many people use, was built in 1901. It has two large arches and a small tower."
PARAGRAPHS = {
    "en": ENGLISH,
    "de": "Die Brücke wurde 1901 gebaut und oft erneuert, aber sie trägt auch heute noch sehr viele schwere Wagen.",
    "fr": "Le pont est très ancien, mais il est souvent utilisé par les habitants, et donc réparé chaque année.",
    "zh": "这座桥建于一九零一年，但是现在仍然非常坚固，因为人们每年都会修理它。许多人每天走过这座桥，所以它很重要。",
    "am": "ድልድዩ በከተማው መሃል ይገኛል፣ ብዙ ሰዎችም በየቀኑ ይሻገሩታል። ድልድዩ የተሠራው ከብዙ ዓመታት በፊት ነው፣ አሁንም ጠንካራ ነው።",
}


@pytest.mark.parametrize("language", PARAGRAPHS)
def test_a_rewrite_is_no_copy_and_keeps_about_the_length(language: str) -> None:
    text = PARAGRAPHS[language]
    assert rewrite(text) != text
    assert 0.8 < len(rewrite(text)) / len(text) < 1.5
    assert rewrite(text) == rewrite(text)


def test_most_rewrites_are_good_and_some_are_not() -> None:
    texts = [f"{ENGLISH} Number {place} of the list is as old, because the town grew then." for place in range(300)]
    rewrites = [rewrite(text) for text in texts]
    short = sum(len(new) < 0.5 * len(old) for new, old in zip(rewrites, texts, strict=True))
    verbatim = sum(new == old for new, old in zip(rewrites, texts, strict=True))
    # 4 % each: 12 of 300 expected, give or take three standard deviations of 3.4
    assert 2 <= short <= 22
    assert 2 <= verbatim <= 22


def test_a_text_without_a_sentence_is_answered() -> None:
    assert rewrite("") == ""
    assert rewrite("word") == "word"
    assert rewrite("(an aside)\n\n...") is not None
