"""Thresholds fitted to languages."""

from __future__ import annotations

import polars as pl
import pytest

from lakehouse import select
from lakehouse.select import RuleError, fit

COLUMNS = [rule.column for rule in select.resolve(["fineweb"]) if isinstance(rule, select.Condition)]


def reference(**shares: list[float]) -> pl.DataFrame:
    """Documents of each language; all columns of FineWeb's rules have the same values."""
    return pl.concat(
        pl.DataFrame({"language": [language] * len(values), **dict.fromkeys(COLUMNS, values)})
        for language, values in shares.items()
    )


ELEVEN = [place / 10 for place in range(11)]  # 0, 0.1, … 1


def test_the_tail_drops_the_share_that_is_asked_for() -> None:
    fitted = fit.fit_thresholds(reference(de=ELEVEN), ["fineweb"], tail=0.1, min_documents=5)
    # The lowest and the highest tenth of 11 evenly spaced values end at 0.1 and 0.9.
    assert fitted == {
        "de": {
            "fineweb": {
                "min_punctuated_lines": 0.1,
                "max_short_lines": 0.9,
                "max_newlines_per_segment": 0.9,
            }
        }
    }


def test_what_does_not_depend_on_the_language_is_fitted_only_when_asked() -> None:
    fitted = fit.fit_thresholds(reference(de=ELEVEN), ["fineweb"], min_documents=5, every=True)
    assert fitted["de"]["fineweb"]["max_duplicate_characters"] == 0.9


def test_a_reference_without_a_tail_fits_nothing() -> None:
    # 19 of 20 documents have no short line: dropping whatever has one is not what the reference says.
    fitted = fit.fit_thresholds(reference(de=[0.0] * 19 + [0.5]), ["fineweb"], min_documents=5)
    assert "max_short_lines" not in fitted.get("de", {}).get("fineweb", {})


def test_a_quantile_is_carried_over() -> None:
    # In English 2 of 11 are below 0.12 (0 and 0.1): in German the value at 2/11 of the way, 0.05 * 10 * 2/11.
    halved = [value / 2 for value in ELEVEN]
    fitted = fit.fit_thresholds(reference(en=ELEVEN, de=halved), ["fineweb"], method="quantile", min_documents=5)
    assert set(fitted) == {"de"}
    assert fitted["de"]["fineweb"]["min_punctuated_lines"] == pytest.approx(0.0909, abs=1e-4)


def test_standard_deviations_and_medians_are_carried_over() -> None:
    halved = [value / 2 for value in ELEVEN]
    for method in ("mean_std", "median_ratio"):
        fitted = fit.fit_thresholds(reference(en=ELEVEN, de=halved), ["fineweb"], method=method, min_documents=5)  # type: ignore[arg-type]
        # Every value is halved, so each threshold is, too.
        assert fitted["de"]["fineweb"]["max_short_lines"] == pytest.approx(0.67 / 2, abs=1e-4)


def test_too_little_text_is_left_out_or_said() -> None:
    assert fit.fit_thresholds(reference(de=ELEVEN), ["fineweb"], min_documents=12) == {}
    with pytest.raises(RuleError, match="needs 12 English documents, and there are 11"):
        fit.fit_thresholds(reference(en=ELEVEN, de=ELEVEN), ["fineweb"], method="quantile", min_documents=12)
    with pytest.raises(RuleError, match="'consent' has no thresholds to fit"):
        fit.fit_thresholds(reference(de=ELEVEN), ["consent"])
    nothing = reference(de=ELEVEN).with_columns(punctuated_lines=pl.lit(None, pl.Float64))
    assert "min_punctuated_lines" not in fit.fit_thresholds(nothing, ["fineweb"], min_documents=5)["de"]["fineweb"]


def test_what_is_fitted_can_be_used() -> None:
    fitted = fit.fit_thresholds(reference(de=ELEVEN), ["fineweb"], min_documents=5)
    rules = select.resolve(["fineweb"], by_language=fitted)
    documents = pl.DataFrame(
        {"doc_id": ["a", "b"], "language": ["de", "en"], **{name: [0.11, 0.11] for name in COLUMNS}}
    )
    # 0.11 is enough for German (0.1), not for the usual threshold (0.12).
    failed = select.decide(documents, rules)["failed"].to_list()
    assert "fineweb_min_punctuated_lines" not in failed[0]
    assert "fineweb_min_punctuated_lines" in failed[1]


def test_frequent_words_are_counted_by_language() -> None:
    texts = pl.DataFrame({"language": ["x", "y"], "text": ['Uno dos, uno "tres" 3 -- uno.', "ett ett två"]})
    assert fit.frequent_words(texts, least=2, share=0.3) == {"x": ["uno", "dos"], "y": ["ett", "två"]}


def test_a_language_score_is_fitted_to_the_language() -> None:
    scores = pl.DataFrame({"language": ["de"] * 4 + ["sw"] * 4, "language_score": [1.0, 1, 1, 1, 0.4, 0.5, 0.5, 0.6]})
    # de: median 1, no spread, at most 0.9. sw: median 0.5 less the standard deviation, sqrt(0.02 / 3) = 0.0816.
    assert fit.fit_language_scores(scores, min_documents=4) == {"de": 0.9, "sw": pytest.approx(0.4184, abs=1e-4)}
