"""Prose of the scripted model: rewordings, summaries, tutorials, tables, essays, thoughts and conversations."""

from __future__ import annotations

import re

from lakehouse.generate.mock import reply_phrases as phrases
from lakehouse.generate.mock.paraphrase import draw, reword, reword_sentence
from lakehouse.generate.mock.reply_reading import Reading, pick, shuffled

_CLAUSES = re.compile(r"(?:, (?:and|but|so|or|und|aber|et|mais|y|pero) |; |，|；)")
_STRUCTURE = re.compile(r"#{1,6}\s|[-*+]\s|\d+[.)]\s|\||```|\$\$|>")
_FEW_WORDS = 9
_MOST_ROWS = 12
_DOCUMENT = re.compile(r"^Document \d+$", re.MULTILINE)
_MOST_TURNS = 8  # a question and its answer are one


def reworded(reading: Reading) -> str:
    """The passage in other words, paragraph by paragraph; headings, lists, tables and code keep their lines."""
    written = []
    fenced = False
    for line in reading.passage.split("\n"):
        fences = line.lstrip().startswith(("```", "~~~"))
        keeps = fenced or fences or not line.strip() or _STRUCTURE.match(line.lstrip()) is not None
        fenced ^= fences
        written.append(line if keeps else reword(line.strip()))
    return "\n".join(written).strip()


def simple(reading: Reading) -> str:
    """Short sentences: each clause its own."""
    return "\n\n".join(" ".join(_short(paragraph)) for paragraph in reading.paragraphs)


def learned(reading: Reading) -> str:
    """Long sentences: two of the passage joined."""
    written = []
    for paragraph in reading.paragraphs:
        said = [reword_sentence(sentence) for sentence in Reading(paragraph).sentences]
        pairs = [said[place : place + 2] for place in range(0, len(said), 2)]
        written.append(" ".join("; ".join(part.rstrip(".") for part in pair) + "." for pair in pairs))
    return "\n\n".join(written)


def condensed(reading: Reading, share: float = 0.6) -> str:
    """The sentences that say most, in other words."""
    return " ".join(reword_sentence(sentence) for sentence in reading.most_telling(share))


def facts(reading: Reading) -> list[str]:
    """One fact a line: sentences in other words, each once."""
    return list(dict.fromkeys(reword_sentence(sentence) for sentence in reading.most_telling(0.8)))[:20]


def improved(reading: Reading, tag: str | None) -> str:
    """The passage in other words and a little longer; with a tag also the reasoning before it."""
    topics = [*reading.topics, *reading.topics][:2]
    text = "\n\n".join(reword(paragraph) for paragraph in reading.paragraphs)
    links = phrases.LINKS.get(reading.language)
    if links and len(reading.topics) > 1:
        text += "\n\n" + pick(links, "link", reading.passage).format(*topics)
    return f"{phrases.REASONING.format(*topics)}\n<{tag}>\n{text}\n</{tag}>" if tag else text


