"""Which language a text is in, and how sure that is.

Two models answer alike: the one that comes with py3langid (139 languages, no file needed), and any fastText
supervised model, such as lid.176, whose file the user names.
"""

from __future__ import annotations

import functools
import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import polars as pl

from lakehouse import schema
from lakehouse.annotate.annotator import Annotator
from lakehouse.annotate.words import Batch

UNDETERMINED = "und"

# Two samples of 500 characters: one from the text's beginning, one from its middle, where pages seldom have menus.
# The first 1,000 are wrong more often; samples twice as long take twice the time for 0.2 % more right answers.
_SAMPLE = 500
_MIN_LETTERS = 20

# ISO 639-3 codes that have an ISO 639-1 code, as 639-3:639-1. An individual language of a macrolanguage counts as
# the macrolanguage where the two share a written standard: short Cantonese and Mandarin texts cannot be told apart.
_TWO_LETTERS_TABLE = """
    aar:aa abk:ab afr:af aka:ak amh:am ara:ar arb:ar arg:an ary:ar arz:ar asm:as ava:av ave:ae aym:ay ayr:ay aze:az
    azj:az bak:ba bam:bm bel:be ben:bn bis:bi bod:bo bos:bs bre:br bul:bg cat:ca ces:cs cha:ch che:ce chu:cu chv:cv
    cmn:zh cor:kw cos:co cre:cr cym:cy dan:da deu:de div:dv dzo:dz ekk:et ell:el eng:en epo:eo est:et eus:eu ewe:ee
    fao:fo fas:fa fij:fj fin:fi fra:fr fry:fy ful:ff fuv:ff gla:gd gle:ga glg:gl glv:gv grn:gn gug:gn guj:gu hat:ht
    hau:ha hbs:sh heb:he her:hz hin:hi hmo:ho hrv:hr hun:hu hye:hy ibo:ig ido:io iii:ii iku:iu ile:ie in:id ina:ia
    ind:id ipk:ik isl:is ita:it iw:he jav:jv ji:yi jpn:ja jw:jv kal:kl kan:kn kas:ks kat:ka kau:kr kaz:kk khk:mn
    khm:km kik:ki kin:rw kir:ky kmr:ku kom:kv kon:kg kor:ko kua:kj kur:ku lao:lo lat:la lav:lv lim:li lin:ln lit:lt
    ltz:lb lub:lu lug:lg lvs:lv mah:mh mal:ml mar:mr mkd:mk mlg:mg mlt:mt mo:ro mon:mn mri:mi msa:ms mya:my nau:na
    nav:nv nbl:nr nde:nd ndo:ng nep:ne nld:nl nno:nn nob:no nor:no npi:ne nya:ny oci:oc oji:oj ori:or orm:om ory:or
    oss:os pan:pa pes:fa pli:pi plt:mg pol:pl por:pt prs:fa pus:ps que:qu quy:qu roh:rm ron:ro run:rn rus:ru sag:sg
    san:sa sin:si slk:sk slv:sl sme:se smo:sm sna:sn snd:sd som:so sot:st spa:es sqi:sq srd:sc srp:sr ssw:ss sun:su
    swa:sw swe:sv swh:sw tah:ty tam:ta tat:tt tel:te tgk:tg tgl:tl tha:th tir:ti ton:to tsn:tn tso:ts tuk:tk tur:tr
    twi:tw uig:ug ukr:uk urd:ur uzb:uz uzn:uz uzs:uz ven:ve vie:vi vol:vo wln:wa wol:wo wuu:zh xho:xh ydd:yi yid:yi
    yor:yo yue:zh zha:za zho:zh zsm:ms zul:zu zxx:und
"""
_TWO_LETTERS = dict(pair.split(":") for pair in _TWO_LETTERS_TABLE.split())
_LABEL = re.compile(r"(?:__label__)?([A-Za-z]{2,3})(?:[_-].*)?")


class LanguageModelError(ValueError):
    """A language model's file cannot be used. The message names the file."""


def language(*, model: str | None = None) -> Annotator:
    """The language of each text: see `identify`.

    Args:
        model: file of a fastText model of languages, such as lid.176.ftz; py3langid's without it.
    """
    file = Path(model) if model else None

    def measure(batch: Batch) -> pl.DataFrame:
        return identify(batch.documents["text"].to_list(), file)

    return Annotator(
        "language",
        1,
        tuple(schema.LANGUAGE_COLUMNS),
        measure,
        "The language of the text and how sure that is.",
        files=(file,) if file else (),
    )


def identify(texts: Sequence[str], model: Path | None = None) -> pl.DataFrame:
    """Name the language of each text.

    Args:
        texts: n texts. Each is judged by 1,000 of its characters.
        model: file of a fastText supervised model whose labels are ISO 639 codes, with or without a script
            (`__label__en`, `__label__eng_Latn`). Without it py3langid's model is used.

    Returns:
        n rows: language (ISO 639-1 code where there is one, else ISO 639-3; "und" for a text with fewer than 20
        letters or without linguistic content) and language_score (the model's probability, 0..1; 0 for "und").
        A page in two languages gets the score that the stronger one has in the mixture.

    Raises:
        LanguageModelError: `model` is missing or is not a fastText model of languages.

    Source: Lui and Baldwin, langid.py: An Off-the-shelf Language Identification Tool (py3langid is its successor).
    """
    samples = [_sample(text) for text in texts]
    languages, scores = _identify_with_fasttext(samples, model) if model else _identify_with_langid(samples)
    found = pl.DataFrame({"sample": samples, "language": languages, "language_score": scores}, schema=_SCHEMA)
    has_letters = pl.col("sample").str.count_matches(r"\p{L}") >= _MIN_LETTERS
    determined = has_letters & (pl.col("language") != UNDETERMINED)
    return found.select(
        pl.when(determined).then("language").otherwise(pl.lit(UNDETERMINED)).alias("language"),
        pl.when(determined).then(pl.col("language_score").clip(0, 1)).otherwise(0.0).alias("language_score"),
    )


