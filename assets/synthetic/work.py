"""A synthetic set's work, as its declaration says: what the journals' assets and the set's asset have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from itertools import chain
from typing import Any

from assets.synthetic.anchors import Choice
from assets.synthetic.examples import Examples
from assets.synthetic.tools import classifier_tables, tools_of
from lakehouse import generate
from lakehouse.generate import Asking, Index, Model, Recipe, Rewriting, Tools, Unit, units_of
from lakehouse.lake import Lake


@dataclass(frozen=True)
class Route:
    """A recipe and the table of its calls."""

    recipe: Recipe
    journal: str


@dataclass(frozen=True)
class Plan:
    """A synthetic set as it is declared."""

    table: str
    choice: Choice
    routes: tuple[Route, ...]
    examples: Examples | None
    embedding: Mapping[str, Any] | None
    seed: int
    max_cost: Decimal | None
    max_tokens: int | None
    error_budget: float

    @property
    def name(self) -> str:
        """Of the set."""
        return self.table.partition("/")[2]

    @property
    def rejects(self) -> str:
        """The set's reject ledger."""
        return f"rejects/{self.name}"

    @property
    def judgements(self) -> str:
        """What gates measured of every output."""
        return f"judgements/{self.name}"

    @property
    def diversity(self) -> str:
        """How varied the set's texts are."""
        return f"diversity/{self.name}"

    @property
    def journals(self) -> list[str]:
        """The journals of the recipes that call a model."""
        return [route.journal for route in self.routes if route.recipe.asks]

    @cached_property
    def sources(self) -> list[str]:
        """The tables that prompts are made from."""
        examples = self.examples.tables if self.examples else []
        classifiers = chain.from_iterable(classifier_tables(route.recipe) for route in self.routes)
        return list(dict.fromkeys([*self.choice.tables, *examples, *classifiers]))

    def configuration(self, route: Route) -> dict[str, Any]:
        """What the prompts of a route depend on, besides the rows that they show."""
        asked = route.recipe.model_dump(by_alias=True, mode="json", exclude={"gates", "layout"})
        return {
            "recipe": asked,
            "choice": [self.choice.source, self.choice.text_from, self.choice.where, list(self.choice.routes)],
            "group_by": self.choice.group_by,
            "max_documents": self.choice.max_documents,
            "seed": self.seed,
            "examples": [self.examples.sql, self.examples.count, self.examples.seed] if self.examples else None,
        }

    def limits(self, lake: Lake, journal: str) -> generate.Limits:
        """What a run may still spend on a journal."""
        cost, tokens = self.max_cost, self.max_tokens
        if lake.exists(journal) and (cost is not None or tokens is not None):
            spent = lake.scan(journal).select("cost_usd", "prompt_tokens", "completion_tokens").sum().collect()
            cost_spent, prompt, completion = spent.row(0)
            cost = None if cost is None else max(cost - (cost_spent or 0), Decimal(0))
            tokens = None if tokens is None else max(tokens - (prompt or 0) - (completion or 0), 0)
        return generate.Limits(error_budget=self.error_budget, max_cost=cost, max_tokens=tokens)


@dataclass(frozen=True)
class Reading:
    """The plan's work on one snapshot: pinned versions of what it reads."""

    plan: Plan
    lake: Lake
    snapshot: str
    inputs: Mapping[str, int]

    def rewriting(self, place: int, models: Mapping[str, Model], journal_version: int | None = None) -> Rewriting:
        """The recipe of one route over its documents.

        Args:
            place: of the route.
            models: by the endpoint's name.
            journal_version: of its journal, to look for answers in; None: the newest.
        """
        route = self.plan.routes[place]
        examples = self.plan.examples.read(self.lake, self.inputs) if self.plan.examples else []
        asking = Asking(route.recipe, models, self.plan.seed, examples)
        index = Index(self.lake, route.journal, journal_version)
        return Rewriting(lambda: self._units(place), asking, index, self.tools)

    def anchor_texts(self, place: int) -> Iterator[str]:
        """The texts of the documents that one route's recipe is asked about."""
        for units in self._units(place):
            yield from (unit.document for unit in units if unit.place == 0)

    @property
    def tools(self) -> Tools:
        """What gates need."""
        return tools_of(self.lake, self.inputs, self.plan.embedding)

    def _units(self, place: int) -> Iterator[list[Unit]]:
        recipe = self.plan.routes[place].recipe
        read = self.plan.choice.read(self.lake, self.inputs, self.snapshot, route=place, columns=recipe.columns)
        for anchors in read:
            yield list(units_of(anchors, recipe))
