"""What can be said of where a row comes from."""

from lakehouse.govern.trace import Link, TraceError, trace

__all__ = ["Link", "TraceError", "trace"]