_SCHEMA = {"sample": pl.String, "language": pl.String, "language_score": pl.Float64}


def _sample(text: str) -> str:
    if len(text) > 2 * _SAMPLE:
        middle = max(_SAMPLE, (len(text) - _SAMPLE) // 2)
        text = f"{text[:_SAMPLE]} {text[middle : middle + _SAMPLE]}"
    # Capitals look like another language to both models; a lone surrogate cannot be encoded.
    text = unicodedata.normalize("NFC", text.lower() if text.isupper() else text)
    return text.encode("utf-8", "replace").decode("utf-8")


def _code(label: str) -> str | None:
    """The code that a model's label stands for; nothing where the label is no language code."""
    match = _LABEL.fullmatch(label)
    return None if match is None else _TWO_LETTERS.get(match[1].lower(), match[1].lower())


@dataclass(frozen=True)
class _Langid:
    """A naive Bayes model over byte n-grams, which an automaton finds.

    A text's score for a class is its prior plus the sum over features of log(1 + count) * weight.
    """

    languages: list[str]
    language_of: npt.NDArray[np.int64]  # class -> index into languages
    next_state: npt.NDArray[np.uint32]  # row of the state * 256 + byte -> state
    row: npt.NDArray[np.int64]  # state -> its row
    feature_of: npt.NDArray[np.int64]  # state -> feature that ends there, or -1
    weights: npt.NDArray[np.float32]  # feature x class
    prior: npt.NDArray[np.float32]  # class


@functools.cache
def _langid() -> _Langid:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # takes a second: only where it is used

    model: Any = LanguageIdentifier.from_model_file(MODEL_FILE)
    codes = [_code(label) or label for label in model.nb_classes]
    languages = sorted(set(codes))
    return _Langid(
        languages=languages,
        language_of=np.array([languages.index(code) for code in codes]),
        next_state=np.array(model.tk_nextmove, dtype=np.uint32),
        row=np.array(model.tk_row, dtype=np.int64),
        feature_of=np.array(model.tk_output, dtype=np.int64),
        weights=model.nb_ptc.astype(np.float32),
        prior=model.nb_pc,
    )


def _identify_with_langid(samples: list[str]) -> tuple[list[str], npt.NDArray[np.float64]]:
    if not samples:
        return [], np.zeros(0)
    model = _langid()
    encoded = [sample.encode("utf-8") for sample in samples]
    ends = np.cumsum([len(sample) for sample in encoded])
    best, scores = _score(
        np.frombuffer(b"".join(encoded), dtype=np.uint8),
        ends,
        model.next_state,
        model.row,
        model.feature_of,
        model.weights,
        model.prior,
        model.language_of,
        len(model.languages),
    )
    return [model.languages[index] for index in best], scores


@numba.njit(cache=True, nogil=True)
def _score(data, ends, next_state, row, feature_of, weights, prior, language_of, n_languages):  # type: ignore[no-untyped-def]
    """Best language and its probability for each of the texts that `data` holds one after the other."""
    n_features, n_classes = weights.shape
    counts = np.zeros(n_features, np.int64)
    seen = np.empty(n_features, np.int64)
    best = np.empty(len(ends), np.int64)
    probability = np.empty(len(ends), np.float64)
    start = 0
    for text in range(len(ends)):
        n_seen = 0
        state = np.int64(0)
        for place in range(start, ends[text]):
            state = np.int64(next_state[row[state] * 256 + data[place]])
            feature = feature_of[state]
            if feature >= 0:
                if counts[feature] == 0:
                    seen[n_seen] = feature
                    n_seen += 1
                counts[feature] += 1

        scores = np.zeros(n_classes, np.float64)
        if n_seen:
            scores += prior
        for index in range(n_seen):
            feature = seen[index]
            factor = math.log1p(counts[feature])
            for category in range(n_classes):
                scores[category] += factor * weights[feature, category]
            counts[feature] = 0

        # Scores grow with the text's length; py3langid divides by its square root to keep probabilities calibrated.
        scores = np.exp((scores - scores.max()) / math.sqrt(max(1, ends[text] - start)))
        shares = np.zeros(n_languages, np.float64)
        for category in range(n_classes):
            shares[language_of[category]] += scores[category]
        best[text] = np.argmax(shares)
        probability[text] = shares[best[text]] / shares.sum()
        start = ends[text]
    return best, probability


@functools.cache
def _fasttext(path: Path) -> Any:
    import fasttext

    if not path.is_file():
        raise LanguageModelError(f"{path} is not there. Name the file of a fastText model, such as lid.176.ftz.")
    try:
        model = fasttext.load_model(str(path))
        labels = model.get_labels()
    except (ValueError, RuntimeError) as error:
        raise LanguageModelError(f"{path} is not a fastText supervised model: {error}") from error
    unknown = [label for label in labels if _code(label) is None]
    if unknown or not labels:
        raise LanguageModelError(f"{path} has the label {unknown[:1]}, which is not a language code.")
    return model


def _identify_with_fasttext(samples: list[str], path: Path) -> tuple[list[str | None], list[float]]:
    model = _fasttext(path.resolve())
    if not samples:
        return [], []
    # fastText takes a line feed for the end of the text.
    labels, scores = model.predict([" ".join(sample.split()) for sample in samples])
    first = [label[0] if len(label) else UNDETERMINED for label in labels]
    return [_code(label) for label in first], [float(score[0]) if len(score) else 0.0 for score in scores]
