"""Fixtures of the crawl tests."""

from scripted_site import serve, warc

__all__ = ["serve", "warc"]
