"""Keys, tokens and passwords of services."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator

from lakehouse.annotate.personal.spans import Span

# What the services publish of the form of their keys.
_ISSUED = (
    r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}",  # Amazon Web Services
    r"AIza[\w-]{35}",  # Google
    r"GOCSPX-[\w-]{28}",
    r"ya29\.[\w-]{30,}",
    r"gh[pousr]_[A-Za-z0-9]{36,}",  # GitHub
    r"github_pat_\w{60,}",
    r"gl(?:pat|dt|ft|soat|rt|cbt|imt|ptt|agent|oas)-[\w-]{20,}",  # GitLab
    r"GR1348941[\w-]{20,}",
    r"xox[abeoprs]-[\w-]{10,}",  # Slack
    r"xapp-\d-[\w-]{20,}",
    r"(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{20,}",  # Stripe
    r"sk-(?:proj-|svcacct-|admin-|ant-[a-z]+\d*-)[\w-]{20,}",  # OpenAI, Anthropic
    r"sk-[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}",
    r"hf_[A-Za-z0-9]{30,}",  # Hugging Face
    r"npm_[A-Za-z0-9]{36}",
    r"pypi-AgE[\w-]{50,}",
    r"SG\.[\w-]{22}\.[\w-]{43}",  # SendGrid
    r"(?:AC|SK)[0-9a-f]{32}",  # Twilio
    r"key-[0-9a-f]{32}",  # Mailgun
    r"[0-9a-f]{32}-us\d{1,2}",  # Mailchimp
    r"sq0(?:atp|csp)-[\w-]{22,}",  # Square
    r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}",  # Shopify
    r"do[opr]_v1_[0-9a-f]{64}",  # DigitalOcean
    r"dapi[0-9a-f]{32}",  # Databricks
    r"dckr_pat_[\w-]{27,}",  # Docker
    r"AGE-SECRET-KEY-1[A-Z0-9]{58}",
    r"AKC[A-Za-z0-9]{60,}",  # Artifactory
    r"[MNO][A-Za-z0-9_-]{23,25}\.[\w-]{6}\.[\w-]{27,}",  # Discord
    r"\d{8,10}:AA[\w-]{33}",  # Telegram
    r"eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}",  # JSON Web Token
)
_KEY = re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(_ISSUED)})(?![A-Za-z0-9])")
_WEBHOOK = re.compile(
    r"hooks\.slack\.com/services/(T\w+/B\w+/\w{20,})"
    r"|discord(?:app)?\.com/api/webhooks/(\d{15,}/[\w-]{50,})"
    r"|AccountKey=([A-Za-z0-9+/]{80,}={0,2})"
)
_CREDENTIALS = re.compile(r"://(?!mailto:)[^\s/:@]{1,64}:([^\s/:@]{3,128})@[\w.-]+")
_PLACEHOLDER = re.compile(
    r"(?:your|my|the|some|user|example|test|dummy|fake|sample|change|enter|insert|pass|secret|token|x{3,}|\*{3,}|[.]{3}|[$%{<])",
    re.IGNORECASE,
)
_ASSIGNED = re.compile(
    r"(?:api[_-]?key|access[_-]?key|secret[_-]?key|client[_-]?secret|private[_-]?key|auth[_-]?token|access[_-]?token"
    r"|bearer|secret|token|passw(?:or)?d|credentials?)[\"'`]?\s{0,3}(?:[:=]>?|(?<=bearer) )\s{0,3}[\"'`]?"
    r"(?P<value>[A-Za-z0-9+/_.~-]{20,}={0,2})",
    re.IGNORECASE,
)
_BEFORE = 40  # characters: how far before a value its name may begin
_MIN_BITS = 3.5  # a character of a random value; words and names of files have less

_KEY_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]{0,24}PRIVATE KEY(?: BLOCK)?)-----")
_LONGEST_BLOCK = 32_768


def tokens(text: str, start: int, end: int) -> Iterator[Span]:
    """Secrets in a run of characters without white space: the keys of known services, JSON Web Tokens, the password of
    `https://user:password@host`, and random values behind a name such as api_key.
    """
    for match in _KEY.finditer(text, start, end):
        if len(set(match[0])) > 8:
            yield Span(match.start(), match.end(), "secret")
    written = text[start:end]
    if "://" in written:
        for pattern in (_WEBHOOK, _CREDENTIALS):
            for match in pattern.finditer(text, start, end):
                group = match.lastindex or 0
                if pattern is _WEBHOOK or not _PLACEHOLDER.match(match[group]):
                    yield Span(*match.span(group), "secret")
        return
    for match in _WEBHOOK.finditer(text, start, end):
        yield Span(*match.span(match.lastindex or 0), "secret")
    for match in _ASSIGNED.finditer(text, max(0, start - _BEFORE), end):
        value = match["value"]
        if match.end() > start and _is_random(value) and not _PLACEHOLDER.match(value):
            yield Span(match.start("value"), match.end("value"), "secret")


def key_blocks(text: str, start: int) -> Iterator[Span]:
    """The private key that begins at `start` in PEM's form, up to its last line or to the end of its block."""
    match = _KEY_BLOCK.match(text, start)
    if match is None:
        return
    last_line = f"-----END {match[1]}-----"
    place = text.find(last_line, match.end(), match.end() + _LONGEST_BLOCK)
    if place >= 0:
        yield Span(start, place + len(last_line), "secret")


def _is_random(value: str) -> bool:
    if not (any(map(str.isdigit, value)) and any(map(str.isalpha, value))):
        return False
    bits = -sum(n / len(value) * math.log2(n / len(value)) for n in Counter(value).values())
    # Hexadecimal digits have four bits at most.
    return bits >= (3.0 if re.fullmatch(r"[0-9a-f]+|[0-9A-F]+", value) else _MIN_BITS)
