"""The loops behind `c4`: what becomes of each line, and the edits that make it so."""

from __future__ import annotations

import numba
import numpy as np

from lakehouse.annotate.characters import DECIMAL, SEPARATOR, TERMINAL, WIDE_BREAK
from lakehouse.annotate.segmenting.segments import (
    AFTER_GAP,
    IS_PUNCTUATION,
    IS_TERMINAL,
    LONGEST_RUN,
    new_scratch,
    segment_text,
)
from lakehouse.unicode import decode

RULES = ("spaces", "citation", "long_word", "no_terminal_punctuation", "too_few_words", "javascript", "policy")
"""Why something is removed."""

SPACES, CITATION, LONG_WORD, NO_PUNCTUATION, FEW_WORDS, JAVASCRIPT, POLICY = range(len(RULES))
KEPT = -1
_FOUND_JAVASCRIPT, _FOUND_POLICY, _FOUND_LOREM = 1, 2, 4
_LONGEST_WORD, _FEWEST_WORDS, _LONG_LINE = 1000, 3, 200
_DOT, _NEW_LINE, _RETURN, _OPEN, _CLOSE, _CURLY = (ord(mark) for mark in ".\n\r[]{")
_EDIT, _NEEDED = np.frombuffer(b"[edit]", np.uint8), np.frombuffer(b"[citation needed]", np.uint8)

# Columns of the table of lines: characters where it begins, where its text begins and ends, where the next line begins;
# bytes where its text begins and ends; what becomes of it with and without the rule of endings; whether it has a
# citation, whether anything visible is left without those, and whether nothing but a newline follows its text.
_START, _TEXT_START, _TEXT_END, _NEXT, _BYTE_START, _BYTE_END, _VERDICT, _VERDICT_ANY, _CITED, _VISIBLE, _PLAIN = range(
    11
)


@numba.njit(cache=True, nogil=True)
def read_lines(  # type: ignore[no-untyped-def]  # numba infers
    data, bounds, kinds, lower, automaton, endings, numbers, elides, table, unspaced, segments
):
    """Judge every line of every text.

    Returns:
        For each text the counts that `c4.C4_COLUMNS` names after its edits, the table of lines, and the places of the
        lines of each text in it.
    """
    n_texts = len(bounds) - 1
    counts, offsets = np.zeros((n_texts, 7), np.int64), np.zeros(n_texts + 1, np.int64)
    lines = np.empty((max(1024, 16 * n_texts), 11), np.int64)
    n_lines = 0
    starts, flags, segment_offsets = segments
    for text in range(n_texts):
        place, end = bounds[text], bounds[text + 1]
        counts[text, 6] = _long_lines(data, place, end)
        character = np.int64(0)
        segment, last_segment = segment_offsets[text], segment_offsets[text + 1]
        language = (numbers[text], elides[numbers[text]], unspaced[text])
        while place < end:
            if n_lines == len(lines):
                larger = np.empty((2 * n_lines, 11), np.int64)
                larger[:n_lines] = lines
                lines = larger
            line = lines[n_lines]
            n_lines += 1
            place, character, words, longest, found, curly, last, dots = _read_line(
                data, place, end, character, kinds, lower, automaton, line
            )
            punctuated = _may_end(last, kinds, endings, numbers[text]) and not dots
            while segment < last_segment and starts[segment] < line[_BYTE_START]:
                segment += 1
            after = segment
            while after < last_segment and starts[after] < line[_BYTE_END]:
                after += 1
            if unspaced[text]:
                words, longest = after - segment, 0
            _judge(line, words, longest, punctuated, found, curly, counts[text])
            if line[_VERDICT] == KEPT or line[_VERDICT_ANY] == KEPT:
                if line[_CITED] and not unspaced[text]:
                    sentences = _sentences_without_citations(data, line, kinds, language, table)
                else:
                    sentences, _ = _sentences(flags, segment, after)
                counts[text, 0] += sentences if line[_VERDICT] == KEPT else 0
                counts[text, 1] += sentences if line[_VERDICT_ANY] == KEPT else 0
            segment = after
        offsets[text + 1] = n_lines
    return counts, lines, offsets


