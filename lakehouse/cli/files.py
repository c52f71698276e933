"""Stages on plain files, for pipes and for evaluation: extract and filter; and recipes to read and copy."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import typer

from lakehouse.cli.texts import documents as documents_of


def add_to(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (extract, filter_):
        app.command(command.__name__.rstrip("_"), rich_help_panel="Stages on plain files")(command)
    app.command(rich_help_panel="Filters")(recipe)


def extract(
    files: Annotated[
        list[Path], typer.Argument(help="HTML files; - reads one page from standard input.", metavar="FILE…")
    ],
) -> None:
    """Turn HTML into text: one JSON line a file with path, title, text and language.

    A file without text gives a line whose text is empty and whose error says why.

        lakehouse extract page.html other.html > texts.jsonl
    """
    from lakehouse import annotate
    from lakehouse.extract import ExtractError, extract_page

    failed = False
    for file in files:
        row: dict[str, Any] = {"path": str(file), "title": None, "text": "", "language": None}
        try:
            page = extract_page(sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes())
            row |= {"title": page.title, "text": page.text, "language": annotate.identify([page.text])["language"][0]}
        except ExtractError as error:
            row["error"] = f"{error.rule}: {error.evidence}" if error.evidence else error.rule
        except OSError as error:
            row["error"] = f"{file} cannot be read: {error.strerror}"
            print(row["error"], file=sys.stderr)
            failed = True
        _print_line(row)
    if failed:
        sys.exit(1)


def filter_(
    file: Annotated[
        Path, typer.Argument(help="JSON lines with id and text; - reads standard input.", metavar="FILE.jsonl")
    ],
    rules: Annotated[str | None, typer.Option(help="Rule sets, separated by commas.")] = None,
    recipe: Annotated[str | None, typer.Option(help="A recipe instead; see lakehouse recipe.")] = None,
    languages: Annotated[
        str | None, typer.Option(help="Language codes to keep, separated by commas; all without it.")
    ] = None,
    min_score: Annotated[float, typer.Option(min=0, max=1, help="Lowest score of the language.")] = 0.65,
    texts: Annotated[bool, typer.Option(help="Also give the text of what is kept, with the recipe's edits.")] = False,
) -> None:
    """Apply rules to texts: one JSON line a document with id, kept, stage, rule, value and threshold.

    lakehouse filter texts.jsonl --languages en,de > verdicts.jsonl
    """
    from lakehouse import select

    if rules and recipe:
        raise select.RuleError("filter takes --rules or --recipe, not both.")
    if recipe:
        sets = [_Set.of(attributes) for attributes in select.load_recipe(recipe).sets]
    else:
        names: list[Any] = [name for name in (rules or "gopher_quality").split(",") if name]
        sets = [_Set({"rules": names})]
    wanted = select.Languages(tuple(languages.split(",")), min_score) if languages else None
    if wanted:
        sets[0].languages = wanted
    for documents in documents_of(file, "url", "host"):
        for verdict in _judged(documents, sets, texts):
            _print_line(verdict)


class _Set:
    """One set of a recipe: what it judges, and by which edits it changes the texts for the next."""

    def __init__(self, attributes: dict[str, Any]) -> None:
        from lakehouse import annotate, select

        given = attributes.get("languages")
        self.languages = select.Languages(tuple(given["keep"]), given["min_score"]) if given else None
        self.rules = attributes.get("rules", ())
        edits = attributes.get("edits", ())
        names = [one.partition(".")[0] if isinstance(one, str) else next(iter(one)).partition(".")[0] for one in edits]
        # A page that was read as plain text declares nothing.
        judged = select.resolve([rule for rule in self.rules if rule != "consent"])
        self.annotators = [annotate.annotator(name) for name in sorted({*select.required_annotators(judged), *names})]
        measured = select.Measured(
            annotators={one.name: one.columns for one in self.annotators},
            edit_rules={one.name: one.edit_rules for one in self.annotators},
        )
        self.edits = [select.Edits.declared(one, measured) for one in edits]

    @staticmethod
    def of(attributes: dict[str, Any]) -> _Set:
        """A set of a recipe, without what only a lake has.

        Raises:
            RuleError: it looks at what needs a file of the user's.
        """
        from lakehouse import select

        if any(isinstance(rule, dict) and {"where", "top"} & set(*rule.values()) for rule in attributes["rules"]):
            raise select.RuleError(
                f"{attributes['name']} looks at a classifier of your own: put its YAML into assets/filtered/defs.yaml."
            )
        return _Set(attributes)

    def conditions(self) -> Sequence[Any]:
        from lakehouse import select

        return select.resolve([rule for rule in self.rules if rule != "consent"], self.languages)


def _judged(documents: pl.DataFrame, sets: Sequence[_Set], texts: bool) -> list[dict[str, Any]]:
    """One line a document: the verdict of the first set that drops it."""
    from lakehouse import annotate, select

    documents = documents.hstack(annotate.identify(documents["text"].to_list()))
    lines = {doc_id: {"id": doc_id, "kept": True} for doc_id in documents["doc_id"]}
    for one in sets:
        measured = annotate.annotate(documents, one.annotators)
        verdicts = select.decide(measured, one.conditions())
        for row in verdicts.filter(~pl.col("kept")).iter_rows(named=True):
            value = row["value"] if row["value"] is not None else row["evidence"]
            lines[row["doc_id"]] |= {name: row[name] for name in ("kept", "stage", "rule")} | {"value": value}
            lines[row["doc_id"]]["threshold"] = row["threshold"]
        kept = measured.filter(verdicts["kept"])
        if one.edits and kept.height:
            edits = select.merge_edits([edit.of(kept) for edit in one.edits])
            kept = kept.with_columns(select.apply_edits(kept["text"], edits))
            for doc_id in kept.filter(pl.col("text") == "")["doc_id"]:
                lines[doc_id] |= {"kept": False, "stage": "edits", "rule": "empty_after_edits"}
        documents = kept.filter(pl.col("text") != "").select(documents.columns)
    empty = dict.fromkeys(("stage", "rule", "value", "threshold"))
    kept_texts = dict(documents.select("doc_id", "text").iter_rows()) if texts else {}
    return [
        line | {name: line.get(name) for name in empty} | ({"text": kept_texts.get(doc_id)} if texts else {})
        for doc_id, line in lines.items()
    ]


def recipe(
    name: Annotated[str | None, typer.Argument(help="The recipe; without it all are listed.")] = None,
    source: Annotated[str, typer.Option(help="The table that it selects from.")] = "raw/web",
    set_name: Annotated[str | None, typer.Option("--name", help="Name of the set; web_<recipe> without it.")] = None,
) -> None:
    """Print the filter of a published corpus as YAML, to put into assets/filtered/defs.yaml and change.

    lakehouse recipe fineweb >> assets/filtered/defs.yaml
    """
    from lakehouse import select
    from lakehouse.cli.show import console, rows_table

    if name is None:
        recipes = [select.load_recipe(one) for one in select.recipe_names()]
        console.print(rows_table([{"recipe": one.name, "what it does": one.description} for one in recipes]))
        return
    chosen = select.load_recipe(name).renamed(source=source, name=set_name or f"web_{name}")
    first = chosen.sets[0]
    known = [rule for rule in first["rules"] if isinstance(rule, str)]
    edits = [one if isinstance(one, str) else next(iter(one)) for one in first.get("edits", ())]
    needed = select.required_annotators(select.resolve(known)) | {one.partition(".")[0] for one in edits}
    copies = first.get("duplicates") or []
    for one in [copies] if isinstance(copies, dict) else copies:
        needed |= {"minhash"} if one.get("method") == "minhash" else set()
    print("---")
    if needed:
        print(f"# {source} must measure this: annotators: [{', '.join(sorted(needed))}]")
    print(chosen.text, end="")


def _print_line(row: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")
