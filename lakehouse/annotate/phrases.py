"""Words and phrases of a list, found in texts where words begin and end.

Neither upper case nor what stands between the words of a phrase matters; ß is ss.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import polars as pl

# Letters of scripts written without spaces, the long vowel mark of Japanese among them.
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}\x{30FC}\x{FF70}"
_WORD = r"\p{L}\p{M}\p{N}"
_BETWEEN_WORDS = rf"[^{_WORD}]+"
# Words of other scripts, and what stands between words.
_FOREIGN_OR_BETWEEN = rf"([{_WORD}&&[^{_UNSPACED}]]+)|[^{_WORD}{_UNSPACED}]+"
_UNSPACED_LANGUAGES = frozenset({"zh", "yue", "wuu", "ja", "th", "lo", "km", "my", "bo"})


@dataclass(frozen=True)
class Phrases:
    """Phrases to search for.

    Attributes:
        unspaced: whether letters of scripts written without spaces may stand directly before or after a phrase.
        phrase_of: each phrase, in lower case, by the form that is searched for; longer forms come first.
        symbols: phrases without letters or digits, searched for as they are.
    """

    unspaced: bool
    phrase_of: Mapping[str, str]
    symbols: tuple[str, ...]

    def find(self, texts: pl.Series) -> pl.DataFrame:
        """The hits in n texts: row (from 0) and phrase. Of phrases that overlap the longest of the first counts."""
        lowered = _lowered(texts)
        found = [pl.DataFrame(schema={"row": pl.Int64, "phrase": pl.String})]
        if self.phrase_of:
            hits = _exploded(_searchable(lowered, self.unspaced).str.extract_many(list(self.phrase_of), leftmost=True))
            phrase = pl.col("phrase").replace_strict(dict(self.phrase_of), return_dtype=pl.String)
            found.append(hits.with_columns(phrase))
        if self.symbols:
            found.append(_exploded(lowered.str.extract_many(list(self.symbols), leftmost=True)))
        return pl.concat(found)

    def count(self, texts: pl.Series) -> pl.Series:
        """How many hits each of n texts has."""
        rows = pl.DataFrame({"row": pl.int_range(len(texts), eager=True)})
        counts = self.find(texts).group_by("row").agg(hits=pl.len().cast(pl.Int64))
        return rows.join(counts, on="row", how="left", maintain_order="left")["hits"].fill_null(0)


def phrases(listed: Iterable[str], language: str) -> Phrases:
    """Make phrases ready to be searched for in texts of a language (its ISO 639 code)."""
    unspaced = language in _UNSPACED_LANGUAGES
    lowered = _lowered(pl.Series(sorted(set(listed)), dtype=pl.String))
    pairs = list(zip(_searchable(lowered, unspaced), lowered, strict=True))
    forms = {form: phrase for form, phrase in pairs if form.strip()}
    symbols = tuple(phrase for form, phrase in pairs if not form.strip())
    by_length = sorted(forms, key=lambda form: (-len(form), form))
    return Phrases(unspaced, {form: forms[form] for form in by_length}, symbols)


def _lowered(texts: pl.Series) -> pl.Series:
    lowered = texts.str.to_lowercase().str.replace_all("ß", "ss", literal=True)  # its upper case is SS
    # ASCII is normal already, and normalising is the slowest step.
    places = (lowered.str.len_bytes() != lowered.str.len_chars()).arg_true()
    return lowered.scatter(places, lowered.gather(places).str.normalize("NFC")) if len(places) else lowered


def _searchable(lowered: pl.Series, unspaced: bool) -> pl.Series:
    """Texts in which every word that has boundaries has a space of its own on both sides.

    So a search for ` word ` finds each of two neighbours, and needs no look at what surrounds it.
    """
    if unspaced:
        return lowered.str.replace_all(_FOREIGN_OR_BETWEEN, " $1 ")
    return pl.select(pl.concat_str(pl.lit(" "), lowered.str.replace_all(_BETWEEN_WORDS, "  "), pl.lit(" "))).to_series()


def _exploded(matched: pl.Series) -> pl.DataFrame:
    rows = pl.DataFrame({"row": pl.int_range(len(matched), eager=True), "phrase": matched})
    return rows.filter(pl.col("phrase").list.len() > 0).explode("phrase", empty_as_null=True)