@numba.njit(cache=True, nogil=True)
def _long_lines(data, place, end):  # type: ignore[no-untyped-def]  # numba infers
    """How many lines between newlines have at least _LONG_LINE characters."""
    found = length = 0
    while place < end:
        if data[place] == _NEW_LINE:
            found += length >= _LONG_LINE
            length = 0
        else:
            length += data[place] & 0xC0 != 0x80  # the first byte of a character
        place += 1
    return found + (length >= _LONG_LINE)


@numba.njit(cache=True, nogil=True)
def _read_line(data, place, end, character, kinds, lower, automaton, line):  # type: ignore[no-untyped-def]  # numba infers
    """Fill all of `line` but its verdicts.

    Returns:
        Where the next line begins (byte and character), words, characters of the longest, the phrases found, whether
        there is a curly bracket, the last character, and whether the line ends in three full stops; all but the words
        without citations.
    """
    moves, outcome = automaton
    line[_START] = line[_TEXT_START] = line[_TEXT_END] = character
    line[_BYTE_START] = line[_BYTE_END] = place
    line[_CITED] = line[_VISIBLE] = 0
    words = run = longest = 0
    state = np.int64(0)
    found = np.int64(0)
    curly = begun = False
    last = np.uint32(0)
    dots = end_dots = 0  # full stops at the end of what was read, of what was read up to the last visible character
    end_last = np.uint32(0)
    skip_to = place
    while place < end:
        code, size = decode(data, place)
        kind = kinds[code]
        if kind & WIDE_BREAK:
            break
        visible = not kind & SEPARATOR
        if visible and not begun:
            begun = True
            line[_TEXT_START], line[_BYTE_START] = character, place
        if code == _OPEN and place >= skip_to:
            skip_to = max(skip_to, citation_end(data, place, end, kinds))
            line[_CITED] |= skip_to > place
        if begun and place >= skip_to:
            low = lower[code]
            symbol = low - 96 if 97 <= low <= 122 else 27 if code == 32 else 0
            state = np.int64(moves[state, symbol])
            found |= outcome[state]
            curly |= code == _CURLY
            line[_VISIBLE] |= visible
            last = code
            dots = dots + 1 if code == _DOT else 0
        place += size
        character += 1
        if visible:
            words += run == 0
            run += 1
            longest = max(longest, run)
            line[_TEXT_END], line[_BYTE_END] = character, place
            end_last, end_dots = last, dots
        else:
            run = 0
    place = _end_line(data, place, end, character, line)
    return place, line[_NEXT], words, longest, found, curly, end_last, end_dots >= 3


@numba.njit(cache=True, nogil=True)
def _end_line(data, place, end, character, line):  # type: ignore[no-untyped-def]  # numba infers
    """Note that the line's text ends at `place`, or where it ended before white space; return where the next begins."""
    if line[_BYTE_END] == line[_BYTE_START]:
        line[_TEXT_START] = line[_TEXT_END] = character
        line[_BYTE_START] = line[_BYTE_END] = place
    line[_PLAIN] = line[_TEXT_END] == character and place < end and data[place] == _NEW_LINE
    line[_NEXT] = character
    if place < end:
        code, size = decode(data, place)
        place += size
        line[_NEXT] += 1
        if code == _RETURN and place < end and data[place] == _NEW_LINE:
            place += 1
            line[_NEXT] += 1
    return place


@numba.njit(cache=True, nogil=True)
def citation_end(data, place, end, kinds):  # type: ignore[no-untyped-def]  # numba infers
    """Where the mark of a citation ends that begins with the bracket at `place`, or -1: `[]`, `[12]`, `[edit]`, …"""
    inside = place + 1
    while inside < end:
        code, size = decode(data, inside)
        if not kinds[code] & DECIMAL:
            break
        inside += size
    if inside < end and data[inside] == _CLOSE:
        return inside + 1
    for mark in (_EDIT, _NEEDED):
        if end - place >= len(mark):
            same = 0
            while same < len(mark) and data[place + same] == mark[same]:
                same += 1
            if same == len(mark):
                return place + same
    return np.int64(-1)


