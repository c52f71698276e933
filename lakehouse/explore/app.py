"""The explorer: a marimo app. Start it with `lakehouse explore`."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Lakehouse explorer")


@app.cell
def _():
    import marimo as mo

    from lakehouse.explore import Explorer, QueryError, charts, plain
    from lakehouse.lake import Lake, default_root

    lake = Lake(default_root())
    explorer = Explorer(lake)

    def note(text):
        """A line in place of something that is not there."""
        return mo.callout(mo.plain_text(text), kind="neutral")

    return QueryError, charts, explorer, lake, mo, note, plain


@app.cell
def _(charts, explorer, mo, note):
    steps = explorer.waterfall()
    waterfall_tab = (
        mo.vstack([mo.md("### What became of every record"), charts.waterfall(steps)])
        if steps.height
        else note("The statistics are not built yet: run lakehouse build.")
    )
    return (waterfall_tab,)


@app.cell
def _(explorer, mo):
    sets = explorer.sets()
    chosen_set = mo.ui.dropdown(sets, value=sets[0] if sets else None, label="Documents of")
    return (chosen_set,)


@app.cell
def _(charts, chosen_set, explorer, mo, note):
    groups_tab = (
        mo.vstack(
            [
                chosen_set,
                charts.groups(explorer.largest(chosen_set.value, "language"), "language"),
                charts.groups(explorer.largest(chosen_set.value, "host"), "host"),
            ]
        )
        if chosen_set.value
        else note("The statistics are not built yet: run lakehouse build.")
    )
    return (groups_tab,)


@app.cell
def _(explorer, mo):
    scores = {score.name: score for score in explorer.scores()}
    chosen_score = mo.ui.dropdown(list(scores), value=next(iter(scores), None), label="Score", searchable=True)
    direction = mo.ui.radio(["at least", "at most"], value="at least", inline=True, label="Keep documents with")
    return chosen_score, direction, scores


@app.cell
def _(chosen_score, explorer, mo, scores):
    lowest, highest = explorer.measure(scores[chosen_score.value]) if chosen_score.value else (0.0, 0.0)
    bins = explorer.histogram() if chosen_score.value else None
    step = 1.0 if (highest - lowest) > 200 and lowest.is_integer() else max((highest - lowest) / 200, 1e-6)
    threshold = mo.ui.slider(
        lowest,
        max(highest, lowest + step),
        step,
        value=lowest + step * (max(highest - lowest, step) / step // 20),
        include_input=True,
        full_width=True,
    )
    return bins, threshold


@app.cell
def _(bins, charts, chosen_score, direction, explorer, mo, note, scores, threshold):
    def _score_tab():
        if not chosen_score.value:
            return note("Nothing is measured yet: name annotators in assets/raw/defs.yaml and run lakehouse build.")
        at_least = direction.value == "at least"
        left = explorer.staying(threshold.value, at_least=at_least)

        def share(part, whole):
            return f"{part / whole:.1%} of {whole:,}" if whole else "of none"

        column = scores[chosen_score.value].column
        return mo.vstack(
            [
                chosen_score,
                mo.hstack([direction, mo.md(f"this **{column}**:")], justify="start"),
                threshold,
                mo.hstack(
                    [
                        mo.stat(f"{left.documents:,}", "documents stay", share(left.documents, left.all_documents)),
                        mo.stat(f"{left.tokens:,}", "tokens stay", share(left.tokens, left.all_tokens)),
                        mo.stat(
                            f"{left.estimated_documents:,}",
                            "documents with estimated tokens",
                            "no mixture tokenised them: estimated from their characters",
                        ),
                    ],
                    widths="equal",
                ),
                charts.histogram(bins, column, threshold.value, at_least=at_least),
            ]
        )

    score_tab = _score_tab()
    return (score_tab,)


@app.cell
def _(explorer, mo):
    kept = "a kept document"
    wanted = mo.ui.text(placeholder="a doc_id or a URL", label="Find", full_width=True)
    chosen_rule = mo.ui.dropdown([kept, *explorer.rules()], value=kept, label="or show me")
    another = mo.ui.button(value=0, on_click=lambda count: count + 1, label="Another one")
    return another, chosen_rule, kept, wanted


@app.cell
def _(another, chosen_rule, explorer, kept, mo, note, plain, wanted):
    def _document(doc_id):
        texts, dropped, fetched = explorer.texts(doc_id), explorer.rejects(doc_id), explorer.source(doc_id)
        columns = []
        for row in texts.iter_rows(named=True):
            edits = f", {row['n_edits']} edits" if row["n_edits"] else ""
            title = mo.md(f"**{row['table']}**  {row['n_chars']:,} characters{edits}")
            columns.append(mo.vstack([title, mo.Html(plain.text(row["text"]))]))
        parts = [mo.plain_text(doc_id)]
        if dropped.height:
            parts += [mo.md("**Dropped**"), mo.Html(plain.table(dropped))]
        parts.append(mo.hstack(columns, widths="equal", align="start") if columns else note("No text was kept of it."))
        source = (
            mo.Html(plain.text(fetched)) if fetched else note("The archive file is not in the landing folder any more.")
        )
        parts.append(mo.accordion({"What was fetched (source, not rendered)": source}))
        return mo.vstack(parts)

    def _document_tab():
        controls = [wanted, mo.hstack([chosen_rule, another], justify="start")]
        if wanted.value:
            ids = explorer.find(wanted.value)
        else:
            drawn = explorer.random_document(None if chosen_rule.value == kept else chosen_rule.value, another.value)
            ids = [drawn] if drawn else []
        if not ids:
            return mo.vstack([*controls, note("Nothing in the lake is called that.")])
        return mo.vstack([*controls, *(_document(doc_id) for doc_id in ids[:5])])

    document_tab = _document_tab()
    return (document_tab,)


@app.cell
def _(mo):
    query = mo.ui.text_area(
        value="SELECT rule, count(*) AS documents\nFROM lake.rejects\nGROUP BY rule\nORDER BY documents DESC",
        rows=6,
        full_width=True,
        label="One query that reads (Ctrl+Enter or click outside to run it)",
    )
    return (query,)


@app.cell
def _(QueryError, explorer, mo, plain, query):
    def _answer():
        try:
            return mo.Html(plain.table(explorer.sql(query.value)))
        except QueryError as error:
            return mo.callout(mo.Html(plain.text(str(error))), kind="danger")

    sql_tab = mo.vstack([query, _answer(), mo.md("The first 1,000 rows. More questions: docs/sql.md.")])
    return (sql_tab,)


@app.cell
def _(document_tab, groups_tab, lake, mo, score_tab, sql_tab, waterfall_tab):
    tabs = {
        "Waterfall": waterfall_tab,
        "Languages and hosts": groups_tab,
        "Scores": score_tab,
        "Documents": document_tab,
        "SQL": sql_tab,
    }
    mo.vstack([mo.md("# Lakehouse explorer"), mo.plain_text(str(lake.root)), mo.ui.tabs(tabs)])
    return


if __name__ == "__main__":
    app.run()
