"""Messages to people about what failed, and the webhook that takes them.

`LAKEHOUSE_WEBHOOK` is the address that a chat gives out for messages from programs. It is a secret: who knows it can
write there. So it is read when a message is sent, and never logged.
"""

from __future__ import annotations

import http.client
import json
import os
import shlex
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

WEBHOOK = "LAKEHOUSE_WEBHOOK"
_TIMEOUT_SECONDS = 10.0
_LONGEST_CAUSE = 500


@dataclass(frozen=True)
class Failure:
    """Something that could not be built, why, and what to do.

    `table` names the operation, `tables` is all that it would have made. `cause` is one line. With `retry` the cause
    may pass by itself; an audit that failed would fail again.
    """

    table: str
    tables: tuple[str, ...]
    snapshot: str | None
    cause: str
    run_id: str
    retry: bool = True

    @property
    def command(self) -> str:
        """The command that builds it again."""
        snapshot = f" --snapshot {shlex.quote(self.snapshot)}" if self.snapshot else ""
        return f"lakehouse build {self.table}{snapshot}"

    @property
    def link(self) -> str:
        """The run in the UI, where it is known where that is; else its id."""
        address = os.environ.get("LAKEHOUSE_UI", "").rstrip("/")
        return f"{address}/runs/{self.run_id}" if address else f"run {self.run_id}"

    @property
    def line(self) -> str:
        """The whole of it in one line."""
        place = f"{self.table} {self.snapshot}" if self.snapshot else self.table
        cause = self.cause if len(self.cause) <= _LONGEST_CAUSE else f"{self.cause[:_LONGEST_CAUSE]}…"
        stop = "" if cause.endswith((".", "!", "?", "…")) else "."
        return f"{place}: {cause}{stop} To try it again: {self.command} ({self.link})"


def send(failures: Sequence[Failure], lake: str) -> str | None:
    """Send what failed to the webhook, in one message; nothing where none is set.

    Returns:
        One line, where the webhook did not take the message: that fails nothing else.
    """
    address = os.environ.get(WEBHOOK)
    problem = _post(address, message(failures, lake)) if address else None
    return f"The webhook that {WEBHOOK} names did not take the message: {problem}." if problem else None


def message(failures: Sequence[Failure], lake: str) -> dict[str, Any]:
    """What is sent: `text` for chats, the rest for programs."""
    heading = f"Lakehouse {lake}: {'1 failure' if len(failures) == 1 else f'{len(failures)} failures'}"
    return {
        "text": _escaped("\n".join([heading, *(f"• {failure.line}" for failure in failures)])),
        "lake": lake,
        "failures": [
            {
                "table": failure.table,
                "tables": list(failure.tables),
                "snapshot": failure.snapshot,
                "cause": failure.cause,
                "command": failure.command,
                "run_id": failure.run_id,
                "run": failure.link,
            }
            for failure in failures
        ],
    }


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirected POST would arrive as a GET without the message."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _post(address: str, content: dict[str, Any]) -> str | None:
    """POST `content` as JSON; return what went wrong, without the address."""
    try:
        if urlsplit(address).scheme not in ("http", "https"):
            return "it is no http:// or https:// address"
        request = urllib.request.Request(  # noqa: S310
            address, json.dumps(content).encode(), {"Content-Type": "application/json", "User-Agent": "lakehouse"}
        )
        with urllib.request.build_opener(_NoRedirects).open(request, timeout=_TIMEOUT_SECONDS):
            return None
    except urllib.error.HTTPError as error:
        error.close()
        return f"it answered {error.code}"
    except (OSError, http.client.HTTPException, ValueError) as error:
        # Their texts may hold parts of the address.
        cause = getattr(error, "reason", error)
        return f"{type(cause).__name__}"


def _escaped(text: str) -> str:
    """Chats read `<…>` as links and as calls for attention; what failed may have a name that somebody else chose."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