@numba.njit(cache=True, nogil=True)
def _may_end(code, kinds, endings, language):  # type: ignore[no-untyped-def]  # numba infers
    """Whether a line may end with this character."""
    marks, bounds, with_unicode = endings
    for place in range(bounds[language], bounds[language + 1]):
        if marks[place] == code:
            return True
    return with_unicode[language] and kinds[code] & TERMINAL != 0


@numba.njit(cache=True, nogil=True)
def _judge(line, words, longest, punctuated, found, curly, counts):  # type: ignore[no-untyped-def]  # numba infers
    """Write the verdicts on a line, and count it where it has lorem ipsum or a curly bracket."""
    for variant in range(2):
        if longest > _LONGEST_WORD:
            verdict = LONG_WORD
        elif variant == 0 and not punctuated:
            verdict = NO_PUNCTUATION
        elif words < _FEWEST_WORDS:
            verdict = FEW_WORDS
        else:
            counts[2 + variant] += found & _FOUND_LOREM != 0
            if found & _FOUND_JAVASCRIPT:
                verdict = JAVASCRIPT
            else:
                counts[4 + variant] += curly
                verdict = POLICY if found & _FOUND_POLICY else KEPT
        line[_VERDICT + variant] = verdict


@numba.njit(cache=True, nogil=True)
def _sentences(flags, first, after):  # type: ignore[no-untyped-def]  # numba infers
    """How many sentences the segments are, and whether the last one is complete.

    One ends at the last mark of punctuation after a full stop, or before white space that is more than a space.
    """
    count = 1
    complete = False
    for segment in range(first, after):
        flag = flags[segment]
        if complete and flag & AFTER_GAP:
            count += 1
            complete = False
        if flag & IS_TERMINAL:
            complete = True
        elif complete and not flag & IS_PUNCTUATION:
            count += 1
            complete = False
    return count, complete


@numba.njit(cache=True, nogil=True)
def _sentences_without_citations(data, line, kinds, language, table):  # type: ignore[no-untyped-def]
    """How many sentences a line is whose citations are taken out."""
    place = line[_BYTE_START]
    left = np.empty(line[_BYTE_END] - place, np.uint8)
    length = 0
    while place < line[_BYTE_END]:
        after = citation_end(data, place, line[_BYTE_END], kinds) if data[place] == _OPEN else np.int64(-1)
        if after >= 0:
            place = after
            continue
        left[length] = data[place]
        length += 1
        place += 1
    out = (
        np.empty(length, np.int64),
        np.empty(length, np.int32),
        np.empty(length, np.uint64),
        np.empty(length, np.uint8),
    )
    scratch = new_scratch(min(length, LONGEST_RUN))
    found = segment_text(left, 0, length, np.empty(0, np.int64), language, kinds, table, scratch, 0, out)
    count, complete = _sentences(out[3], 0, found)
    spaces = 0  # white space that ends the line is a token of its own where it is more than a space
    while spaces < length and left[length - spaces - 1] == 32:
        spaces += 1
    return count + (complete and spaces > 1)


@numba.njit(cache=True, nogil=True)
def list_edits(data, bounds, kinds, lines, offsets, variant):  # type: ignore[no-untyped-def]  # numba infers
    """The edits that leave the lines with the verdict KEPT, each with a newline after it but the last.

    Returns:
        Flat arrays of starts, ends, rules and whether a newline stands there instead, and the places of each text's.
    """
    edits = (np.empty((1024, 2), np.int64), np.empty(1024, np.uint8), np.empty(1024, np.bool_))
    edit_offsets = np.zeros(len(offsets), np.int64)
    number = 0
    for text in range(len(offsets) - 1):
        first = last = -1  # the first and the last line that something visible is left of
        for place in range(offsets[text], offsets[text + 1]):
            if lines[place, _VERDICT + variant] == KEPT and lines[place, _VISIBLE]:
                last = place
                first = place if first < 0 else first
        for place in range(offsets[text], offsets[text + 1]):
            line = lines[place]
            while number + (line[_TEXT_END] - line[_TEXT_START]) // 2 + 8 > len(edits[1]):
                edits = _grown(edits)
            verdict = line[_VERDICT + variant]
            if verdict != KEPT or not first <= place <= last:
                rule = CITATION if verdict == KEPT else verdict
                number = _add(edits, number, line[_START], line[_NEXT], rule, False)
            else:
                number = _trim(data, kinds, line, place == first, place == last, edits, number)
        edit_offsets[text + 1] = number
    return edits[0][:number, 0].copy(), edits[0][:number, 1].copy(), edits[1][:number], edits[2][:number], edit_offsets


