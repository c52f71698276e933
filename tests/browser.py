"""A headless Chromium that tests drive through its DevTools protocol."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

# Pages are made of custom elements: what they show is in their shadow roots.
_WALK = """
    const found = [];
    const walk = (node) => {
        found.push(node);
        if (node.shadowRoot) walk(node.shadowRoot);
        if (!["STYLE", "SCRIPT"].includes(node.nodeName)) node.childNodes.forEach(walk);
    };
    if (document.body) walk(document.body);
"""


class Page:
    """One page of the browser."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._calls = 0
        self.call("Page.enable")
        self.call("Runtime.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol."""
        self._calls += 1
        self._socket.send(json.dumps({"id": self._calls, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=60))
            if message.get("id") == self._calls:
                assert "error" not in message, message
                return dict(message["result"])

    def run(self, code: str) -> Any:
        """The value of an expression."""
        answer = self.call("Runtime.evaluate", expression=f"(() => {{ {code} }})()", returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def text(self) -> str:
        """All text that the page shows, in one line."""
        code = f'{_WALK} return found.filter((n) => n.nodeType === 3).map((n) => n.textContent).join(" ")'
        return " ".join(str(self.run(code)).split())

    def wait_for(self, text: str, seconds: float = 40) -> None:
        """Wait until the page shows a text."""
        deadline = time.monotonic() + seconds
        while text not in self.text():
            assert time.monotonic() < deadline, f"no {text!r} in: {self.text()[:4000]}"
            time.sleep(0.2)

    def click(self, role: str, name: str) -> None:
        """Click the element of a role that shows a name."""
        code = f"""{_WALK}
            const one = found.find((n) => n.nodeType === 1 && n.textContent.trim() === {json.dumps(name)}
                && (n.getAttribute("role") === {json.dumps(role)} || n.nodeName.toLowerCase() === {json.dumps(role)}));
            if (!one) return false;
            for (const kind of ["pointerdown", "mousedown", "pointerup", "mouseup", "click"])
                one.dispatchEvent(new MouseEvent(kind, {{bubbles: true, composed: true}}));
            return true
        """
        assert self.run(code), f"no {role} {name!r}"

    def fill(self, selector: str, value: str) -> None:
        """Replace what stands in a field, as a person does: by its keys, and then leaving it."""
        code = f"""{_WALK}
            const one = found.find((n) => n.nodeType === 1 && n.matches({json.dumps(selector)}));
            if (!one) return false;
            one.focus(); one.select(); return true
        """
        assert self.run(code), f"no {selector}"
        self.call("Input.insertText", text=value)
        self.call("Input.dispatchKeyEvent", type="keyDown", key="Tab", code="Tab", windowsVirtualKeyCode=9)
        self.call("Input.dispatchKeyEvent", type="keyUp", key="Tab", code="Tab", windowsVirtualKeyCode=9)

    def picture(self, file: Path) -> bytes:
        """Write what is seen as PNG."""
        data = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        file.write_bytes(data)
        return data


@contextmanager
def browsing(address: str, profile: Path) -> Iterator[Page]:
    """Open a page; the test is skipped where there is no Chromium."""
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next((found for found in map(shutil.which, names) if found), None)
    if program is None:
        pytest.skip("no chromium")
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    command = [program, *flags.split(), "--disable-component-update", "--disable-sync", "--hide-scrollbars"]
    command += ["--remote-debugging-port=0", f"--user-data-dir={profile}", "--window-size=1400,1100", "about:blank"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            said = next(line for line in process.stderr if "DevTools listening on" in line)
            port = int(said.rpartition(":")[2].partition("/")[0])
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=30) as answer:
                target = next(one for one in json.load(answer) if one["type"] == "page")
            with connect(target["webSocketDebuggerUrl"], max_size=None) as socket:
                page = Page(socket)
                page.call("Page.navigate", url=address)
                yield page
        finally:
            process.kill()
