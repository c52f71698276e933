"""The scripted rewriting of the mock model: words swapped, clauses and sentences moved. No language model in it."""

from __future__ import annotations

import re

from lakehouse import identity

# Some everyday words of a few languages, and others that can stand for them.
_WORDS = {
    # English
    "about": "around", "after": "following", "also": "too", "although": "even though", "and": "as well as",
    "because": "since", "before": "ahead of", "but": "yet", "can": "is able to", "first": "initial", "from": "out of",
    "however": "still", "important": "significant", "large": "big", "like": "such as", "make": "produce",
    "many": "numerous", "most": "the majority of", "must": "has to", "often": "frequently", "only": "solely",
    "people": "persons", "show": "display", "small": "little", "so": "therefore", "some": "several", "that": "which",
    "then": "next", "through": "by way of", "use": "employ", "used": "employed", "very": "highly", "when": "once",
    "which": "that", "while": "whereas", "with": "along with", "without": "lacking",
    # German
    "aber": "jedoch", "auch": "ebenso", "dann": "danach", "denn": "weil", "häufig": "oft", "kann": "vermag",
    "mit": "samt", "nach": "gemäß", "nur": "lediglich", "oder": "beziehungsweise", "oft": "häufig", "sehr": "überaus",
    "und": "sowie", "viele": "zahlreiche", "wenn": "falls", "wichtig": "bedeutend",
    # French
    "aussi": "également", "avec": "accompagné de", "beaucoup": "énormément", "car": "puisque", "donc": "ainsi",
    "et": "ainsi que", "grand": "vaste", "mais": "cependant", "parce": "étant donné", "quand": "lorsque",
    "souvent": "fréquemment", "très": "fort",
    # Spanish, Italian, Portuguese
    "pero": "sin embargo", "porque": "ya que", "también": "asimismo", "muchos": "numerosos", "cuando": "una vez que",
    "anche": "inoltre", "molto": "assai", "perché": "poiché", "però": "tuttavia", "também": "igualmente",
    "muito": "bastante", "mas": "porém",
    # Russian
    "и": "а также", "но": "однако", "очень": "весьма", "потому": "оттого", "когда": "в то время как",
    "много": "немало",
    # Chinese and Japanese
    "但是": "不过", "因为": "由于", "所以": "因此", "非常": "十分", "可以": "能够", "しかし": "けれども",
    "そして": "また",
}  # fmt: skip
_FIRST_UNSPACED = "\u2e80"  # from here on Unicode has the scripts of East Asia
_WORD = re.compile(r"\w+")
_UNSPACED_WORD = re.compile("|".join(word for word in _WORDS if word >= _FIRST_UNSPACED))
_ASIDE = re.compile(r"\s*[(（][^()（）\n]{1,200}[)）]")
_SENTENCE_GAP = re.compile(r"(?<=[.!?…։؟۔।።])\s+(?=\S)|(?<=[。！？])")
_CLAUSE_GAP = re.compile(r"(?<=[,;:—،፣፤])\s+|(?<=[，、；])")
_COMMAS = ",;:—،፣፤，、；"
_END = ".!?…։؟۔।።。！？"
_LONG_SENTENCE = 10  # words
_VERBATIM = 0.04  # share of texts that come back as they are
_SUMMARY = 0.04  # share of texts of which the first sentence comes back


def rewrite(text: str) -> str:
    """Another wording of a text, the same for the same text: a stand-in for a paraphrase, to try out a pipeline.

    As with a real model a few answers are bad: some texts come back unchanged, some as their first sentence.
    """
    paragraphs = [paragraph.strip() for paragraph in text.split("\n") if paragraph.strip()]
    quality = draw("answer", text)
    if quality < _VERBATIM or not paragraphs:
        return text.strip()
    if quality < _VERBATIM + _SUMMARY:
        return sentences(paragraphs[0])[0]
    return "\n\n".join(reword(paragraph) for paragraph in paragraphs)


def reword(paragraph: str) -> str:
    """Another wording of one paragraph, never a bad answer."""
    said = [reword_sentence(sentence) for sentence in sentences(_ASIDE.sub("", paragraph)) if sentence.strip()]
    for place in range(0, len(said) - 1, 2):
        if draw("swap", said[place]) < 0.4:
            said[place : place + 2] = said[place + 1], said[place]
    return ("" if paragraph[-1] in "。！？" else " ").join(said)


def reword_sentence(sentence: str) -> str:
    """The sentence with its last clause, or the last third of its words, moved to the front, and some words swapped."""
    end = sentence[-1] if sentence[-1] in _END else ""
    body = sentence.removesuffix(end)
    clauses, words = _CLAUSE_GAP.split(body), body.split()
    if len(clauses) > 1:
        body = _moved(clauses[:-1], clauses[-1:])
    elif len(words) >= _LONG_SENTENCE:
        third = 2 * len(words) // 3
        body = _moved(words[:third], words[third:])
    body = _WORD.sub(_other_word, body)
    return (body if body.isascii() else _UNSPACED_WORD.sub(_other_word, body)) + end


def _moved(head: list[str], tail: list[str]) -> str:
    gap, comma = ("", "，") if head[0][-1:] >= _FIRST_UNSPACED else (" ", ", ")
    first, last = gap.join(tail).rstrip(_COMMAS), gap.join(head).rstrip(_COMMAS)
    return first[:1].upper() + first[1:] + comma + last


def _other_word(match: re.Match[str]) -> str:
    found = match[0]
    other = _WORDS.get(found.lower(), found)
    return other[:1].upper() + other[1:] if found[0].isupper() else other


def sentences(paragraph: str) -> list[str]:
    """The sentences of a paragraph."""
    return [sentence for sentence in _SENTENCE_GAP.split(paragraph) if sentence]


def draw(*parts: str) -> float:
    """A number in 0..1 that depends on the parts alone."""
    return identity.order_key(0, *parts) / 2**63