@numba.njit(cache=True, nogil=True)
def _trim(data, kinds, line, is_first, is_last, edits, number):  # type: ignore[no-untyped-def]  # numba infers
    """Take citations out of a line that stays, and the white space around it; the text gets none around it either."""
    begin, end = line[_TEXT_START], line[_TEXT_END]
    if line[_CITED] and (is_first or is_last):
        visible_begin, visible_end = _visible(data, kinds, line)
        begin = visible_begin if is_first else begin
        end = visible_end if is_last else end
    if begin > line[_START]:
        rule = CITATION if begin > line[_TEXT_START] else SPACES
        number = _add(edits, number, line[_START], begin, rule, False)
    if line[_CITED]:
        place, character = line[_BYTE_START], line[_TEXT_START]
        while place < line[_BYTE_END]:
            after = citation_end(data, place, line[_BYTE_END], kinds) if data[place] == _OPEN else np.int64(-1)
            start = character
            if after < 0:
                after = place + decode(data, place)[1]
            elif begin <= start < end:
                number = _add(edits, number, start, start + _characters(data, place, after), CITATION, False)
            character += _characters(data, place, after)
            place = after
    if is_last:
        if line[_NEXT] > end:
            number = _add(edits, number, end, line[_NEXT], CITATION if end < line[_TEXT_END] else SPACES, False)
    elif not line[_PLAIN]:
        number = _add(edits, number, end, line[_NEXT], SPACES, True)
    return number


@numba.njit(cache=True, nogil=True)
def _visible(data, kinds, line):  # type: ignore[no-untyped-def]  # numba infers
    """The characters from the first to the last visible one that is in no citation."""
    place, character = line[_BYTE_START], line[_TEXT_START]
    begin = end = np.int64(-1)
    while place < line[_BYTE_END]:
        after = citation_end(data, place, line[_BYTE_END], kinds) if data[place] == _OPEN else np.int64(-1)
        if after >= 0:
            character += _characters(data, place, after)
            place = after
            continue
        code, size = decode(data, place)
        place += size
        if not kinds[code] & SEPARATOR:
            begin = character if begin < 0 else begin
            end = character + 1
        character += 1
    return begin, end


@numba.njit(cache=True, nogil=True)
def _characters(data, start, end):  # type: ignore[no-untyped-def]  # numba infers
    """How many characters begin between two bytes."""
    number = 0
    for place in range(start, end):
        number += data[place] & 0xC0 != 0x80
    return number


@numba.njit(cache=True, nogil=True)
def _add(edits, number, start, end, rule, breaks):  # type: ignore[no-untyped-def]  # numba infers
    spans, rules, with_break = edits
    spans[number, 0], spans[number, 1], rules[number], with_break[number] = start, end, rule, breaks
    return number + 1


@numba.njit(cache=True, nogil=True)
def _grown(edits):  # type: ignore[no-untyped-def]  # numba infers
    """The same in arrays of twice the size."""
    spans, rules, with_break = edits
    size = len(rules)
    larger = (np.empty((2 * size, 2), np.int64), np.empty(2 * size, np.uint8), np.empty(2 * size, np.bool_))
    larger[0][:size] = spans
    larger[1][:size] = rules
    larger[2][:size] = with_break
    return larger
