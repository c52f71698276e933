"""Archives of crawls, read record by record, and crawls of sites into such archives."""

from lakehouse.crawl.archive import MAX_BODY_BYTES, ArchiveError, ArchiveReader, FileOutcome, read_record
from lakehouse.crawl.errors import CrawlError
from lakehouse.crawl.records import FetchedPage, RejectedRecord
from lakehouse.crawl.site import CrawlLimits, CrawlReport, crawl_site

__all__ = [
    "MAX_BODY_BYTES",
    "ArchiveError",
    "ArchiveReader",
    "CrawlError",
    "CrawlLimits",
    "CrawlReport",
    "FetchedPage",
    "FileOutcome",
    "RejectedRecord",
    "crawl_site",
    "read_record",
]
