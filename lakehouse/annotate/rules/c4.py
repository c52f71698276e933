"""What C4's rules remove from a text, and what they count in what stays.

Source: Raffel et al., Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer, section 2.2.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from lakehouse import schema
from lakehouse.annotate.characters import kinds
from lakehouse.annotate.languages import Languages
from lakehouse.annotate.rules.c4_lines import RULES, list_edits, read_lines
from lakehouse.annotate.segmenting.segments import exceptions
from lakehouse.annotate.words import Batch
from lakehouse.unicode import lower_case

C4_COLUMNS = (
    pa.field("line_edits", schema.EDITS),
    pa.field("line_edits_any_ending", schema.EDITS),
    pa.field("n_sentences", pa.int64()),
    pa.field("n_sentences_any_ending", pa.int64()),
    pa.field("lorem_ipsum_lines", pa.int64()),
    pa.field("lorem_ipsum_lines_any_ending", pa.int64()),
    pa.field("curly_bracket_lines", pa.int64()),
    pa.field("curly_bracket_lines_any_ending", pa.int64()),
    pa.field("long_lines", pa.int64()),
)

# The bit of each is what the automaton reports.
_PHRASES = (
    ("javascript",),
    ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies"),
    ("lorem ipsum",),
)
_CLOSING = "\"'”’»›」』"


def measure_c4(batch: Batch, languages: Languages) -> pl.DataFrame:
    """Measure what C4's rules look at in n documents.

    A line is removed where it has a word of more than 1,000 characters, does not end in terminal punctuation (or ends
    in three full stops), has fewer than three words, or has "javascript" or a phrase of a cookie notice in it; in texts
    of scripts without spaces segments count as words, however long. `[1]`, `[edit]` and `[citation needed]` are
    removed, and white space around lines; lines that stay end in a newline.
    Columns that end in `any_ending` leave the rule of terminal punctuation out, as FineWeb does.

    Returns:
        n rows: line_edits (spans with one of `c4_lines.RULES`), n_sentences (of the lines that stay), lorem_ipsum_lines
        and curly_bracket_lines (lines that the rules before left and that have "lorem ipsum" or `{` in them; C4 drops
        the document), each also …_any_ending; and long_lines (lines of 200 characters or more of the text as it is).
    """
    segments = batch.segments(languages)
    numbers = languages.numbers(batch.documents["language"], len(batch.unspaced))
    counts, lines, offsets = read_lines(
        *batch.utf8,
        kinds(),
        lower_case(),
        _automaton(),
        _line_endings(languages),
        numbers,
        languages.elides,
        tuple(exceptions(languages)),
        batch.unspaced,
        (segments.starts, segments.flags, segments.offsets),
    )
    edits = [_edits(*list_edits(*batch.utf8, kinds(), lines, offsets, variant)) for variant in (0, 1)]
    columns = dict(zip((field.name for field in C4_COLUMNS), [*edits, *map(pl.Series, counts.T)], strict=True))
    return pl.DataFrame(columns)


def _edits(starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64], rules: npt.NDArray[np.uint8],
           breaks: npt.NDArray[np.bool_], offsets: npt.NDArray[np.int64]) -> pl.Series:  # fmt: skip
    """Lists of edits out of flat arrays."""
    names = pa.DictionaryArray.from_arrays(pa.array(rules.astype(np.int32)), pa.array(RULES)).dictionary_decode()
    replacements = pa.DictionaryArray.from_arrays(pa.array(breaks.astype(np.int32)), pa.array(["", "\n"]))
    fields = list(schema.EDITS.value_type)
    structs = pa.StructArray.from_arrays(
        [pa.array(starts), pa.array(ends), names, replacements.dictionary_decode()], fields=fields
    )
    return pl.Series(pl.from_arrow(pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), structs)))


@cache
def _automaton() -> tuple[npt.NDArray[np.int16], npt.NDArray[np.uint8]]:
    """An automaton that finds the phrases (Aho and Corasick): state and character to state; what ends in a state.

    Characters are a to z (1 to 26), the space (27) and every other (0).
    """
    tree: list[dict[int, int]] = [{}]
    found = [0]
    for bit, phrases in enumerate(_PHRASES):
        for phrase in phrases:
            state = 0
            for character in phrase:
                symbol = 27 if character == " " else ord(character) - 96
                if symbol not in tree[state]:
                    tree[state][symbol] = len(tree)
                    tree.append({})
                    found.append(0)
                state = tree[state][symbol]
            found[state] |= 1 << bit
    moves = np.zeros((len(tree), 28), np.int16)
    shorter = [0] * len(tree)  # the state of the longest end of what was read that also begins a phrase
    queue = [0]
    for state in queue:
        for symbol in range(28):
            fallback = moves[shorter[state], symbol] if state else 0
            target = tree[state].get(symbol)
            if target is None:
                moves[state, symbol] = fallback
                continue
            moves[state, symbol] = target
            shorter[target] = int(fallback)
            found[target] |= found[shorter[target]]
            queue.append(target)
    return moves, np.array(found, np.uint8)


@cache
def _line_endings(
    languages: Languages,
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """The marks that may end a line in each language, where each language begins, and whether Unicode's end one too."""
    entries = languages.entries.values()
    listed = [one.line_endings or one.terminal + _CLOSING for one in entries]
    codes = np.array([ord(mark) for mark in "".join(listed)], np.uint32)
    return codes, np.cumsum([0, *map(len, listed)]), np.array([not one.line_endings for one in entries])
