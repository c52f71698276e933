"""E-mail addresses and IP addresses."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from lakehouse.annotate.personal.spans import LETTERS, Span

_LONGEST_LOCAL, _LONGEST_DOMAIN = 64, 255
_LOCAL_BACKWARDS = re.compile(rf"[{LETTERS}!#$%&'*+/=?^_`{{|}}~.-]+")
_DOMAIN = re.compile(
    rf"(?:[{LETTERS}](?:[{LETTERS}-]{{0,61}}[{LETTERS}])?\.)+(?:xn--[A-Za-z0-9-]{{2,59}}|[A-Za-z]{{2,24}}|[\u00c0-\u05ff]{{2,24}})"
)
_FRAME = "!#$%&'*+/=?^`{|}~.-"  # allowed in a local part, but what stands at its edge belongs to the sentence
_FILE_ENDINGS = """
    avif bmp css csv device gif gz html ico jpeg jpg js json jsx local lock md mount path php png py scope service slice
    socket svg target timer tmp ts tsx txt webp xml yaml yml
"""

_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = re.compile(rf"(?<![{LETTERS}_.])(?<![{LETTERS}_.]-){_OCTET}(?:\.{_OCTET}){{3}}(?![{LETTERS}_-]|\.[{LETTERS}_])")
_IPV6 = re.compile(
    rf"(?<![{LETTERS}_:.])(?:[0-9A-Fa-f]{{0,4}}:){{2,7}}(?:{_OCTET}(?:\.{_OCTET}){{3}}|[0-9A-Fa-f]{{0,4}})(?![{LETTERS}_:]|\.[0-9])"
)
_SMALL = re.compile(r"[0-9]\.[0-9]\.|(?!10\.0\.)[0-9.]{7,8}$")  # 2.6.11.12, 1.20.3.4
_VERSION = re.compile(
    r"(?:versions?|ver|v|releases?|rel|firmware|build|kernel|section|sections|sec|chapter|clause|article|annex|appendix"
    r"|table|figure|fig|paragraph|item|rule|oid|§|[<>~^]=?|==)[\s.:(]{0,3}$",
    re.IGNORECASE,
)
_ADDRESS = re.compile(
    r"(?:\bip|ipv4|address|addr|host|server|gateway|dns|resolver|route|router|ping|client|peer|network|from|at)\W*$",
    re.IGNORECASE,
)
_CONTEXT = 16  # characters

# Addresses for documentation and measurement, of the own machine, of groups and of nobody; and those that every network
# may use for itself. Source: the special-purpose address registries of IANA.
_RESERVED = """
    0.0.0.0/8 127.0.0.0/8 192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 198.18.0.0/15 192.88.99.0/24 224.0.0.0/4
    240.0.0.0/4 ::/128 ::1/128 2001:db8::/32 3fff::/20 ff00::/8 100::/64
"""
_PRIVATE = "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 100.64.0.0/10 169.254.0.0/16 fc00::/7 fe80::/10"
_RANGES = [
    (ipaddress.ip_network(network), kind)
    for kind, networks in (("reserved_ip_address", _RESERVED), ("private_ip_address", _PRIVATE))
    for network in networks.split()
]


def email_address(text: str, at: int) -> Iterator[Span]:
    """The e-mail address around the @ at `at`, if there is one: `local@domain.tld`, of ASCII letters or others.

    The last label is of letters and no ending of a file (`icon@2x.png`, `getty@tty1.service`). A user name in an
    address of the web (`ssh://git@host.org/`, `git@host.org:path`) is none.
    """
    backwards = text[max(0, at - _LONGEST_LOCAL - 1) : at][::-1]
    local = _LOCAL_BACKWARDS.match(backwards)
    domain = _DOMAIN.match(text, at + 1, at + 1 + _LONGEST_DOMAIN)
    if local is None or domain is None:
        return
    name = local[0][::-1]
    before = text[max(0, at - len(name) - 64) : at - len(name)]
    if (
        "//" in name
        or before.rstrip(_FRAME + ":").endswith("/")
        or (re.search(r"//[^\s/@]*$", before) and not before.endswith("mailto:"))
    ):
        return
    name = name.rpartition("=")[2].rpartition("/")[2]  # mail=bob@example.org, and bob/alice@example.org
    name = name.lstrip(_FRAME)
    if not name or len(name) > _LONGEST_LOCAL or ".." in name or name.endswith("."):
        return
    end = domain.end()
    if text[end : end + 1] in {"_", "@"} or text[end : end + 1].isdigit():
        return
    if domain[0].rpartition(".")[2].lower() in _FILE_ENDINGS.split() or (name == "git" and text[end : end + 1] == ":"):
        return
    yield Span(at - len(name), end, "email_address")


def ipv4_addresses(text: str, start: int, end: int) -> Iterator[Span]:
    """IPv4 addresses between two places.

    Four numbers behind the word "version" and its like, in the name of a file, or small ones (unless a word before says
    that they are an address) are a version or a section.
    """
    for match in _IPV4.finditer(text, start, end):
        before = text[max(0, match.start() - _CONTEXT) : match.start()]
        if _VERSION.search(before) or (_SMALL.match(match[0]) and not _ADDRESS.search(before)):
            continue
        yield Span(match.start(), match.end(), _range_of(ipaddress.IPv4Address(match[0])))


def ipv6_addresses(text: str, start: int, end: int) -> Iterator[Span]:
    """IPv6 addresses between two places: eight groups, or fewer and `::` with a first group of four digits.

    Eight groups of two are an identifier of hardware, `Dead::Beef` is a name in a program.
    """
    for match in _IPV6.finditer(text, max(0, start), end):
        written = match[0]
        if written.endswith(":") and not written.endswith("::"):
            written = written[:-1]
        try:
            address = ipaddress.IPv6Address(written)
        except ValueError:
            continue
        groups = written.split(":")
        if "::" in written:
            # `::1:25` is how tools print a port of the loopback address.
            named = len(groups[0]) == 4 and any(character.isdigit() for character in written)
            if not named and address.ipv4_mapped is None and written != "::1":
                continue
        elif all(len(group) == 2 for group in groups):
            continue
        yield Span(match.start(), match.start() + len(written), _range_of(address))


def _range_of(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    # Python's own is_private also holds for documentation and loopback, and changes between its versions.
    return next((kind for network, kind in _RANGES if address in network), "ip_address")
