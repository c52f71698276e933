"""Phone numbers: international ones, and national ones where their form or a word beside them says so."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from lakehouse.annotate.personal.spans import LETTERS, Span

# Where a document of a language is likely to be from.
_REGIONS_TABLE = """
    ar:EG,SA,AE,MA,DZ,IQ,JO bg:BG ca:ES cs:CZ da:DK de:DE,AT,CH el:GR,CY en:US,GB,CA,AU,NZ,IE,IN,ZA
    es:ES,MX,AR,CO,CL,PE,VE et:EE eu:ES fa:IR fi:FI fr:FR,BE,CH,CA,LU ga:IE gl:ES he:IL hi:IN hr:HR hu:HU id:ID is:IS
    it:IT,CH ja:JP ko:KR lt:LT lv:LV ms:MY nb:NO nl:NL,BE nn:NO no:NO pl:PL pt:BR,PT ro:RO,MD ru:RU,BY,KZ sk:SK sl:SI
    sr:RS sv:SE,FI th:TH tr:TR uk:UA ur:PK vi:VN zh:CN,TW,HK,SG
"""
REGIONS = {
    language: tuple(regions.split(",")) for language, regions in (row.split(":") for row in _REGIONS_TABLE.split())
}

_SPACE = "[ \u00a0\u2009\u202f]"
_DASH = "[-\u2010\u2011\u2012\u2013.]"
_GAP = rf"(?:{_SPACE}?{_DASH}{_SPACE}?|/|{_SPACE}?\(|\)(?:{_SPACE}|{_DASH}){{0,3}}|{_SPACE})"
_EXTENSION = re.compile(r"(?:(?<=\d)x|,? ?(?:\bx|\bext\.?|\bextension|#)) ?\d{1,6}\b", re.IGNORECASE)
_NUMBER = re.compile(
    rf"(?<![{LETTERS}_$€£¥=&@/#+])(?<![$€£¥] )(?<![{LETTERS}_]-)(?<!\d[.,:])"
    rf"(?:\+{_SPACE}?)?\(?\+?\d(?:{_GAP}?\d){{5,18}}"
    r"(?![\d%€£¥])(?![,:]\d)"
)
_NORTH_AMERICAN = re.compile(
    rf"(?:(?:\+|00)?1{_GAP})?(?:\(\d{{3}}\){_SPACE}?|\d{{3}}(?P<gap>[-.\u2010\u2011]))"
    rf"\d{{3}}(?(gap)(?P=gap)|[-.\u2010\u2011 ])\d{{4}}"
)
_NO_PHONE = re.compile(
    rf"""(?:1[4-9]|20)\d\d{_GAP}{{1,3}}(?:1[4-9]|20)?\d\d        # years
    |(?:1[4-9]|20)\d\d([-./])\d\d?\1\d\d?(?:{_SPACE}\d+)?       # 2021-03-04, and with an hour behind it
    |\d\d?([-./])\d\d?\2(?:1[4-9]|20)\d\d(?:{_SPACE}\d+)?       # 04.03.2021
    |(?:19|20)\d{{12}}                                          # 20210304123000
    |(?!\d{{3,4}}\.\d{{4}}$)\d+\.\d+|\d+/\d+|0{_GAP}.*|\d{{1,3}}(?:\.\d{{3}})+         # decimals, fractions, thousands
    |\d{{1,3}}(?:\.\d{{1,3}}){{3}}                              # an IP address
    |97[89]{_GAP}?\d(?:{_GAP}?\d){{9}}|\d+-\d+-\d+-[\dX]        # ISBN
    |(?:\d{_GAP}){{5,}}\d?|\d\d?(?:{_GAP}\d){{4,}}              # single figures
    |(?:{_GAP}|0)*|(\d)(?:{_GAP}|\3)*                           # one figure over and over
    """,
    re.VERBOSE,
)
_SERIAL = re.compile(r"\d{4}-\d{4}")  # ISSN
# A word that numbers stand behind, in the languages of most pages.
_WORD = (
    r"\b(?:tel|tél|tlf|tfn|tlfn|tfno|telf|fon|ph|phone|phones|telephone|telephones|mobile|mobiles|cell|cellphone|landline"
    r"|fax|telefax|hotline|helpline|switchboard|call|calling|dial|whatsapp|viber|sms|desk|voicemail|pager"
    r"|handy|mobil|rufnummer|durchwahl|anrufen|portable|appeler|appelez|móvil|movil|celular|llamar|llame|llámenos"
    r"|cellulare|chiamare|chiama|chiamate|telemóvel|ligue|bel|bellen|gsm|kom|тел|моб|факс|звоните|tel no|tel nr"
    r"|telefoon|telefoonnummer|telefon|telefonnummer|téléphone|teléfono|telefono|telefone|telefón|puhelin|puh|telefoni)\b"
    r"|телефон\w*|τηλέφωνο|τηλ|電話|电话|手机|手機|전화|휴대폰|هاتف|تلفن|फोन|โทร|☎|📞|📱"
)
_PERSON = r"(?:me|us|him|her|them|you)"
_BEFORE = re.compile(
    rf"(?:(?:{_WORD})(?:[^\d\n]{{0,24}}|\W{{0,3}}\n\s{{0,8}}\W{{0,3}})"
    rf"|\b(?:reach|contact|contacted|text|message|messages|ring|answering|answer|answers)\b(?: \w+){{0,3}}?"
    rf" (?:at|on|to|via|registered)\W{{0,3}}"
    rf"|\b(?:reach|contact|text|ring)(?: {_PERSON})?\W{{1,3}}|\b\w* ?line\b(?: at| on| is)?\W{{1,3}}"
    rf"|\b(?:my|his|her|our|their|your|contact|office|home|work|daytime|emergency) (?:number|no\.?)(?: is)?\W{{0,3}}"
    rf"|(?:^|\n)\W*[pmtf][.:]+ ?)$",
    re.IGNORECASE,
)
_JUST_BEFORE = re.compile(rf"(?:{_WORD})\W{{0,3}}$", re.IGNORECASE)
_AFTER = re.compile(
    r"\)?[ \t]?[-–(\[,]? ?(?:(?:office|fax|mobile|cell|cellphone|desk|phone|tel|telefax|voice|pager|toll[- ]free)\b"
    r"|(?:home|work|direct)\W*(?:$|\n))",
    re.IGNORECASE,
)
_CONTEXT = 64  # characters
_CHAIN = 16  # characters from a phone number to the next one of a list


def phone_numbers(text: str, start: int, end: int, regions: Sequence[str], chained: bool = False) -> Iterator[Span]:
    """Phone numbers between two places, with their extensions.

    A number is taken where one of these holds and it is no date, range of years, decimal or ISBN:

    * it begins with + or 00 and is possible in the country that it names;
    * it has the North American form, 202-555-0143 or (202) 555-0143;
    * it begins with 0 or with an area code in parentheses, is valid in one of `regions`, and in groups as there;
    * a word like "phone", "fax" or "call" stands before or behind it, or another phone number just before it.

    Args:
        text: the text of a document.
        start: the first character of the candidate region.
        end: the one after its last.
        regions: ISO 3166 codes of the countries whose national numbers are looked for.
        chained: whether a phone number ended just before `start`.
    """
    last = start if chained else -_CHAIN
    for match in _NUMBER.finditer(text, max(0, start - 3), end):
        listed = match.start() - last < _CHAIN and "\n" not in text[max(last, 0) : match.start()]
        for first, behind in _pieces(text, match.start(), match.end()):
            if _is_phone(text, first, behind, regions, listed):
                extension = _EXTENSION.match(text, behind)
                last = extension.end() if extension else behind
                listed = True
                yield Span(first, last, "phone_number")


def _pieces(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The whole candidate, or its North American parts where it is several numbers in a row."""
    written = text[start:end]
    parts = list(_NORTH_AMERICAN.finditer(written))
    if len(parts) > 1 or (parts and sum(map(str.isdigit, written)) > 15):
        yield from ((start + part.start(), start + part.end()) for part in parts)
    elif written.startswith("(") and ")" not in written:
        yield start + 1, end
    else:
        yield start, end


