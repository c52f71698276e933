"""Versions of tables: history and diff."""

from __future__ import annotations

import dataclasses
import difflib
import enum
import itertools
import json
import re
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from lakehouse.cli.look import existing_lake
from lakehouse.cli.show import console, rows_table

if TYPE_CHECKING:
    from lakehouse.govern import Difference, DocumentDifference

_GROUPS_SHOWN = 20
_WORDS_COMPARED = 2_000  # of a line: the time it takes grows with their square
# A page can hold sequences that move the cursor or turn text around: a terminal must not obey them.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class DiffFormat(enum.StrEnum):
    """How a difference is printed."""

    text = "text"
    json = "json"


def add_to(app: typer.Typer) -> None:
    """Add the commands to the application."""
    panel = "Versions"
    app.command(rich_help_panel=panel)(history)
    # A negative version is an argument that is wrong, not an option that is unknown.
    app.command(rich_help_panel=panel, context_settings={"ignore_unknown_options": True})(diff)


def history(table: Annotated[str, typer.Argument(help="A table, such as filtered/web_clean.")]) -> None:
    """Show every version of a table: when it was written, by which run, from which versions."""
    lake = existing_lake()
    rows = [
        {
            "version": commit.version,
            "committed (UTC)": f"{commit.committed_at:%Y-%m-%d %H:%M}",
            "snapshot": commit.partition or "",
            "rows written": commit.rows,
            "run": commit.run_id[:8],
            "made from": ", ".join(f"{name}@{version}" for name, version in commit.inputs.items()),
        }
        for commit in lake.history(table)
        if commit.asset
    ]
    console.print(rows_table(rows, title=table))


def diff(
    table: Annotated[str, typer.Argument(help="A table, such as filtered/web_clean.")],
    before: Annotated[int | None, typer.Argument(metavar="V1", help="A version; the one before V2 without it.")] = None,
    after: Annotated[int | None, typer.Argument(metavar="V2", help="A version; the newest without it.")] = None,
    doc: Annotated[str | None, typer.Option(metavar="ID", help="Show what changed in this doc_id or URL.")] = None,
    rows: Annotated[bool, typer.Option("--rows", help="List the rows that were added, removed and changed.")] = False,
    max_rows: Annotated[int, typer.Option(min=1, help="Rows of each kind that --rows lists at most.")] = 20,
    output: Annotated[DiffFormat, typer.Option("--format", help="text, or one JSON object.")] = DiffFormat.text,
) -> None:
    """Show what changed between two versions of a table: rows, by snapshot, source and rule, or one document.

    Without V2 it is the newest version, without V1 the one before V2.

    lakehouse diff filtered/web_clean
    lakehouse diff filtered/web_clean 3 5 --rows
    lakehouse diff filtered/web_clean --doc https://example.org/
    """
    from lakehouse import govern

    lake = existing_lake()
    before, after = govern.versions_to_compare(lake, table, before, after)
    if doc is not None:
        documents = govern.compare_document(lake, table, before, after, doc)
        if output is DiffFormat.json:
            plain = [_plain(table, before, after, document) for document in documents]
            _write_json({"table": table, "before": before, "after": after, "documents": plain})
        for document in documents if output is DiffFormat.text else ():
            _show_document(table, before, after, document)
        return
    difference = govern.compare(lake, table, before, after, max_rows=max_rows if rows else 0)
    if output is DiffFormat.json:
        _write_json(dataclasses.asdict(difference))
    else:
        _show_difference(difference, listed=rows)


