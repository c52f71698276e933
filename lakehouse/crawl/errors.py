"""The error of the crawl stage."""

from __future__ import annotations


class CrawlError(RuntimeError):
    """A crawl or a crawl's files that cannot be used: which, why, and what to do."""