def _is_phone(text: str, start: int, end: int, regions: Sequence[str], listed: bool) -> bool:
    written = text[start:end]
    digits = "".join(filter(str.isdigit, written))
    following = text[end : end + 1]
    if following.isalpha() and not _EXTENSION.match(text, end) and following.isascii():
        return False
    if written.count("(") != written.count(")"):
        return False
    if written.lstrip("(").startswith("+"):
        return _is_international(text, start, end, digits)
    if _NO_PHONE.fullmatch(written) or len(digits) > 16:
        return False
    if _NORTH_AMERICAN.fullmatch(written):
        return True
    groups = len(re.findall(r"\d+", written))
    before = text[max(0, start - _CONTEXT) : start]
    if len(digits) < 7:
        return groups > 1 and (_AFTER.match(text, end) or _JUST_BEFORE.search(before)) is not None
    if len(digits) <= 15 and (listed or _BEFORE.search(before) or _AFTER.match(text, end)):
        return True
    if digits.startswith("00"):
        return groups > 1 and _valid(f"+{digits[2:]}", ["ZZ"])
    # A trunk prefix or an area code in parentheses; numbers in tables begin with neither.
    if groups == 1 or (digits[0] != "0" and written[0] != "(") or _SERIAL.fullmatch(written):
        return False
    return _valid(digits, regions, re.findall(r"\d+", written))


def _is_international(text: str, start: int, end: int, digits: str) -> bool:
    import phonenumbers

    try:
        number = phonenumbers.parse(f"+{digits}", None)
    except phonenumbers.NumberParseException:
        return False
    if phonenumbers.is_valid_number(number):
        return True
    # Invented numbers (in manuals, forms and stories) are possible and not valid. Undivided ones may be quantities.
    divided = len(digits) < end - start - 1 or len(digits) >= 11
    context = divided or _BEFORE.search(text[max(0, start - _CONTEXT) : start]) is not None
    return context and len(digits) >= 8 and phonenumbers.is_possible_number(number)


def _valid(digits: str, regions: Sequence[str], grouped: list[str] | None = None) -> bool:
    """Whether this is a number of one of the regions, and in groups as it is usually written there."""
    import phonenumbers

    for region in regions:
        try:
            number = phonenumbers.parse(digits, region)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(number):
            usual = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
            if grouped is None or re.findall(r"\d+", usual) == grouped:
                return True
    return False
