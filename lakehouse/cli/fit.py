"""Thresholds and stop words of languages, fitted from reference texts: `lakehouse fit-thresholds`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import typer
import yaml

from lakehouse.cli.look import existing_lake
from lakehouse.data_files import read_batches
from lakehouse.lake import LakeError


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("fit-thresholds", rich_help_panel="Filters")(fit_thresholds)


def fit_thresholds(
    reference: Annotated[
        list[str],
        typer.Argument(help="LANGUAGE=FILE, LANGUAGE=FOLDER, or a table of the lake, whose rows have a language."),
    ],
    out: Annotated[Path, typer.Option(help="YAML file of the thresholds.")] = Path("thresholds.yaml"),
    rules: Annotated[
        str, typer.Option(help="Rule sets, separated by commas.")
    ] = "gopher_quality_fineweb,gopher_repetition,fineweb",
    method: Annotated[
        str, typer.Option(help="tail, or one that carries English thresholds over: quantile, mean_std, median_ratio.")
    ] = "tail",
    tail: Annotated[float, typer.Option(min=0, max=0.5, help="Share of the reference that a rule may drop.")] = 0.1,
    min_documents: Annotated[int, typer.Option(min=2, help="Languages with fewer documents are left out.")] = 100,
    every: Annotated[
        bool, typer.Option(help="Fit also what does not depend on how a language is written, such as text lengths.")
    ] = False,
    languages_out: Annotated[
        Path | None, typer.Option(help="Also write the frequent words of each language here, as stop words.")
    ] = None,
) -> None:
    """Fit the thresholds of rules to languages, from good texts in them.

    A filtered set takes them with `thresholds: thresholds.yaml`, annotators the stop words with `languages: FILE`.

        lakehouse fit-thresholds de=wikipedia_de.jsonl sw=news_sw.jsonl --out thresholds.yaml
    """
    from lakehouse import annotate
    from lakehouse.cli.show import console, rows_table
    from lakehouse.select import fit

    if method not in fit.METHODS:
        raise LakeError(f"There is no method {method!r}; there are {', '.join(fit.METHODS)}.")
    names = [name for name in rules.split(",") if name]
    stop_words: dict[str, list[str]] = {}
    if languages_out is not None:
        # Stop words come first: with them the rules that count them can be fitted.
        spaced = (batch.with_columns(annotate.Batch(batch).spaced()) for batch in _texts(reference))
        stop_words = fit.frequent_words(pl.concat(spaced))
        document = {language: {"stop_words": " ".join(words)} for language, words in stop_words.items()}
        _write(languages_out, document, "Stop words: the most frequent words of reference texts, by language.")
    measured = pl.concat(_measured(_texts(reference), names, languages_out))
    fitted = fit.fit_thresholds(measured, names, method=method, tail=tail, min_documents=min_documents, every=every)  # type: ignore[arg-type]
    if not fitted:
        sizes = measured.group_by("language").len().sort("language").rows()
        raise LakeError(f"No language has {min_documents} documents: {dict(sizes)}. Give more, or --min-documents.")
    sure = measured.filter(pl.col("language") == pl.col("identified"))
    for language, score in fit.fit_language_scores(sure, min_documents=min_documents).items():
        if language in fitted:
            fitted[language] = {"languages": {"min_score": score}, **fitted[language]}
    _write(out, fitted, f"Thresholds by language, fitted by the method {method}.")
    rows = [
        {"language": language, "documents": count, "thresholds": sum(map(len, fitted.get(language, {}).values()))}
        for language, count in measured.group_by("language").len().sort("language").iter_rows()
    ]
    console.print(rows_table(rows))
    console.print(f"Wrote {out}" + (f" and {languages_out}." if languages_out else "."))


def _texts(references: Sequence[str]) -> Iterator[pl.DataFrame]:
    """Batches of doc_id, text and language."""
    from lakehouse.train import read_texts

    for reference in references:
        language, equals, source = reference.partition("=")
        if equals:
            for batch in read_texts([Path(source)]):
                yield batch.select(doc_id="source", text="text", language=pl.lit(language))
            continue
        lake = existing_lake()
        if reference.split("/")[0] not in ("raw", "filtered") or not lake.exists(reference):
            raise LakeError(f"{reference!r} is neither LANGUAGE=FILE nor a text table of the lake at {lake.root}.")
        for file in lake.files(reference):
            yield from read_batches(file, ["doc_id", "text", "language"])


def _measured(texts: Iterator[pl.DataFrame], names: Sequence[str], languages: Path | None) -> Iterator[pl.DataFrame]:
    from lakehouse import annotate, select

    rules = select.resolve(list(names))
    columns = list(dict.fromkeys(rule.column for rule in rules if isinstance(rule, select.Condition)))
    declared: list[Any] = []
    for name in sorted(select.required_annotators(rules)):
        takes = languages is not None and name in ("gopher_quality", "c4", "fineweb")
        declared.append({name: {"languages": str(languages)}} if takes else name)
    annotators = [annotate.annotator(one) for one in declared]
    for batch in texts:
        identified = annotate.identify(batch["text"].to_list())
        measured = annotate.annotate(batch, annotators)
        yield measured.select("language", *columns).with_columns(
            identified=identified["language"], language_score=identified["language_score"]
        )


def _write(file: Path, content: dict[str, Any], title: str) -> None:
    try:
        text = yaml.safe_dump(content, allow_unicode=True, sort_keys=False, width=120, default_flow_style=None)
        file.write_text(f"# {title}\n{text}", encoding="utf-8")
    except OSError as error:
        raise LakeError(f"{file} cannot be written: {error.strerror}.") from error
