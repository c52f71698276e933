"""JSON in a model's answer, read strictly and checked against a schema; and what asks a server for it."""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Iterator
from typing import Any

from lakehouse.generate.answers import AnswerError, clean, fenced_blocks, shown
from lakehouse.generate.errors import GenerationError
from lakehouse.generate.sections import Answer

LARGEST_JSON = 1_000_000
"""Characters."""
DEEPEST_JSON = 32
MOST_VALUES = 20_000

_WRAPPED = "items"  # the key under which a server is asked for what is no object
_MOST_CANDIDATES = 32
_MOST_DIGITS = 40
_BLOCKS = frozenset({"json", "jsonc", ""})  # languages of fenced blocks
# Strings are skipped whole, for they may hold brackets; one that does not end goes to the end, so that no part of it
# is read again.
_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*+"?|[{}\[\]]', re.DOTALL)
_OPENING = re.compile(r"[{\[]")
# Of JSON Schema, what strict modes of servers do not know. Answers are checked against the whole schema here.
_NOT_STRICT = frozenset(
    {
        "patternProperties",
        "allOf",
        "not",
        "if",
        "then",
        "else",
        "dependentRequired",
        "dependentSchemas",
        "propertyNames",
    }
)
_LEFT_OUT = frozenset(
    {"$schema", "$id", "$comment", "title", "default", "examples", "minLength", "maxLength", "uniqueItems"}
    | {"minProperties", "maxProperties", "contains", "minContains", "maxContains"}
)


def read_json(answer: Answer, said: str) -> Any:
    """The value that an answer of form json holds.

    It is all of the answer, or the last ```json block, or the first balanced object or array that is JSON; text around
    it is ignored. Read strictly: no NaN or Infinity, no number that is not finite, no key twice in an object, at most
    `LARGEST_JSON` characters, `DEEPEST_JSON` levels and `MOST_VALUES` values.

    Raises:
        AnswerError: there is none, or the schema does not allow it.
        GenerationError: the recipe's schema is none.
    """
    if len(said) > LARGEST_JSON:
        raise AnswerError(f"the answer has {len(said)} characters, JSON at most {LARGEST_JSON}")
    schema = answer.json_schema or {}
    value = _without_nulls(_unwrapped(_first_json(said), schema), schema)
    error = _violation(value, schema)
    if error is not None:
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part[:40]}" for part in error.absolute_path)
        given = shown(json.dumps(error.instance, ensure_ascii=False)[:400])
        limit = json.dumps(error.validator_value, ensure_ascii=False, default=str)[:100]
        raise AnswerError(f"answer{place[:120]} is {given}, which {error.validator} {limit} does not allow")
    return value


def json_schema_of(answer: Answer, name: str, structured_output: str = "json_schema") -> dict[str, Any] | None:
    """The `response_format` that asks a server for the JSON of an answer; None for other forms, and for "off".

    OpenAI's strict mode wants every object closed and every key required, and knows a part of JSON Schema. So what may
    be left out may be null, what is no object stands under the key "items" of one, and limits that servers do not know
    are left out; `read_json` undoes the first two and checks all of it. A schema that cannot be said so is sent as it
    is, not strict.

    Args:
        answer: of form json.
        name: of the step.
        structured_output: what the endpoint understands; see `sections.StructuredOutput`.
    """
    if answer.json_schema is None or structured_output == "off":
        return None
    if structured_output == "json_object":
        return {"type": "json_object"}
    wrapped, strict = answer.json_schema, _is_strict(answer.json_schema)
    if not _is_object(wrapped):
        definitions = {key: wrapped[key] for key in ("$defs", "definitions") if key in wrapped}
        inner = {key: value for key, value in wrapped.items() if key not in definitions}
        wrapped = {"type": "object", "properties": {_WRAPPED: inner}, "required": [_WRAPPED], **definitions}
    if structured_output == "json_object_schema":
        return {"type": "json_object", "schema": wrapped}
    safe_name = re.sub(r"[^a-zA-Z0-9_-]", "_", name)[:64]
    asked = _strict(wrapped) if strict else wrapped
    return {"type": "json_schema", "json_schema": {"name": safe_name, "strict": strict, "schema": asked}}


def _violation(value: Any, schema: dict[str, Any]) -> Any:
    """The first thing that the schema does not allow, as the library describes it; None where there is none."""
    from referencing.exceptions import Unresolvable

    try:
        return next(_validator(json.dumps(schema, sort_keys=True)).iter_errors(value), None)
    except Unresolvable as error:
        raise GenerationError(f"the recipe's `schema` cannot be used: {str(error)[:200]}.") from None


@functools.lru_cache(maxsize=256)
def _validator(schema: str) -> Any:
    from jsonschema import Draft202012Validator, SchemaError
    from referencing import Registry

    content = json.loads(schema)
    try:
        Draft202012Validator.check_schema(content)
    except SchemaError as error:
        raise GenerationError(f"the recipe's `schema` is no JSON schema: {error.message[:200]}.") from None
    # Without a registry a reference to another document would be fetched.
    return Draft202012Validator(content, registry=Registry())


def _first_json(said: str) -> Any:
    problem = ""
    for candidate in _candidates(said):
        try:
            return _strictly(candidate)
        except json.JSONDecodeError as error:
            problem = problem or f": {error.msg} at character {error.pos}"
    if not said:
        raise AnswerError("the answer is empty: there is no JSON")
    raise AnswerError(f"there is no JSON in {shown(said)}{problem}")


