"""JSON, numbers and choices of the scripted model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from lakehouse.generate.mock.paraphrase import draw, reword_sentence
from lakehouse.generate.mock.reply_reading import Reading, pick, shuffled

_ITEMS = 3  # of a list, where nothing says how many
_CHARS_AN_ITEM = 250
_DEEPEST = 8
_GOOD = 0.85  # share of marks in the upper part of their range
_SENTENCES = ("summary", "text", "answer", "reason", "description", "explanation", "evidence", "sentence", "response")


def instance(schema: Any, reading: Reading, *place: str) -> Any:
    """A value that a JSON schema allows, with words of the passage.

    Args:
        schema: types, properties, items, enum, const, anyOf, and the usual limits of strings, numbers and lists.
        reading: the passage.
        place: keys and indices that lead to the value.
    """
    if not isinstance(schema, dict) or len(place) > _DEEPEST:
        return None
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if "enum" in schema:
        return pick(schema["enum"], reading.passage, *place)
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return instance(schema[key][0], reading, *place)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = next((one for one in kind if one != "null"), "null") if isinstance(kind, list) else kind
    if kind == "object":
        return {key: instance(part, reading, *place, key) for key, part in schema.get("properties", {}).items()}
    if kind == "array":
        return _items(schema, reading, place)
    if kind in {"integer", "number"}:
        value = mark(schema.get("minimum", 0), schema.get("maximum", 10), reading.passage, *place)
        return round(value) if kind == "integer" else value
    if kind == "boolean":
        return draw("boolean", reading.passage, *place) < _GOOD
    return None if kind == "null" else _string(schema, reading, place)


def as_json(value: Any, *parts: str) -> str:
    """The value as a model writes it: sometimes in a block."""
    said = json.dumps(value, ensure_ascii=False)
    return f"```json\n{said}\n```" if draw("block", *parts) < 0.3 else said


def mark(least: float, most: float, *parts: str) -> float:
    """A number of a range, mostly of its upper part, in halves where the range is small."""
    share = draw("mark", *parts)
    place = 0.7 + 0.3 * share / _GOOD if share < _GOOD else 0.7 * (share - _GOOD) / (1 - _GOOD)
    value = least + (most - least) * min(1.0, place)
    return float(round(value)) if most - least >= 3 else round(value, 2)


def choice(of: Sequence[str], *parts: str) -> str:
    """One of the choices: the first more often than the others."""
    return of[0] if draw("first choice", *parts) < 0.5 else pick(of, "choice", *parts)


def _items(schema: dict[str, Any], reading: Reading, place: tuple[str, ...]) -> list[Any]:
    wanted = max(_ITEMS, len(reading.passage) // _CHARS_AN_ITEM)
    count = min(max(wanted, schema.get("minItems", 0)), schema.get("maxItems", 12))
    items = schema.get("items", {})
    if isinstance(items, dict) and items.get("type", "string") == "string" and "enum" not in items:
        words = shuffled(reading.topics[: 2 * count], "items", *place)
        words += [f"{word} {number}" for number in range(2, 40) for word in words[:1]]
        return [
            _fitting(word, items) for word in words[: max(schema.get("minItems", 0), min(count, len(reading.topics)))]
        ]
    found: list[Any] = []
    for number in range(count):
        value = instance(items, reading, *place, str(number))
        if value not in found or not schema.get("uniqueItems"):
            found.append(value)
    return found


def _string(schema: dict[str, Any], reading: Reading, place: tuple[str, ...]) -> str:
    key = place[-1] if place else ""
    if key == "question":
        return _fitting(f"{pick(reading.topics, *place)}?", schema)
    if key in _SENTENCES and reading.sentences:
        return _fitting(reword_sentence(pick(reading.sentences, *place)), schema)
    return _fitting(pick(reading.topics, reading.passage, *place), schema)


def _fitting(text: str, schema: dict[str, Any]) -> str:
    text = text[: schema.get("maxLength", len(text))]
    return text + "." * (schema.get("minLength", 0) - len(text))
