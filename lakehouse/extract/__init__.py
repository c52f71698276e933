"""HTML to text: bytes of a page in, its text, title, charset, licence and consent out."""

from lakehouse.extract.charset import decode
from lakehouse.extract.errors import ExtractError
from lakehouse.extract.page import Page, extract_page

__all__ = ["ExtractError", "Page", "decode", "extract_page"]
