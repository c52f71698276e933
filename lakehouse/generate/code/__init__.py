"""Python that a model wrote: whether it compiles, and how tidy it is."""

from lakehouse.generate.code.compiles import Compiled, compiles
from lakehouse.generate.code.lint import lint_scores

__all__ = ["Compiled", "compiles", "lint_scores"]
