"""Edits written by a model as a small program: read, execute and replay them."""

from lakehouse.generate.programs.errors import ProgramError
from lakehouse.generate.programs.execution import DropRule, Executed, execute, numbered, replay
from lakehouse.generate.programs.parser import parse_program
from lakehouse.generate.programs.syntax import Drop, Keep, Mask, Normalize, Program, RemoveLines, Replace, Statement

__all__ = [
    "Drop",
    "DropRule",
    "Executed",
    "Keep",
    "Mask",
    "Normalize",
    "Program",
    "ProgramError",
    "RemoveLines",
    "Replace",
    "Statement",
    "execute",
    "numbered",
    "parse_program",
    "replay",
]
