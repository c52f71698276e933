"""Numbers of texts, and which of them another text has."""

from __future__ import annotations

import unicodedata
from functools import cache

import numpy as np
import numpy.typing as npt
import polars as pl

from lakehouse.generate.gates.words import Words, find_words

_SEPARATORS = ".,'’٬٫ \u00a0\u2009\u202f"
# An item's number at the beginning of a line; or digits with single separators between them, and what stands before
# them: after a letter they are part of a name such as B2, except in scripts that put no space there.
_FOUND = (
    r"(?m)^[ \t]*[0-9]{1,3}[.)][ \t]"
    rf"|(?:^|[^0-9_\n\p{{Latin}}\p{{Greek}}\p{{Cyrillic}}])[0-9]+(?:[{_SEPARATORS}][0-9]+)*"
)
_BEFORE = r"^[^0-9]+"
_OTHER_DIGIT = r"[\p{Nd}--0-9]"
_SPACES = r"[ \x{A0}\x{2009}\x{202F}]"
_GROUPED_BY_SPACES = r"[0-9]{1,3}(?: [0-9]{3})+(?:[.,][0-9]+)?"
# Thousands: groups of three, or of two and a last one of three as in India.
_THOUSANDS = r"^(?:[1-9][0-9]{0,2}(?:[.,'][0-9]{3})+|[1-9][0-9]?(?:,[0-9]{2})+,[0-9]{3})$"
_THOUSANDS_AND_FRACTION = r"^[0-9]{1,3}(?:(?:[,'][0-9]{2,3})+\.[0-9]+|(?:[.'][0-9]{3})+,[0-9]+)$"
_FRACTION = r"^[0-9]+[.,][0-9]+$"

_LOW_BITS = np.uint64(0xFFFF)

# Zero to twelve as prose spells them; words that mean something else more often are left out.
_SPELLED = """
    en zero one two three four five six seven eight nine ten eleven twelve
    de null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf
    fr zéro un deux trois quatre cinq six sept huit neuf dix onze douze
    es cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce
    it zero uno due tre quattro cinque sei sette otto nove dieci undici dodici
    pt zero um dois três quatro cinco seis sete oito nove dez onze doze
    nl nul een twee drie vier vijf zes zeven acht negen tien elf twaalf
    ru ноль один два три четыре пять шесть семь восемь девять десять одиннадцать двенадцать
    pl zero jeden dwa trzy cztery pięć sześć siedem osiem dziewięć dziesięć jedenaście dwanaście
    sv noll ett två tre fyra fem sex sju åtta nio tio elva tolv
    zh 零 一 二 三 四 五 六 七 八 九 十
"""


def numbers(texts: pl.Series, words: Words) -> pl.DataFrame:
    """The different numbers of n texts.

    Digits of any script count; signs, percent signs and units do not. Separators of thousands go ("1,234,567",
    "1.234.567", "1'234", "12,34,567"), a decimal comma is a point, zeros before a number and after a fraction go: 1,50
    and 1.5 are the same. One separator before three digits is that of thousands. What reads otherwise is taken apart,
    so that 12.05.2024 is 12, 5 and 2024.

    Returns:
        row (of the text), value, other (the value that the number has if spaces in it separate thousands; null without
        them), kind: "number", "item" (the number of a list's item) or "spelled" (a word: zero to twelve).
    """
    frame = pl.DataFrame({"row": pl.int_range(len(texts), eager=True), "number": _with_plain_digits(texts)})
    found = frame.with_columns(pl.col("number").str.extract_all(_FOUND)).explode("number").drop_nulls("number")
    number = pl.col("number")
    item = number.str.ends_with(" ") | number.str.ends_with("\t")
    found = found.with_columns(
        number.str.replace(_BEFORE, "")
        .str.replace_all(_SPACES, " ")
        .str.replace_all("[’٬]", "'")
        .str.replace_all("٫", ".")
        .str.strip_chars(),
        kind=pl.when(item).then(pl.lit("item")).otherwise(pl.lit("number")),
    )
    found = found.with_columns(number.str.strip_chars(".)").str.extract_all(rf"{_GROUPED_BY_SPACES}(?: |$)|[^ ]+"))
    found = found.explode("number").with_columns(number.str.strip_chars())
    grouped = number.str.contains(" ", literal=True)
    together = pl.when(grouped).then(_value(number.str.replace_all(" ", "", literal=True)).list.first())
    parts = found.with_columns(other=together, number=number.str.split(" ")).explode("number")
    parts = parts.select("row", "other", "kind", value=_value(pl.col("number"))).explode("value").drop_nulls("value")
    return pl.concat([parts.select("row", "value", "other", "kind"), _spelled(words)]).unique()


