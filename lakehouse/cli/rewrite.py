"""Rewrites of plain files by a recipe: `lakehouse rewrite`."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lakehouse import compute
from lakehouse.cli.show import ProgressBars, console, errors, escape
from lakehouse.commits import Origin
from lakehouse.lake import Lake

if TYPE_CHECKING:
    from lakehouse.cli.anchors import Anchors
    from lakehouse.cli.rewritten_lines import Written
    from lakehouse.generate import Endpoint, Limits, Model, Recipe, Rewriting, Run

NO_ENDPOINT = (
    "export LAKEHOUSE_MODEL_URL=<address up to and with /v1>, LAKEHOUSE_MODEL=<the model's name there> and "
    "LAKEHOUSE_API_KEY=<key> (none for a server on this machine); `lakehouse mock-llm` serves a stand-in."
)

_Journal = Annotated[
    Path | None,
    typer.Option(
        help="Folder that remembers every call; none is made twice.", show_default="<output>.journal", metavar="FOLDER"
    ),
]
_GroupBy = Annotated[
    str | None, typer.Option(help="Key of the lines; recipes about several documents ask about those that share it.")
]
_Embedding = Annotated[
    str | None, typer.Option(help="Embedding model of the server, for gates of similarity.", metavar="MODEL")
]


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(rich_help_panel="Stages on plain files")(rewrite)


def rewrite(
    files: Annotated[
        list[Path],
        typer.Argument(help="JSON lines with id and text, also as .gz; - is standard input.", metavar="FILE.jsonl…"),
    ],
    recipe: Annotated[str, typer.Option(help="A name that lakehouse recipes lists, or the path of a YAML file.")],
    output: Annotated[
        Path | None, typer.Option(help="The documents, also as .gz; - or none: standard output.", metavar="FILE.jsonl")
    ] = None,
    rejects: Annotated[
        Path | None, typer.Option(help="Outputs that failed a gate, and which.", metavar="FILE.jsonl")
    ] = None,
    journal: _Journal = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would take; nothing is called.")] = False,
    max_documents: Annotated[int | None, typer.Option(min=1, help="Rewrite so many, drawn by the seed.")] = None,
    seed: Annotated[int, typer.Option(help="Of that draw, and of the attributes that recipes draw.")] = 0,
    max_cost: Annotated[str | None, typer.Option(help="Dollars that the journal may cost in all.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=0, help="Tokens that the journal may use in all.")] = None,
    error_budget: Annotated[
        float, typer.Option(min=0, help="Share of calls that may fail; from 1 on a number.")
    ] = 0.05,
    group_by: _GroupBy = None,
    embedding: _Embedding = None,
) -> None:
    """Rewrite documents: one JSON line a new document with id, text, parents, recipe, model, scores and more.

    LAKEHOUSE_MODEL_URL and LAKEHOUSE_MODEL say which model answers. Every answer is kept in the journal the moment it
    comes: the same command again asks for nothing that is there, and goes on where it was stopped. Lines may have a
    language, a source and a depth; languages are identified where they lack it.

        lakehouse rewrite pages.jsonl --recipe wrap_medium --output rewritten.jsonl --dry-run
        zcat pages.jsonl.gz | lakehouse rewrite - --recipe reversal > reversed.jsonl
    """
    from lakehouse.cli.rewritten_lines import check_readable, check_writable
    from lakehouse.generate import load_recipe

    chosen = load_recipe(recipe)
    _check_settings(chosen, group_by, embedding)
    output = None if output is None or str(output) == "-" else output
    check_readable(files)
    check_writable([output, rejects], files)
    folder = journal or Path(f"{output}.journal" if output else f"{chosen.name}.journal")
    work = _Work(chosen, Lake(folder), seed, embedding, _limits(max_cost, max_tokens, error_budget))
    work.do(files, output, rejects, group_by=group_by, max_documents=max_documents, dry_run=dry_run)


@dataclass(frozen=True)
class _Work:
    """A recipe on plain files, and the journal of its calls."""

    recipe: Recipe
    lake: Lake
    seed: int
    embedding: str | None
    limits: Limits

    def do(
        self,
        files: Sequence[Path],
        output: Path | None,
        rejects: Path | None,
        *,
        group_by: str | None,
        max_documents: int | None,
        dry_run: bool,
    ) -> None:
        """Read, ask, judge and write, or only say what it would take."""
        from lakehouse.cli.anchors import read_anchors
        from lakehouse.cli.rewritten_lines import write_lines

        endpoints = self.endpoints(required=not dry_run)
        with tempfile.TemporaryDirectory(prefix="lakehouse-rewrite-") as made:
            with ProgressBars() as bars, compute.reporting_to(bars):
                anchors = read_anchors(
                    files, Path(made), self.recipe, group_by=group_by, max_documents=max_documents, seed=self.seed
                )
                if not dry_run:
                    run, rewriting = self.run(anchors, endpoints)
                    written = write_lines(rewriting.documents(), output, rejects)
            if dry_run:
                self.show_estimate(anchors, endpoints)
            else:
                self.summarise(anchors, run, written)

    @property
    def journal(self) -> str:
        """Name of the table of calls."""
        return f"generations/{self.recipe.name}"

    def endpoints(self, *, required: bool) -> dict[str, Endpoint]:
        """The endpoints that the recipe calls, by name; tried out if they are required.

        Raises:
            GenerationError: one is missing, or cannot be used.
        """
        if not self.recipe.asks:
            return {}
        from assets.synthetic.journals import endpoints_of
        from lakehouse.generate import GenerationError, check_endpoints
        from resources.language_model import from_environment

        endpoints = endpoints_of(from_environment(), self.recipe)
        if required and not endpoints:
            raise GenerationError(f"recipe {self.recipe.name} asks a model, and none is set: {NO_ENDPOINT}")
        if required:
            check_endpoints(endpoints)
        return endpoints

    def models(self, endpoints: Mapping[str, Endpoint]) -> dict[str, Model]:
        """The models that are asked; without an endpoint those that were asked before."""
        if not self.recipe.asks:
            return {}
        from assets.synthetic.journals import last_models, models_of
        from lakehouse.cli.anchors import SNAPSHOT

        return models_of(endpoints) or last_models(self.lake, self.journal, SNAPSHOT, self.recipe)

    def rewriting(self, anchors: Anchors, models: Mapping[str, Model]) -> Rewriting:
        """The recipe over the documents."""
        from assets.synthetic.tools import tools_of
        from lakehouse.generate import Asking, Index, Rewriting

        tools = tools_of(None, {}, {"model": self.embedding} if self.embedding else None)
        asking = Asking(self.recipe, models, self.seed)
        return Rewriting(anchors.units, asking, Index(self.lake, self.journal), tools)

    def run(self, anchors: Anchors, endpoints: Mapping[str, Endpoint]) -> tuple[Run, Rewriting]:
        """Make all calls.

        Raises:
            GenerationError: too many failed.
        """
        from lakehouse.generate import Run

        models = self.models(endpoints)
        rewriting = self.rewriting(anchors, models)
        if not self.recipe.asks:
            return Run(), rewriting
        try:
            return self._called(rewriting, models, endpoints), rewriting
        except KeyboardInterrupt:
            errors.print(
                f"\nWhat was answered is kept in {escape(str(self.lake.root))}: the same command goes on from there.",
                soft_wrap=True,
            )
            raise

    def _called(self, rewriting: Rewriting, models: Mapping[str, Model], endpoints: Mapping[str, Endpoint]) -> Run:
        from lakehouse.cli.anchors import SNAPSHOT
        from lakehouse.generate import Others, spool_folder
        from lakehouse.generate.accept_rate import CallsBar, WatchedRecorder, WatchedRewriting

        watched = WatchedRewriting.of(rewriting)
        origin, rate = self._origin(models), watched.accept_rate
        with WatchedRecorder(self.lake, self.journal, origin, SNAPSHOT, rate) as recorder:
            watched.index.refresh()  # calls that a killed run has left
            title = f"Asking {', '.join(sorted({model.name for model in models.values()}))}"
            bar = CallsBar(title, rate)
            try:
                return watched.run(
                    endpoints,
                    recorder,
                    Others(self.lake, self.journal),
                    self._limits_left(),
                    batches=spool_folder(self.lake, self.journal),
                    progress=bar,
                )
            finally:
                bar.finish()

    def _origin(self, models: Mapping[str, Model]) -> Origin:
        from assets.synthetic.journals import details_of

        return Origin(asset=self.journal, details=details_of(models))

    def _limits_left(self) -> Limits:
        """What may still be spent on the journal."""
        limits = self.limits
        if not self.lake.exists(self.journal):
            return limits
        spent = self.lake.scan(self.journal).select("cost_usd", "prompt_tokens", "completion_tokens").sum().collect()
        dollars, prompt, completion = spent.row(0)
        cost, tokens = limits.max_cost, limits.max_tokens
        return replace(
            limits,
            max_cost=None if cost is None else max(cost - (dollars or 0), Decimal(0)),
            max_tokens=None if tokens is None else max(tokens - (prompt or 0) - (completion or 0), 0),
        )

    def show_estimate(self, anchors: Anchors, endpoints: Mapping[str, Endpoint]) -> None:
        """Print what a run would take."""
        from lakehouse.cli.anchors import SNAPSHOT
        from lakehouse.cli.estimate import show_estimates
        from lakehouse.generate import Others, Recorder, spool_folder
        from lakehouse.generate.estimate import estimate

        if not self.recipe.asks:
            console.print(f"Recipe {self.recipe.name} calls no model: it costs nothing.")
            return
        models = self.models(endpoints)
        if spool_folder(self.lake, self.journal).is_dir():
            with Recorder(self.lake, self.journal, self._origin(models), SNAPSHOT):
                pass  # calls that a killed run has left are taken into the table
        journal = self.lake.scan(self.journal) if self.lake.exists(self.journal) else None
        rewriting = self.rewriting(anchors, models)
        found = estimate(rewriting, endpoints, journal, Others(self.lake, self.journal))
        show_estimates({f"recipe {self.recipe.name}": found})

    def summarise(self, anchors: Anchors, run: Run, written: Written) -> None:
        """Say on standard error what was done."""
        report = run.report
        without = f" ({anchors.without_text:,} more have no text)" if anchors.without_text else ""
        lines = [f"{anchors.documents:,} documents{without}, recipe {self.recipe.name}."]
        if self.recipe.asks:
            tokens = f"{report.prompt_tokens:,} + {report.completion_tokens:,} tokens"
            calls = f"{report.succeeded + report.failed:,} calls, {report.failed:,} of them failed"
            lines.append(f"{calls}: {tokens}, ${report.cost_usd:,.4f}. The journal is {self.lake.root}.")
        if run.reused:
            lines.append(f"{run.reused:,} answers were taken from other journals there.")
        if run.waiting:
            why = (
                f"{run.stopped_by} is reached: raise it"
                if run.stopped_by
                else "calls failed or were cut off: run it again"
            )
            lines.append(f"{run.waiting:,} units wait: {why} to go on.")
        share = f" ({written.accepted / written.outputs:.0%})" if written.outputs else ""
        lines.append(
            f"{written.outputs:,} outputs: {written.accepted:,} accepted{share} in {written.documents:,} documents, "
            f"{written.outputs - written.accepted:,} rejected."
        )
        lines += [f"  {count:,} by {gate}" for gate, count in written.gates.most_common()]
        for line in lines:
            errors.print(escape(line), soft_wrap=True)


def _check_settings(recipe: Recipe, group_by: str | None, embedding: str | None) -> None:
    from lakehouse.generate import GenerationError, RecipeError

    if recipe.units.group and group_by is None:
        raise GenerationError(
            f"recipe {recipe.name} asks about groups of documents: say by which key (--group-by host)."
        )
    if recipe.needs_examples:
        raise RecipeError(f"recipe {recipe.name} shows examples from a lake: declare a synthetic set with `examples`.")
    if recipe.gates.embedding_similarity and embedding is None:
        raise GenerationError(f"recipe {recipe.name} compares embeddings: say by which model (--embedding MODEL).")


def _limits(max_cost: str | None, max_tokens: int | None, error_budget: float) -> Limits:
    from lakehouse.generate import GenerationError, Limits

    try:
        cost = None if max_cost is None else Decimal(max_cost)
    except InvalidOperation:
        raise GenerationError(f"--max-cost is {max_cost!r}: give dollars, such as 2.50.") from None
    return Limits(error_budget=error_budget, max_cost=cost, max_tokens=max_tokens)
