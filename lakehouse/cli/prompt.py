"""The SQL prompt: history, completion, colours, and a few commands that begin with a dot."""

from __future__ import annotations

import fnmatch
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import has_focus
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.lexers import PygmentsLexer
from pygments.lexers.sql import PostgresLexer  # type: ignore[import-untyped]

from lakehouse import schema
from lakehouse.cli.results import Format, QueryError, Session, Shown, show, write
from lakehouse.cli.show import console, escape, frame_table, rows_table
from lakehouse.lake import LakeError

HISTORY = ".sql_history"
"""The history's name in the lake's folder. Nobody but its owner may read it."""

HELP = """\
[bold].tables \\[PATTERN][/]    tables and views; the pattern is part of a name, or has * in it
[bold].columns VIEW[/]        the columns of a view
[bold].versions VIEW[/]       the versions of a table, newest first: each is a view too, such as raw.web_v3
[bold].help[/]                this
[bold].quit[/]                end; so does Ctrl-D

A query ends with a semicolon or an empty line. Tab completes, the arrow keys bring back earlier queries, Ctrl-R
searches them. Ctrl-C stops a query that takes too long. What a build writes meanwhile is seen by the next prompt."""
_OFFERED_VERSIONS, _SHOWN_VERSIONS = 10, 40
_ANY_NUMBER = 10_000
_ENDINGS = (".quit", ".exit", "quit", "exit")


def run_prompt(session: Session, form: Format, max_rows: int) -> None:
    """Ask for queries and show their answers until the user ends it; a mistake ends nothing."""
    names = names_of(session.connection)
    completer = LakeCompleter(names)
    prompt: PromptSession[str] = PromptSession(
        "lake> ",
        history=_history(session.lake.root),
        completer=completer,
        lexer=PygmentsLexer(PostgresLexer),
        multiline=True,
        prompt_continuation="  ... ",
        key_bindings=_bindings(),
    )
    console.print(
        f"The lake at {escape(str(session.lake.root))}. End a query with ; or an empty line. Tab completes, "
        ".help tells more, Ctrl-D ends.",
        soft_wrap=True,
    )
    while True:
        try:
            text = prompt.prompt().strip()
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
        if text.rstrip(";") in _ENDINGS:
            return
        try:
            if text.startswith("."):
                _obey(session, completer.names, text.rstrip(";"))
            elif text:
                _answer(session, text, form, max_rows)
                completer.names = replace(completer.names, columns=_columns_in(session.connection))
        except KeyboardInterrupt:
            console.print("[yellow]Interrupted.[/]")
        except QueryError as error:
            console.print(f"[red]{escape(error.explained)}[/]", soft_wrap=True)
        except (LakeError, OSError) as error:
            console.print(f"[red]{escape(str(error))}[/]", soft_wrap=True)


def _history(root: Path) -> History:
    file = root / HISTORY
    try:
        file.touch(mode=0o600)
        file.chmod(0o600)
    except OSError:
        return InMemoryHistory()  # a lake that may only be read
    return FileHistory(str(file))


def _bindings() -> KeyBindings:
    bindings = KeyBindings()

    @bindings.add("enter", filter=has_focus(DEFAULT_BUFFER))
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.complete_state is not None and buffer.complete_state.current_completion is not None:
            buffer.complete_state = None  # the highlighted completion is in the text already
        elif is_complete(buffer.text):
            buffer.validate_and_handle()
        else:
            buffer.insert_text("\n")

    return bindings


def is_complete(text: str) -> bool:
    """Whether Enter ends what was typed: a semicolon or an empty line does, and a command is one line."""
    stripped = text.strip()
    return not stripped or stripped.startswith(".") or stripped in _ENDINGS or text.rstrip(" ").endswith((";", "\n"))


