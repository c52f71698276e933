"""The explorer: a page with charts, documents and SQL, served on loopback."""

from __future__ import annotations

import importlib.util
import os
import secrets
import sys
from pathlib import Path
from typing import Annotated

import typer

from lakehouse.cli.look import existing_lake
from lakehouse.cli.serve import LOOPBACK, refuse_used_port
from lakehouse.cli.show import console
from lakehouse.lake import LakeError

_APP = Path(__file__).resolve().parents[1] / "explore" / "app.py"


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(rich_help_panel="Look into the lake")(explore)


def explore(
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Port on the loopback interface.")] = 2718,
    host: Annotated[str, typer.Option(help="Address to bind to.")] = LOOPBACK,
) -> None:
    """Look at the corpus in a browser: waterfall, languages, score histograms, documents and SQL, until Ctrl-C.

    The page is for whoever has its address: it ends in a token that is new each time.
    """
    if importlib.util.find_spec("marimo") is None or importlib.util.find_spec("altair") is None:
        raise LakeError("The explorer needs marimo and altair: pip install 'lakehouse[explore]'")
    lake = existing_lake()
    refuse_used_port(host, port)
    token = secrets.token_urlsafe(16)
    os.environ |= {"LAKEHOUSE_ROOT": str(lake.root), "MARIMO_SKIP_UPDATE_CHECK": "1"}
    console.print(f"Explorer of {lake.root} (Ctrl-C ends it):", soft_wrap=True)
    console.print(f"[bold]http://{host}:{port}/?access_token={token}[/]", soft_wrap=True)
    # The token goes through a pipe: other users can read the arguments of a process.
    reader, writer = os.pipe()
    os.write(writer, token.encode())
    os.close(writer)
    os.dup2(reader, sys.stdin.fileno())
    command = [sys.executable, "-m", "marimo", "--quiet", "run", str(_APP), "--headless"]
    command += ["--host", host, "--port", str(port), "--token", "--token-password-file", "-"]
    # The server takes this process's place, so that whatever ends it ends the server.
    os.execv(sys.executable, command)  # noqa: S606
