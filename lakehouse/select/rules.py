"""The rule sets that a filtered set can name, and their default thresholds."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lakehouse.select.conditions import Condition, RuleError

_LANGUAGE_CODE = re.compile(r"[a-z]{2,3}")


@dataclass(frozen=True)
class Languages:
    """Which languages stay (codes as in the column `language`), and the lowest score of a sure identification."""

    keep: tuple[str, ...]
    min_score: float = 0.65


@dataclass(frozen=True)
class Threshold:
    """A bound on a column: the least value allowed where `key` starts with min_, the greatest where with max_.

    Attributes:
        highest: the greatest value that the column can have: 1 for a share.
    """

    key: str
    column: str
    default: float
    highest: float = math.inf


@dataclass(frozen=True)
class RuleSet:
    """Rules that belong together. Each threshold is a rule, named after the set's prefix and its key."""

    name: str
    stage: str
    prefix: str
    annotator: str
    thresholds: tuple[Threshold, ...]


# Rae et al., Scaling Language Models: Methods, Analysis & Insights from Training Gopher, appendix A1.1.
_GOPHER_QUALITY = RuleSet(
    name="gopher_quality",
    stage="quality",
    prefix="gopher_",
    annotator="gopher_quality",
    thresholds=(
        Threshold("min_words", "n_words", 50),
        Threshold("max_words", "n_words", 100_000),
        Threshold("min_mean_word_length", "mean_word_length", 3),
        Threshold("max_mean_word_length", "mean_word_length", 10),
        Threshold("max_hash_ratio", "hash_ratio", 0.1),
        Threshold("max_ellipsis_ratio", "ellipsis_ratio", 0.1),
        Threshold("max_bullet_lines", "bullet_lines", 0.9, highest=1),
        Threshold("max_ellipsis_lines", "ellipsis_lines", 0.3, highest=1),
        Threshold("min_alpha_words", "alpha_words", 0.8, highest=1),
        Threshold("min_stop_words", "stop_words", 2),
    ),
)
_THRESHOLD_SETS = {rule_set.name: rule_set for rule_set in (_GOPHER_QUALITY,)}

# Rules without thresholds. Consent is "allowed", or the signal that forbids training on the page.
_PLAIN_RULES = {"consent": Condition("consent", "consent", "consent", one_of=("allowed",))}

RULE_SETS: tuple[str, ...] = (*_PLAIN_RULES, *_THRESHOLD_SETS)


def resolve(
    rules: Sequence[str | Mapping[str, Mapping[str, float]]], languages: Languages | None = None
) -> tuple[Condition, ...]:
    """Turn what a filtered set declares into conditions: languages first, then the rules in their order.

    Args:
        rules: names of rule sets (see `RULE_SETS`), or {name: {key: value}} to change thresholds of one, such as
            {"gopher_quality": {"min_words": 30}}.
        languages: which languages stay; all without it.

    Raises:
        RuleError: a rule set, threshold or language code is unknown, a rule set is named twice, or a value is
            impossible.
    """
    conditions = list(_language_conditions(languages)) if languages else []
    seen: set[str] = set()
    for name, changes in _named(rules):
        if name in seen:
            raise RuleError(f"rule {name!r} is named twice.")
        seen.add(name)
        conditions.extend(_conditions(name, changes))
    return tuple(conditions)


def _named(rules: Sequence[str | Mapping[str, Mapping[str, float]]]) -> Iterable[tuple[str, Mapping[str, float]]]:
    for rule in rules:
        yield from ((rule, {}),) if isinstance(rule, str) else rule.items()


def _language_conditions(languages: Languages) -> tuple[Condition, ...]:
    if not languages.keep:
        raise RuleError("languages: keep names no language: name at least one, such as en.")
    for code in languages.keep:
        if not _LANGUAGE_CODE.fullmatch(code):
            raise RuleError(f"languages: {code!r} is no language code. Use ISO 639 in lower case, such as en or haw.")
    _check_value("languages", "min_score", languages.min_score, highest=1)
    return (
        Condition("language", "language", "language", one_of=tuple(sorted(set(languages.keep)))),
        Condition("language_score", "language", "language_score", at_least=languages.min_score),
    )


def _conditions(name: str, changes: Mapping[str, float]) -> Iterable[Condition]:
    if name in _PLAIN_RULES:
        if changes:
            raise RuleError(f"rule {name!r} has no thresholds, so {next(iter(changes))!r} cannot be set.")
        return [_PLAIN_RULES[name]]
    if name not in _THRESHOLD_SETS:
        raise RuleError(f"rule {name!r} is unknown. {_suggestion(name, RULE_SETS)}")
    rule_set = _THRESHOLD_SETS[name]
    keys = [threshold.key for threshold in rule_set.thresholds]
    for key in changes:
        if key not in keys:
            raise RuleError(f"rule {name!r} has no threshold {key!r}. {_suggestion(key, keys)}")
    conditions = [_condition(rule_set, threshold, changes) for threshold in rule_set.thresholds]
    _check_order(conditions)
    return conditions


def _condition(rule_set: RuleSet, threshold: Threshold, changes: Mapping[str, float]) -> Condition:
    value = changes.get(threshold.key, threshold.default)
    _check_value(rule_set.name, threshold.key, value, threshold.highest)
    is_least = threshold.key.startswith("min_")
    return Condition(
        rule=rule_set.prefix + threshold.key,
        stage=rule_set.stage,
        column=threshold.column,
        at_least=float(value) if is_least else None,
        at_most=None if is_least else float(value),
        annotator=rule_set.annotator,
    )


def _check_value(rule: str, key: str, value: float, highest: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= highest or math.isinf(value):
        allowed = "a number of 0 or more" if math.isinf(highest) else f"a number from 0 to {highest:g}"
        raise RuleError(f"rule {rule!r}: {key} is {value!r}; it must be {allowed}.")


def _check_order(conditions: Sequence[Condition]) -> None:
    most = {one.column: one.at_most for one in conditions if one.at_most is not None}
    for one in conditions:
        if one.at_least is not None and one.at_least > most.get(one.column, math.inf):
            raise RuleError(
                f"rule {one.rule!r}: {one.at_least:g} is above the greatest value allowed, {most[one.column]:g}: "
                "nothing would be kept."
            )


def _suggestion(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(known)}."
