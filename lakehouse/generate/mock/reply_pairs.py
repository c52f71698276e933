"""Questions and answers of the scripted model, and answers that a second call finds again."""

from __future__ import annotations

import re

from lakehouse.generate.mock import reply_phrases as phrases
from lakehouse.generate.mock.paraphrase import draw, reword_sentence
from lakehouse.generate.mock.reply_reading import Reading, pick
from lakehouse.generate.mock.reply_texts import question_about

_CHARS_A_PAIR = 350
_MOST_SENTENCES = 3  # of an answer
_GAP = "…"
_SIDE_WORDS = 7  # of the sentence, on each side of the gap
_MOST_WORDS = 4  # of what is asked for
_DISAGREES = 0.1  # share of second answers that differ
_NUMBER = re.compile(r"\d[\d.,]*\d|\d")


def pairs(reading: Reading, least: int, most: int | None) -> list[tuple[str, str]]:
    """Questions about parts of the passage and these in other words: more of them, the longer the passage is."""
    sentences = reading.sentences or [reading.passage]
    count = max(least, 2, len(reading.passage) // _CHARS_A_PAIR)
    count = min(count, len(sentences), most or count)
    found: dict[str, str] = {}
    for place in range(count):
        part = sentences[place * len(sentences) // count : (place + 1) * len(sentences) // count][:_MOST_SENTENCES]
        question = question_about(reading, reading.topic_of(part[0]), str(place))
        found.setdefault(question, " ".join(reword_sentence(sentence) for sentence in part))
    for place, topic in enumerate(reading.topics):
        if len(found) >= least:
            break
        found.setdefault(question_about(reading, topic, "more"), reword_sentence(sentences[place % len(sentences)]))
    return list(found.items())


def written(found: list[tuple[str, str]]) -> str:
    """Pairs as recipes ask for them."""
    return "\n\n".join(f"Question: {question}\nAnswer: {answer}" for question, answer in found)


def short_answer(reading: Reading, kind: str, *parts: str) -> str:
    """A few words of the passage that a question could ask for: a number, name or topic that stands in it."""
    wants_number = "number" in kind or "date" in kind
    choices = (reading.numbers if wants_number else []) or reading.names[:8] or reading.topics[:8]
    return " ".join(pick(choices, "short answer", kind, *parts).split()[:_MOST_WORDS])


def gap_question(reading: Reading, answer: str) -> str:
    """A question whose only answer is the given words: their sentence without them."""
    whole = re.compile(rf"(?<!\w){re.escape(answer)}(?!\w)")
    holding = [sentence for sentence in reading.sentences if answer and answer in sentence]
    sentence = next(filter(whole.search, holding), holding[0] if holding else None)
    template = phrases.GAPS.get(reading.language, phrases.ANY_GAP)
    if sentence is None:
        return question_about(reading, reading.topics[0])
    start = found.start() if (found := whole.search(sentence)) else sentence.index(answer)
    before, after = sentence[:start], sentence[start + len(answer) :]
    return template.format(f"{_last_words(before)}{_GAP}{_first_words(after)}")


def gap_answer(reading: Reading, question: str, *parts: str) -> str:
    """What the passage has in the question's gap; one time in ten something else."""
    if draw("disagrees", question, *parts) < _DISAGREES:
        return pick(reading.topics, "other", question)
    for template in [*phrases.GAPS.values(), phrases.ANY_GAP]:
        head, _, tail = template.partition("{}")
        if question.startswith(head) and question.endswith(tail):
            quoted = question[len(head) : len(question) - len(tail)]
            before, _, after = quoted.partition(_GAP)
            found = _between(reading, before, after)
            if found:
                return found
    words = question.rstrip("?？ ").split()
    return next((word for word in reversed(words) if word in reading.passage), "none")


def _between(reading: Reading, before: str, after: str) -> str:
    for sentence in reading.sentences:
        start = sentence.find(before)
        if start >= 0:
            end = sentence.find(after, start + len(before)) if after else len(sentence)
            if end > start:
                return sentence[start + len(before) : end].strip()
    return ""


def _last_words(text: str) -> str:
    words = re.findall(r"\S+\s*", text)
    return "".join(words[-_SIDE_WORDS:])[-80:] if len(words) > 1 else text[-80:]


def _first_words(text: str) -> str:
    words = re.findall(r"\s*\S+", text)
    return "".join(words[:_SIDE_WORDS])[:80]
