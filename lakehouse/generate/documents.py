"""What judged outputs become: rows of a synthetic table, of its reject ledger and of its judgements."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from lakehouse import identity, schema
from lakehouse.generate.gates.settings import CALL_FAILED
from lakehouse.generate.outputs import DROPPED
from lakehouse.generate.programs import Executed
from lakehouse.generate.recipe import Recipe
from lakehouse.generate.replay import State
from lakehouse.generate.requests import Asking

MEASURES = [field.name for field in schema.GATE_MEASURES]
NO_MODEL = "none"
_TOO_SHORT = "min_words"
_REMOVED = "rejected"  # of one that removes a unit whose output was rejected
_REWRITTEN = "rewritten"  # the rule of an edit that puts an output in the place of its unit


@dataclass(frozen=True)
class Laid:
    """Rows of the three tables of a synthetic set; the documents still lack language and language_score."""

    documents: pl.DataFrame
    rejects: pl.DataFrame
    judgements: pl.DataFrame
    outputs: int  # rows of judgements: each is part of a document or a row of rejects


@dataclass(frozen=True)
class _Output:
    """One output of a unit, with what was decided about it."""

    unit_id: str
    state: State
    text: str
    gate: str | None


def settled(states: Sequence[State], recipe: Recipe) -> tuple[list[State], int]:
    """The states that documents can be made of, and how many wait for an answer.

    Where a document is made of several units, it waits until none of them does.
    """
    if recipe.layout.form == "documents":
        ready = [state for state in states if state.waiting is None]
    else:
        waiting = {(state.unit.anchors, state.sample) for state in states if state.waiting}
        ready = [state for state in states if (state.unit.anchors, state.sample) not in waiting]
    return ready, len(states) - len(ready)


def lay_out(states: Sequence[State], judged: pl.DataFrame, asking: Asking) -> Laid:
    """Make documents of accepted outputs, as the recipe's layout says, and ledger rows of the others.

    Args:
        states: settled.
        judged: what `outputs.judged_outputs` gives for them.
        asking: recipe and models.
    """
    recipe = asking.recipe
    columns = judged.select("state", "unit_id", "text", "gate").iter_rows()
    outputs = [_Output(unit_id, states[place], text or "", gate) for place, unit_id, text, gate in columns]
    made = _MAKERS[recipe.layout.form](outputs, recipe)
    document_of: dict[str, str] = {}
    rows: list[dict[str, Any]] = []
    too_short: dict[str, int] = {}
    for text, parts, used, edits in made:
        n_words = len(text.split())
        if n_words < recipe.layout.min_words:
            too_short |= dict.fromkeys((part.unit_id for part in parts), n_words)
            continue
        row = _document(text, parts or used, used, edits, asking)
        rows.append(row)
        document_of |= {part.unit_id: row["doc_id"] for part in parts}
    judgements = _judgements(judged, states, document_of, too_short, asking)
    rejects = _rejects(judgements)
    return Laid(_documents(rows, judgements), rejects, judgements, judgements.height)


# A document to be: its text, the accepted outputs in it, all outputs of its anchor, and the edits of the anchor's text.
_Made = Iterable[tuple[str, Sequence[_Output], Sequence[_Output], list[dict[str, Any]] | None]]


def _one_each(outputs: Sequence[_Output], recipe: Recipe) -> _Made:
    for output in outputs:
        if output.gate is None:
            yield output.text, [output], [output], None


def _joined(outputs: Sequence[_Output], recipe: Recipe) -> _Made:
    for together in _of_anchors(outputs):
        accepted = [output for output in together if output.gate is None]
        if accepted:
            yield recipe.layout.separator.join(output.text for output in accepted), accepted, accepted, None


def _appended(outputs: Sequence[_Output], recipe: Recipe) -> _Made:
    for together in _of_anchors(outputs):
        accepted = [output for output in together if output.gate is None]
        if accepted:
            texts = [accepted[0].state.unit.document, *(output.text for output in accepted)]
            yield recipe.layout.separator.join(texts), accepted, accepted, None


def _replaced(outputs: Sequence[_Output], recipe: Recipe) -> _Made:
    whole = recipe.units.document is not None
    for together in _of_anchors(outputs):
        accepted = [output for output in together if output.gate is None]
        if whole and any(output.gate == DROPPED for output in together):
            continue
        edits = [edit for output in together for edit in _edits(output, recipe)]
        yield _edited(together[0].state.unit.document, edits), accepted, together, edits


_MAKERS = {"documents": _one_each, "joined": _joined, "appended": _appended, "replaced": _replaced}


def _of_anchors(outputs: Sequence[_Output]) -> Iterator[list[_Output]]:
    """Outputs of the same anchor and sample, in order."""
    together: dict[tuple[Any, ...], list[_Output]] = {}
    for output in outputs:
        together.setdefault((output.state.unit.anchors, output.state.sample), []).append(output)
    yield from together.values()


def _edits(output: _Output, recipe: Recipe) -> Iterator[dict[str, Any]]:
    """The edits of the anchor's text that an output stands for; one that was rejected leaves its unit as it was."""
    unit = output.state.unit
    value = output.state.values.get(recipe.output.name)
    if output.gate is not None and (output.gate == DROPPED or recipe.layout.rejected == "remove"):
        rule = DROPPED if output.gate == DROPPED else _REMOVED
        yield {"start": unit.start, "end": unit.end, "rule": rule, "replacement": ""}
    elif output.gate is None and isinstance(value, Executed):
        for edit in value.edits:
            yield edit | {"start": unit.start + edit["start"], "end": unit.start + edit["end"]}
    elif output.gate is None and output.text != unit.text:
        yield {"start": unit.start, "end": unit.end, "rule": _REWRITTEN, "replacement": output.text}


