"""Which language a text is in."""

import csv
import io
import random
import tarfile
from pathlib import Path

import fasttext
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from py3langid.langid import MODEL_FILE, LanguageIdentifier

from lakehouse.annotate.language import LanguageModelError, identify

TEXTS = {
    "en": "The storm came over the ridge at noon, and nobody in the valley had seen it coming. Few were ready for it.",
    "de": "Das Gewitter kam gegen Mittag über den Bergrücken, und niemand im Tal hatte es kommen sehen.",
    "fr": "L'orage est passé par-dessus la crête à midi, et personne dans la vallée ne l'avait vu venir.",
    "ru": "Гроза перевалила через хребет в полдень, и никто в долине не видел её приближения.",
    "ja": "嵐は正午に尾根を越えてやって来たが、谷にいた誰もそれが近づいてくるのを見ていなかった。",
    "ar": "جاءت العاصفة فوق التلال عند الظهر، ولم يرها أحد في الوادي وهي تقترب.",
    "zh": "暴风雨在中午越过山脊，山谷里没有人看到它的到来，也很少有人做好准备。",
}


def test_clear_texts_are_named_with_a_high_score() -> None:
    found = identify(list(TEXTS.values()))
    assert found.schema == {"language": pl.String, "language_score": pl.Float64}
    assert found["language"].to_list() == list(TEXTS)
    assert found["language_score"].min() > 0.65
    assert identify([TEXTS["en"] * 10])["language_score"].item() > 0.9


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n",
        "Home About",
        "12 34 56 " * 100,
        "++ -- == " * 100,
        "\x00\x01\x02" * 50,
        "ok 1 2 3 4 5 6 7 8 9 10 11 12",
    ],
)
def test_what_is_too_little_to_tell_is_undetermined(text: str) -> None:
    assert identify([text]).rows() == [("und", 0.0)]


def test_gibberish_does_not_pass_the_usual_threshold() -> None:
    letters = random.Random(1)
    text = " ".join("".join(letters.choices("abcdefghijklmnopqrstuvwxyz", k=letters.randint(2, 9))) for _ in range(200))
    assert identify([text])["language_score"].item() < 0.65


def test_the_score_of_a_mixture_is_lower_than_that_of_its_parts() -> None:
    mixed = " ".join([TEXTS["en"], TEXTS["de"]] * 3)
    scores = identify([TEXTS["en"] * 6, TEXTS["de"] * 6, mixed])["language_score"].to_list()
    assert scores[2] < min(scores[:2]) - 0.05


def test_capitals_are_the_same_language() -> None:
    assert identify([TEXTS["de"].upper()]).rows() == identify([TEXTS["de"].lower()]).rows()


def test_a_menu_before_a_long_text_does_not_decide() -> None:
    menu = "Home About Contact Login Search Cart Terms Privacy Help Imprint Sitemap Newsletter "
    assert identify([menu + TEXTS["ru"] * 30])["language"].item() == "ru"


def test_the_kernel_agrees_with_py3langid() -> None:
    """py3langid's own code is the oracle: same language, same probability, for texts that are one sample."""
    oracle = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    texts = [text for code, text in TEXTS.items() if code not in {"ar", "zh"}]  # these two sum over their dialects
    expected = [oracle.classify(text) for text in texts]
    found = identify(texts)
    assert found["language"].to_list() == [language for language, _ in expected]
    assert found["language_score"].to_list() == pytest.approx([score for _, score in expected], abs=1e-5)


def test_the_answer_does_not_depend_on_the_batch() -> None:
    texts = [*TEXTS.values(), "", TEXTS["en"] * 50]
    alone = pl.concat([identify([text]) for text in texts])
    assert identify(texts).equals(alone)
    assert identify(texts[::-1]).equals(alone.reverse())
    assert identify([]).is_empty()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(st.characters(codec=None), max_size=2_000), max_size=5))