def _show_difference(difference: Difference, *, listed: bool) -> None:
    sides = [
        {
            "version": str(side.version),
            "committed (UTC)": f"{side.committed_at:%Y-%m-%d %H:%M}",
            "run": side.run_id[:8] if side.restored is None else f"restored version {side.restored}",
            "snapshot written": ", ".join(side.snapshots),
            "rows of the table": side.rows,
        }
        for side in (difference.before, difference.after)
    ]
    console.print(rows_table(sides, title=difference.table))
    console.print(Text(", ".join(f"{count:,} {kind}" for kind, count in difference.totals.items()), style="bold"))
    for note in difference.notes:
        places = note["snapshots"]
        more = f" and {len(places) - 3} more" if len(places) > 3 else ""
        where = f"{', '.join(places[:3])}{more}: " if places else ""
        console.print(Text(f"{where}{note['note']}"), soft_wrap=True)
    for ledger in difference.missing_ledgers:
        console.print(f"Some rules are unknown: vacuum removed {ledger}.", soft_wrap=True)
    console.print()
    if difference.groups:
        console.print(rows_table(difference.groups[:_GROUPS_SHOWN]))
        if len(difference.groups) > _GROUPS_SHOWN:
            console.print(f"{_GROUPS_SHOWN} of {len(difference.groups):,} groups; --format json has all.")
    for title, rules in _rule_tables(difference):
        console.print(rows_table(rules, title=title))
    if difference.columns:
        counts = [{"changed column": name, "rows": count} for name, count in difference.columns.items()]
        console.print(rows_table(counts))
    if listed:
        for row in difference.rows:
            console.print(_listed_row(row), soft_wrap=True)


def _rule_tables(difference: Difference) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    before, after = difference.before.version, difference.after.version
    if difference.table.startswith("rejects/") and difference.rules:
        rows = [
            {
                f"in version {before}": rule["rule_before"] or "(not dropped)",
                f"in version {after}": rule["rule_after"] or "(not dropped)",
                "rows": rule["rows"],
            }
            for rule in difference.rules
        ]
        yield "By the rule that drops them", rows
        return
    sides = (
        ("removed", "threshold_after", f"Removed: dropped in version {after} by", "no longer in its source"),
        ("added", "threshold_before", f"Added: dropped in version {before} by", "new in its source"),
    )
    for change, threshold, title, otherwise in sides:
        nameless = "(unknown)" if difference.missing_ledgers else f"(none: {otherwise})"
        rows = [
            {"rule": rule["rule"] or nameless, "threshold": rule[threshold], "rows": rule[change]}
            for rule in difference.rules
            if rule[change]
        ]
        if rows:
            yield title, sorted(rows, key=lambda row: -row["rows"])


def _listed_row(row: dict[str, Any]) -> Text:
    mark, colour = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow")}[row["change"]]
    key = {name: str(value) for name, value in row["key"].items() if value is not None}
    parts = [*key.values()] if len(row["key"]) == 1 else [f"{name} {value}" for name, value in key.items()]
    parts += [str(row["url"])] if row.get("url") else []
    if row.get("rule"):
        parts.append(f"{'dropped by' if row['change'] == 'removed' else 'was dropped by'} {_reason(row)}")
    if "rule_before" in row:
        rules = [row["rule_before"], row["rule_after"]]
        parts.append(" → ".join(rule or "not dropped" for rule in dict.fromkeys(rules)))
    parts += [f"({', '.join(row['columns'])})"] if row["columns"] else []
    return Text(_visible(f"{mark} {'  '.join(parts)}"), style=colour)


def _reason(ledger: dict[str, Any]) -> str:
    """The rule of a ledger row, with what was measured or found."""
    facts = [f"{ledger['value']:.6g}"] if ledger["value"] is not None else []
    facts += [f"threshold {ledger['threshold']:.6g}"] if ledger["threshold"] is not None else []
    facts += [ledger["evidence"]] if ledger["evidence"] else []
    facts += [f"kept instead: {ledger['kept_id']}"] if ledger.get("kept_id") else []
    return f"{ledger['rule']} ({', '.join(facts)})" if facts else str(ledger["rule"])


