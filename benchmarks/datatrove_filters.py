"""What DataTrove's four quality filters say of given texts. Runs in an environment that has DataTrove and spaCy.

    python benchmarks/datatrove_filters.py values < texts.jsonl > values.jsonl
    python benchmarks/datatrove_filters.py time < texts.jsonl

`texts.jsonl` has one JSON string a line. `values` writes one object a text: for each rule, run alone, whether it drops
the text; how many words DataTrove finds; and the texts after C4's filter. `time` prints the seconds of each filter.
"""

from __future__ import annotations

import functools
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from datatrove.data import Document
from datatrove.pipeline.filters import c4_filters
from datatrove.pipeline.filters.c4_filters import C4ParagraphFilter, C4QualityFilter
from datatrove.pipeline.filters.fineweb_quality_filter import FineWebQualityFilter
from datatrove.pipeline.filters.gopher_quality_filter import GopherQualityFilter
from datatrove.pipeline.filters.gopher_repetition_filter import GopherRepetitionFilter
from datatrove.utils.text import split_into_words

QUALITY = {
    "segment_words": {"min_doc_words": 50, "max_doc_words": 100_000},
    "mean_segment_length": {"min_avg_word_length": 3, "max_avg_word_length": 10},
    "segment_hash_ratio": {"max_symbol_word_ratio": 0.1},
    "bullet_lines_of_all": {"max_bullet_lines_ratio": 0.9},
    "ellipsis_lines_of_all": {"max_ellipsis_lines_ratio": 0.3},
    "alpha_segments": {"max_non_alpha_words_ratio": 0.8},
    "segment_stop_words": {"min_stop_words": 2},
}
REPETITION: dict[str, dict[str, Any]] = {
    "duplicate_lines": {"dup_line_frac": 0.3},
    "duplicate_paragraphs": {"dup_para_frac": 0.3},
    "duplicate_line_characters": {"dup_line_char_frac": 0.2},
    "duplicate_paragraph_characters": {"dup_para_char_frac": 0.2},
    **{f"top_{n}_gram": {"top_n_grams": ((n, share),)} for n, share in ((2, 0.2), (3, 0.18), (4, 0.16))},
    **{f"duplicate_{n}_grams": {"dup_n_grams": ((n, round(0.2 - n / 100, 2)),)} for n in range(5, 11)},
}
FINEWEB = {
    "punctuated_lines": {"line_punct_thr": 0.12},
    "short_lines": {"short_line_thr": 0.67},
    "duplicate_characters": {"char_duplicates_ratio": 0.01},
    "newlines_per_segment": {"new_line_ratio": 0.3},
}


def rules() -> dict[str, Callable[[Document], Any]]:
    """Each rule as a filter of its own."""
    quality = dict.fromkeys(key for switches in QUALITY.values() for key in switches)
    repetition = {
        **dict.fromkeys(["dup_line_frac", "dup_para_frac", "dup_line_char_frac", "dup_para_char_frac"]),
        "top_n_grams": (),
        "dup_n_grams": (),
    }
    fineweb = {"line_punct_thr": 0, "short_line_thr": 1, "char_duplicates_ratio": 9, "new_line_ratio": 1e9}
    found: dict[str, Callable[[Document], Any]] = {
        **{name: GopherQualityFilter(**quality | switches).filter for name, switches in QUALITY.items()},
        **{name: GopherRepetitionFilter(**repetition | switches).filter for name, switches in REPETITION.items()},
        **{name: FineWebQualityFilter(**fineweb | switches).filter for name, switches in FINEWEB.items()},
        "long_lines": C4ParagraphFilter().filter,
    }
    for ending, punctuated in (("", True), ("_any_ending", False)):
        off = {"filter_lorem_ipsum": False, "filter_curly_bracket": False, "min_num_sentences": -1}
        for name, switches in (
            ("lorem_ipsum_lines", {"filter_lorem_ipsum": True}),
            ("curly_bracket_lines", {"filter_curly_bracket": True}),
            ("n_sentences", {"min_num_sentences": 5}),
        ):
            chosen = C4QualityFilter(filter_no_terminal_punct=punctuated, **off | switches)
            chosen.stat_update = lambda *_, **__: None
            found[name + ending] = chosen.filter
    return found


def values(texts: Iterator[str]) -> None:
    """Write what every rule says of each text."""
    # The same line is cut into sentences by several of the filters below.
    c4_filters.split_into_sentences = functools.lru_cache(10_000)(c4_filters.split_into_sentences)
    checks = rules()
    edits = {
        ending: C4QualityFilter(
            filter_no_terminal_punct=not ending,
            filter_lorem_ipsum=False,
            filter_curly_bracket=False,
            min_num_sentences=-1,
        )
        for ending in ("", "_any_ending")
    }
    for text in texts:
        said: dict[str, Any] = {"n_segments": len(split_into_words(text, "en"))}
        for name, check in checks.items():
            try:
                answer = check(Document(text=text, id="0"))
            except (ZeroDivisionError, ValueError):  # a text without words or lines
                answer = None
            said[name] = None if answer is None else answer is not True
        for ending, edit in edits.items():
            edit.stat_update = lambda *_, **__: None
            document = Document(text=text, id="0")
            edit.filter(document)
            said["text" + ending] = document.text
        print(json.dumps(said))


def measure_time(texts: list[str]) -> None:
    """Print the seconds that each filter takes for all texts, as it is used."""
    chain = {
        "gopher_repetition": GopherRepetitionFilter(),
        "gopher_quality": GopherQualityFilter(),
        "c4": C4QualityFilter(filter_no_terminal_punct=False),
        "fineweb": FineWebQualityFilter(),
    }
    for one in chain.values():
        one.filter(Document(text="The first text loads what the filter needs.", id="0"))
    seconds = dict.fromkeys(chain, 0.0)
    for text in texts:
        for name, one in chain.items():
            start = time.process_time()
            one.filter(Document(text=text, id="0"))
            seconds[name] += time.process_time() - start
    print(json.dumps(seconds))


if __name__ == "__main__":
    lines = map(json.loads, sys.stdin)
    values(lines) if sys.argv[1] == "values" else measure_time(list(lines))
