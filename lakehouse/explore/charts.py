"""Charts of what the page asks: frames in, Altair charts out."""

from __future__ import annotations

import altair as alt
import polars as pl

_BLUE, _GREY, _RED, _GREEN = "#4c78a8", "#c9ced6", "#d1605e", "#5b9a68"
_KINDS = {"comes in": _BLUE, "dropped": _RED, "kept": _GREEN}


def waterfall(steps: pl.DataFrame) -> alt.Chart:
    """What came in, was dropped by which rule, and was kept, set by set.

    Args:
        steps: rows of the mart `stats/waterfall` in their order.
    """
    dropped = pl.col("step").is_in(["dropped", "skipped"])
    label = pl.when(dropped).then(pl.format("− {}", pl.coalesce("rule", "step"))).otherwise("step")
    rows = steps.with_columns(
        label=pl.format("{}   {}", "table", label),
        kind=pl.when(dropped)
        .then(pl.lit("dropped"))
        .when(pl.col("step").is_in(["records", "pages", "in"]))
        .then(pl.lit("comes in"))
        .otherwise(pl.lit("kept")),
    )
    base = alt.Chart(rows.select("label", "kind", "documents", "tokens")).encode(
        y=alt.Y("label:N", sort=rows["label"].to_list(), title=None, axis=alt.Axis(labelLimit=340)),
        x=alt.X("documents:Q", title="documents", axis=alt.Axis(format=",d", tickCount=6)),
        tooltip=["label:N", alt.Tooltip("documents:Q", format=",d"), alt.Tooltip("tokens:Q", format=",d")],
    )
    bars = base.mark_bar(height={"band": 0.7}).encode(
        color=alt.Color("kind:N", title=None, scale=alt.Scale(domain=list(_KINDS), range=list(_KINDS.values())))
    )
    numbers = base.mark_text(align="left", dx=4, fontSize=11).encode(text=alt.Text("documents:Q", format=",d"))
    return (bars + numbers).properties(width="container", height={"step": 20})


def groups(rows: pl.DataFrame, title: str) -> alt.Chart:
    """The largest groups of a set.

    Args:
        rows: `group`, documents, words, tokens.
        title: what the groups are: language, host.
    """
    base = alt.Chart(rows).encode(
        y=alt.Y("group:N", sort="-x", title=None, axis=alt.Axis(labelLimit=200)),
        x=alt.X("documents:Q", title="documents", axis=alt.Axis(format=",d", tickCount=5)),
        tooltip=["group:N", *(alt.Tooltip(f"{name}:Q", format=",d") for name in ("documents", "words", "tokens"))],
    )
    bars = base.mark_bar(color=_BLUE, height={"band": 0.7})
    numbers = base.mark_text(align="left", dx=4, fontSize=11).encode(text=alt.Text("documents:Q", format=",d"))
    return (bars + numbers).properties(width="container", height={"step": 20}, title=f"By {title}")


def histogram(bins: pl.DataFrame, score: str, threshold: float, *, at_least: bool) -> alt.Chart:
    """Documents by value of a score, and what a threshold leaves of them.

    Args:
        bins: `value_from`, `value_to`, documents, tokens.
        score: name of the column.
        threshold: where the line is.
        at_least: whether what is above the line stays; else what is below.
    """
    middle = (pl.col("value_from") + pl.col("value_to")) / 2
    stays = middle >= threshold if at_least else middle <= threshold
    rows = bins.with_columns(outcome=pl.when(stays).then(pl.lit("stays")).otherwise(pl.lit("dropped")))
    bars = (
        alt.Chart(rows)
        .mark_bar()
        .encode(
            x=alt.X("value_from:Q", title=score, bin="binned"),
            x2="value_to:Q",
            y=alt.Y("documents:Q", title="documents", axis=alt.Axis(format=",d")),
            color=alt.Color(
                "outcome:N", title=None, scale=alt.Scale(domain=["stays", "dropped"], range=[_BLUE, _GREY])
            ),
            tooltip=[
                alt.Tooltip("value_from:Q", format=",.4~g", title="from"),
                alt.Tooltip("value_to:Q", format=",.4~g", title="to"),
                alt.Tooltip("documents:Q", format=",d"),
                alt.Tooltip("tokens:Q", format=",d"),
            ],
        )
    )
    line = alt.Chart(pl.DataFrame({"threshold": [threshold]})).mark_rule(color=_RED, size=2).encode(x="threshold:Q")
    return (bars + line).properties(width="container", height=240)
