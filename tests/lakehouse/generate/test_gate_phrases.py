"""Refusals and prefaces are found in every language that they are listed for, and not in texts of people."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import polars as pl
import pytest

from lakehouse.generate.gates.phrases import prefaces, refusals
from lakehouse.generate.gates.preface import without_preface

REFUSALS = [
    "I'm sorry, but I can't assist with that.",
    "I apologize, but as an AI language model I am unable to rewrite this passage.",
    "**Unfortunately, I cannot fulfil this request.**",
    "I cannot rewrite this text because it contains personal data.",
    "As an AI, I do not have opinions.",
    "It seems that there is no text between the tags. Please provide the passage you mean.",
    "Es tut mir leid, aber ich kann diesen Text nicht umschreiben.",
    "Als KI-Modell kann ich dazu nichts sagen.",
    "Je suis désolé, mais je ne peux pas réécrire ce passage.",
    "En tant qu'IA, je ne peux pas vous aider.",
    "Lo siento, pero no puedo ayudarte con eso.",
    "Mi dispiace, ma non posso riscrivere questo testo.",
    "Desculpe, mas não posso reescrever este texto.",
    "Het spijt me, maar ik kan deze tekst niet herschrijven.",
    "К сожалению, я не могу переписать этот текст.",
    "抱歉，我无法改写这段文字。",
    "作为一个AI语言模型，我不能这样做。",
    "申し訳ありませんが、この文章を書き直すことはできません。",
    "Przepraszam, ale nie mogę pomóc w tej sprawie.",
    "Tyvärr kan jag inte hjälpa till med det.",
]
INTRODUCTIONS = [
    "Sure, here is the rewritten text:",
    "Here is the revised version of the passage:",
    "Certainly! Below is a simplified version.",
    "**Rewritten passage:**",
    "Of course!",
    "Here's a paraphrase of the text you gave me:",
    "I have rewritten the passage in clear prose:",
    "Gerne, hier ist der umgeschriebene Text:",
    "Hier ist die überarbeitete Fassung:",
    "Bien sûr, voici le texte réécrit :",
    "Voici une version reformulée du passage :",
    "¡Claro! Aquí tienes el texto reescrito:",
    "A continuación se presenta una versión simplificada:",
    "Certo, ecco il testo riscritto:",
    "Claro, aqui está o texto reescrito:",
    "Natuurlijk, hier is de herschreven tekst:",
    "Конечно, вот переписанный текст:",
    "Вот упрощённый вариант отрывка:",
    "当然，以下是改写后的文本：",
    "以下是修改后的版本：",
    "もちろんです。以下が書き直した文章です：",
    "以下は要約です：",
    "Oczywiście, oto przepisany tekst:",
    "Självklart, här är den omskrivna texten:",
]
CLOSINGS = [
    "I hope this helps!",
    "Let me know if you would like any changes.",
    "Would you like me to shorten it?",
    "(Note: I have kept all names and numbers of the original text.)",
    "This rewritten version maintains the original meaning.",
    "Ich hoffe, das hilft Ihnen weiter!",
    "J'espère que cela vous aide.",
    "Espero que esto te ayude.",
    "Spero che questo ti sia utile.",
    "Espero que isso ajude!",
    "Ik hoop dat dit helpt.",
    "Надеюсь, это поможет!",
    "希望这对您有所帮助！",
    "ご不明な点がございましたら、お気軽にお知らせください。",
]
BODY = "The river rises in the hills. After ninety miles it reaches the sea"


@pytest.mark.parametrize("text", REFUSALS)
def test_a_refusal_is_found_in_its_language(text: str) -> None:
    assert refusals(pl.Series([text]))[0]
    assert prefaces(pl.Series([text]))[0] is None or "provide" in text


@pytest.mark.parametrize("line", INTRODUCTIONS)
def test_an_introduction_is_found_and_taken_away(line: str) -> None:
    text = f"{line}\n\n{BODY}."
    assert prefaces(pl.Series([text]))[0] == line.strip("*")
    assert refusals(pl.Series([text]))[0] is None
    assert without_preface(text) == f"{BODY}."


@pytest.mark.parametrize("line", CLOSINGS)
def test_a_closing_is_found_and_taken_away(line: str) -> None:
    for text in (f"{BODY}.\n\n{line}", f"{BODY}. {line}"):
        assert prefaces(pl.Series([text]))[0]
        assert without_preface(text) == f"{BODY}."


LEGITIMATE = [
    "Sure, I will come along, she said, and closed the door.",
    "Of course the river rises in the hills.",
    "Here is where the river rises, and there it ends.",
    "Here are the opening hours: Monday to Friday, 9 to 5.",
    "Unfortunately, I cannot remember how the river was called.",
    "I can't believe that it is over.",
    "Please provide the document at the desk.",
    "Sorry, the shop is closed on Sundays.",
    "As an artist, I paint rivers.",
    "As an AI researcher, I look at rivers.",
    "Certainly one of the longest rivers: the Nile.",
    "Leider regnet es heute.",
    "Hier ist der Fluss: breit und still.",
    "Voici la rivière : large et calme.",
    "Claro está que el río nace en las colinas.",
    "我今天去公园：天气很好。",
    "以下の駅に止まります。",
    "Note: the river is closed to ships in winter.",
    "The text above was rewritten by hand in 1920.",
]


@pytest.mark.parametrize("text", LEGITIMATE)
def test_texts_that_begin_alike_are_left_alone(text: str) -> None:
    for document in (text, f"{text}\n{BODY}."):
        assert refusals(pl.Series([document]))[0] is None
        assert prefaces(pl.Series([document]))[0] is None
        assert without_preface(document) == document


def test_what_the_passage_begins_or_ends_with_too_is_not_the_models() -> None:
    letter = (
        "Sorry, but I can't help with it.\nHere is the summary of the meeting:\nNothing. Let me know if you need more."
    )
    assert refusals(pl.Series([letter]), pl.Series([letter]))[0] is None
    assert prefaces(pl.Series([letter]), pl.Series([letter]))[0] is None
    assert prefaces(pl.Series([letter]), pl.Series([BODY]))[0] == "Let me know if you need more."


def test_refusals_in_the_middle_of_a_text_are_its_subject() -> None:
    text = "Many models refuse. " * 20 + "They say: I'm sorry, but I can't assist with that. " + "So be it. " * 40
    assert refusals(pl.Series([text]))[0] is None


def test_a_text_of_nothing_but_a_preface_stays() -> None:
    assert without_preface("Sure!\n") == "Sure!"
    assert without_preface("I hope this helps!") == "I hope this helps!"


def unpacked(file: Path, ending: str) -> list[str]:
    try:
        packed = subprocess.run(["zstd", "-dc", "--long=27", str(file)], capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("zstd is not installed")
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        files = [archive.extractfile(member) for member in archive if member.name.endswith(ending)]
        return [file.read().decode("utf-8", "replace") for file in files if file]


def test_real_documents_hold_next_to_none(shared: Path) -> None:
    terms = unpacked(shared / "neardup/ota-contrib-head/ota-contrib-head.tar.zst", "")
    tables = unpacked(shared / "langid/sib-200/sib-200-train30.tar.zst", ".tsv")
    sentences = [line.rsplit("\t", 1)[-1] for table in tables for line in table.splitlines()[1:]]
    texts = pl.Series([*terms, *sentences])
    assert len(texts) > 20_000
    assert refusals(texts).count() == 0
    # Terms of use end with an offer to answer questions; beside their passage they are left alone.
    assert prefaces(texts).count() < 10
    assert prefaces(texts, texts).count() == 0
