"""What goes wrong while duplicates are looked for."""

from __future__ import annotations


class DedupError(RuntimeError):
    """Duplicates cannot be found. The message is one line that says where, why and what to do."""
