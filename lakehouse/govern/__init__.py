"""What can be said of where a row comes from."""

from lakehouse.govern.difference import Difference, DocumentDifference, compare, compare_document, shape_of
from lakehouse.govern.retention import abandoned_folders, living, pins
from lakehouse.govern.trace import Link, TraceError, Verdict, trace, trace_forward, why
from lakehouse.govern.version_pair import versions_to_compare

__all__ = [
    "Difference",
    "DocumentDifference",
    "Link",
    "TraceError",
    "Verdict",
    "abandoned_folders",
    "compare",
    "compare_document",
    "living",
    "pins",
    "shape_of",
    "trace",
    "trace_forward",
    "versions_to_compare",
    "why",
]
