"""How tidy Python programs are: pylint's score, computed with a linter that is some hundred times as fast."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from lakehouse.generate.code.compiles import compiles
from lakehouse.generate.errors import GenerationError

# The rules that say what a message of pylint says, where that message is on by default and SwallowCode leaves it on (it
# turns off missing module and function documentation, naming, line length, import order and to-do comments).
_ERROR_RULES = (
    "F502 F501 F506 F507 F508 F509 F521 F524 F525 F701 F702 F704 F706 F707 F811 F821 F822 F823 N805 "
    "PLE0100 PLE0101 PLE0115 PLE0116 PLE0117 PLE0118 PLE0237 PLE0241 PLE0302 PLE0303 PLE0304 PLE0305 PLE0307 PLE0308 "
    "PLE0309 PLE0604 PLE0605 PLE0643 PLE0704 PLE1132 PLE1141 PLE1142 PLE1205 PLE1206 PLE1300 PLE1307 PLE1310 PLE1507 "
    "PLE1519 PLE1520 PLE1700"
)
_OTHER_RULES = (
    "A001 A002 ARG001 ARG002 ARG003 ARG004 ARG005 B004 B006 B007 B009 B015 B018 B023 B904 BLE001 C401 C403 C404 C408 "
    "C414 C416 C417 COM818 D101 E101 E401 E402 E701 E702 E711 E712 E713 E714 E721 E722 E731 F401 F403 F405 F503 F504 "
    "F505 F522 F523 F541 F601 F631 F632 F841 F842 G001 G002 G003 G004 N804 PIE790 PLC0105 PLC0131 PLC0132 PLC0205 "
    "PLC0206 PLC0208 PLC0414 PLC0415 PLC2401 PLC2801 PLC3002 PLR0124 PLR0133 PLR0202 PLR0203 PLR0206 PLR0402 PLR0904 "
    "PLR0911 PLR0912 PLR0913 PLR0914 PLR0915 PLR0916 PLR0917 PLR1702 PLR1708 PLR1711 PLR1714 PLR1716 PLR1722 PLR1730 "
    "PLR1733 PLR1736 PLW0108 PLW0120 PLW0127 PLW0128 PLW0129 PLW0131 PLW0133 PLW0177 PLW0211 PLW0244 PLW0245 PLW0406 "
    "PLW0602 PLW0603 PLW0604 PLW0642 PLW0711 PLW1501 PLW1507 PLW1508 PLW1509 PLW1510 PLW1514 PLW2101 PLW3301 RET502 "
    "RET503 RET505 RET506 RET507 RET508 RUF059 S102 S307 SIM101 SIM103 SIM115 SIM118 SIM210 SIM211 SLF001 TRY002 "
    "TRY203 UP004 UP008 UP028 UP031 UP032 UP034 W291 W292 W391 W605"
)
_ERROR_WEIGHT = 5
_FILES_AT_ONCE = 1000
_ERRORS = frozenset(_ERROR_RULES.split())
_OPTIONS = [
    "check",
    "--isolated",  # the settings of whoever runs this must not change a score
    "--no-cache",
    "--quiet",
    "--exit-zero",
    "--ignore-noqa",  # a text has no say in its own score
    "--preview",
    "--config=lint.explicit-preview-rules=true",
    "--target-version=py311",
    "--output-format=json-lines",
    f"--select={','.join([*_ERROR_RULES.split(), *_OTHER_RULES.split()])}",
]


def lint_scores(texts: Sequence[str]) -> list[float | None]:
    """Score how tidy Python programs are.

    Args:
        texts: n programs; anything may be in them.

    Returns:
        n scores, 0..10: 10 − 10 × (5 × errors + other messages) / statements, at least 0, times 1 − the share of tokens
        that are comments. None for what does not compile, has no statement, or kills the linter.

    Raises:
        GenerationError: the linter does not run.

    Source: the formula is pylint's, the factor that of Fujii et al., Rewriting Pre-Training Data Boosts LLM Performance
    in Math and Code. The messages are ruff's, of the rules that mirror pylint's: what pylint infers across modules
    (a member or a name that another module lacks) is not seen.
    """
    compiled = compiles(texts)
    numbers = [number for number, answer in enumerate(compiled) if answer.compiles and answer.statements]
    scores: list[float | None] = [None] * len(texts)
    for start in range(0, len(numbers), _FILES_AT_ONCE):
        files = {number: texts[number] for number in numbers[start : start + _FILES_AT_ONCE]}
        for number, weight in _weights(files).items():
            answer = compiled[number]
            scores[number] = max(0.0, 10 - 10 * weight / answer.statements) * (1 - answer.comment_share)
    return scores


def _weights(texts: Mapping[int, str]) -> dict[int, int]:
    """The weighted messages of each text; a text that kills the linter has none, not even 0."""
    if not texts:
        return {}
    messages = _messages(texts)
    if messages is not None:
        return {number: messages[number] for number in texts}
    numbers = list(texts)
    if len(numbers) == 1:
        if _messages({0: "a = 1\n"}) is None:
            raise GenerationError("ruff cannot lint even one assignment: install the version that this package names.")
        return {}
    # One text killed the linter, and with it the answers of all: look for it by halves.
    half = len(numbers) // 2
    halves = numbers[:half], numbers[half:]
    return {number: weight for part in halves for number, weight in _weights({n: texts[n] for n in part}).items()}


def _messages(texts: Mapping[int, str]) -> Counter[int] | None:
    from ruff import find_ruff_bin  # type: ignore[import-untyped]  # only where there is Python

    with tempfile.TemporaryDirectory(prefix="lint-") as folder:
        for number, text in texts.items():
            Path(folder, f"{number}.py").write_bytes(text.encode("utf-8"))
        ended = subprocess.run(  # noqa: S603  # the texts are files that ruff reads and does not run
            [find_ruff_bin(), *_OPTIONS, "."], cwd=folder, capture_output=True
        )
    if ended.returncode:
        return None
    weights: Counter[int] = Counter()
    for line in ended.stdout.splitlines():
        message = json.loads(line)
        weights[int(Path(message["filename"]).stem)] += _ERROR_WEIGHT if message["code"] in _ERRORS else 1
    return weights