def _show_document(table: str, before: int, after: int, document: DocumentDifference) -> None:
    row = document.after or document.before or document.ledger_after or document.ledger_before or {}
    title = f"{table} {document.key}  {row.get('url') or ''}".rstrip()
    console.print(Text(_visible(title), style="bold"), soft_wrap=True)
    sides = ((before, document.before, document.ledger_before), (after, document.after, document.ledger_after))
    if document.before is None or document.after is None:
        for version, here, ledger in sides:
            why = "" if here else _why_not(table, ledger)
            console.print(Text(_visible(f"{'In' if here else 'Not in'} version {version}{why}.")), soft_wrap=True)
        return
    if not document.columns:
        console.print(f"The same in versions {before} and {after}.")
        return
    plain = _plain(table, before, after, document)
    if plain["columns"]:
        values = [
            {"changed column": name, f"version {before}": _cut(old), f"version {after}": _cut(new)}
            for name, (old, new) in plain["columns"].items()
        ]
        console.print(rows_table(values))
    for line in _coloured([_visible(line) for line in plain["text"]]):
        console.print(line, soft_wrap=True)


def _why_not(table: str, ledger: dict[str, Any] | None) -> str:
    if ledger is not None:
        return f": dropped by {_reason(ledger)}"
    has_ledger = table.split("/")[0] in ("raw", "filtered", "synthetic")
    return ", nor in its ledger: its source did not have it" if has_ledger else ""


def _plain(table: str, before: int, after: int, document: DocumentDifference) -> dict[str, Any]:
    """A document's difference without what is the same: of its text the lines that differ, as `diff -u` writes them."""
    from lakehouse.govern import shape_of

    old, new = document.before or {}, document.after or {}
    text = shape_of(table).text
    lines: list[str] = []
    if text in document.columns:
        before_lines, after_lines = ((row[text] or "").split("\n") for row in (old, new))
        names = f"{table}@{before}", f"{table}@{after}"
        lines = list(difflib.unified_diff(before_lines, after_lines, names[0], names[1], lineterm=""))
    return {
        "key": document.key,
        "in": [version for version, row in ((before, old), (after, new)) if row],
        "columns": {name: [old[name], new[name]] for name in document.columns if name != text},
        "text": lines,
        "ledger_before": document.ledger_before,
        "ledger_after": document.ledger_after,
    }


def _coloured(lines: Sequence[str]) -> Iterator[Text]:
    """The lines of a unified difference; in lines that were replaced one by one, the words that differ stand out."""
    yield from (Text(line, style="bold") for line in lines[:2])
    replaced: list[str] = []
    for mark, run in itertools.groupby(lines[2:], key=lambda line: line[:1]):
        block = list(run)
        if mark == "-":
            replaced = block
            continue
        pairs = zip(replaced, block, strict=True) if mark == "+" and len(replaced) == len(block) else None
        compared = [_words_marked(old, new) for old, new in pairs] if pairs else []
        yield from [old for old, _ in compared] or [Text(line, style="red") for line in replaced]
        styles = {"+": "green", "@": "cyan"}
        yield from [new for _, new in compared] or [Text(line, style=styles.get(mark, "")) for line in block]
        replaced = []
    yield from (Text(line, style="red") for line in replaced)


def _words_marked(old: str, new: str) -> tuple[Text, Text]:
    marked = Text("-", style="red"), Text("+", style="green")
    words: list[list[str]] = [re.findall(r"\s+|\S+", line[1:])[:_WORDS_COMPARED] for line in (old, new)]
    blocks = difflib.SequenceMatcher(None, words[0], words[1], autojunk=False).get_matching_blocks()
    for text, line, parts, side in zip(marked, (old, new), words, (0, 1), strict=True):
        same = {place for block in blocks for place in range(block[side], block[side] + block.size)}
        for place, part in enumerate(parts):
            text.append(part, style="" if place in same else "bold reverse")
        text.append(line[1 + sum(map(len, parts)) :])
    return marked


def _visible(text: str) -> str:
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _cut(value: Any, width: int = 60) -> str:
    text = _visible(str(value)).replace("\n", " ") if value is not None else "(none)"
    return text if len(text) <= width else text[: width - 1] + "…"


def _write_json(value: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(value, default=str, ensure_ascii=False) + "\n")