def _answer(session: Session, script: str, form: Format, max_rows: int) -> None:
    started = time.perf_counter()
    answered = False
    for answer in session.answers(script):
        answered = True
        if form is Format.table:
            shown = show(answer, max_rows)
        else:
            rows = write(answer, form, sys.stdout.buffer)
            sys.stdout.buffer.flush()
            shown = Shown(rows, rows)
        console.print(f"[dim]{_count(shown)}, {time.perf_counter() - started:.2f} s[/]")
        started = time.perf_counter()
    if not answered:
        console.print(f"[dim]done, {time.perf_counter() - started:.2f} s[/]")


def _count(shown: Shown) -> str:
    if shown.of is None:
        return f"the first {shown.rows:,} rows"
    if shown.of > shown.rows:
        return f"{shown.rows:,} of {shown.of:,} rows"
    return f"{shown.rows:,} row{'' if shown.rows == 1 else 's'}"


# --- commands


def _obey(session: Session, names: Names, text: str) -> None:
    command, *arguments = text.split()
    obey = _COMMANDS.get(command)
    if obey is None:
        raise LakeError(f"There is no command {command}: .help lists them.")
    obey(session, names, " ".join(arguments))


def _tables(session: Session, names: Names, pattern: str) -> None:
    wanted = pattern.lower() if set(pattern) & set("*?") else f"*{pattern.lower()}*"
    rows = [
        {"name": name, "columns": len(columns), "newest version": max(names.versions.get(name, []), default=None)}
        for name, columns in names.columns.items()
        if fnmatch.fnmatchcase(name.lower(), wanted)
    ]
    if not rows:
        raise LakeError(f"No table or view is named {wanted}.")
    console.print(rows_table(rows))


def _columns(session: Session, names: Names, view: str) -> None:
    if not view:
        raise LakeError("Name a view: .columns raw.web")
    for answer in session.answers(f'SELECT column_name AS "column", column_type AS "type" FROM (DESCRIBE {view})'):
        show(answer, _ANY_NUMBER)


def _versions(session: Session, names: Names, view: str) -> None:
    if view not in names.versions:
        raise LakeError(f"Name a table that has versions, such as {min(names.versions, default='raw.web')}.")
    query = """
        SELECT ? || '_v' || version AS view, strftime(committed_at, '%Y-%m-%d %H:%M') AS "committed (UTC)",
            partition AS snapshot, rows AS "rows written", run_id[:8] AS run
        FROM lake.versions WHERE "table" = ? ORDER BY version DESC, partition LIMIT ?
    """
    parameters = (view, names.tables[view], _SHOWN_VERSIONS)
    console.print(frame_table(session.connection.execute(query, parameters).pl()))


def _help(session: Session, names: Names, _: str) -> None:
    console.print(HELP)


_COMMANDS: dict[str, Callable[[Session, Names, str], None]] = {
    ".tables": _tables,
    ".columns": _columns,
    ".versions": _versions,
    ".help": _help,
}


# --- completion


@dataclass(frozen=True)
class Names:
    """What can be named in a query.

    `columns` are those of each table and view, `versions` those of each table of the lake, newest first, and `tables`
    its name in the lake.
    """

    columns: dict[str, list[str]]
    versions: dict[str, list[int]]
    tables: dict[str, str]
    functions: list[str]
    keywords: list[str]


def names_of(connection: duckdb.DuckDBPyConnection) -> Names:
    """What can be named in a query on this connection."""
    versions = connection.execute(
        'SELECT "table", list(DISTINCT version ORDER BY version DESC) FROM lake.versions GROUP BY ALL ORDER BY ALL'
    ).fetchall()
    functions = connection.execute(
        "SELECT DISTINCT function_name FROM duckdb_functions() "
        "WHERE regexp_full_match(function_name, '[a-z][a-z0-9_]*') ORDER BY ALL"
    ).fetchall()
    keywords = connection.execute("SELECT DISTINCT upper(keyword_name) FROM duckdb_keywords() ORDER BY ALL").fetchall()
    return Names(
        columns=_columns_in(connection),
        versions={schema.sql_name(table): numbers for table, numbers in versions},
        tables={schema.sql_name(table): table for table, _ in versions},
        functions=[name for (name,) in functions],
        keywords=[word for (word,) in keywords],
    )


