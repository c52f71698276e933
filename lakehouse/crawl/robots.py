"""What a site's robots.txt allows this crawler (RFC 9309)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from protego import Protego

from lakehouse.crawl.http_message import BodyError, HttpMessage, decode_body

ROBOTS_LIMIT = 500 * 1024  # bytes that a crawler must read at least (RFC 9309, 2.5); we read no more
ROBOTS_REDIRECTS = 5  # RFC 9309, 2.3.1.2

_PRODUCT_TOKEN = re.compile(r"[A-Za-z_-]+")
_DECODED_LIMIT = 1 << 24


@dataclass(frozen=True, slots=True)
class RobotsPolicy:
    """The rules of one origin for one crawler."""

    rules: Protego | None  # None: nothing may be fetched
    product: str  # the crawler's name in robots.txt

    def allows(self, url: str) -> bool:
        """Whether `url` may be fetched."""
        return self.rules is not None and self.rules.can_fetch(url, self.product)

    @property
    def crawl_delay(self) -> float:
        """Seconds that the site asks for between two requests; 0 where it asks for none."""
        return (self.rules.crawl_delay(self.product) if self.rules else None) or 0.0


def product_token(user_agent: str) -> str | None:
    """The name by which robots.txt calls a crawler: the letters, '_' and '-' that its user agent begins with."""
    token = _PRODUCT_TOKEN.match(user_agent)
    return token[0] if token else None


def read_robots(message: HttpMessage | None, product: str) -> RobotsPolicy:
    """The policy that an answer to the request for robots.txt stands for.

    Args:
        message: the answer after redirects; None where there was none.
        product: the crawler's product token.

    Returns:
        Everything allowed where there is no such file (4xx, or a sixth redirect); nothing allowed where the server
        failed, could not be reached, or asked for patience (429): what it would forbid is not known.
    """
    if message is None or message.status >= 500 or message.status == 429:
        return RobotsPolicy(None, product)
    if not 200 <= message.status < 300:
        return RobotsPolicy(Protego.parse(""), product)
    try:
        body = decode_body(message, _DECODED_LIMIT)[:ROBOTS_LIMIT]
    except BodyError:
        return RobotsPolicy(None, product)
    return RobotsPolicy(Protego.parse(body.decode("utf-8-sig", "replace")), product)
