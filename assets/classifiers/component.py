"""How a classifier is built: examples of two classes in, a model that is judged on held-out examples out."""

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import dagster as dg
import polars as pl
from pydantic import Field

from assets.classifiers.models import classifier_id, model_folder
from assets.classifiers.sources import Source, existing_versions
from assets.column_lineage import each
from assets.materialization import Attributes, asset_key, asset_spec, materialized, origin_of, table_metadata
from lakehouse import schema, train
from lakehouse.commits import Commit
from lakehouse.identity import hash_of_file
from lakehouse.lake import Lake
from lakehouse.models import TextForm
from resources import LakeResource

_CODE = "1"
_CHECK = "auc_at_least"
_JUDGED = "Examples that were held out are told apart well enough."


class Examples(Attributes):
    """The examples of one class."""

    label: str = Field(description="Name of the class.")
    sources: list[str] = Field(
        default_factory=list, description="Tables of the lake, and files or folders of text, JSON lines or Parquet."
    )
    sql: str | None = Field(default=None, description="A query on the lake that gives a column `text`.")

    def source(self, column: str) -> Source:
        """The same for the reader."""
        return Source(tuple(self.sources), self.sql, column)


class Parameters(Attributes):
    """How fastText is trained."""

    dimensions: int = Field(default=16, description="Of a word's vector.")
    word_ngrams: int = Field(default=2, description="Longest run of words that has a vector.")
    shortest: int = Field(default=0, description="Characters of the shortest parts of words that have vectors.")
    longest: int = Field(default=0, description="Characters of the longest; 0: parts have none.")
    buckets: int = Field(default=500_000, description="Vectors that runs and parts share.")
    epochs: int = Field(default=5, description="How often the examples are read.")
    learning_rate: float = Field(default=0.5, description="At the beginning.")
    min_count: int = Field(default=1, description="How often a word must be there to have a vector.")
    quantise: bool = Field(default=False, description="Whether vectors are compressed.")
    calibration: Literal["platt", "isotonic", "none"] = Field(
        default="platt", description="How scores become probabilities."
    )