def _edited(text: str, edits: Sequence[dict[str, Any]]) -> str:
    parts, end = [], 0
    for edit in edits:
        parts += [text[end : edit["start"]], edit["replacement"]]
        end = edit["end"]
    return "".join([*parts, text[end:]])


def _document(
    text: str,
    parts: Sequence[_Output],
    outputs: Sequence[_Output],
    edits: list[dict[str, Any]] | None,
    asking: Asking,
) -> dict[str, Any]:
    recipe, first = asking.recipe, parts[0].state
    is_one = recipe.layout.form == "documents"
    anchors = list(dict.fromkeys(anchor for part in parts for anchor in part.state.unit.anchors))
    calls = list(dict.fromkeys(call for output in outputs for call in output.state.calls))
    accepted = sum(part.gate is None for part in parts)
    unchanged = edits is not None and text == first.unit.document
    values = [output.state.values.get(recipe.output.name) for output in outputs if output.gate in (None, DROPPED)]
    programs = [value.program for value in values if isinstance(value, Executed)]
    whole = identity.hash_of("synthetic", recipe.name, recipe.layout.form, *anchors, first.sample)
    return {
        "doc_id": parts[0].unit_id if is_one else whole,
        "text_id": identity.text_id(text),
        "snapshot": first.unit.snapshot,
        "source": first.unit.source,
        "text": text,
        "parents": anchors,
        "recipe": recipe.name,
        "recipe_version": recipe.version,
        "model": _model(asking),
        "request_id": parts[-1].state.calls[-1] if parts[-1].state.calls else "",
        "request_ids": calls,
        "depth": max(part.state.unit.depth for part in parts) + (not unchanged),
        "outputs": accepted,
        "attributes": _attributes(first, recipe),
        "programs": programs or None,
        "edits": edits,
    }


def _attributes(state: State, recipe: Recipe) -> str | None:
    kept = state.drawn | {name: state.values.get(name) for name in recipe.layout.attributes if name in state.values}
    kept |= {name: state.unit.columns[name] for name in recipe.layout.attributes if name in state.unit.columns}
    return json.dumps(kept, ensure_ascii=False, sort_keys=True, default=str) if kept else None