def test_any_text_gets_a_language_and_a_probability(texts: list[str]) -> None:
    found = identify(texts)
    assert len(found) == len(texts)
    assert found.null_count().row(0) == (0, 0)
    assert found["language_score"].is_between(0, 1).all()
    assert found["language"].str.contains("^[a-z]{2,3}$").all()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fastText model of three languages, labelled as three projects label them."""
    folder = tmp_path_factory.mktemp("fasttext")
    labels = {"en": "__label__en", "de": "__label__deu_Latn", "zh": "__label__cmn"}
    lines = [f"{label} {TEXTS[code]}" for code, label in labels.items()]
    (folder / "train.txt").write_text("\n".join(lines * 30), encoding="utf-8")
    trained = fasttext.train_supervised(
        str(folder / "train.txt"), minn=1, maxn=3, bucket=1_000, dim=8, lr=1.0, epoch=20, thread=1, seed=1, verbose=0
    )
    trained.save_model(str(folder / "model.bin"))
    return folder / "model.bin"


def test_a_fasttext_model_is_used_and_its_labels_are_made_iso_639(model: Path) -> None:
    texts = [TEXTS["en"], TEXTS["de"].replace(" ", "\n"), TEXTS["zh"], "x", "\ud800" + TEXTS["en"]]
    found = identify(texts, model)
    assert found["language"].to_list() == ["en", "de", "zh", "und", "en"]
    assert found["language_score"].to_list() == pytest.approx([1, 1, 1, 0, 1], abs=0.3)
    assert identify([], model).is_empty()


def test_a_model_that_is_missing_or_broken_is_named(tmp_path: Path) -> None:
    with pytest.raises(LanguageModelError, match=r"absent\.bin is not there"):
        identify(["text"], tmp_path / "absent.bin")
    (tmp_path / "broken.bin").write_bytes(b"not a model")
    with pytest.raises(LanguageModelError, match=r"broken\.bin is not a fastText supervised model"):
        identify(["text"], tmp_path / "broken.bin")


def test_a_model_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("__label__spam buy now\n__label__ham see you\n" * 10)
    fasttext.train_supervised(str(tmp_path / "train.txt"), thread=1, seed=1, verbose=0).save_model(
        str(tmp_path / "spam.bin")
    )
    with pytest.raises(LanguageModelError, match=r"spam\.bin has the label .*, which is not a language code"):
        identify(["text"], tmp_path / "spam.bin")


# fmt: off
SIB_200 = {  # ISO 639-3, as the data set's folders are named, to ISO 639-1
    "amh": "am", "arb": "ar", "ben": "bn", "ces": "cs", "deu": "de", "ell": "el", "eng": "en", "fra": "fr",
    "heb": "he", "hin": "hi", "ind": "id", "ita": "it", "jpn": "ja", "kor": "ko", "nld": "nl", "pes": "fa",
    "pol": "pl", "por": "pt", "rus": "ru", "spa": "es", "swh": "sw", "tam": "ta", "tha": "th", "tur": "tr",
    "ukr": "uk", "vie": "vi", "yor": "yo", "zho": "zh", "zsm": "ms",
}
# fmt: on


def test_sentences_of_30_languages(shared: Path) -> None:
    archive = next((shared / "langid" / "sib-200").glob("*.tar.zst"))
    truth, texts = [], []
    with pa.input_stream(archive, compression="zstd") as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
        for member in tar:
            if not member.name.endswith("train.tsv"):
                continue
            lines = io.StringIO(tar.extractfile(member).read().decode())  # type: ignore[union-attr]
            sentences = [row["text"] for row in csv.DictReader(lines, delimiter="\t")][:100]
            texts += [" ".join(sentences[first : first + 5]) for first in range(0, 100, 5)]
            truth += [SIB_200[member.name.split("/")[-2][:3]]] * 20
    found = identify(texts)
    right = found["language"] == pl.Series(truth)
    assert right.mean() >= 0.99  # measured: 0.995
    assert (right & (found["language_score"] >= 0.65)).mean() >= 0.98