def tutorial(reading: Reading) -> str:
    """A title, then headings with sentences under them, then what is to be remembered."""
    said = [reword_sentence(sentence) for sentence in reading.sentences]
    size = max(2, len(said) // 4)
    parts = [", ".join(reading.topics[:2]).join(("# ", ""))]
    for place in range(0, len(said), size):
        heading = reading.topic_of(reading.sentences[place])
        parts.append(f"## {heading}\n\n" + " ".join(said[place : place + size]))
    parts.append("\n".join(f"- {topic}" for topic in reading.topics[:5]))
    return "\n\n".join(parts)


def table(reading: Reading) -> str:
    """A title, a table of what the sentences are about and say, a question and its answer."""
    header = phrases.HEADERS.get(reading.language, phrases.ANY_HEADER)
    rows = [(reading.topic_of(sentence), _cell(sentence)) for sentence in reading.most_telling(1.0)[:_MOST_ROWS]]
    lines = [f"| {left} | {right} |" for left, right in [header, ("---", "---"), *rows]]
    question = question_about(reading, rows[0][0], "table") if rows else ""
    answer = reword_sentence(reading.sentences[0]) if reading.sentences else ""
    return "\n".join([", ".join(reading.topics[:3]), "", *lines, "", question, answer]).strip()


def essay(reading: Reading, items: list[str]) -> str:
    """What the passage says of some things, and sentences that connect them."""
    about = [sentence for sentence in reading.sentences if any(item in sentence for item in items)]
    others = [sentence for sentence in reading.sentences if sentence not in about]
    said = [reword_sentence(sentence) for sentence in (about + shuffled(others, "essay", *items))[:10]]
    links = phrases.LINKS.get(reading.language, [])
    pairs = list(zip(items, items[1:] + items[:1], strict=True))
    linking = (
        [link.format(*pairs[place % len(pairs)]) for place, link in enumerate(shuffled(links, *items))] if pairs else []
    )
    parts = []
    for place in range(0, len(said), 2):
        bridge = linking[place // 2 : place // 2 + 1]
        parts.append(" ".join([*bridge, *said[place : place + 2]]))
    return "\n\n".join(parts)


def thoughts(reading: Reading) -> str:
    """Thinking aloud: doubts and tests about topics, and between them what the passage says."""
    templates = shuffled(phrases.THOUGHTS.get(reading.language, []), "thoughts", reading.passage)
    topics = reading.topics
    said = [reword_sentence(sentence) for sentence in reading.most_telling(0.4)][: len(templates) or 12]
    parts = []
    for place, template in enumerate(templates):
        parts.append(template.format(topics[place % len(topics)]))
        if place % 2 and place // 2 < len(said):
            parts.append(said[place // 2])
    return " ".join(parts or said)


def conversation(reading: Reading) -> str:
    """User and Assistant in turns: about the first document, the next ones, and in the end the first again."""
    documents = [Reading(part.strip()) for part in _DOCUMENT.split(reading.passage) if part.strip()] or [reading]
    turns = [
        (document, document.sentences[place : place + 2])
        for document in documents
        for place in range(0, len(document.sentences), 2)
    ]
    step = max(1, -(-len(turns) // _MOST_TURNS))
    kept = turns[::step]
    if step > 1:
        kept.append(turns[1])
    said = []
    for number, (document, answer) in enumerate(kept):
        question = question_about(document, document.topic_of(answer[0]), f"turn {number}")
        said += [f"User: {question}", "Assistant: " + " ".join(reword_sentence(sentence) for sentence in answer)]
    return "\n\n".join(said)


def request(reading: Reading) -> str:
    """What somebody may have asked for who got the passage."""
    topics = [*reading.topics, *reading.topics][:2]
    choices = phrases.REQUESTS.get(reading.language, phrases.ANY_REQUEST)
    return pick(choices, "request", reading.passage).format(*topics)


def problem(reading: Reading, items: list[str]) -> str:
    """A task that takes some concepts, on the subject of the passage."""
    first, second = [*items, *reading.topics, *reading.topics][:2]
    choices = phrases.PROBLEMS.get(reading.language)
    if choices is None:
        return f"{first}, {second}: {condensed(reading, 0.2)}"
    numbers = _numbers(reading.passage + first)
    rest = items[2:3] or [topic for topic in reading.topics if topic not in {first, second}][:1]
    beginning = f"{first}, {second}" + "".join(f", {item}" for item in rest)
    return f"{beginning[:1].upper()}{beginning[1:]}: " + pick(choices, "problem", *items, reading.passage).format(
        first, second, *numbers
    )


def solution(reading: Reading, language: str | None = None) -> str:
    """How a problem is solved, step by step; in the problem's language, unless another is given."""
    steps = phrases.SOLUTIONS.get(language or reading.language)
    if steps is None:
        return " ".join(reword_sentence(sentence) for sentence in reading.sentences)
    first, second = [*reading.topics, *reading.topics][:2]
    given = [int(number) for number in reading.numbers[:2] if number.isdigit() and len(number) < 10]
    one, two = given if len(given) == 2 else _numbers(reading.passage)
    return "\n".join(steps).format(first, second, one, two, one + two, 3 * (one + two))


def question_about(reading: Reading, topic: str, *parts: str) -> str:
    """A question about a topic in the passage's language."""
    choices = phrases.QUESTIONS.get(reading.language, phrases.ANY_QUESTION)
    return pick(choices, topic, reading.passage, *parts).format(topic)


def _numbers(seed: str) -> tuple[int, int]:
    return 12 + int(draw("first", seed) * 80), 3 + int(draw("second", seed) * 9)


def _short(paragraph: str) -> list[str]:
    said = []
    for sentence in Reading(paragraph).sentences:
        end = "" if sentence[-1:].isalnum() else sentence[-1:]
        parts = _CLAUSES.split(sentence.removesuffix(end))
        if len(parts) == 1:
            said.append(reword_sentence(sentence))
            continue
        said += [reword_sentence(part[:1].upper() + part[1:] + (end or ".")) for part in parts if part.strip()]
    return said


def _cell(sentence: str) -> str:
    words = sentence.replace("|", "/").split()
    return sentence[:24].replace("|", "/") if len(words) == 1 else " ".join(words[:_FEW_WORDS]).rstrip(".,;:")
