"""The published rules: which column each looks at, and its default bound.

A threshold is the least value allowed where its key starts with min_, the greatest where with max_. Peers count words
differently: *words* are runs between white space, *segments* are what a word tokenizer returns, punctuation apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from lakehouse.select.conditions import Condition


@dataclass(frozen=True)
class Threshold:
    """A bound on a column.

    Attributes:
        highest: the greatest value that the column can have: 1 for a share.
        evidence: the column that the ledger shows beside the value.
        of_language: whether the value depends on how a language is written, so that it is worth fitting to each.
    """

    key: str
    column: str
    default: float
    highest: float = math.inf
    evidence: str | None = None
    of_language: bool = False


@dataclass(frozen=True)
class RuleSet:
    """Rules that belong together. Each threshold is a rule, named after the set's prefix and its key.

    Attributes:
        version: raised whenever a default or a definition changes.
        annotator: who measures the columns, unless the set is declared with another.
        plain: rules without a threshold.
    """

    name: str
    stage: str
    prefix: str
    annotator: str | None
    thresholds: tuple[Threshold, ...] = ()
    plain: tuple[Condition, ...] = ()
    version: int = 1


def _share(key: str, default: float, *, of_language: bool = False) -> Threshold:
    return Threshold(key, key[4:], default, highest=1, of_language=of_language)


def _of_language(key: str, column: str, default: float) -> Threshold:
    return Threshold(key, column, default, of_language=True)


# Rae et al., Scaling Language Models: Methods, Analysis & Insights from Training Gopher, appendix A1.1.
_LINES = (_share("max_bullet_lines", 0.9), _share("max_ellipsis_lines", 0.3))
_WORDS = (Threshold("min_words", "n_words", 50), Threshold("max_words", "n_words", 100_000))
_GOPHER_QUALITY = RuleSet(
    "gopher_quality",
    "quality",
    "gopher_",
    "gopher_quality",
    (
        *_WORDS,
        _of_language("min_mean_word_length", "mean_word_length", 3),
        _of_language("max_mean_word_length", "mean_word_length", 10),
        Threshold("max_hash_ratio", "hash_ratio", 0.1),
        Threshold("max_ellipsis_ratio", "ellipsis_ratio", 0.1),
        *_LINES,
        _share("min_alpha_words", 0.8, of_language=True),
        _of_language("min_stop_words", "stop_words", 2),
    ),
)
# The same as DataTrove and FineWeb count: over segments, and over all lines, blank ones too.
_GOPHER_QUALITY_FINEWEB = RuleSet(
    "gopher_quality_fineweb",
    "quality",
    "gopher_",
    "gopher_quality",
    (
        Threshold("min_segment_words", "segment_words", 50),
        Threshold("max_segment_words", "segment_words", 100_000),
        _of_language("min_mean_segment_length", "mean_segment_length", 3),
        _of_language("max_mean_segment_length", "mean_segment_length", 10),
        Threshold("max_segment_hash_ratio", "segment_hash_ratio", 0.1),
        Threshold("max_segment_ellipsis_ratio", "segment_ellipsis_ratio", 0.1),
        _share("max_bullet_lines_of_all", 0.9),
        _share("max_ellipsis_lines_of_all", 0.3),
        _share("min_alpha_segments", 0.8, of_language=True),
        _of_language("min_segment_stop_words", "segment_stop_words", 2),
    ),
)
_GOPHER_QUALITY_DOLMA = RuleSet(
    "gopher_quality_dolma",
    "quality",
    "gopher_",
    "gopher_quality",
    (
        *_WORDS,
        _of_language("min_median_word_length", "median_word_length", 3),
        _of_language("max_median_word_length", "median_word_length", 10),
        _share("max_symbol_words", 0.1),
        *_LINES,
        _share("min_alpha_words", 0.8, of_language=True),
        _of_language("min_stop_words_total", "stop_words_total", 2),
    ),
)
_GOPHER_QUALITY_DCLM = RuleSet(
    "gopher_quality_dclm",
    "quality",
    "gopher_",
    "gopher_quality",
    (
        *_WORDS,
        _of_language("min_mean_word_length", "mean_word_length", 3),
        _of_language("max_mean_word_length", "mean_word_length", 10),
        Threshold("max_symbol_ratio", "symbol_ratio", 0.1),
        *_LINES,
        _share("min_alpha_words", 0.8, of_language=True),
        _of_language("min_stop_words_total", "stop_words_total", 2),
    ),
)


def _repetition(name: str, first: str, top: str) -> RuleSet:
    """The repetition rules, over columns that count repeated ones with or without their first occurrence."""
    shares = {2: 0.20, 3: 0.18, 4: 0.16}, {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}
    return RuleSet(
        name,
        "repetition",
        "gopher_",
        "gopher_repetition",
        (
            _share(f"max_{first}_paragraphs", 0.3),
            _share(f"max_{first}_paragraph_characters", 0.2),
            _share(f"max_{first}_lines", 0.3),
            _share(f"max_{first}_line_characters", 0.2),
            *(_share(f"max_{top}_{n}_gram", share, of_language=True) for n, share in shares[0].items()),
            *(_share(f"max_{first}_{n}_grams", share, of_language=True) for n, share in shares[1].items()),
        ),
    )


# Raffel et al., Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer, section 2.2.
_C4 = RuleSet(
    "c4",
    "c4",
    "c4_",
    "c4",
    (
        Threshold("min_sentences", "n_sentences", 5),
        Threshold("max_lorem_ipsum_lines", "lorem_ipsum_lines", 0),
        Threshold("max_curly_bracket_lines", "curly_bracket_lines", 0),
    ),
)
# FineWeb keeps lines whatever they end in.
_C4_ANY_ENDING = RuleSet(
    "c4_any_ending",
    "c4",
    "c4_",
    "c4",
    (
        Threshold("min_sentences_any_ending", "n_sentences_any_ending", 5),
        Threshold("max_lorem_ipsum_lines_any_ending", "lorem_ipsum_lines_any_ending", 0),
        Threshold("max_curly_bracket_lines_any_ending", "curly_bracket_lines_any_ending", 0),
    ),
)
# Xue et al., mT5: A Massively Multilingual Pre-trained Text-to-Text Transformer, section 3.1.
_C4_PARAGRAPHS = RuleSet("c4_paragraphs", "c4", "c4_", "c4", (Threshold("min_long_lines", "long_lines", 3),))

# Penedo et al., The FineWeb Datasets: Decanting the Web for the Finest Text Data at Scale, section 3.6.
_FINEWEB = RuleSet(
    "fineweb",
    "fineweb",
    "fineweb_",
    "fineweb",
    (
        _share("min_punctuated_lines", 0.12, of_language=True),
        _share("max_short_lines", 0.67, of_language=True),
        _share("max_duplicate_characters", 0.01),
        _of_language("max_newlines_per_segment", "newlines_per_segment", 0.3),
    ),
)
# Penedo et al., The RefinedWeb Dataset for Falcon LLM, appendix G.2.
_REFINEDWEB = RuleSet("refinedweb", "refinedweb", "refinedweb_", "refinedweb", (_share("max_removed_words", 0.05),))

_URL = RuleSet(
    "url",
    "url",
    "url_",
    "url_lists",
    (
        Threshold("max_strict_words", "url_strict_words", 0, evidence="url_words"),
        Threshold("max_soft_words", "url_soft_words", 1, evidence="url_words"),
    ),
    (
        Condition(
            "url_category", "url", "url_category", absent=True, annotator="url_lists", evidence_column="url_entry"
        ),
    ),
)
_BAD_WORDS = RuleSet(
    "bad_words",
    "bad_words",
    "bad_words_",
    "bad_words",
    (Threshold("max_bad_words", "bad_words", 0, evidence="bad_words_found"),),
)
# Soldaini et al., Dolma: masks five pieces of personal data and drops what has more.
_PERSONAL_DATA = RuleSet(
    "personal_data", "personal_data", "personal_data_", "personal_data", (Threshold("max_spans", "n_personal", 5),)
)
# Consent is "allowed", or the signal that forbids training on the page.
_CONSENT = RuleSet(
    "consent", "consent", "", None, plain=(Condition("consent", "consent", "consent", one_of=("allowed",)),)
)

RULE_SETS: Mapping[str, RuleSet] = MappingProxyType(
    {
        rule_set.name: rule_set
        for rule_set in (
            _CONSENT,
            _URL,
            _GOPHER_QUALITY,
            _GOPHER_QUALITY_FINEWEB,
            _GOPHER_QUALITY_DOLMA,
            _GOPHER_QUALITY_DCLM,
            _repetition("gopher_repetition", "duplicate", "top"),
            _repetition("gopher_repetition_dolma", "repeated", "most_common"),
            _C4,
            _C4_ANY_ENDING,
            _C4_PARAGRAPHS,
            _FINEWEB,
            _REFINEDWEB,
            _BAD_WORDS,
            _PERSONAL_DATA,
        )
    }
)
