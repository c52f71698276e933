"""What a filtered set declares, turned into rules."""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from lakehouse import schema
from lakehouse.select.conditions import Column, Condition, Expression, Rule, RuleError, Top
from lakehouse.select.expressions import check_type, columns_of
from lakehouse.select.rule_sets import RULE_SETS, RuleSet, Threshold

_LANGUAGE_CODE = re.compile(r"[a-z]{2,3}")
_RULE_NAME = re.compile(r"[a-z][a-z0-9_]*")

Declared = str | Mapping[str, Mapping[str, Any]]
"""A rule set by name, {name: {threshold: value}}, {name: {where: …}} or {name: {top: share, by: expression}}."""

ByLanguage = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Thresholds of some languages: {language: {rule set: {threshold: value}}}; the rule set `languages` has min_score."""


@dataclass(frozen=True)
class Languages:
    """Which languages stay (codes as in the column `language`), and the lowest score of a sure identification."""

    keep: tuple[str, ...]
    min_score: float = 0.65


@dataclass(frozen=True)
class Measured:
    """What rules can look at: the columns that documents come with, and those that each annotator measures.

    `edit_rules` are the rules that the edits of an annotator can have, for those that say so.
    """

    document: pa.Schema = schema.RAW
    annotators: Mapping[str, Sequence[pa.Field]] = field(default_factory=dict)
    edit_rules: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def type_of(self, column: Column) -> pa.DataType:
        """The type of a column that is there."""
        if column.annotator is None:
            return self.document.field(column.name).type
        return next(one.type for one in self.annotators[column.annotator] if one.name == column.name)

    def columns(self, expression: str, rule: str) -> tuple[Column, ...]:
        """The columns that an expression looks at; see `columns_of`."""
        measured = {name: [one.name for one in fields] for name, fields in self.annotators.items()}
        return columns_of(expression, self.document.names, measured, rule=rule)


def resolve(
    rules: Sequence[Declared],
    languages: Languages | None = None,
    *,
    by_language: ByLanguage | None = None,
    measured: Measured | None = None,
) -> tuple[Rule, ...]:
    """Turn what a filtered set declares into rules: languages first, then the others in their order.

    Args:
        rules: rule sets (see `RULE_SETS`) and rules of one's own:
            "gopher_quality", or with its version "gopher_quality@1";
            {"gopher_quality": {"min_words": 30}} changes thresholds, {"url": {"annotator": "web_lists"}} who measures;
            {"long": {"where": "n_words > 100", "value": "n_words"}} keeps documents for which an expression is true;
            {"best": {"top": 0.1, "by": "quality.score", "per": ["language"], "seed": 0}} keeps the best tenth.
        languages: which languages stay; all without it.
        by_language: other thresholds for documents of some languages.
        measured: what expressions can look at; without it the columns of raw documents.

    Raises:
        RuleError: a rule set, threshold, column or language code is unknown, a rule is named twice, or a value is
            impossible.
    """
    by_language = by_language or {}
    _check_by_language(by_language)
    resolved: list[Rule] = list(_language_conditions(languages, by_language)) if languages else []
    seen: set[str] = set()
    for declared, changes in _named(rules):
        name, _, version = declared.partition("@")
        if name in seen:
            raise RuleError(f"rule {name!r} is named twice.")
        seen.add(name)
        if name in RULE_SETS and version and version != str(RULE_SETS[name].version):
            raise RuleError(f"rule {name!r} has version {RULE_SETS[name].version}, not {version}.")
        if "where" in changes or "top" in changes:
            resolved.append(_own(name, changes, measured or Measured()))
        else:
            resolved.extend(_conditions(name, changes, by_language))
    names = [rule.rule for rule in resolved]
    for name in names:
        if names.count(name) > 1:
            raise RuleError(f"rule {name!r} is in two of the rule sets: name one of them.")
    return tuple(resolved)


def _named(rules: Sequence[Declared]) -> Iterable[tuple[str, Mapping[str, Any]]]:
    for rule in rules:
        if isinstance(rule, str):
            yield rule, {}
            continue
        for name, changes in rule.items():
            if not isinstance(changes, Mapping):
                raise RuleError(f"rule {name!r}: {changes!r} is no mapping of thresholds.")
            yield name, changes


def _language_conditions(languages: Languages, by_language: ByLanguage) -> tuple[Condition, ...]:
    if not languages.keep:
        raise RuleError("languages: keep names no language: name at least one, such as en.")
    for code in languages.keep:
        _check_language(code)
    threshold = Threshold("min_score", "language_score", languages.min_score, highest=1)
    _check_value("languages", "min_score", languages.min_score, highest=1)
    return (
        Condition("language", "language", "language", one_of=tuple(sorted(set(languages.keep)))),
        Condition(
            "language_score",
            "language",
            "language_score",
            at_least=languages.min_score,
            by_language=_bounds("languages", threshold, by_language),
        ),
    )


def _own(name: str, given: Mapping[str, Any], measured: Measured) -> Rule:
    if name in RULE_SETS or not _RULE_NAME.fullmatch(name):
        raise RuleError(f"rule {name!r}: a rule of your own needs a name of its own, in lower-case letters.")
    allowed = ("where", "value") if "where" in given else ("top", "by", "per", "seed")
    for key in given:
        if key not in allowed:
            raise RuleError(f"rule {name!r} has the key {key!r}; it can have {', '.join(allowed)}.")
    if "where" in given:
        where, value = str(given["where"]), given.get("value")
        columns = set(measured.columns(where, name)) | (set(measured.columns(str(value), name)) if value else set())
        found = tuple(sorted(columns, key=lambda column: column.qualified))
        types = {column: measured.type_of(column) for column in found}
        check_type(where, types, rule=name, expected="true or false")
        if value:
            check_type(str(value), types, rule=name, expected="a number")
        return Expression(name, where, str(value) if value else None, found)
    return _top(name, given, measured)


def _top(name: str, given: Mapping[str, Any], measured: Measured) -> Top:
    if "by" not in given:
        raise RuleError(f"rule {name!r}: top needs by: the score, such as quality.score.")
    _check_value(name, "top", given["top"], highest=1)
    scored = measured.columns(str(given["by"]), name)
    check_type(str(given["by"]), {one: measured.type_of(one) for one in scored}, rule=name, expected="a number")
    per = [given["per"]] if isinstance(given.get("per"), str) else list(given.get("per") or ())
    grouped = [column for one in per for column in measured.columns(f'"{one}"', name)]
    columns = tuple(dict.fromkeys((*scored, *grouped)))
    return Top(name, float(given["top"]), str(given["by"]), tuple(per), int(given.get("seed", 0)), columns)


def _conditions(name: str, changes: Mapping[str, Any], by_language: ByLanguage) -> Iterable[Condition]:
    if name not in RULE_SETS:
        raise RuleError(f"rule {name!r} is unknown. {_suggestion(name, list(RULE_SETS))}")
    rule_set = RULE_SETS[name]
    keys = [threshold.key for threshold in rule_set.thresholds]
    for key in changes:
        if key == "annotator" and rule_set.annotator:
            continue
        if not keys:
            raise RuleError(f"rule {name!r} has no thresholds, so {key!r} cannot be set.")
        if key not in keys:
            raise RuleError(f"rule {name!r} has no threshold {key!r}. {_suggestion(key, keys)}")
    annotator = changes.get("annotator", rule_set.annotator)
    plain = [dataclasses.replace(one, annotator=annotator) for one in rule_set.plain]
    bounded = [_condition(rule_set, one, annotator, changes, by_language) for one in rule_set.thresholds]
    _check_order(bounded)
    return [*plain, *bounded]


def _condition(
    rule_set: RuleSet, threshold: Threshold, annotator: str, changes: Mapping[str, Any], by_language: ByLanguage
) -> Condition:
    value = changes.get(threshold.key, threshold.default)
    _check_value(rule_set.name, threshold.key, value, threshold.highest)
    is_least = threshold.key.startswith("min_")
    return Condition(
        rule=rule_set.prefix + threshold.key,
        stage=rule_set.stage,
        column=threshold.column,
        at_least=float(value) if is_least else None,
        at_most=None if is_least else float(value),
        annotator=annotator,
        by_language=_bounds(rule_set.name, threshold, by_language),
        evidence_column=threshold.evidence,
    )


def _bounds(rule_set: str, threshold: Threshold, by_language: ByLanguage) -> tuple[tuple[str, float], ...]:
    found = []
    for language, rule_sets in sorted(by_language.items()):
        if threshold.key in rule_sets.get(rule_set, {}):
            value = rule_sets[rule_set][threshold.key]
            _check_value(rule_set, f"{threshold.key} of {language}", value, threshold.highest)
            found.append((language, float(value)))
    return tuple(found)


def _check_by_language(by_language: ByLanguage) -> None:
    for language, rule_sets in by_language.items():
        _check_language(language)
        if not isinstance(rule_sets, Mapping) or not all(isinstance(one, Mapping) for one in rule_sets.values()):
            raise RuleError(f"language {language}: {rule_sets!r} is not {{rule set: {{threshold: value}}}}.")
        for name, thresholds in rule_sets.items():
            if name != "languages" and name not in RULE_SETS:
                raise RuleError(f"language {language}: rule {name!r} is unknown. {_suggestion(name, list(RULE_SETS))}")
            keys = ["min_score"] if name == "languages" else [one.key for one in RULE_SETS[name].thresholds]
            for key in thresholds:
                if key not in keys:
                    hint = _suggestion(key, keys)
                    raise RuleError(f"language {language}: rule {name!r} has no threshold {key!r}. {hint}")


def _check_language(code: object) -> None:
    if not isinstance(code, str) or not _LANGUAGE_CODE.fullmatch(code):
        # YAML reads an unquoted no as false.
        hint = " Write 'no' in quotes for Norwegian." if code is False else ""
        raise RuleError(f"languages: {code!r} is no language code. Use ISO 639 in lower case, such as en or haw.{hint}")


def _check_value(rule: str, key: str, value: object, highest: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= highest or math.isinf(value):
        allowed = "a number of 0 or more" if math.isinf(highest) else f"a number from 0 to {highest:g}"
        raise RuleError(f"rule {rule!r}: {key} is {value!r}; it must be {allowed}.")


def _check_order(conditions: Sequence[Condition]) -> None:
    most = {one.column: one for one in conditions if one.at_most is not None}
    for least in conditions:
        if least.at_least is None or least.column not in most:
            continue
        upper = most[least.column]
        for language in (None, *dict(least.by_language), *dict(upper.by_language)):
            low = dict(least.by_language).get(language or "", least.at_least)
            high = dict(upper.by_language).get(language or "", upper.at_most or 0.0)
            if low > high:
                whom = f" for {language}" if language else ""
                raise RuleError(
                    f"rule {least.rule!r}: {low:g} is above the greatest value allowed{whom}, {high:g}: "
                    "nothing would be kept."
                )


def _suggestion(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(known)}."
