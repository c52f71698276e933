"""Which kinds of annotators there are, how one is declared, and how documents are measured with several."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Any

import polars as pl
import pyarrow as pa

from lakehouse import schema
from lakehouse.annotate.annotator import Annotator, AnnotatorError
from lakehouse.annotate.words import Batch

ENTRY_POINTS = "lakehouse.annotators"
"""The group of entry points in which a package names its own annotators."""

KINDS: Mapping[str, str] = MappingProxyType(
    {
        "bad_words": "lakehouse.annotate.bad_words:bad_words",
        "c4": "lakehouse.annotate.rules.kinds:c4",
        "code": "lakehouse.annotate.code.source_files:code",
        "fasttext_classifier": "lakehouse.annotate.classifier:fasttext_classifier",
        "fineweb": "lakehouse.annotate.rules.kinds:fineweb",
        "gopher_quality": "lakehouse.annotate.rules.kinds:gopher_quality",
        "gopher_repetition": "lakehouse.annotate.rules.kinds:gopher_repetition",
        "language": "lakehouse.annotate.language:language",
        "embedding": "lakehouse.annotate.embedding:embedding",
        "machine_text": "lakehouse.annotate.machine_text:machine_text",
        "minhash": "lakehouse.annotate.minhash.signatures:minhash",
        "perplexity": "lakehouse.annotate.perplexity:perplexity",
        "personal_data": "lakehouse.annotate.personal:personal_data",
        "refinedweb": "lakehouse.annotate.rules.kinds:refinedweb",
        "repeated_substrings": "lakehouse.annotate.repeats.substrings:repeated_substrings",
        "shared_lines": "lakehouse.annotate.shared_lines:shared_lines",
        "url_lists": "lakehouse.annotate.url.lists:url_lists",
    }
)
"""Each kind, and the function that makes an annotator of it from its settings."""

Declaration = str | Mapping[str, Mapping[str, Any]]
"""An annotator as it is declared: the name of a kind, or {name: {kind: kind, setting: value, …}}."""

_NEEDED = ("doc_id", "text", "language")


def annotator(declared: Declaration) -> Annotator:
    """Make the annotator that is declared.

    Args:
        declared: the name of a kind, of an entry point or of a function (`package.module:function`), with `@version` at
            its end where only that version will do; or {name: {kind: one of those, setting: value, …}}. Without `kind`
            the name is the kind.

    Raises:
        AnnotatorError: there is no such kind, or it cannot be set up like this.
    """
    # The order of settings may mean something: the first list that matches counts.
    return _made(json.dumps(declared, default=str))


@cache
def _made(declaration: str) -> Annotator:
    name, kind, settings = _parts(json.loads(declaration))
    kind, _, version = kind.partition("@")
    name = schema.check_name(name.partition("@")[0].rpartition(":")[2], "annotator")
    make = _function(kind)
    _check_settings(kind, make, settings)
    try:
        made = make(**settings)
    except AnnotatorError as error:
        raise AnnotatorError(f"annotator {name!r}: {error}") from error
    if not isinstance(made, Annotator):
        raise AnnotatorError(
            f"annotator {name!r}: {kind} gives a {type(made).__name__}: put @measures(…) before the function."
        )
    if version and version != str(made.version):
        raise AnnotatorError(f"annotator {name!r}: {kind} has version {made.version}, not {version}.")
    return dataclasses.replace(made, name=name, settings=settings)


def _parts(declared: Any) -> tuple[str, str, dict[str, Any]]:
    if isinstance(declared, str):
        return declared, declared, {}
    if not isinstance(declared, Mapping) or len(declared) != 1:
        raise AnnotatorError(f"annotator {declared!r} is neither a name nor {{name: {{setting: value}}}}.")
    ((name, settings),) = declared.items()
    if not isinstance(settings, Mapping):
        raise AnnotatorError(f"annotator {name!r}: {settings!r} is no mapping of settings.")
    settings = dict(settings)
    return name, str(settings.pop("kind", name)), settings


def _function(kind: str) -> Callable[..., Any]:
    place = KINDS.get(kind, kind)
    if ":" not in place:
        named = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
        if kind not in named:
            known = sorted({*KINDS, *named})
            near = difflib.get_close_matches(kind, known, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(known)}."
            raise AnnotatorError(f"annotator {kind!r} is unknown. {hint}")
        place = named[kind].value
    module, _, name = place.partition(":")
    try:
        function: Any = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise AnnotatorError(f"annotator {kind!r} cannot be imported: {error}.") from error
    return function


def _check_settings(kind: str, make: Callable[..., Any], settings: Mapping[str, Any]) -> None:
    known = inspect.signature(make).parameters
    for name in settings:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            has = f"it has {', '.join(known)}" if known else "it has none"
            hint = f"Did you mean {near[0]!r}?" if near else f"{has[0].upper()}{has[1:]}."
            raise AnnotatorError(f"annotator {kind!r} has no setting {name!r}. {hint}")
    for name, parameter in known.items():
        if parameter.default is parameter.empty and name not in settings:
            raise AnnotatorError(f"annotator {kind!r} needs the setting {name!r}.")


def measure_all(documents: pl.DataFrame, annotators: Sequence[Annotator]) -> list[pl.DataFrame]:
    """Measure n documents with each annotator, finding their words once.

    Args:
        documents: n rows with at least doc_id, text, language and what each annotator needs.

    Returns:
        For each annotator n rows of its columns, in the order of the documents.

    Raises:
        AnnotatorError: a needed column is missing or has no text in a row.
    """
    for name in (*_NEEDED, *(name for one in annotators for name in one.needs)):
        if name not in documents.columns:
            needs = ", ".join(dict.fromkeys((*_NEEDED, *(name for one in annotators for name in one.needs))))
            raise AnnotatorError(f"documents have no column {name!r}; these annotators need {needs}.")
    if documents["text"].null_count():
        empty = documents.filter(pl.col("text").is_null())["doc_id"][0]
        raise AnnotatorError(f"document {empty!r} has no text: drop it before it is measured.")
    batch = Batch(documents)
    return [_measure(one, batch) for one in annotators]


def annotate(documents: pl.DataFrame, annotators: Sequence[Annotator]) -> pl.DataFrame:
    """Add the columns of each annotator to the documents; a column of the same name is replaced.

    Args:
        documents: n rows with at least doc_id, text, language and what each annotator needs.

    Raises:
        AnnotatorError: a needed column is missing or has no text in a row.
    """
    measured = measure_all(documents, annotators)
    return documents.with_columns(column for table in measured for column in table)


def _measure(one: Annotator, batch: Batch) -> pl.DataFrame:
    measured = one.measure(batch)
    names = [field.name for field in one.columns]
    if measured.columns != names or measured.height != batch.documents.height:
        raise AnnotatorError(
            f"annotator {one.name!r} measured {measured.height} rows of {', '.join(measured.columns)} "
            f"instead of {batch.documents.height} rows of {', '.join(names)}."
        )
    try:
        typed = measured.to_arrow().cast(pa.schema(one.columns))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise AnnotatorError(f"annotator {one.name!r} measured what its columns cannot hold: {error}") from error
    frame = pl.from_arrow(typed)
    assert isinstance(frame, pl.DataFrame)
    return frame
