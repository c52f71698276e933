"""What kind of character each code point is: one table.

Kinds are Unicode's, in the version that Polars knows, whatever the version of Python; where a rule names marks of its
own, the marks stand here.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from lakehouse.unicode import CODE_POINTS, every_character

SPACE = 1 << 0  # white space
CORE = 1 << 1  # letter, mark or digit
LETTER = 1 << 2
UNSPACED = 1 << 3  # letter of a script written without spaces
SEPARATOR = 1 << 4  # white space, or one of the four separators among the control characters
BREAK = 1 << 5  # ends a line
WIDE_BREAK = 1 << 6  # the same, or a file, group or record separator
PUNCTUATION = 1 << 7
SYMBOL = 1 << 8  # what makes no word: the marks of DataTrove's rules, control characters, terminal punctuation
TERMINAL = 1 << 9  # ends a sentence
BULLET = 1 << 10
PREFIX = 1 << 11  # cut from a word's beginning
SUFFIX = 1 << 12  # cut from a word's end
ICON = 1 << 13  # cut from anywhere
CURRENCY = 1 << 14
QUOTE = 1 << 15
DIGIT = 1 << 16  # ASCII's
LOWER = 1 << 17  # a letter that is not a capital, or a mark
UPPER = 1 << 18  # a letter that is not small, or a mark
HOST = 1 << 19  # may stand in the name of a host
DOT_FOLLOWS = 1 << 20  # a full stop after it is cut from a word's end
PLAIN = 1 << 21  # in a word of nothing else there is no place to cut
DECIMAL = 1 << 22  # a decimal digit of any script
ALPHA = LOWER | UPPER

_BREAKS = r"\n\r\x0b\x0c\u{85}\u{2028}\u{2029}"  # Unicode's mandatory breaks
_CUT = r"…,:;!?¿؟¡()\[\]{}<>_\#*\&。？！，、；：\u{ff5e}·।،۔؛٪"
_QUOTES = r"'\"”“`‘´’‚,„»«「」『』（）〔〕【】《》〈〉〈〉⟦⟧"
_MONEY = r"\$£¥฿﷼\u{20a0}-\u{20bf}"
_NO_WORD = r"!-/:-@\[-`{-~«´»–—’“”„…∶━►、〈〉《》「」【】％（），１：；\u{ff5e}\x00-\x08\x0b-\x1f\x7f-\x9f"
_KINDS = {
    SPACE: r"\s",
    CORE: r"[\p{L}\p{M}\p{N}]",
    LETTER: r"\p{L}",
    UNSPACED: r"[[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]&&\p{L}]",
    SEPARATOR: r"[\s\x1c-\x1f]",
    BREAK: f"[{_BREAKS}]",
    WIDE_BREAK: rf"[{_BREAKS}\x1c-\x1e]",
    PUNCTUATION: r"\p{P}",
    SYMBOL: rf"[{_NO_WORD}\p{{Sentence_Terminal}}]",
    TERMINAL: r"\p{Sentence_Terminal}",
    BULLET: r"[-*•‣◦⁃∙·●○■□▪▫▶►]",
    PREFIX: rf"[§%=—–{_CUT}{_QUOTES}{_MONEY}\p{{So}}]",
    SUFFIX: rf"[—–{_CUT}{_QUOTES}\p{{So}}]",
    ICON: r"\p{So}",
    CURRENCY: f"[{_MONEY}]",
    QUOTE: f"[{_QUOTES}]",
    DIGIT: "[0-9]",
    LOWER: r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]",
    UPPER: r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]",
    HOST: r"[A-Za-z0-9\u{a1}-\u{ffff}]",
    DOT_FOLLOWS: rf"[0-9\p{{Ll}}\p{{Lm}}\p{{Lo}}\p{{M}}%²\-+|{_CUT}{_QUOTES}]",
    DECIMAL: r"\p{Nd}",
    PLAIN: r"[\p{L}\p{M}]",
}


@cache
def kinds() -> npt.NDArray[np.uint32]:
    """For each code point the sum of the kinds that it is of."""
    table = np.zeros(CODE_POINTS, np.uint32)
    code_points, characters = every_character()
    for kind, pattern in _KINDS.items():
        table[code_points[characters.str.contains(pattern).arg_true()]] |= np.uint32(kind)
    return table
