"""People judge a filter: `lakehouse audit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from lakehouse.cli.look import existing_lake
from lakehouse.lake import LakeError


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(rich_help_panel="Filters")(audit)


def audit(
    table: Annotated[str, typer.Argument(help="A filtered set, such as filtered/web_clean.")],
    out: Annotated[Path, typer.Option(help="Where the sample goes: a page (.html) or a table (.csv).")] = Path(
        "audit.html"
    ),
    read: Annotated[Path | None, typer.Option(help="Read the judgements of this CSV back, and report.")] = None,
    snapshot: Annotated[str | None, typer.Option(help="Of which snapshot; of all without it.")] = None,
    per_rule: Annotated[int, typer.Option(min=0, help="Documents of each rule and language.")] = 10,
    per_kept: Annotated[int, typer.Option(min=0, help="Kept documents of each language.")] = 50,
    seed: Annotated[int, typer.Option(min=0, help="Another seed draws other documents.")] = 0,
    by_language: Annotated[bool, typer.Option(help="Report each language by itself.")] = False,
) -> None:
    """Draw kept and dropped texts for people to judge, and report how often each rule is right.

    The judge does not see what the filter did. Judge in the page and save, or fill in the column judgement of the CSV:

        lakehouse audit filtered/web_clean --out audit.html
        lakehouse audit filtered/web_clean --read judgements.csv --by-language
    """
    from lakehouse.cli.show import console, rows_table
    from lakehouse.govern import audit as auditing

    lake = existing_lake()
    if read is None:
        sample = auditing.draw_sample(lake, table, snapshot=snapshot, per_rule=per_rule, per_kept=per_kept, seed=seed)
        if out.suffix not in (".html", ".csv"):
            raise LakeError(f"{out}: name a page (.html) or a table (.csv).")
        try:
            if out.suffix == ".html":
                out.write_text(auditing.page(sample), encoding="utf-8")
            else:
                _for_spreadsheets(sample).write_csv(out)
        except OSError as error:
            raise LakeError(f"{out} cannot be written: {error.strerror}.") from error
        console.print(f"Wrote {sample.height} texts to {out}: judge them, and give the CSV to --read.", soft_wrap=True)
        return
    try:
        judged = pl.read_csv(read, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise LakeError(f"{read} cannot be read as CSV: {error}.") from error
    report = auditing.precision(auditing.read_judgements(lake, judged), by_language=by_language)
    console.print(rows_table(report.to_dicts(), title=f"How often {table} was right (95 % interval)"))
    console.print("; ".join(f"{code}: {meaning}" for code, meaning in auditing.CATEGORIES.items()), soft_wrap=True)


def _for_spreadsheets(sample: pl.DataFrame) -> pl.DataFrame:
    """A page's text must not become a formula of the program that shows the table."""
    shown = pl.col("text", "url")
    return sample.with_columns(
        pl.when(shown.str.contains(r"^[=+\-@\t\r]"))
        .then(pl.concat_str(pl.lit("'"), shown))
        .otherwise(shown)
        .name.keep()
    )
