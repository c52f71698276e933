"""Every version of a table as a view: `filtered.web_clean_v3` is version 3 of `filtered/web_clean`.

A lake has thousands of versions, so that only those become views which a query names, just before it runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import duckdb

from lakehouse import schema
from lakehouse.views import create_view

if TYPE_CHECKING:
    from lakehouse.lake import Lake

_IDENTIFIER = re.compile(rb'"(?:[^"]|"")*"|[\w$\x80-\xff]+')
_VERSION = re.compile(r"(.+)_v(0|[1-9][0-9]{0,17})")


def create_version_views(connection: duckdb.DuckDBPyConnection, lake: Lake, query: str) -> None:
    """Make a view of each version that a query names, unless there is a view or a table of that name already.

    Args:
        connection: of `Lake.connect`; the views stay in it.
        lake: where the versions are.
        query: one or more statements, whether they are right or not.

    Raises:
        LakeError: the query names a version that its table does not have.
        FileNotFoundError: the version's files are gone.
    """
    named = {name: versioned for name in _qualified_names(query) if (versioned := _VERSION.fullmatch(name))}
    if not named:
        return
    tables = {schema.sql_name(table): table for table in lake.tables()}
    taken = _relations(connection)
    for name, versioned in sorted(named.items()):
        table, version = tables.get(versioned[1]), int(versioned[2])
        if table is not None and name not in taken:
            _create_version_view(connection, lake, table, version)


def _create_version_view(connection: duckdb.DuckDBPyConnection, lake: Lake, table: str, version: int) -> None:
    files = lake.files(table, version=version)
    for file in files:
        if not file.exists():
            raise FileNotFoundError(f"{table}: version {version} cannot be read: vacuum removed {file.name}.")
    create_view(connection, f"{table}_v{version}", files, lake.schema(table, version))


def _relations(connection: duckdb.DuckDBPyConnection) -> set[str]:
    found = connection.execute(
        "SELECT schema_name || '.' || view_name FROM duckdb_views() "
        "UNION ALL SELECT schema_name || '.' || table_name FROM duckdb_tables()"
    ).fetchall()
    return {name.lower() for (name,) in found}


def _qualified_names(query: str) -> Iterator[str]:
    """Each `schema.name` of a query, in lower case: what is written in texts and comments is none.

    DuckDB's `get_table_names` would be better, but it binds the query, and a join by USING cannot be bound to views
    that are not there yet.
    """
    text = query.encode()
    tokens = [_token(text, start) for start, _ in duckdb.tokenize(query)]
    for schema_name, dot, name in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if dot == "." and schema_name and name:
            yield f"{schema_name}.{name}".lower()


def _token(text: bytes, start: int) -> str:
    """The identifier, or else the character, that begins at `start`."""
    found = _IDENTIFIER.match(text, start)
    token = (found[0] if found else text[start : start + 1]).decode("utf-8", "replace")
    return token[1:-1].replace('""', '"') if token.startswith('"') else token