class Classifier(Attributes, dg.Component):
    """A classifier `classifiers/<name>` and its examples `examples/<name>`."""

    name: str = Field(description="Name of the classifier.")
    positive: Examples = Field(description="The class whose probability is the score.")
    negative: Examples = Field(description="The other class.")
    column: str = Field(default="text", description="Column or key of tables and files that has the text.")
    parameters: Parameters = Field(default_factory=Parameters, description="How fastText is trained.")
    seed: int = Field(default=0, description="Of the split and of the training.")
    test_share: float = Field(default=0.1, description="Share of the examples that it is judged on.")
    validation_share: float = Field(default=0.1, description="Share of the examples that it is calibrated on.")
    max_examples: int | None = Field(default=None, description="Of each class; none: all.")
    max_characters: int | None = Field(default=None, gt=0, description="Of each text; none: all.")
    auc_at_least: float | None = Field(default=None, gt=0, le=1, description="A worse classifier is no new version.")
    edition: int = Field(default=1, description="Raise it to train again on the rows that there are now.")

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The classifier's asset and that of its examples."""
        schema.check_name(self.name, "classifier")
        table, examples = f"classifiers/{self.name}", f"examples/{self.name}"
        texts = [(source, self.column) for source in self._tables]
        specs = [
            asset_spec(
                table,
                deps=self._tables,
                code=_CODE,
                configuration=self._configuration,
                description=f"Tells {self.positive.label} from {self.negative.label}; kept until its settings change.",
                computed=each(schema.layer_of(table).schema.names, texts),  # type: ignore[union-attr]
            ),
            asset_spec(
                examples,
                deps=self._tables,
                code=_CODE,
                configuration=self._configuration,
                description=f"What {table} was trained, calibrated and judged on.",
                computed=each(schema.layer_of(examples).schema.names, texts),  # type: ignore[union-attr]
            ),
        ]
        checks = [dg.AssetCheckSpec(_CHECK, asset=asset_key(table), blocking=True, description=_JUDGED)]

        @dg.multi_asset(
            name=f"classifiers_{self.name}",
            specs=specs,
            check_specs=checks if self.auc_at_least is not None else [],
            pool=table,
        )
        def classifier(
            context: dg.AssetExecutionContext, lake: LakeResource
        ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
            store = lake.open()
            before = [store.last_commit(examples), store.last_commit(table)]
            code_version = context.assets_def.specs_by_key[asset_key(table)].code_version
            if all(commit is not None and commit.code_version == code_version for commit in before):
                context.log.info("Kept, so that scores of earlier snapshots can be compared with those of later ones.")
                yield from self._checked(table, _metrics(store, table))
                yield from self._reported(context, store, *before)  # type: ignore[arg-type]
                return
            versions = existing_versions(store, self._tables)
            trained = self._train(store, versions)
            yield from self._checked(table, trained.metrics)
            origin = origin_of(context, examples, inputs=versions)
            rows = store.replace_frame(examples, trained.examples, origin)
            origin = origin_of(context, table, inputs=versions, details={"with": {examples: rows.version}})
            commit = store.replace_frame(table, _row(trained), origin)
            yield from self._reported(context, store, rows, commit)

        return dg.Definitions(assets=[classifier])

    @property
    def _sources(self) -> tuple[Source, Source]:
        return self.positive.source(self.column), self.negative.source(self.column)

    @property
    def _tables(self) -> list[str]:
        return list(dict.fromkeys(table for source in self._sources for table in source.tables))

    @property
    def _configuration(self) -> list[Any]:
        # Files count by what is in them.
        files = [file for source in self._sources for path in source.paths for file in train.files_of(path)]
        return [self.model_dump(exclude={"name", "auc_at_least"}), [hash_of_file(file) for file in files]]

    def _train(self, lake: Lake, versions: Mapping[str, int]) -> train.Trained:
        form = TextForm("words", max_characters=self.max_characters)
        positive, negative = (source.read(lake, versions) for source in self._sources)
        gathered = train.collect(
            positive,
            negative,
            form=form,
            split=train.Split(self.seed, self.test_share, self.validation_share, self.max_examples),
            labels=(self.positive.label, self.negative.label),
        )
        parameters = train.Parameters(**self.parameters.model_dump())
        return train.train_classifier(gathered, name=self.name, form=form, seed=self.seed, parameters=parameters)

    def _checked(self, table: str, metrics: Mapping[str, Any]) -> Iterator[dg.AssetCheckResult]:
        if self.auc_at_least is None:
            return
        found = metrics["test"]["roc_auc"]
        facts = {"roc_auc": found, "wanted": self.auc_at_least}
        passed = found >= self.auc_at_least
        yield dg.AssetCheckResult(asset_key=asset_key(table), check_name=_CHECK, passed=passed, metadata=facts)
        if not passed:
            raise dg.Failure(
                f"{table}: the area under the ROC curve is {found:.4f}, less than {self.auc_at_least}: look at the "
                "examples that it gets wrong, give more, or lower auc_at_least. Nothing was committed.",
                allow_retries=False,
            )

    def _reported(
        self, context: dg.AssetExecutionContext, lake: Lake, examples: Commit, classifier: Commit
    ) -> Iterator[dg.MaterializeResult]:
        metrics = _metrics(lake, classifier.table)
        model_folder(lake, classifier.table, classifier.version)
        yield materialized(context, examples, {"classes": _classes(metrics)})
        test = lake.scan(examples.table).filter(pl.col("split") == "test").select("label", "score").collect()
        truth = (test["label"] == self.positive.label).to_numpy()
        plot = train.evaluation_plot(self.name, test["score"].to_numpy(), truth, metrics["test"])
        yield materialized(context, classifier, _shown(metrics["test"], plot))


def _metrics(lake: Lake, table: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(lake.scan(table).select("metrics").collect().item())
    return found


def _row(trained: train.Trained) -> pl.DataFrame:
    card = trained.card.as_json()
    row = {
        "classifier_id": classifier_id(trained.card.model_hash, card),
        "model": trained.model,
        "model_hash": trained.card.model_hash,
        "card": card,
        "metrics": json.dumps(trained.metrics),
        "roc_auc": trained.metrics["test"]["roc_auc"],
        "seed": trained.card.seed,
    }
    return pl.DataFrame([row])


def _classes(metrics: Mapping[str, Any]) -> Any:
    return table_metadata([{"label": label, **counts} for label, counts in metrics["classes"].items()])


def _shown(test: Mapping[str, Any], plot: bytes) -> dict[str, Any]:
    figures = ("roc_auc", "precision", "recall", "f1", "expected_calibration_error")
    found = test["confusion"]
    confusion = [
        {"truly": "positive", "called_positive": found["true_positive"], "called_negative": found["false_negative"]},
        {"truly": "negative", "called_positive": found["false_positive"], "called_negative": found["true_negative"]},
    ]
    picture = base64.b64encode(plot).decode()
    return {
        **{name: test[name] for name in figures if test[name] is not None},
        "confusion": table_metadata(confusion),
        "calibration": table_metadata(_filled(test["calibration_table"])),
        "plot": dg.MetadataValue.md(f"![plot](data:image/png;base64,{picture})"),
    }


def _filled(table: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in table if row["n"]]


def yaml_block(component: Classifier) -> str:
    """The block of a `defs.yaml` that declares a classifier; what has its default is left out."""
    import yaml

    attributes = component.model_dump(exclude_defaults=True)
    content = {"type": "assets.classifiers.component.Classifier", "attributes": attributes}
    return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120))
