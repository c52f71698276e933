"""The engine in a lake of its own: a recipe, made-up documents, and the journal of their calls."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from lakehouse import identity
from lakehouse.commits import Origin
from lakehouse.generate.calls.budget import Limits
from lakehouse.generate.calls.endpoint import Endpoint
from lakehouse.generate.gates.settings import Requirements
from lakehouse.generate.gates.tools import Tools
from lakehouse.generate.journal import spool
from lakehouse.generate.journal.index import Index
from lakehouse.generate.journal.recorder import Recorder, spool_folder
from lakehouse.generate.journal.sharing import Others
from lakehouse.generate.mock.faults import BAD_ANSWERS, Faults
from lakehouse.generate.mock.server import MODEL
from lakehouse.generate.recipe import Recipe, load_recipe
from lakehouse.generate.requests import Asking, Model, Request
from lakehouse.generate.rewriting import CHUNK_ANCHORS, Rewriting, Run
from lakehouse.generate.units import Unit, units_of
from lakehouse.lake import Lake

PLAIN = Recipe.model_validate(
    {
        "name": "plain",
        "purpose": "To test the engine with one call a unit.",
        "paper": "None.",
        "units": {"document": {"max_tokens": 400}},
        "sampling": {"temperature": 0.0, "top_p": 1.0, "max_tokens": 400},
        "steps": [{"name": "rewrite", "user": "Say it in other words.\n\n<text>\n{{ text }}\n</text>"}],
        "gates": {"length_ratio": {"min": 0.5, "max": 2.0}},
    }
)

ANY_ERRORS = Limits(error_budget=10**9)
TABLE = "generations/engine"
_SNAPSHOT = "S"
_GREEK = r"[\u0370-\u03ff\u1f00-\u1fff]"


def chain() -> Recipe:
    """A recipe of the package with three steps: an answer, its question, and the answer again as a check."""
    # What it requires of a passage every document has, and a process that checks it takes a second longer to start.
    return load_recipe("round_trip_qa").model_copy(update={"requires": Requirements()})


def anchors(count: int) -> Iterator[pl.DataFrame]:
    """Documents of some 60 words, no two sentences alike but in one of fifty, which repeats an earlier document."""
    for start in range(0, count, CHUNK_ANCHORS):
        places = range(start, min(count, start + CHUNK_ANCHORS))
        yield pl.DataFrame(
            {
                "doc_id": [identity.hash_of("anchor", place) for place in places],
                "snapshot": [_SNAPSHOT] * len(places),
                "source": ["raw/web"] * len(places),
                "language": ["en"] * len(places),
                "depth": [0] * len(places),
                "text": [_text(place - 7 if place % 50 == 49 else place) for place in places],
            }
        )


def _text(place: int) -> str:
    town, river = f"Market {place % 97} of Harrow {place}", f"River {place % 89}"
    return (
        f"The old mill near {town} was built in {1500 + place % 400} by two brothers who had come along {river}. "
        f"It ground {place % 7 + 3} tons of grain on every working day, and the bakers of the valley paid in bread. "
        f"After the great flood of spring number {place} its wheel was carried away, so the owners bought an engine. "
        "Today the house is a museum, and children may turn the smallest stone with their own hands."
    )


def identify(texts: list[str]) -> pl.DataFrame:
    """Greek by its letters; everything else counts as English."""
    greek = pl.Series(texts, dtype=pl.String).str.count_matches(_GREEK) > 10
    return pl.DataFrame({"language": ["el" if one else "en" for one in greek], "language_score": [1.0] * len(texts)})


@dataclass
class Engine:
    """A recipe over made-up documents, with its journal in a lake."""

    root: Path
    recipe: Recipe
    count: int  # of documents
    tables: list[pl.DataFrame] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.lake = Lake(self.root)
        self.tables = list(anchors(self.count))

    def rewriting(self) -> Rewriting:
        """The recipe over all units, with what the journal has now."""
        asking = Asking(self.recipe, {"default": Model(MODEL)}, seed=17)
        return Rewriting(self._units, asking, Index(self.lake, TABLE), Tools(identify=identify))

    def run(self, base_url: str, limits: Limits = ANY_ERRORS, **settings: Any) -> Run:
        """Make the calls that are still to be made.

        Raises:
            GenerationError: more calls failed than the limits allow.
        """
        endpoint = Endpoint((base_url,), MODEL, **{"max_in_flight": 32, "timeout": 5.0, **settings})
        with Recorder(self.lake, TABLE, Origin("engine", TABLE), _SNAPSHOT) as recorder:
            rewriting = self.rewriting()
            others = Others(self.lake, TABLE)
            batches = spool_folder(self.lake, TABLE)
            return rewriting.run({"default": endpoint}, recorder, others, limits, batches=batches)

    def outcome(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Documents and judgements, each in the order of its identifiers."""
        laid = list(self.rewriting().documents())
        documents = pl.concat([one.documents for one in laid]).sort("doc_id")
        return documents, pl.concat([one.judgements for one in laid]).sort("unit_id")

    def journal(self) -> pl.DataFrame:
        """The calls of the journal, those included that are not part of the table yet."""
        waiting = spool_folder(self.lake, TABLE).glob("*.jsonl")
        rows = [_call(row) for path in waiting for row in spool.read(path)]
        there = pl.DataFrame(rows, schema=_CALL, orient="row")
        if self.lake.exists(TABLE):
            there = pl.concat([self.lake.scan(TABLE).select(_CALL.keys()).collect(), there])
        return there.unique()

    def spoilt(self, faults: Faults) -> dict[str, list[tuple[str, str]]]:
        """Of each unit that has had bad answers: the steps and the faults of these."""
        found: dict[str, list[tuple[str, str]]] = {}
        asked: dict[str, Request] = {request.request_id: request for request in self.requests()}
        for states in self.rewriting().states():
            for state in states:
                requests = [asked[one] for one in state.calls]
                kinds = [(one.step, faults.of(one.messages[-1]["content"])) for one in requests]
                if bad := [one for one in kinds if one[1] in BAD_ANSWERS]:
                    found[state.unit_id] = bad
        return found

    def requests(self) -> list[Request]:
        """Every request that the units have come to make, each once."""
        found: dict[str, Request] = {}
        rewriting = self.rewriting()

        class Noting(Asking):
            def request(self, *given: Any, **named: Any) -> Request:
                made = Asking.request(self, *given, **named)
                found[made.request_id] = made
                return made

        asking = rewriting.asking
        noting = Noting(asking.recipe, asking.models, asking.seed, asking.examples)
        for _ in Rewriting(rewriting.units, noting, rewriting.index, rewriting.tools).states():
            pass
        return list(found.values())

    def _units(self) -> Iterator[Sequence[Unit]]:
        return (list(units_of(table, self.recipe)) for table in self.tables)


_CALL: dict[str, Any] = {
    "request_id": pl.String,
    "status": pl.String,
    "finish_reason": pl.String,
    "created_at": pl.Datetime("us", "UTC"),
}


def _call(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in _CALL)


def at_server(request: Request) -> str:
    """What the mock model calls a request."""
    return identity.hash_of(json.dumps(["chat", request.model, request.messages, request.params], sort_keys=True))
