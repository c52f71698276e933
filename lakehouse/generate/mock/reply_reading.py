"""What the scripted model sees in a passage: its language, sentences, names and topics. Counted, not understood."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from lakehouse.generate.mock.paraphrase import draw, sentences

Item = TypeVar("Item")

_SAMPLE = 2_000  # characters that tell the language
_MOST_TOPICS = 40
_WORD = re.compile(r"[^\W\d_]+")
_UNSPACED = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3\u0e00-\u0e7f"
# A run of capitalised words that does not begin a sentence.
_NAME = re.compile(r"(?<=[^\W\d_A-Z] |[,;\d] )[A-ZÀ-ÞА-ЯΑ-Ω][\w’'-]{2,30}(?: [A-ZÀ-ÞА-ЯΑ-Ω][\w’'-]{2,30}){0,3}")
_LONG_WORD = re.compile(rf"[^\W\d_]{{6,24}}|[{_UNSPACED}]{{2,6}}")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_COMMON = {
    "en": "the and of to in is that for with was are this it from which as by on",
    "de": "der die das und ist nicht ein eine mit von den dem zu auf für sich wird werden es im wie jeder sind",
    "fr": "le la les et des est une dans que pour qui sur avec du au par pas sont",
    "es": "el la los las y del una en que por con para se es su como más son",
    "it": "il lo gli e di che una nel per con della dei sono non più anche alla è",
    "pt": "o os as e de que uma em não com para do da dos das são mais foi",
    "nl": "de het een en van is dat op te zijn met voor niet aan er wordt ook",
    "ru": "и в на не что с по это как из для был его от",
}
_LANGUAGES_OF = {
    word: [name for name, words in _COMMON.items() if word in words.split()]
    for words in _COMMON.values()
    for word in words.split()
}


@dataclass(frozen=True)
class Reading:
    """A passage, and what can be counted in it. What is read from it depends on it alone."""

    passage: str

    @cached_property
    def paragraphs(self) -> list[str]:
        """Its lines that are not empty."""
        return [line.strip() for line in self.passage.split("\n") if line.strip()]

    @cached_property
    def sentences(self) -> list[str]:
        """Its sentences, in order; where there are none its lines."""
        whole = [sentence.strip() for paragraph in self.paragraphs for sentence in sentences(paragraph)]
        return [sentence for sentence in whole if len(sentence) > 25 or not sentence.isascii()] or whole

    @cached_property
    def language(self) -> str:
        """The language that most of its little words are of, if the script does not tell it; "" where nothing does."""
        sample = self.passage[:_SAMPLE]
        if re.search(r"[\u3040-\u30ff]", sample):
            return "ja"
        if len(re.findall(r"[\u4e00-\u9fff]", sample)) * 4 > len(sample):
            return "zh"
        found = Counter(name for word in _WORD.findall(sample.lower()) for name in _LANGUAGES_OF.get(word, ()))
        if not found:
            return "en" if sample.isascii() else ""
        return max(found, key=lambda name: (found[name], name))

    @cached_property
    def names(self) -> list[str]:
        """Runs of words with capitals inside sentences, the most frequent first."""
        return [name for name, _ in Counter(_NAME.findall(self.passage)).most_common(_MOST_TOPICS)]

    @cached_property
    def topics(self) -> list[str]:
        """Names, then frequent long words: each once, at least one."""
        words = Counter(_LONG_WORD.findall(self.passage))
        known = " ".join(self.names)
        found = [word for word, _ in words.most_common(_MOST_TOPICS) if word not in known and word.lower() not in words]
        found += [word for word, _ in words.most_common(_MOST_TOPICS) if word.islower() and word not in known]
        return list(dict.fromkeys([*self.names, *found]))[:_MOST_TOPICS] or [self.passage[:40].strip() or "this"]

    @cached_property
    def numbers(self) -> list[str]:
        """Its numbers as they are written, in order."""
        return _NUMBER.findall(self.passage)

    def topic_of(self, sentence: str) -> str:
        """What a sentence is about: the most frequent topic that it names, else its longest word."""
        named = [topic for topic in self.topics[:12] if topic in sentence]
        return named[-1] if named else max(_LONG_WORD.findall(sentence) or [sentence[:30]], key=len)

    def most_telling(self, share: float) -> list[str]:
        """That share of the sentences, in their order: those with numbers and names before the others."""
        count = max(1, round(len(self.sentences) * share))
        ranked = sorted(range(len(self.sentences)), key=lambda place: (-self._weight(self.sentences[place]), place))
        return [self.sentences[place] for place in sorted(ranked[:count])]

    def _weight(self, sentence: str) -> int:
        return len(_NUMBER.findall(sentence)) + len(_NAME.findall(sentence))


def pick(choices: Sequence[Item], *parts: str) -> Item:
    """One of the choices, by what the parts say alone."""
    return choices[int(draw(*parts) * len(choices))]


def shuffled(items: Sequence[Item], *parts: str) -> list[Item]:
    """The items in an order that depends on the parts alone."""
    order = sorted(range(len(items)), key=lambda place: draw(*parts, str(place)))
    return [items[place] for place in order]
