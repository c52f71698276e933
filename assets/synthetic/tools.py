"""What gates need of other stages: languages, classifiers and embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl

from assets.classifiers.models import model_folder
from lakehouse import annotate
from lakehouse.generate import GenerationError, Recipe, Tools
from lakehouse.lake import Lake
from lakehouse.models import Classifier, ModelFileError, load_classifier

if TYPE_CHECKING:
    from lakehouse.annotate import Batch


def classifier_tables(recipe: Recipe) -> list[str]:
    """The tables of the lake whose classifiers a recipe's gates ask."""
    asked = [gate.classifier for gate in (recipe.gates.quality, recipe.requires.quality) if gate]
    return list(dict.fromkeys(name.partition("#")[0] for name in asked if name.startswith("classifiers/")))


def tools_of(lake: Lake | None, versions: Mapping[str, int], embedding: Mapping[str, Any] | None) -> Tools:
    """Tools of a lake's gates.

    Args:
        lake: that has the classifiers; None: only files can be asked.
        versions: of the classifiers' tables.
        embedding: settings of the annotator `embedding`; None: there are no embeddings.
    """

    def quality(texts: list[str], name: str) -> npt.NDArray[Any]:
        place, _, label = name.partition("#")
        if place.startswith("classifiers/"):
            if lake is None:
                raise GenerationError(f"{place} is a table of a lake: name the folder or the file of a classifier.")
            folder = model_folder(lake, place, versions.get(place))
        else:
            folder = Path(place)
        classifier = _loaded(folder)
        wanted = label or classifier.positive
        if wanted is None:
            raise GenerationError(f"{name}: say which label's score counts: {place}#<label>.")
        return classifier.scores(pl.Series(texts, dtype=pl.String), wanted)

    def similarity(texts: list[str], others: list[str]) -> npt.NDArray[Any]:
        assert embedding is not None
        annotator = annotate.annotator({"embedding": dict(embedding)})
        one, other = (annotator.measure(_batch(part))["embedding"] for part in (texts, others))
        pairs = zip(one, other, strict=True)
        return np.array([np.nan if a is None or b is None else float(np.dot(a, b)) for a, b in pairs])

    return Tools(identify=annotate.identify, quality=quality, similarity=similarity if embedding else None)


def _batch(texts: list[str]) -> Batch:
    from lakehouse.annotate import Batch

    return Batch(pl.DataFrame({"text": texts}, schema={"text": pl.String}))


@cache
def _loaded(folder: Path) -> Classifier:
    try:
        return load_classifier(folder)
    except ModelFileError as error:
        raise GenerationError(str(error)) from error
