"""Transforms as recipes call them."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from lakehouse.generate.transforms import TRANSFORMS, EditSequence, settings_of, transform


def test_a_transform_is_called_by_name_with_its_settings() -> None:
    assert transform("reversal", {"variants": ["forward", "reversed"]})("one two", 1) == ["one two", "two one"]
    assert transform("edit_sequence", EditSequence(separator="#"))("a = 1\n", 1) == ["#\n@@ -0,0 +1 @@\n+a = 1\n"]
    assert settings_of("edit_sequence") is EditSequence


def test_unknown_names_and_keys_are_refused() -> None:
    with pytest.raises(ValueError, match=r"transform 'reversl' is unknown\. Did you mean 'reversal'"):
        settings_of("reversl")
    with pytest.raises(ValueError, match="There are code_switch, edit_sequence, reversal"):
        transform("x", {})
    for name in TRANSFORMS:
        with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
            transform(name, {"no_such_key": 1})
    with pytest.raises(ValidationError, match="lexicons"):
        transform("code_switch", {})


def test_importing_is_cheap() -> None:
    code = "import sys, lakehouse.generate.transforms, lakehouse.generate.code; print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"icu4py", "pyflakes", "tokenizers", "ruff"}.intersection(ended.stdout.split())
