"""Synthetic sets as they are declared: which documents, by which recipes, and what it may cost."""

from decimal import Decimal
from functools import cached_property
from typing import Any

import dagster as dg
from pydantic import Field, field_validator

from assets.annotations import annotations_of, check_declarations
from assets.materialization import Attributes
from assets.synthetic.anchors import Choice
from assets.synthetic.examples import Examples
from assets.synthetic.journals import journal_asset
from assets.synthetic.sets import set_asset
from assets.synthetic.work import Plan, Route
from lakehouse import generate, schema


class RouteTo(Attributes):
    """One of several recipes, and the documents that it is for."""

    recipe: str = Field(description="A recipe of the package by name, or the path of a YAML file.")
    where: str | None = Field(default=None, description="A DuckDB condition on the source's columns; without it all.")
    journal: str | None = Field(default=None, description="Name of its journal; the recipe's without it.")


class ExamplesFrom(Attributes):
    """Examples that a recipe's prompts show."""

    sql: str = Field(description="A query on the lake; each row is an example, its columns are what templates show.")
    count: int = Field(default=3, gt=0, le=100, description="How many are shown, always the same.")
    seed: int = Field(default=0, description="Of the choice among the rows.")


class SyntheticSet(Attributes, dg.Component):
    """A synthetic set `synthetic/<name>`, its ledger `rejects/<name>`, its judgements and its journals."""

    name: str = Field(description="Name of the set.")
    source: str = Field(description="The table whose documents are rewritten: kept ones or a ledger's.")
    text_from: str | None = Field(
        default=None, description="The table that has the texts, where the source is a ledger."
    )
    where: str | None = Field(default=None, description="A DuckDB condition on the source's columns.")
    max_documents: int | None = Field(default=None, gt=0, description="How many of a snapshot are rewritten.")
    group_by: str | None = Field(
        default=None, description="A DuckDB expression; documents with the same value are asked about together."
    )
    seed: int = Field(default=0, description="Seed of the sample and of the attributes that recipes draw.")
    recipe: str | None = Field(default=None, description="A recipe of the package by name, or the path of a YAML file.")
    journal: str | None = Field(default=None, description="Name of the recipe's journal; the recipe's without it.")
    routes: list[RouteTo] = Field(
        default=[], description="Instead of one recipe: a document takes the first that fits."
    )
    examples: ExamplesFrom | None = Field(default=None, description="Examples for recipes that show some.")
    embedding: dict[str, Any] | None = Field(
        default=None, description="Settings of the annotator `embedding`, for gates of embedding similarity."
    )
    max_cost: float | None = Field(default=None, ge=0, description="Dollars that each journal may cost in all.")
    max_tokens: int | None = Field(default=None, ge=0, description="Tokens that each journal may use in all.")
    annotators: list[str | dict[str, dict[str, Any]]] = Field(
        default_factory=list, description="Annotators that measure the set's documents."
    )
    error_budget: float = Field(default=0.05, ge=0, description="Share of calls that may fail; from 1 on a number.")

    _declared = field_validator("annotators")(check_declarations)

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """An asset for each journal, and one for the set with its ledger."""
        plan = self.plan
        self._check_journals(context)
        journals = [journal_asset(plan, place) for place, route in enumerate(plan.routes) if route.recipe.asks]
        return dg.Definitions(assets=[*journals, set_asset(plan), *annotations_of(plan.table, self.annotators)])

    @cached_property
    def plan(self) -> Plan:
        """What is to be done, checked.

        Raises:
            RecipeError: a recipe is none, or the settings do not fit together.
        """
        table = f"synthetic/{schema.check_name(self.name, 'synthetic set')}"
        if self.source.startswith("rejects/") and self.text_from is None:
            raise generate.RecipeError(
                f"{table}: {self.source} is a ledger without texts: name the table that has them (text_from: raw/…)."
            )
        if (self.recipe is None) == (not self.routes):
            raise generate.RecipeError(f"{table}: give either a recipe or routes to several.")
        declared = self.routes or [RouteTo(recipe=self.recipe or "", journal=self.journal)]
        choice = Choice(
            source=self.source,
            text_from=self.text_from or self.source,
            where=self.where,
            routes=tuple(route.where for route in declared),
            group_by=self.group_by,
            max_documents=self.max_documents,
            seed=self.seed,
        )
        routes = tuple(self._route(table, route) for route in declared)
        if len({route.journal for route in routes}) < len(routes):
            raise generate.RecipeError(f"{table}: two routes have the same journal: give one of them a `journal:`.")
        shown = self.examples
        examples = Examples(shown.sql, shown.count, shown.seed) if shown else None
        return Plan(
            table=table,
            choice=choice,
            routes=routes,
            examples=examples,
            embedding=self.embedding,
            seed=self.seed,
            # YAML reads 0.1 as a binary fraction; it means what is written.
            max_cost=None if self.max_cost is None else Decimal(str(self.max_cost)),
            max_tokens=self.max_tokens,
            error_budget=self.error_budget,
        )

    def _check_journals(self, context: dg.ComponentLoadContext | None) -> None:
        """Make sure that no other set keeps its calls in the same journal.

        Raises:
            RecipeError: one does.
        """
        if context is None:
            return
        for other in context.component_tree.get_all_components(SyntheticSet):
            shared = set() if other.name == self.name else set(self.plan.journals) & set(other.plan.journals)
            if shared:
                raise generate.RecipeError(
                    f"synthetic/{self.name} and synthetic/{other.name} have the same journal {min(shared)}: give one "
                    "of them a `journal:`. What one has paid for the other gets for nothing all the same."
                )

    def _route(self, table: str, declared: RouteTo) -> Route:
        recipe = generate.load_recipe(declared.recipe)
        if recipe.units.group and self.group_by is None:
            raise generate.RecipeError(
                f"{table}: recipe {recipe.name} asks about groups of documents: "
                "say which belong together (group_by: host)."
            )
        if recipe.needs_examples and self.examples is None:
            raise generate.RecipeError(f"{table}: recipe {recipe.name} shows examples: say where from (examples:).")
        if self.embedding is None and recipe.gates.embedding_similarity:
            raise generate.RecipeError(
                f"{table}: recipe {recipe.name} compares embeddings: say which (embedding: {{model: …}})."
            )
        journal = schema.check_name(declared.journal or recipe.name, "journal")
        return Route(recipe, f"generations/{journal}")