def kept_and_added(
    found: pl.DataFrame, standing: pl.DataFrame, rows: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Compare the numbers of n texts with those of their passages (both from `numbers`).

    Returns:
        Share of the passage's numbers that the text has; share of the text's numbers that the passage does not have.
        0..1, NaN where there are no numbers to have. Spelled numbers and those of items are found but not looked for.
    """
    return _found_share(standing, found, rows), 1 - _found_share(found, standing, rows)


def _found_share(wanted: pl.DataFrame, among: pl.DataFrame, rows: int) -> npt.NDArray[np.float64]:
    every = pl.concat([among.select("row", "value"), among.select("row", value="other").drop_nulls()]).unique()
    every = every.with_columns(found=pl.lit(True))
    counted = wanted.filter(pl.col("kind") == "number").join(every, on=["row", "value"], how="left")
    counted = counted.join(
        every.rename({"found": "other_found"}), left_on=["row", "other"], right_on=["row", "value"], how="left"
    )
    found = pl.col("found").fill_null(False) | pl.col("other_found").fill_null(False)
    shares = (
        counted.group_by("row", "value").agg(found.any().alias("found")).group_by("row").agg(pl.col("found").mean())
    )
    result = np.full(rows, np.nan)
    result[shares["row"].to_numpy()] = shares["found"].to_numpy()
    return result


def _value(number: pl.Expr) -> pl.Expr:
    """The values of a written number, as a list: one, or several where it is a date or a version."""
    plain = number.str.replace_all(r"[.,']", "")
    whole = number.str.replace_all(r"'|[.,][0-9]+$", "").str.replace_all(r"[.,]", "")
    fraction = number.str.extract(r"[.,]([0-9]+)$").str.strip_chars_end("0")
    integer = _without_zeros(whole)
    decimal = pl.when(fraction == "").then(integer).otherwise(pl.concat_str(integer, pl.lit("."), fraction))
    return (
        pl.when(number.str.contains(_THOUSANDS))
        .then(pl.concat_list(plain))
        .when(number.str.contains(_THOUSANDS_AND_FRACTION) | number.str.contains(_FRACTION))
        .then(pl.concat_list(decimal))
        .otherwise(number.str.extract_all("[0-9]+").list.eval(_without_zeros(pl.element())))
    )


def _without_zeros(digits: pl.Expr) -> pl.Expr:
    stripped = digits.str.strip_chars_start("0")
    return pl.when(stripped == "").then(pl.lit("0")).otherwise(stripped)


def _with_plain_digits(texts: pl.Series) -> pl.Series:
    unsure = texts.str.contains(_OTHER_DIGIT)
    if not unsure.any():
        return texts
    plain = pl.when(unsure).then(texts.str.replace_many(_digits())).otherwise(texts)
    return pl.select(number=plain)["number"]


@cache
def _digits() -> dict[str, str]:
    """Every decimal digit of another script, and the plain one."""
    from lakehouse.unicode import every_character

    _, characters = every_character()
    digits = characters.filter(characters.str.contains(rf"^{_OTHER_DIGIT}$")).to_list()
    values = {digit: unicodedata.decimal(digit, None) for digit in digits}
    return {digit: str(value) for digit, value in values.items() if value is not None}


def _spelled(words: Words) -> pl.DataFrame:
    """Spelled numbers as rows of `numbers`."""
    hashes, values, may_be = _spelled_hashes()
    spelled = np.flatnonzero(may_be[words.hashes & _LOW_BITS])  # few: only these are looked for
    places = np.searchsorted(hashes, words.hashes[spelled]).clip(max=len(hashes) - 1)
    is_one = hashes[places] == words.hashes[spelled]
    spelled, places = spelled[is_one], places[is_one]
    rows = np.searchsorted(words.offsets, spelled, side="right") - 1
    found = pl.DataFrame({"row": rows, "value": values[places]}, schema={"row": pl.Int64, "value": pl.String})
    return found.with_columns(other=pl.lit(None, pl.String), kind=pl.lit("spelled"))


@cache
def _spelled_hashes() -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.object_], npt.NDArray[np.bool_]]:
    """Hashes of the words for numbers, sorted; the number of each; and which low bits they have."""
    lines = [line.split()[1:] for line in _SPELLED.strip().splitlines()]
    values = {word: str(value) for line in lines for value, word in enumerate(line)}
    hashes = find_words(pl.Series(list(values))).hashes
    order = np.argsort(hashes)
    may_be = np.zeros(int(_LOW_BITS) + 1, np.bool_)
    may_be[hashes & _LOW_BITS] = True
    return hashes[order], np.array(list(values.values()), object)[order], may_be
