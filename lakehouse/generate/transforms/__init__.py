"""New texts from texts without a model."""

from lakehouse.generate.transforms.code_switch import CodeSwitch, code_switch
from lakehouse.generate.transforms.diffs import apply_insertions
from lakehouse.generate.transforms.edit_sequence import EditSequence, edit_diffs, edit_sequence
from lakehouse.generate.transforms.lexicon import LexiconError
from lakehouse.generate.transforms.registry import TRANSFORMS, Transform, settings_of, transform
from lakehouse.generate.transforms.reversal import Reversal, reversal
from lakehouse.generate.transforms.settings import Settings

__all__ = [
    "TRANSFORMS",
    "CodeSwitch",
    "EditSequence",
    "LexiconError",
    "Reversal",
    "Settings",
    "Transform",
    "apply_insertions",
    "code_switch",
    "edit_diffs",
    "edit_sequence",
    "reversal",
    "settings_of",
    "transform",
]
