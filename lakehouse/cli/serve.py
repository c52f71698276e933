"""Servers: the Dagster UI with its daemon, and the scripted model server."""

from __future__ import annotations

import os
import shlex
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

from lakehouse.cli.show import console
from lakehouse.lake import Lake, LakeError, default_root

LOOPBACK = "127.0.0.1"
_PROJECT = Path(__file__).resolve().parents[2]


def add_to(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command(rich_help_panel="Serve")(ui)
    app.command("mock-llm", rich_help_panel="Serve")(mock_llm)


def ui(
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Port on the loopback interface.")] = 3000,
    host: Annotated[str, typer.Option(help="Address to bind to; the UI has no login.")] = LOOPBACK,
) -> None:
    """Browse the asset graph in the Dagster UI: webserver and daemon together, until Ctrl-C."""
    from lakehouse.cli.instance import open_instance

    lake = Lake(default_root())
    refuse_used_port(host, port)
    with open_instance(lake):
        os.environ["LAKEHOUSE_ROOT"] = str(lake.root)
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    os.environ.setdefault("LAKEHOUSE_UI", address)
    console.print(f"Dagster UI of {lake.root}: [bold]{address}[/] (Ctrl-C ends it)", soft_wrap=True)
    # Dagster recommends `dg dev`, which belongs to its development tools and is not installed here.
    python = [sys.executable, "-W", "ignore:Function `dev_command` is superseded"]
    command = [*python, "-m", "dagster", "dev", "--host", host, "--port", str(port), "--log-level", "warning"]
    # The server takes this process's place, so that whatever ends it ends the server and the processes it started.
    os.chdir(_PROJECT)
    os.execv(sys.executable, [*command, "-w", str(_PROJECT / "workspace.yaml")])  # noqa: S606


def mock_llm(
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Port on the loopback interface.")] = 8000,
    model: Annotated[list[str] | None, typer.Option(help="Name of a model; repeatable.", show_default="two")] = None,
    delay: Annotated[float, typer.Option(min=0.0, help="Seconds before each answer.")] = 0.0,
    faults: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of prompts that meet a fault.")] = 0.0,
    fault: Annotated[
        list[str] | None, typer.Option(metavar="KIND=SHARE", help="Share of prompts for one kind; repeatable.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Which prompts meet which fault.")] = 0,
    requests_per_second: Annotated[float | None, typer.Option(help="More are answered with status 429.")] = None,
) -> None:
    """Serve a scripted stand-in for a language model (OpenAI API), for trying things out. It is no model.

    --faults is spread evenly over all kinds. With --fault, a kind has a share of its own: rate_limited, server_errors,
    timeouts, cut_connections, truncated, refusals and so on; a wrong name is answered with all of them. Counts are on
    /mock/counters.
    """
    from lakehouse.generate.mock.server import MODELS, Faults, MockModel

    refuse_used_port(LOOPBACK, port)
    server = MockModel(
        port,
        models=model or MODELS,
        faults=Faults.evenly(faults, seed=seed, **dict(_share(given) for given in fault or ())),
        delay=delay,
        requests_per_second=requests_per_second,
    )
    first = (model or MODELS)[0]
    console.print(f"export LAKEHOUSE_MODEL_URL={server.base_url} LAKEHOUSE_MODEL={shlex.quote(first)}", soft_wrap=True)
    server.serve_forever()


def _share(given: str) -> tuple[str, float]:
    """The kind and the share of `KIND=SHARE`."""
    kind, _, share = given.partition("=")
    try:
        return kind.strip(), float(share)
    except ValueError:
        raise typer.BadParameter(f"{given!r} is no KIND=SHARE, as in timeouts=0.05", param_hint="--fault") from None


def refuse_used_port(host: str, port: int) -> None:
    """Make sure that a server can listen there.

    Raises:
        LakeError: the port is in use, or the address is not this machine's.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise LakeError(f"{host}:{port} cannot be used: {error.strerror}. Choose another with --port.") from error
