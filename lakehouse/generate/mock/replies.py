"""What the scripted model answers: a plausible piece of work on the passage, in the form that the recipe asks for.

It stands in for a language model where a pipeline is tried out. An answer depends on its arguments alone.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lakehouse import identity
from lakehouse.generate.mock import reply_phrases as phrases
from lakehouse.generate.mock import reply_texts as texts
from lakehouse.generate.mock.paraphrase import draw, reword, rewrite, sentences
from lakehouse.generate.mock.reply_data import as_json, choice, instance, mark
from lakehouse.generate.mock.reply_pairs import gap_answer, gap_question, pairs, short_answer, written
from lakehouse.generate.mock.reply_programs import program, tidy_code
from lakehouse.generate.mock.reply_reading import Reading, pick
from lakehouse.generate.mock.reply_translation import target_of, translate
from lakehouse.generate.recipe import load_recipe, recipe_names
from lakehouse.generate.sections import Answer, Step

BAD = 0.05
"""Share of answers that a gate should catch."""

_PASSAGE = re.compile(r"^<text>\n(.*)\n</text>", re.DOTALL | re.MULTILINE)
_ITEMS = re.compile(r":[ \t]*\n+((?:- [^\n]+\n)+)")
_VARIABLE = re.compile(r"^(?P<before>[^{}\n]*)\{\{\s*(?P<name>\w+)\s*\}\}(?P<after>[^{}\n]*)$", re.MULTILINE)


@dataclass(frozen=True)
class Asked:
    """A request as the scripted model understands it."""

    recipe: str  # "" where it is none that the package holds
    step: Step | None
    reading: Reading
    instructions: str  # the last message without the passage
    key: str  # what the seeded choices of this answer depend on

    @property
    def items(self) -> list[str]:
        """What the unit combines, such as entities: a list in the instructions, else the lines of the passage."""
        found = _ITEMS.search(self.instructions)
        return [line[2:].strip() for line in found[1].splitlines()] if found else self.reading.paragraphs

    def value(self, name: str) -> str:
        """What stands in the instructions in the place of a template's variable."""
        template = (self.step.user or self.step.completion or "") if self.step else ""
        for place in _VARIABLE.finditer(template):
            if place["name"] == name and (place["before"].strip() or place["after"].strip()):
                line = rf"^{re.escape(place['before'])}(.*){re.escape(place['after'])}$"
                if found := re.search(line, self.instructions, re.MULTILINE):
                    return found[1].strip()
        return ""


def reply(step: str | None, messages: Sequence[Mapping[str, Any]], params: Mapping[str, Any]) -> str:
    """Answer a request.

    Args:
        step: "<recipe>/<step>", as clients name it; None or anything unknown: the passage is rewritten, or what
            `response_format` asks for is given.
        messages: of the chat; for a completion one message whose content is the prompt.
        params: all else that was sent; response_format and seed are read.

    Returns:
        The answer. About one in twenty is bad in a way that a gate should catch: the passage itself, its first
        sentence, numbers that were made up, words before the answer, nothing, or a form that cannot be read.
    """
    prompt = str(messages[-1].get("content") or "") if messages else ""
    found = _PASSAGE.search(prompt)
    instructions = prompt[: found.start()] + prompt[found.end() :] if found else ""
    known = _step(step or "")
    key = identity.hash_of(json.dumps(list(messages), sort_keys=True, default=str), str(params.get("seed", "")))
    asked = Asked(
        recipe=(step or "").partition("/")[0] if known else "",
        step=known,
        reading=Reading((found[1] if found else prompt).strip()),
        instructions=instructions,
        key=key,
    )
    schema = _schema_asked_for(params.get("response_format"))
    if schema is not None:
        return json.dumps(instance(schema, asked.reading, key), ensure_ascii=False)
    if known is None or asked.recipe == "rewrite_clearly":
        said = rewrite(asked.reading.passage)
        wants_json = (params.get("response_format") or {}) == {"type": "json_object"}
        return json.dumps({"text": said}, ensure_ascii=False) if wants_json else said
    if not asked.reading.passage:
        return ""
    good = _good_answer(asked, known.answer)
    return _spoilt(good, asked, known.answer) if draw("bad", key) < BAD else good


@functools.lru_cache(maxsize=512)
def _step(named: str) -> Step | None:
    """The step of a recipe that the package holds."""
    recipe, _, rest = named.partition("/")
    name = rest.partition("/")[0]
    if recipe not in recipe_names():
        return None
    return next((step for step in load_recipe(recipe).steps if step.name == name), None)


def _schema_asked_for(response_format: Any) -> Any:
    """The JSON schema that a server must keep to; None where the request names none."""
    if not isinstance(response_format, dict):
        return None
    named = response_format.get("json_schema")
    return named.get("schema") if isinstance(named, dict) else None