def _candidates(said: str) -> Iterator[str]:
    yield said
    blocks = [body for language, body in fenced_blocks(said)[0] if language in _BLOCKS]
    yield from blocks[-1:]
    start = 0
    for _ in range(_MOST_CANDIDATES):
        opening = _OPENING.search(said, start)
        if opening is None:
            return
        end = _balanced_end(said, opening.start())
        start = opening.end() if end is None else end
        if end is not None:
            yield said[opening.start() : end]


def _balanced_end(said: str, start: int) -> int | None:
    """Where what opens at `start` is closed; None where it is not, or too deep."""
    expected: list[str] = []
    for found in _BRACKET.finditer(said, start):
        bracket = found[0]
        if bracket in "{[":
            expected.append("}" if bracket == "{" else "]")
            if len(expected) > DEEPEST_JSON:
                return None
        elif bracket in "}]":
            if expected.pop() != bracket:
                return None
            if not expected:
                return found.end()
    return None


def _strictly(candidate: str) -> Any:
    depth = 0
    if candidate[:1] not in '{["' and len(candidate) > _MOST_DIGITS:
        raise json.JSONDecodeError("Expecting value", candidate, 0)
    for found in _BRACKET.finditer(candidate):
        depth += (found[0] in "{[") - (found[0] in "}]")
        if depth > DEEPEST_JSON:
            raise AnswerError(f"the JSON has more than {DEEPEST_JSON} levels")
    try:
        value = json.loads(
            candidate, object_pairs_hook=_object, parse_constant=_constant, parse_int=_whole, parse_float=_finite
        )
    except RecursionError:
        raise AnswerError(f"the JSON has more than {DEEPEST_JSON} levels") from None
    if candidate.count(",") >= MOST_VALUES - 1 and _count(value) > MOST_VALUES:
        raise AnswerError(f"the JSON has more than {MOST_VALUES} values")
    # Escapes can bring back what was taken out of the answer.
    return _cleaned(value) if "\\u" in candidate else value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        seen: set[str] = set()
        twice = next(key for key in keys if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise AnswerError(f"the key {shown(twice)} stands twice in one object")
    return found


def _constant(word: str) -> Any:
    raise AnswerError(f"{word} is no JSON")


def _whole(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise AnswerError(f"{shown(digits)} has more than {_MOST_DIGITS} digits")
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits) if len(digits) <= 2 * _MOST_DIGITS else math.inf
    if not math.isfinite(number):
        raise AnswerError(f"{shown(digits)} is no number that can be stored")
    return number


def _count(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + sum(map(_count, value.values()))
    return 1 + sum(map(_count, value)) if isinstance(value, list) else 1


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(key): _cleaned(inner) for key, inner in value.items()}
    return [_cleaned(inner) for inner in value] if isinstance(value, list) else value


def _is_object(schema: dict[str, Any]) -> bool:
    return schema.get("type") == "object" and "anyOf" not in schema


def _unwrapped(value: Any, schema: dict[str, Any]) -> Any:
    if not _is_object(schema) and isinstance(value, dict) and set(value) == {_WRAPPED}:
        return value[_WRAPPED]
    return value


def _without_nulls(value: Any, schema: Any) -> Any:
    """The value without the nulls that stand for keys left out."""
    if not isinstance(schema, dict):
        return value
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        return [_without_nulls(inner, schema["items"]) for inner in value]
    if not isinstance(value, dict) or not isinstance(schema.get("properties"), dict):
        return value
    properties, required = schema["properties"], set(schema.get("required", ()))
    return {
        key: _without_nulls(inner, properties.get(key))
        for key, inner in value.items()
        if inner is not None or key in required or key not in properties or _may_be_null(properties[key])
    }


def _may_be_null(schema: Any) -> bool:
    if not isinstance(schema, dict) or not schema.keys() & {"type", "enum", "const", "anyOf", "oneOf", "$ref"}:
        return True
    types = schema.get("type", [])
    return "null" in ([types] if isinstance(types, str) else types) or any(map(_may_be_null, schema.get("anyOf", ())))


def _parts(schema: dict[str, Any]) -> Iterator[Any]:
    for key in ("properties", "$defs", "definitions"):
        yield from schema.get(key, {}).values()
    yield from schema.get("anyOf", [])
    if "items" in schema:
        yield schema["items"]


def _is_strict(schema: Any) -> bool:
    """Whether strict modes of servers can say it."""
    if not isinstance(schema, dict) or schema.keys() & _NOT_STRICT or "oneOf" in schema or "prefixItems" in schema:
        return False
    if _is_object(schema) and ("properties" not in schema or schema.get("additionalProperties", False) is not False):
        return False
    return all(_is_strict(part) for part in _parts(schema))


def _strict(schema: dict[str, Any]) -> dict[str, Any]:
    asked = {key: value for key, value in schema.items() if key not in _LEFT_OUT}
    for key in ("$defs", "definitions"):
        if key in asked:
            asked[key] = {name: _strict(part) for name, part in asked[key].items()}
    if "anyOf" in asked:
        asked["anyOf"] = [_strict(part) for part in asked["anyOf"]]
    if "items" in asked:
        asked["items"] = _strict(asked["items"])
    if _is_object(asked):
        required = set(schema.get("required", ()))
        parts = {name: _strict(part) for name, part in schema["properties"].items()}
        asked["properties"] = {
            name: part if name in required or _may_be_null(part) else {"anyOf": [part, {"type": "null"}]}
            for name, part in parts.items()
        }
        asked["required"] = list(parts)
        asked["additionalProperties"] = False
    return asked