def _columns_in(connection: duckdb.DuckDBPyConnection) -> dict[str, list[str]]:
    return dict(
        connection.execute(
            "SELECT CASE schema_name WHEN 'main' THEN '' ELSE schema_name || '.' END || table_name AS name, "
            "list(column_name ORDER BY column_index) FROM duckdb_columns() WHERE NOT internal GROUP BY ALL ORDER BY ALL"
        ).fetchall()
    )


class LakeCompleter(Completer):
    """Completes views, their columns, versions, functions, keywords, and the prompt's own commands."""

    def __init__(self, names: Names) -> None:
        self.names = names

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        """What the word before the cursor may become. Columns are those of the views that the whole query names."""
        text = document.text_before_cursor
        word = re.search(r"[\w.]*$", text)[0]  # type: ignore[index]  # it always matches
        if not word and not complete_event.completion_requested:
            return
        if text.lstrip().startswith("."):
            candidates = self._of_command(text.lstrip())
        elif "." in word:
            candidates = [*self._members(word, document.text), *self._versions(word)]
        else:
            candidates = self._words(word, document.text)
        for kind, candidate in dict.fromkeys(candidates):
            if candidate and candidate.lower().startswith(word.lower()):
                yield Completion(candidate, start_position=-len(word), display_meta=kind)

    def _of_command(self, text: str) -> Iterable[tuple[str, str]]:
        command, space, _ = text.partition(" ")
        if not space:
            return [("command", name) for name in (*_COMMANDS, ".quit")]
        names = self.names.versions if command == ".versions" else self.names.columns
        return [("view", name) for name in names]

    def _members(self, word: str, query: str) -> Iterator[tuple[str, str]]:
        """Views of a schema, or columns of a view or of what stands for one."""
        owner = word.rpartition(".")[0]
        for name in self.names.columns:
            if name.lower().startswith(f"{owner.lower()}."):
                yield "view", name
        for view, alias in self._views_in(query):
            if owner.lower() in (view.lower(), alias.lower()):
                for column in self._columns_of(view):
                    yield "column", f"{owner}.{column}"

    def _versions(self, word: str) -> Iterator[tuple[str, str]]:
        table, mark, _ = word.lower().rpartition("_v")
        for version in self.names.versions.get(table, [])[:_OFFERED_VERSIONS] if mark else ():
            yield "version", f"{table}_v{version}"

    def _words(self, word: str, query: str) -> Iterator[tuple[str, str]]:
        named = list(self._views_in(query))
        # A SELECT comes before its FROM.
        for view in [view for view, _ in named] or self.names.versions:
            for column in self._columns_of(view):
                yield "column", column
        for _, alias in named:
            yield "alias", alias
        for name in self.names.columns:
            yield "view", name
        for keyword in self.names.keywords:
            yield "keyword", keyword.lower() if word.islower() else keyword
        for function in self.names.functions:
            yield "function", f"{function}("

    def _views_in(self, query: str) -> Iterator[tuple[str, str]]:
        """The views that a query names, and what it calls them."""
        for found in re.finditer(r"\b(\w+(?:\.\w+)?)(?=(?:\s+(?:as\s+)?(\w+))?)", query, re.IGNORECASE):
            if self._columns_of(found[1]):
                alias = found[2] or ""
                yield found[1], "" if alias.upper() in self.names.keywords else alias

    def _columns_of(self, view: str) -> list[str]:
        """The columns of a view; those of an older version are taken for those of the newest."""
        name = view.lower()
        return self.names.columns.get(name) or self.names.columns.get(name.rpartition("_v")[0], [])
