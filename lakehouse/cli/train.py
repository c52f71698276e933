"""Commands that train models of text: classifiers, and n-gram models of harmful text."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import polars as pl
import typer

from lakehouse.cli.show import ProgressBars, console, escape, rows_table
from lakehouse.compute import reporting_to
from lakehouse.lake import Lake, default_root

if TYPE_CHECKING:
    from assets.classifiers.sources import Source
    from lakehouse.models import NgramModel
    from lakehouse.train import Parameters, Split, Trained

_Column = Annotated[str, typer.Option(help="Key of JSON lines and column of Parquet files and tables with the text.")]
_Seed = Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Of the split and of the training.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (train_classifier, train_perplexity):
        app.command(command.__name__.replace("_", "-"), rich_help_panel="Train models of text")(command)


def train_classifier(
    name: Annotated[str, typer.Option(help="Name of the classifier.")],
    positive: Annotated[list[str] | None, typer.Option(help="File, folder or table of the lake.")] = None,
    negative: Annotated[list[str] | None, typer.Option(help="The same, of the other class.")] = None,
    positive_sql: Annotated[str | None, typer.Option(help="Query on the lake with a column text.")] = None,
    negative_sql: Annotated[str | None, typer.Option(help="The same, of the other class.")] = None,
    positive_label: Annotated[str, typer.Option(help="The class whose probability is the score.")] = "positive",
    negative_label: Annotated[str, typer.Option(help="The other class.")] = "negative",
    column: _Column = "text",
    out: Annotated[Path | None, typer.Option(help="Folder to write to; default: the name.")] = None,
    seed: _Seed = 0,
    test_share: Annotated[float, typer.Option(help="Share of the examples to judge on.")] = 0.1,
    validation_share: Annotated[float, typer.Option(help="Share of the examples to calibrate on.")] = 0.1,
    max_examples: Annotated[int | None, typer.Option(help="Of each class; all without it.")] = None,
    max_characters: Annotated[int | None, typer.Option(min=1, help="Of each text; all without it.")] = None,
    dimensions: Annotated[int, typer.Option(help="Of a word's vector.")] = 16,
    word_ngrams: Annotated[int, typer.Option(help="Longest run of words with a vector.")] = 2,
    shortest: Annotated[int, typer.Option(help="Characters of the shortest parts of words with a vector.")] = 0,
    longest: Annotated[int, typer.Option(help="Characters of the longest; 0: parts have none.")] = 0,
    buckets: Annotated[int, typer.Option(help="Vectors that runs and parts share.")] = 500_000,
    epochs: Annotated[int, typer.Option(help="How often the examples are read.")] = 5,
    learning_rate: Annotated[float, typer.Option(help="At the beginning.")] = 0.5,
    min_count: Annotated[int, typer.Option(help="How often a word must be there to have a vector.")] = 1,
    quantise: Annotated[bool, typer.Option("--quantise", help="Compress the vectors (.ftz).")] = False,
    calibration: Annotated[str, typer.Option(help="platt, isotonic or none.")] = "platt",
    lake: Annotated[bool, typer.Option("--lake", help="Print the YAML block that makes it an asset.")] = False,
) -> None:
    """Train a classifier of texts (fastText) and judge it on examples that it has not seen.

    A file of plain text has one text a line; in a folder, a file is one text. JSON lines and Parquet have one a row.
    The same examples and the same seed give the same model, byte for byte. --positive and --negative may be repeated.

        lakehouse train-classifier --name quality --positive good.jsonl --negative filtered/web_clean
    """
    from assets.classifiers.sources import Source
    from lakehouse import train

    sources = (
        Source(tuple(positive or ()), positive_sql, column),
        Source(tuple(negative or ()), negative_sql, column),
    )
    chosen: dict[str, Any] = {
        "dimensions": dimensions,
        "word_ngrams": word_ngrams,
        "shortest": shortest,
        "longest": longest,
        "buckets": buckets,
        "epochs": epochs,
        "learning_rate": learning_rate,
        "min_count": min_count,
        "quantise": quantise,
        "calibration": calibration,
    }
    split = train.Split(seed, test_share, validation_share, max_examples)
    labels, folder = (positive_label, negative_label), out or Path(name)
    train.check_folder(folder)
    trained = _trained(name, labels, sources, split, train.Parameters(**chosen), max_characters)
    trained.write(folder)
    _show_classifier(trained.metrics)
    console.print(f"[green]✓[/] {escape(str(folder))}: model, card, figures and plots", soft_wrap=True)
    if lake:
        settings: dict[str, Any] = {"seed": seed, "test_share": test_share, "validation_share": validation_share}
        settings |= {"max_examples": max_examples, "max_characters": max_characters, "column": column}
        console.print(escape(_yaml(name, labels, sources, chosen, settings)), soft_wrap=True)


def train_perplexity(
    texts: Annotated[list[Path], typer.Argument(help="Folders and files of harmful text.", metavar="PATH…")],
    out: Annotated[Path, typer.Option(help="File to write the model to.")],
    other: Annotated[list[Path] | None, typer.Option(help="Ordinary text to compare with.")] = None,
    column: _Column = "text",
    order: Annotated[int, typer.Option(help="Characters of the longest n-grams, 1 to 5.")] = 5,
    held_out: Annotated[float, typer.Option(help="Share of the texts to judge on.")] = 0.1,
    max_characters: Annotated[int, typer.Option(help="To train on; memory grows with it.")] = 20_000_000,
    max_ngrams: Annotated[int, typer.Option(help="Of the model; the rarest are left out.")] = 20_000_000,
    seed: _Seed = 0,
) -> None:
    """Train a small model of harmful text: what surprises it is to be kept.

    With --other it says how well the two kinds are told apart, and suggests the threshold below which to drop.
    Beside the model it writes the figures (.json) and a plot (.png).

        lakehouse train-perplexity harmful/ --out harmful.ngram --other ordinary/
    """
    from lakehouse import train
    from lakehouse.models import save_ngram

    settings = train.NgramSettings(order, seed, held_out, max_characters, max_ngrams)
    with ProgressBars() as bars, reporting_to(bars):

        def read() -> Iterator[pl.DataFrame]:
            return _counted(train.read_texts(texts, column=column), bars, "Reading texts")

        trained = train.train_ngrams(read, settings, task=f"Training {out.name}")
        harmful = train.perplexities(trained.model, trained.held_out)
        others = None
        if other:
            parts = (_perplexities(trained.model, batch) for batch in train.read_texts(other, column=column))
            others = pl.concat(list(parts)).to_numpy()
        save_ngram(trained.model, out)
    facts = trained.model.facts
    size = out.stat().st_size
    console.print(
        f"[green]✓[/] {escape(str(out))}: {facts['texts']:,} texts, {facts['characters']:,} characters, "
        f"{len(trained.model.keys):,} n-grams, {size:,} bytes",
        soft_wrap=True,
    )
    if not len(harmful) or (others is not None and not len(others)):
        console.print("There are too few texts to compare: give more, or a greater --held-out.")
        return
    found = train.compare(out.name, harmful, others)
    _beside(out, ".json").write_text(json.dumps(found.figures, indent=2) + "\n", encoding="utf-8")
    _beside(out, ".png").write_bytes(found.plot)
    _show_distributions(found.figures, out)


def _trained(
    name: str,
    labels: tuple[str, str],
    sources: tuple[Source, Source],
    split: Split,
    parameters: Parameters,
    max_characters: int | None,
) -> Trained:
    from assets.classifiers.sources import existing_versions
    from lakehouse import train
    from lakehouse.models import TextForm

    tables = [table for source in sources for table in source.tables]
    store = Lake(default_root()) if tables else None
    versions = existing_versions(store, tables) if store else {}
    form = TextForm("words", max_characters=max_characters)
    with ProgressBars() as bars, reporting_to(bars):
        positive, negative = (
            _counted(source.read(store, versions), bars, f"Reading {label}")
            for source, label in zip(sources, labels, strict=True)
        )
        examples = train.collect(positive, negative, form=form, split=split, labels=labels)
        return train.train_classifier(examples, name=name, form=form, seed=split.seed, parameters=parameters)


def _perplexities(model: NgramModel, batch: pl.DataFrame) -> pl.Series:
    from lakehouse import train

    return pl.Series(train.perplexities(model, batch["text"]), dtype=pl.Float64)


def _beside(file: Path, suffix: str) -> Path:
    return file.with_name(file.name + suffix)


def _counted(frames: Iterator[pl.DataFrame], bars: ProgressBars, task: str) -> Iterator[pl.DataFrame]:
    """The frames, with a bar that counts their rows; how many there will be is not known."""
    bars.start(task, 0)
    try:
        for frame in frames:
            bars.advance(task, frame.height)
            yield frame
    finally:
        bars.finish(task)


def _show_classifier(metrics: dict[str, Any]) -> None:
    counts = [{"class": label, **numbers} for label, numbers in metrics["classes"].items()]
    console.print(rows_table(counts, title="Examples"))
    test = metrics["test"]
    found = test["confusion"]
    console.print(
        rows_table(
            [
                {"": "truly positive", "called positive": found["true_positive"], "negative": found["false_negative"]},
                {"": "truly negative", "called positive": found["false_positive"], "negative": found["true_negative"]},
            ],
            title=f"{test['n']:,} examples that it has not seen",
        )
    )
    precision = "–" if test["precision"] is None else f"{test['precision']:.3f}"
    console.print(
        f"area under the ROC curve {test['roc_auc']:.4f}, precision {precision}, recall {test['recall']:.3f}, "
        f"F1 {test['f1']:.3f}, calibration error {test['expected_calibration_error']:.3f} "
        f"(before: {test['expected_calibration_error_before']:.3f})",
        soft_wrap=True,
    )


def _show_distributions(figures: dict[str, Any], out: Path) -> None:
    rows = [{"texts": kind, **figures[kind]} for kind in ("harmful", "other") if kind in figures]
    console.print(rows_table(rows, title="Perplexity per character: number of texts, and percentiles"))
    if "threshold" not in figures:
        console.print("Give --other to see how well ordinary text is told apart, and where to cut.")
        return
    console.print(
        f"area under the ROC curve {figures['roc_auc']:.4f}; suggested threshold {figures['threshold']:.4g}: "
        f"{figures['harmful_below']:.1%} of the harmful and {figures['other_below']:.1%} of the other texts are below "
        f"(plot: {escape(str(out.with_suffix('.png')))})",
        soft_wrap=True,
    )


def _yaml(
    name: str,
    labels: tuple[str, str],
    sources: tuple[Source, Source],
    parameters: dict[str, Any],
    settings: dict[str, Any],
) -> str:
    from assets.classifiers.component import Classifier, Examples, Parameters, yaml_block

    # A run has another working directory than this one, perhaps.
    classes = [
        Examples(
            label=label,
            sources=[one if one in source.tables else os.path.abspath(one) for one in source.names],
            sql=source.query,
        )
        for label, source in zip(labels, sources, strict=True)
    ]
    return yaml_block(
        Classifier(name=name, positive=classes[0], negative=classes[1], parameters=Parameters(**parameters), **settings)
    )
