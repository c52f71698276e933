"""The standard library's own documentation as a web site, made by `pydoc` of the Python that runs.

A second interpreter imports the modules, so that none of them can change this one, and its hash seed is fixed: the
pages hold sets in their order. Run as a script, this file is that interpreter's program.
"""

from __future__ import annotations

import contextlib
import html
import importlib
import json
import os
import pydoc
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

# Not among them: modules that print, open windows or browsers when imported, and those that Python 3.13 dropped.
MODULES = """
abc argparse array ast asyncio.queues asyncio.tasks base64 bisect calendar codecs collections collections.abc
colorsys concurrent.futures.thread configparser contextlib copy csv ctypes dataclasses datetime decimal difflib
dis doctest email.parser email.utils enum errno filecmp fnmatch fractions ftplib functools gc gettext glob
graphlib gzip hashlib heapq hmac html html.parser http http.client http.cookies http.server importlib
importlib.metadata inspect io ipaddress itertools json json.decoder json.encoder linecache locale logging
logging.handlers math mimetypes multiprocessing.pool numbers operator os os.path pathlib pickle pkgutil platform
pprint pstats queue random re sched secrets selectors shelve shlex shutil signal smtplib socket socketserver
sqlite3 ssl stat statistics string struct subprocess tarfile tempfile textwrap threading time timeit tokenize
tomllib trace traceback types typing unicodedata unittest urllib.parse urllib.request uuid warnings weakref
xml.etree.ElementTree xmlrpc.client zipfile zlib zoneinfo
"""

_FILE_LINK = re.compile(r'<a href="file:[^"]*">[^<]*</a>(?:<br>)?')
_PAGE_LINK = re.compile(r'<a href="([\w.]+)\.html(?:#[^"]*)?"[^>]*>(.*?)</a>', re.DOTALL)
_MEMORY_ADDRESS = re.compile(r"(\bat(?:&nbsp;|\s))0x[0-9a-fA-F]+")


def pydoc_pages() -> dict[str, bytes]:
    """HTML pages by path: `/<module>.html` for each module that can be imported, and `/`, which links to all.

    The same for every hash seed, environment and place of installation; other versions of Python give other pages.

    Raises:
        RuntimeError: the second interpreter failed.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment |= {
        "PYTHONHASHSEED": "0",
        "PYTHONUTF8": "1",
        "LC_ALL": "C",
        "TZ": "UTC",
        "HOME": os.sep,
        "USER": "demo",
    }
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-P", "-W", "ignore", str(Path(__file__).resolve())]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)  # noqa: S603
    if done.returncode != 0:
        raise RuntimeError(f"pydoc failed: {done.stderr.decode(errors='replace').strip()[-500:]}")
    return {path: page.encode() for path, page in json.loads(done.stdout).items()}


class _Documenter(pydoc.HTMLDoc):
    """pydoc's own, without the values of variables: they hold the environment and paths of this machine."""

    def docother(self, object: Any, name: str | None = None, mod: Any = None, *ignored: Any) -> str:  # noqa: A002
        if object is None or type(object) in (bool, int, float, complex):
            return super().docother(object, name, mod, *ignored)
        return f"<strong>{html.escape(name or '')}</strong>"


def _module_pages() -> dict[str, str]:
    documenter = _Documenter()
    modules = {}
    for name in MODULES.split():
        with contextlib.suppress(ImportError):  # parts of the standard library that this build of Python left out
            modules[name] = importlib.import_module(name)
    pages = {}
    for name, module in modules.items():
        page = documenter.page(pydoc.describe(module), documenter.document(module, name))
        page = _FILE_LINK.sub("", page)
        page = _PAGE_LINK.sub(lambda link: link[0] if link[1] in modules else link[2], page)
        page = page.replace(sys.executable, "python")  # the default of platform.architecture's argument
        pages[f"/{name}.html"] = _MEMORY_ADDRESS.sub(r"\g<1>0x0", page)
    items = "\n".join(
        f'<li><a href="{name}.html">{name}</a>: {html.escape(pydoc.splitdoc(pydoc.getdoc(module))[0])}</li>'
        for name, module in modules.items()
    )
    introduction = f"The {len(modules)} modules of Python's standard library that are documented here."
    pages["/"] = documenter.page(
        "Index of modules", f"<h1>Index of modules</h1>\n<p>{introduction}</p>\n<ul>{items}</ul>"
    )
    return pages


if __name__ == "__main__":
    json.dump(_module_pages(), sys.stdout)
