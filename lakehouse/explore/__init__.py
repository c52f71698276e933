"""A page for people who would rather look: charts, a threshold to move, documents, and a field for SQL."""

from lakehouse.explore.questions import Explorer, QueryError

__all__ = ["Explorer", "QueryError"]