def _good_answer(asked: Asked, answer: Answer) -> str:
    reading = asked.reading
    form = answer.form
    if form == "pairs":
        said = _pairs(asked, answer)
    elif form == "lines":
        said = "\n".join(f"- {fact}" for fact in texts.facts(reading)[: answer.most])
    elif form == "json":
        said = as_json(instance(answer.json_schema, reading, asked.key), asked.key)
    elif form == "number":
        least = answer.min or 0
        said = f"{mark(least, least + 10 if answer.max is None else answer.max, asked.key):g}"
    elif form == "choice":
        said = choice(answer.of or ("yes",), asked.key)
    elif form == "code":
        said = tidy_code(reading, asked.step.name if asked.step else "")
    elif form == "program":
        said = program(reading, asked.instructions)
    else:
        said = _text(asked, answer)
    if answer.tag and f"<{answer.tag}>" not in said:
        said = f"<{answer.tag}>\n{said}\n</{answer.tag}>"
    if answer.after and answer.after not in said:
        said = f"{phrases.REASONING.format(*[*reading.topics, *reading.topics][:2])}{answer.after}\n\n{said}"
    return said


def _pairs(asked: Asked, answer: Answer) -> str:
    reading = asked.reading
    if answer.most == 1 and reading.language in phrases.SOLUTIONS:
        task = texts.problem(reading, [])
        return written([(task, texts.solution(Reading(f"{task} {' '.join(reading.topics[:3])}"), reading.language))])
    return written(pairs(reading, answer.least, answer.most))


_Writer = Callable[[Asked, Answer], str]
_WRITERS: dict[str, _Writer] = {
    "wrap_easy": lambda asked, _: texts.simple(asked.reading),
    "wrap_hard": lambda asked, _: texts.learned(asked.reading),
    "rewire": lambda asked, answer: texts.improved(asked.reading, answer.tag),
    "repro": lambda asked, _: texts.reworded(asked.reading),
    "nemotron_distill": lambda asked, _: texts.condensed(asked.reading),
    "nemotron_extract_knowledge": lambda asked, _: texts.condensed(asked.reading, 0.7),
    "finephrase_tutorial": lambda asked, _: texts.tutorial(asked.reading),
    "finephrase_table": lambda asked, _: texts.table(asked.reading),
    "swallow_math": lambda asked, _: texts.reworded(asked.reading),
    "thinking_augmented": lambda asked, _: texts.thoughts(asked.reading),
    "dialogue": lambda asked, _: texts.conversation(asked.reading),
    "long_instructions": lambda asked, _: texts.request(asked.reading),
    "entigraph/essay": lambda asked, _: texts.essay(asked.reading, asked.items),
    "synthllm/problem": lambda asked, _: texts.problem(asked.reading, asked.items),
    "synthllm/solution": lambda asked, _: texts.solution(asked.reading),
    "round_trip_qa/answer": lambda asked, _: short_answer(asked.reading, asked.value("kind"), asked.key),
    "round_trip_qa/question": lambda asked, _: gap_question(asked.reading, asked.value("answer")),
    "round_trip_qa/check": lambda asked, _: gap_answer(asked.reading, asked.value("question"), asked.key),
}
"""Who writes the text of a recipe's step, or of all its steps."""


def _text(asked: Asked, answer: Answer) -> str:
    name = asked.step.name if asked.step else ""
    writer = _WRITERS.get(f"{asked.recipe}/{name}") or _WRITERS.get(asked.recipe)
    if writer is not None:
        return writer(asked, answer)
    target = target_of(asked.instructions) if asked.recipe.startswith("translate") else None
    if target is not None:
        return translate(asked.reading.passage, target)
    return "\n\n".join(reword(paragraph) for paragraph in asked.reading.paragraphs)


def _spoilt(good: str, asked: Asked, answer: Answer) -> str:
    """A bad answer instead of a good one."""
    passage = asked.reading.passage
    if answer.form == "json":
        return pick([good[: len(good) // 2], "I would rather describe it in words."], "json", asked.key)
    if answer.form in {"number", "choice"}:
        return "It depends on what is wanted."
    if answer.form == "code":
        return good.replace("python\n", "python\ndef broken(:\n", 1)
    if answer.form == "program":
        return pick(["remove_lines(from the second on)", "The lines can stay as they are."], "program", asked.key)
    # A tag or mark around the answer stays, so that gates see what is inside.
    opening = ""
    if answer.tag:
        opening, _, rest = good.partition(f"<{answer.tag}>")
        good = rest.rpartition(f"</{answer.tag}>")[0].strip()
    first = (sentences(asked.reading.paragraphs[0]) or [passage])[0]
    number = 10_000 + int(draw("number", asked.key) * 80_000)
    inside = pick(
        [
            passage,
            first,
            f"{good} {number}, {number + 271}, {number + 828}.",
            f"{pick(phrases.PREFACES, asked.key)}\n\n{good}",
            "",
        ],
        "kind",
        asked.key,
    )
    return f"{opening}<{answer.tag}>\n{inside}\n</{answer.tag}>" if answer.tag else inside
