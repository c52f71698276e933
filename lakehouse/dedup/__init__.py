from lakehouse.dedup.errors import DedupError
from lakehouse.dedup.jaccard import Shingles, shingles_of
from lakehouse.dedup.keys import key_edges
from lakehouse.dedup.resolve import DROPPED, resolve

__all__ = ["DROPPED", "DedupError", "Shingles", "key_edges", "resolve", "shingles_of"]