def _model(asking: Asking) -> str:
    """The generator: the model that wrote the output."""
    writer = asking.recipe.output
    return asking.models[writer.endpoint].name if writer.asks else NO_MODEL


def _documents(rows: list[dict[str, Any]], judgements: pl.DataFrame) -> pl.DataFrame:
    """Rows as a frame with the columns of `schema.SYNTHETIC` except the language's."""
    languages = {field.name for field in schema.LANGUAGE_COLUMNS}
    types = schema.empty(schema.SYNTHETIC).schema
    known = {name: types[name] for name in types if name not in {"n_chars", "n_words", *MEASURES, *languages}}
    documents = pl.DataFrame(rows, schema=known).with_columns(
        n_chars=pl.col("text").str.len_chars().cast(pl.Int64),
        n_words=pl.col("text").str.count_matches(r"\S+").cast(pl.Int64),
    )
    means = judgements.filter("accepted").group_by("doc_id").agg(pl.col(MEASURES).mean())
    documents = documents.join(means, on="doc_id", how="left", maintain_order="left")
    return documents.select(name for name in types if name not in languages)


def _judgements(
    judged: pl.DataFrame,
    states: Sequence[State],
    document_of: dict[str, str],
    too_short: dict[str, int],
    asking: Asking,
) -> pl.DataFrame:
    """A row an output. Those whose document would be too short are rejected for it."""
    of = [states[place] for place in judged["state"]]
    recipe = asking.recipe
    text = pl.Series("n_words", [too_short.get(unit) for unit in judged["unit_id"]], dtype=pl.Float64)
    short = pl.col("accepted") & pl.col("n_words").is_not_null()
    rows = judged.with_columns(text).with_columns(
        doc_id=pl.Series([document_of.get(unit) for unit in judged["unit_id"]], dtype=pl.String),
        snapshot=pl.Series([state.unit.snapshot for state in of], dtype=pl.String),
        source=pl.Series([state.unit.source for state in of], dtype=pl.String),
        parents=pl.Series([list(state.unit.anchors) for state in of], dtype=pl.List(pl.String)),
        recipe=pl.lit(recipe.name),
        recipe_version=pl.lit(recipe.version),
        model=pl.lit(_model(asking)),
        request_ids=pl.Series([state.calls for state in of], dtype=pl.List(pl.String)),
        n_chars=pl.col("text").str.len_chars().fill_null(0).cast(pl.Int64),
        gate=pl.when(short).then(pl.lit(_TOO_SHORT)).otherwise("gate"),
        value=pl.when(short).then("n_words").otherwise("value"),
        threshold=pl.when(short).then(float(recipe.layout.min_words)).otherwise("threshold"),
        failed=pl.when(short).then(pl.lit([_TOO_SHORT])).otherwise("failed"),
        accepted=pl.col("accepted") & ~short,
    )
    missing = [name for name in MEASURES if name not in rows.columns]
    rows = rows.with_columns(pl.lit(None, pl.Float64).alias(name) for name in missing)
    return rows.select(schema.JUDGEMENTS.names)


def _rejects(judgements: pl.DataFrame) -> pl.DataFrame:
    """The rejected outputs as rows of `schema.REJECTS`: stage "gate", rule "gate_<name>", or "call_failed".

    A row's doc_id is that of the output: the anchor itself is not rejected, and several recipes may rewrite it. Its
    parents are the anchors.
    """
    rejected = judgements.filter(~pl.col("accepted"))
    rows = rejected.select(
        "snapshot",
        "source",
        "value",
        "threshold",
        "evidence",
        "parents",
        doc_id="unit_id",
        stage=pl.lit("gate"),
        rule=_rule(pl.col("gate")),
        failed=pl.col("failed").list.eval(_rule(pl.element())),
    )
    return pl.DataFrame(schema.conform(rows, schema.REJECTS))


def _rule(gate: pl.Expr) -> pl.Expr:
    return pl.when(gate == CALL_FAILED).then(gate).otherwise(pl.concat_str(pl.lit("gate_"), gate))
