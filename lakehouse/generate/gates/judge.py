"""Gates: which answers of a model become documents. Measured from the journal, so a new threshold calls no model."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from lakehouse.generate.errors import GenerationError
from lakehouse.generate.gates.settings import CALL_FAILED, MEASURES, Bounds, Compiles, Gates, Language, Requirements
from lakehouse.generate.gates.tools import Tools

__all__ = ["CALL_FAILED", "MEASURES", "judge"]

_BATCH_ROWS = 1000
_STRINGS = ("text", "passage", "language")
_NUMBER, _WORDS = pl.lit(None, pl.Float64), pl.lit(None, pl.String)
_TOOLS = {"language": "identify", "embedding_similarity": "similarity", "quality": "quality"}


@dataclass(frozen=True)
class Gate:
    """A named condition on the measures of an answer, and what to report of one that fails it."""

    name: str
    failed: pl.Expr
    value: pl.Expr = _NUMBER
    threshold: pl.Expr = _NUMBER
    evidence: pl.Expr = _WORDS


def judge(answers: pl.DataFrame, gates: Gates | Requirements, tools: Tools | None = None) -> pl.DataFrame:
    """Decide about each answer of a model, or about each input before a model is asked.

    The gates are tried in the order that `settings` names; `template_collapse` is of a whole set (see `openings`).

    Args:
        answers: n rows. Of an input: text. Of an answer: unit_id, status ("ok" or "error"), finish_reason, text (the
            output; null where there is none) and passage (what it was made from). Where gates need them: language (of
            the anchor; null or "und" where it is unknown), value_<step> (string, or a number for `judge`), compiles
            (boolean), lint_score (0..10). If there: error; failure (what failed before the gates, such as "answer",
            else null) and failure_evidence. Further columns stay as they are.
        gates: what an answer, or an input, must be like.
        tools: what gates need that use models.

    Returns:
        The same rows in order; and each of `MEASURES` (Float64, null where it was not measured; `compiles` takes the
        place of the column of that name), accepted (bool), failed (names of all gates that failed, in order), gate (the
        first of them), and its value, threshold or evidence.

    Raises:
        GenerationError: a column or a tool is missing that a gate needs.
    """
    tools = tools or Tools()
    _check(answers, gates, tools)
    conditions = _gates(gates)
    starts = range(0, max(answers.height, 1), _BATCH_ROWS)
    return pl.concat([_judged(answers.slice(start, _BATCH_ROWS), gates, tools, conditions) for start in starts])


def _judged(answers: pl.DataFrame, gates: Gates | Requirements, tools: Tools, conditions: list[Gate]) -> pl.DataFrame:
    from lakehouse.generate.gates.measures import measure  # brings numba, which importing this package does not need

    optional = {"error": pl.String, "failure": pl.String, "failure_evidence": pl.String}
    missing = {f"_{name}": pl.lit(None, kind) for name, kind in optional.items() if name not in answers.columns}
    given = {f"_{name}": pl.col(name).cast(kind) for name, kind in optional.items() if name in answers.columns}
    # A column of nothing but nulls may have no type.
    typed = answers.with_columns(pl.col(name).cast(pl.String) for name in _STRINGS if name in answers.columns)
    rows = typed.with_columns(measure(typed, gates, tools)).with_columns(**missing, **given)
    failed = [pl.when(gate.failed.fill_null(False)).then(gate_name(gate)) for gate in conditions]
    rows = rows.with_columns(failed=pl.concat_list(failed).list.drop_nulls())
    # Places, because a failure may bear the name of a gate.
    first = pl.coalesce(
        pl.when(gate.failed.fill_null(False)).then(pl.lit(place)) for place, gate in enumerate(conditions)
    )
    rows = rows.with_columns(
        gate=pl.col("failed").list.first(), accepted=pl.col("failed").list.len() == 0, _first=first
    )

    def of_first(part: str) -> pl.Expr:
        return pl.coalesce(
            pl.when(pl.col("_first") == place).then(getattr(gate, part)) for place, gate in enumerate(conditions)
        )

    rows = rows.with_columns(value=of_first("value"), threshold=of_first("threshold"), evidence=of_first("evidence"))
    outcome = ("accepted", "failed", "gate", "value", "threshold", "evidence")
    kept = [name for name in answers.columns if name not in (*MEASURES, *outcome)]
    return rows.select(*kept, *MEASURES, *outcome)


def gate_name(gate: Gate) -> pl.Expr:
    """What a failed gate is called: the caller names its own failures."""
    return pl.col("_failure") if gate.name == "answer" else pl.lit(gate.name)


def _check(answers: pl.DataFrame, gates: Gates | Requirements, tools: Tools) -> None:
    """Make sure that every column and tool is there that the gates need."""
    needed = {"text": "every gate"}
    if isinstance(gates, Gates):
        needed |= dict.fromkeys(("unit_id", "status", "finish_reason", "passage"), "every gate of an answer")
        if gates.names_kept or (gates.language and not gates.language.language):
            needed["language"] = "names_kept" if gates.names_kept else "language"
        if gates.round_trip:
            needed |= {f"value_{step}": "round_trip" for step in (gates.round_trip.of, gates.round_trip.against)}
        if gates.judge:
            needed[f"value_{gates.judge.step}"] = "judge"
    if gates.compiles:
        needed["compiles"] = "compiles"
    if gates.lint:
        needed["lint_score"] = "lint"
    for column, gate in needed.items():
        if column not in answers.columns:
            raise GenerationError(f"the answers have no column {column!r}, which {gate} needs.")
    for gate, tool in _TOOLS.items():
        if getattr(gates, gate, None) and getattr(tools, tool) is None:
            raise GenerationError(
                f"the gate {gate} needs the tool {tool!r}: set Tools({tool}=…), or turn the gate off."
            )


def _gates(settings: Gates | Requirements) -> list[Gate]:
    """Every gate of the settings, in the order in which they are tried."""
    text = pl.col("text").str.strip_chars().fill_null("")
    unasked = pl.col("_failure").is_null()
    if isinstance(settings, Gates):
        answered = pl.col("status") == "ok"
        reason = pl.col("finish_reason").fill_null("none given")
        gates = [
            Gate(CALL_FAILED, ~answered, evidence=pl.col("_error")),
            Gate("finish_reason", answered & (reason != "stop"), evidence=reason),
            Gate("empty", answered & (text == "") & unasked),
            Gate("answer", ~unasked, evidence=pl.col("_failure_evidence")),
        ]
    else:
        gates = [Gate("empty", (text == "") & unasked), Gate("answer", ~unasked, evidence=pl.col("_failure_evidence"))]
    for name in type(settings).model_fields:
        section = getattr(settings, name)
        if section is None or section is False or name == "template_collapse":
            continue
        gates.append(_gate(name, section, required=text != ""))
    return gates


def _gate(name: str, section: object, required: pl.Expr) -> Gate:
    """One gate; `required` says of which rows a measure may be required."""
    found = pl.col(f"_{name}")
    if name in ("refusal", "preface"):
        return Gate(name, found.is_not_null(), evidence=found)
    if isinstance(section, Language):
        value = pl.col("language_kept")
        unknown = value.is_null() & required & pl.lit(section.required)
        return Gate(name, (value == 0) | unknown, value, pl.lit(1.0), pl.coalesce(found, pl.lit("unknown")))
    if isinstance(section, Compiles):
        section = Bounds(min=1, required=section.required)
    elif name in ("min_words", "max_words"):
        assert isinstance(section, int)
        section = Bounds(min=section) if name == "min_words" else Bounds(max=section)
    assert isinstance(section, Bounds)
    value = pl.col("words" if name in ("min_words", "max_words") else name)
    low, high = pl.lit(section.min, pl.Float64), pl.lit(section.max, pl.Float64)
    is_low, is_high = (value < low).fill_null(False), (value > high).fill_null(False)
    unknown = value.is_null() & required & pl.lit(section.required)
    evidence = pl.when(unknown).then(pl.lit("it could not be measured"))
    # A bound that is not set is no threshold of what could not be measured.
    return Gate(name, is_low | is_high | unknown, value, pl.when(is_low).then(low).when(is_high).then(high), evidence)
