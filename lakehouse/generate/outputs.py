"""Outputs: what the recipe's last step gave for each unit, as rows that gates judge."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from lakehouse import identity
from lakehouse.generate import code
from lakehouse.generate.gates.judge import judge
from lakehouse.generate.gates.settings import Gates, Requirements
from lakehouse.generate.gates.tools import Tools
from lakehouse.generate.programs import Executed
from lakehouse.generate.recipe import Recipe, render
from lakehouse.generate.replay import Failure, State
from lakehouse.generate.units import Unit

_COLUMNS: dict[str, type[pl.DataType]] = {
    "state": pl.Int64,  # place among the states given
    "unit_id": pl.String,
    "status": pl.String,
    "error": pl.String,
    "finish_reason": pl.String,
    "text": pl.String,
    "passage": pl.String,
    "language": pl.String,
    "failure": pl.String,
    "failure_evidence": pl.String,
    "failure_value": pl.Float64,
    "failure_threshold": pl.Float64,
}
DROPPED = "dropped_by_program"


def judged_outputs(states: Sequence[State], recipe: Recipe, tools: Tools) -> pl.DataFrame:
    """Judge the outputs of units that have come to their end.

    Args:
        states: none of them waits.
        recipe: its layout says what the outputs are, its gates what they must be like.
        tools: what some gates need.

    Returns:
        A row an output: `state` (place in `states`), unit_id, text, passage, then what `gates.judge` adds.

    Raises:
        RecipeError: the layout's text cannot be filled in.
        GenerationError: a gate needs a tool that is not there.
    """
    rows = [row for place, state in enumerate(states) for row in _rows(place, state, recipe)]
    compared: dict[str, type[pl.DataType]] = {f"value_{name}": pl.String for name in recipe.compared_steps}
    frame = pl.DataFrame(rows, schema=_COLUMNS | compared, orient="row")
    judged = judge(_with_code_measures(frame, recipe.gates), recipe.gates, tools)
    failed_before = pl.col("gate") == pl.col("failure")
    return judged.with_columns(
        value=pl.when(failed_before).then("failure_value").otherwise("value"),
        threshold=pl.when(failed_before).then("failure_threshold").otherwise("threshold"),
    )


def refusals(units: Sequence[Unit], recipe: Recipe, tools: Tools) -> list[Failure | None]:
    """Why units are not fit to be asked about: what the recipe requires of them before any call."""
    required = recipe.requires
    if required == Requirements() or not units:
        return [None] * len(units)
    frame = pl.DataFrame({"text": [unit.text for unit in units]}, schema={"text": pl.String})
    judged = judge(_with_code_measures(frame, required), required, tools)
    return [
        Failure(f"input_{gate}", evidence, value, threshold) if gate else None
        for gate, evidence, value, threshold in judged.select("gate", "evidence", "value", "threshold").iter_rows()
    ]


def _rows(place: int, state: State, recipe: Recipe) -> Iterator[tuple[Any, ...]]:
    """The outputs of one unit: one, none of which fails to appear, or one for each item of a step's value."""
    compared = [_as_text(state.values.get(name)) for name in recipe.compared_steps]
    common = (state.unit.text or _as_text(state.item), state.unit.language)
    if state.failure is not None:
        gate, evidence = state.failure.gate, state.failure.evidence
        is_failed = gate == "call_failed"
        yield (
            place,
            state.unit_id,
            "error" if is_failed else "ok",
            evidence if is_failed else None,
            evidence if gate == "finish_reason" else "stop",
            None,
            *common,
            None if gate in ("call_failed", "finish_reason", "empty") else gate,
            evidence,
            state.failure.value,
            state.failure.threshold,
            *compared,
        )
        return
    no_failure = (None, None, None, None)
    items = state.values[recipe.layout.for_each] if recipe.layout.for_each else [state.item]
    items = items if isinstance(items, list) else [items]
    several = recipe.layout.for_each is not None
    for number, item in enumerate(items):
        own = identity.hash_of(state.unit_id, "output", number) if several else state.unit_id
        value = None if several else state.values.get(recipe.output.name)
        if isinstance(value, Executed) and value.dropped:
            failure: tuple[Any, ...] = (DROPPED, value.reason, None, None)
            yield (place, own, "ok", None, "stop", None, *common, *failure, *compared)
        else:
            yield (place, own, "ok", None, "stop", _text(state, item, recipe), *common, *no_failure, *compared)
    if not items:
        failure = ("nothing_found", f"step {recipe.layout.for_each} gave no items", None, None)
        yield (place, state.unit_id, "ok", None, "stop", None, *common, *failure, *compared)


def _text(state: State, item: Any, recipe: Recipe) -> str:
    if recipe.layout.text is None:
        return _as_text(item if recipe.layout.for_each else state.values[recipe.output.name]) or ""
    unit = state.unit
    variables = {
        "text": unit.text,
        "language": unit.language or "und",
        "documents": unit.documents,
        "item": item,
        "n_words": len(unit.text.split()),
        "numbered_text": unit.text,
        "examples": (),
    }
    values = {**unit.columns, **state.drawn, **state.values, **variables}
    return render(recipe.layout.text, values, f"{recipe.name}: layout.text").strip()


def _as_text(value: Any) -> str | None:
    """A step's value as text: lists one item a line, questions with their answers."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, Executed):
        return value.text
    if isinstance(value, dict) and value.keys() == {"question", "answer"}:
        return f"Question: {value['question']}\nAnswer: {value['answer']}"
    if isinstance(value, list):
        parts = [_as_text(item) or "" for item in value]
        return ("\n\n" if any("\n" in part for part in parts) else "\n").join(parts)
    return str(value)


def _with_code_measures(frame: pl.DataFrame, gates: Gates | Requirements) -> pl.DataFrame:
    """Add whether texts compile, and how clean they are, where a gate asks for it."""
    if gates.compiles is None and gates.lint is None:
        return frame
    texts = [text or "" for text in frame["text"]]
    compiled = [one.compiles for one in code.compiles(texts)]
    frame = frame.with_columns(compiles=pl.Series(compiled, dtype=pl.Boolean))
    if gates.lint is not None:
        frame = frame.with_columns(lint_score=pl.Series(code.lint_scores(texts), dtype=pl.Float64))
    return frame
