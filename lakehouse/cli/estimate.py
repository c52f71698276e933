"""What synthetic sets would cost, before the first call: `lakehouse estimate`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lakehouse.cli.show import ProgressBars, console, errors, escape, rows_table
from lakehouse.lake import Lake, LakeError

if TYPE_CHECKING:
    from assets.synthetic.work import Plan
    from lakehouse.generate.estimate import StepEstimate


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(rich_help_panel="Look into the lake")(estimate)


def estimate(
    sets: Annotated[list[str] | None, typer.Argument(help="Synthetic sets; all without any.", metavar="SET…")] = None,
    snapshot: Annotated[str | None, typer.Option(help="Only this snapshot; default: all.")] = None,
) -> None:
    """Say what a build would ask models for: calls, tokens and cost of each synthetic set, step by step.

    Nothing is called. The first step that waits is counted, those after it are estimated (≈): from the answers that the
    journal has, else as many and as long as the recipe allows. Prices are those of LAKEHOUSE_PROMPT_PRICE and
    LAKEHOUSE_COMPLETION_PRICE, or of the endpoints' file.

        lakehouse estimate
        lakehouse estimate web_recycled --snapshot 2026-11-21
    """
    from lakehouse.cli.look import existing_lake

    lake = existing_lake()
    plans = _chosen(declared_plans(), sets or [])
    with ProgressBars() as bars:
        bars.start("Estimating", len(plans))
        found: dict[str, list[StepEstimate]] = {}
        for plan in plans:
            for title, one in _estimates(lake, plan, snapshot):
                found.setdefault(title, []).append(one)
            bars.advance("Estimating")
    show_estimates(found)


def declared_plans() -> list[Plan]:
    """The synthetic sets that `assets/*/defs.yaml` declares.

    Raises:
        BuildError: a `defs.yaml` is wrong.
    """
    from assets.synthetic.component import SyntheticSet
    from lakehouse.cli.runs import load_definitions

    tree = load_definitions().component_tree
    assert tree is not None  # what the folder declares always has one
    return [component.plan for component in tree.get_all_components(of_type=SyntheticSet)]


def show_estimates(found: Mapping[str, Sequence[StepEstimate]]) -> None:
    """Print a table of estimates under each title, and the sum of all."""
    every = [one for estimates in found.values() for one in estimates]
    if not every:
        console.print("There is nothing that asks a model.")
        return
    priced = [one for one in every if one.cost_usd is not None]
    for title, estimates in found.items():
        console.print(rows_table([_row(one, bool(priced)) for one in estimates], title=title))
    prompt, completion = sum(one.prompt_tokens for one in every), sum(one.completion_tokens for one in every)
    line = f"{sum(one.calls for one in every):,} calls, about {prompt:,} + {completion:,} tokens"
    if priced:
        expected = sum((one.cost_usd or Decimal(0) for one in priced), Decimal(0))
        most = sum((one.most_cost_usd or Decimal(0) for one in priced), Decimal(0))
        line += f", about {_dollars(expected)}; at most {_dollars(most)}"
    console.print(f"{line}.", soft_wrap=True)
    if len(priced) < len(every):
        errors.print(
            "No model endpoint is set (LAKEHOUSE_MODEL_URL, LAKEHOUSE_MODEL): prices are not known.", soft_wrap=True
        )


def _row(one: StepEstimate, is_priced: bool) -> dict[str, Any]:
    about = "" if one.is_counted else "≈ "
    tokens = {
        "prompts": f"{about}{one.prompt_tokens:,}",
        "answers": f"≈ {one.completion_tokens:,}" if one.calls else "0",
    }
    prices = {"cost": _dollars(one.cost_usd), "at most": _dollars(one.most_cost_usd)} if is_priced else {}
    counts = {"units": one.units, "answered": one.answered, "to call": f"{about}{one.calls:,}"}
    return {"step": one.step} | counts | tokens | prices


def _estimates(lake: Lake, plan: Plan, snapshot: str | None) -> Iterator[tuple[str, StepEstimate]]:
    """Estimates of one set, under the names of set, snapshot and recipe."""
    from assets.synthetic.journals import endpoints_of, last_models, models_of
    from assets.synthetic.work import Reading
    from lakehouse.generate import Others
    from lakehouse.generate.estimate import estimate
    from resources.language_model import from_environment

    missing = [table for table in plan.sources if not lake.exists(table)]
    if missing:
        errors.print(escape(f"{plan.table}: {missing[0]} is not built yet, so nothing is known."), soft_wrap=True)
        return
    inputs = {table: lake.version(table) for table in plan.sources}
    language_model = from_environment()
    for name in _snapshots(lake, plan, snapshot):
        reading = Reading(plan, lake, name, inputs)
        for place, route in enumerate(plan.routes):
            if not route.recipe.asks:
                continue
            endpoints = endpoints_of(language_model, route.recipe)
            models = models_of(endpoints) or last_models(lake, route.journal, name, route.recipe)
            journal = lake.scan(route.journal) if lake.exists(route.journal) else None
            others = Others(lake, route.journal)
            for one in estimate(reading.rewriting(place, models), endpoints, journal, others):
                yield f"{plan.table} {name}, recipe {one.recipe}", one


def _snapshots(lake: Lake, plan: Plan, snapshot: str | None) -> list[str]:
    there = lake.scan(plan.choice.source).select("snapshot").unique().sort("snapshot").collect()["snapshot"].to_list()
    if snapshot is None:
        return there
    if snapshot not in there:
        errors.print(escape(f"{plan.table}: {plan.choice.source} has no snapshot {snapshot}."), soft_wrap=True)
        return []
    return [snapshot]


def _chosen(plans: Sequence[Plan], names: Sequence[str]) -> list[Plan]:
    known = {plan.name: plan for plan in plans}
    wanted = [name.removeprefix("synthetic/") for name in names]
    for name in wanted:
        if name not in known:
            raise LakeError(f"There is no synthetic set {name!r}; there are {', '.join(sorted(known)) or 'none'}.")
    return [known[name] for name in dict.fromkeys(wanted)] if wanted else list(plans)


def _dollars(value: Decimal | None) -> str:
    return "" if value is None else f"${value:,.4f}"
