"""Personal data: where it stands in a text, what it is, and what may stand there instead."""

from lakehouse.annotate.personal.find import COLUMNS, GROUPS, KINDS, personal_data

__all__ = ["COLUMNS", "GROUPS", "KINDS", "personal_data"]
