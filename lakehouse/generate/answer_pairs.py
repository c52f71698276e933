"""Question–answer pairs in the layouts that models write them."""

from __future__ import annotations

import re

# Labels in the languages that recipes ask for most. The short ones count only where the long ones give no pairs: "A:"
# may begin a choice of a question.
_QUESTIONS = (
    "question|frage|pregunta|domanda|pergunta|vraag|pytanie|fråga|spørgsmål|kysymys|otázka|întrebare|soru|câu hỏi|"
    "вопрос|питання|ερώτηση|سؤال|السؤال|प्रश्न|问题|問題|质问|質問|提问|问|問|질문"
)
_ANSWERS = (
    "answer|antwort|respuesta|réponse|reponse|risposta|resposta|antwoord|odpowiedź|svar|vastaus|odpověď|răspuns|cevap|"
    "trả lời|câu trả lời|ответ|відповідь|απάντηση|إجابة|الإجابة|جواب|उत्तर|答案|回答|答|답변|답"
)
_ANY_QUESTION = _QUESTIONS + "|q|f|p|d|в|з"
_ANY_ANSWER = _ANSWERS + "|a|r|о"


def _labels(questions: str, answers: str) -> str:
    """A label with what may stand around it: emphasis, a number, a colon."""
    return (
        rf"(?:\*\*|__|\*)?(?:(?P<question>{questions})|(?P<answer>{answers}))"
        r"[ \t]{0,2}#?\(?\d{0,4}\)?[.]?[ \t]{0,2}(?:\*\*|__|\*)?[ \t]{0,2}[:：][ \t]{0,2}(?:\*\*|__|\*)?"
    )


# Before a label at the beginning of a line: a quote, heading, bullet or number.
_BEFORE = r"[ \t]{0,8}(?:>[ \t]?)?(?:#{1,6}[ \t]{1,2}|[-*+•][ \t]{1,4})?(?:\d{1,4}[.)][ \t]{1,4})?"
_NEVER = r"(?!)"


class _Layout:
    """Where labels stand: at the beginning of a line, an answer's behind its question, the next one's behind that."""

    def __init__(self, questions: str, answers: str) -> None:
        self._label = re.compile(_BEFORE + _labels(questions, answers), re.IGNORECASE)
        # In the middle of a line a label has a capital, for "the answer: yes" is prose.
        capital = r"(?=[*_]{0,2}(?-i:[A-ZÀ-ÞА-Я]|[^\x00-\u0fff]))"
        self.answer = re.compile(r"(?<=\s)" + capital + _labels(_NEVER, answers), re.IGNORECASE)
        self.next = re.compile(r"(?<=[.!?。！？]\s)" + capital + _labels(questions, _NEVER), re.IGNORECASE)

    def label(self, line: str) -> re.Match[str] | None:
        """The label that the line begins with."""
        return self._label.match(line) if ":" in line or "：" in line else None


_LONG = _Layout(_QUESTIONS, _ANSWERS)
_ANY = _Layout(_ANY_QUESTION, _ANY_ANSWER)
_UNLABELLED = re.compile(
    r"[ \t]{0,8}(?:#{1,6}[ \t]{1,2}|[-*+•][ \t]{1,4})?(?:\d{1,4}[.)][ \t]{1,4})?(?P<question>.*[?？؟][*_ \t]{0,4})$"
)
_RULE = re.compile(r"[ \t]{0,8}(?:-{3,}+|={3,}+|\*{3,}+|_{3,}+|#{1,6})[ \t]*+$")
_OUTSIDE = " \t\n*_"


def read_pairs(said: str) -> list[dict[str, str]]:
    """The pairs of an answer, in order, each once; those without a question or an answer are left out.

    A label such as "Question:", "Q:", "**Question 1:**", "- Frage:" or "问：" begins a question, one such as "Answer:"
    its answer; both may have several lines, or share one. A line that ends with a question mark before an answer's
    label is a question too. What stands before the first question is no part of a pair.
    """
    lines = said.split("\n")
    return _read(lines, _LONG) or _read(lines, _ANY)


def _read(lines: list[str], layout: _Layout) -> list[dict[str, str]]:
    pairs: list[tuple[list[str], list[str]]] = []
    waiting: list[str] = []  # lines of which the last may turn out to be a question
    for line in _split(lines, layout):
        found = layout.label(line)
        if found and found["question"]:
            question, answer = _at(layout, line[found.end() :])
            waiting = [] if answer is None else [answer]
            pairs.append(([question], waiting))
            if answer is None:
                waiting = pairs[-1][0]
        elif found:
            if waiting is not (pairs[-1][0] if pairs else None):
                unlabelled = _unlabelled(waiting)
                if unlabelled is None and not pairs:
                    continue
                if unlabelled is not None:
                    pairs.append(([unlabelled], []))
            waiting = pairs[-1][1]
            waiting.append(line[found.end() :])
        elif not _RULE.match(line):
            waiting.append(line)
    read = [("\n".join(question).strip(_OUTSIDE), "\n".join(answer).strip()) for question, answer in pairs]
    kept = dict.fromkeys((question, _emphasis_closed(answer)) for question, answer in read)
    return [{"question": question, "answer": answer} for question, answer in kept if question and answer]


def _split(lines: list[str], layout: _Layout) -> list[str]:
    """Lines cut where a further question begins inside one that has a label itself."""
    cut = []
    for line in lines:
        start = 0
        if first := layout.label(line):
            for found in layout.next.finditer(line, first.end()):
                cut.append(line[start : found.start()])
                start = found.start()
        cut.append(line[start:])
    return cut


def _at(layout: _Layout, line: str) -> tuple[str, str | None]:
    """A question, and the answer where the same line holds one."""
    found = layout.answer.search(line)
    return (line[: found.start()], line[found.end() :]) if found else (line, None)


def _unlabelled(waiting: list[str]) -> str | None:
    """Take the question that ends the lines before an answer's label; None where there is none."""
    while waiting and not waiting[-1].strip():
        waiting.pop()
    found = _UNLABELLED.match(waiting[-1]) if waiting else None
    if found is None:
        return None
    waiting.pop()
    return found["question"]


def _emphasis_closed(answer: str) -> str:
    """The answer without the emphasis that its label began or ended in."""
    if answer.startswith(("**", "__")) and answer.count(answer[:2]) % 2:
        return answer[2:].lstrip()
    return answer[:-2].rstrip() if answer.endswith(("**", "__")) and answer.count(answer[-2:]) % 2 else answer
