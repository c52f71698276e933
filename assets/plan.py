"""What has to be built: which assets, for which snapshots, and why.

Everything is read from what the last commits say they were made from, so the plan is right also where Dagster's own
staleness is not (it calls an asset with 100 upstream partitions or more fresh, whatever they do).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph
from dagster._core.definitions.data_version import DATA_VERSION_TAG, extract_data_version_from_entry

from assets.materialization import ALL, READS, REWRITES, SNAPSHOTS, UNTIL, asset_key, table_name
from assets.raw.ingest import landed_files, landing_fingerprint
from assets.unchanged import rows_read
from lakehouse.commits import Commit, in_effect, rows_changed
from lakehouse.identity import hash_of
from lakehouse.lake import Lake

_KEPT = ("tokenizers", "classifiers", "examples")
"""Layers that are kept until their settings change: what was encoded or scored with them must stay comparable."""


@dataclass(frozen=True)
class Step:
    """Assets that one Dagster run builds, for one snapshot or for all."""

    keys: tuple[dg.AssetKey, ...]
    snapshot: str | None


@dataclass(frozen=True)
class State:
    """Whether an asset is up to date, for one snapshot or for all; `reason` says why not."""

    table: str
    snapshot: str | None
    reason: str | None
    commit: Commit | None


def landed_snapshots(lake: Lake, sources: Iterable[str]) -> list[str]:
    """Every snapshot that has files in the landing folder of one of the sources, sorted."""
    found = set()
    for source in sources:
        folder = lake.landing / source
        names = [path.name for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
        found |= {name for name in names if landed_files(lake, source, name)}
    return sorted(found)


class Planner:
    """Compares what is in the lake with what the asset graph would make, once: a plan is not kept over a build.

    Args:
        graph: the asset graph.
        instance: where runs are recorded.
        lake: where the tables are.
        models: the model that documents can be sent to at each endpoint.
    """

    def __init__(
        self,
        graph: BaseAssetGraph,
        instance: dg.DagsterInstance,
        lake: Lake,
        *,
        models: Mapping[str, str] | None = None,
    ) -> None:
        self._graph = graph
        self._instance = instance
        self._lake = lake
        self._models = models or {}
        self._histories: dict[str, list[Commit]] = {}
        self._tags: dict[dg.AssetKey, Mapping[str, Mapping[str, str]]] = {}

    def sources(self) -> list[str]:
        """Names of the raw sources."""
        return [key.path[1] for key in self.assets() if key.path[0] == "raw"]

    def assets(self) -> list[dg.AssetKey]:
        """Every asset that can be built."""
        return sorted(self._graph.materializable_asset_keys)

    def states(self, keys: Sequence[dg.AssetKey], snapshots: Sequence[str]) -> list[State]:
        """The state of each asset and snapshot, upstream first."""
        stale: set[tuple[dg.AssetKey, str | None]] = set()
        states: list[State] = []
        for key in self._graph.toposorted_asset_keys:
            if key not in keys:
                continue
            parts: list[str | None] = [*snapshots] if self._graph.get(key).is_partitioned else [None]
            for snapshot in parts:
                commit = self._last_commit(key, snapshot)
                if commit is None and not self._has_input(key, snapshot, stale):
                    continue
                reason = self._reason(key, snapshot, commit, stale)
                if reason:
                    stale.add((key, snapshot))
                states.append(State(table_name(key), snapshot, reason, commit))
        return states

    def steps(self, states: Sequence[State]) -> list[Step]:
        """The runs that build what is not up to date, in the order in which they have to go.

        Assets that follow each other share a run, as long as all of them or none of them are by snapshot.
        """
        levels = self.levels()
        wanted: dict[tuple[int, str | None], list[State]] = {}
        for state in states:
            if state.reason:
                level = levels[asset_key(state.table)]
                wanted.setdefault((level, state.snapshot), []).append(state)
        steps = []
        for (_, snapshot), members in sorted(wanted.items(), key=lambda item: (item[0][0], item[0][1] or "")):
            keys = [asset_key(state.table) for state in members]
            steps.append(Step(tuple(self._whole_operations(keys)), snapshot))
        return steps

    def target(self, key: dg.AssetKey, snapshot: str | None) -> str:
        """A hash of what an asset would be made by and from now: another one is another reason to build it."""
        commit = self._last_commit(key, snapshot)
        node, itself = self._graph.get(key), [table_name(made) for made in self._made_with(key)]
        reads = self._reads(key)
        tables = {table_name(parent) for parent in node.parent_keys} | set(commit.inputs if commit else ())
        read = [
            found.data_version
            for table in sorted(tables)
            for _, found in sorted(
                in_effect(filter(rows_read(itself, table, snapshot, reads), self._history(table))).items(), key=str
            )
        ]
        landing = landing_fingerprint(self._lake, key.path[1], snapshot or "") if key.path[0] == "raw" else ""
        return hash_of(node.code_version or "", landing, json.dumps(self._models, sort_keys=True), *read)

    def _reason(
        self,
        key: dg.AssetKey,
        snapshot: str | None,
        commit: Commit | None,
        stale: set[tuple[dg.AssetKey, str | None]],
    ) -> str | None:
        """Why an asset has to be built; None if it is up to date."""
        node = self._graph.get(key)
        if commit is None:
            return "never built"
        if commit.code_version != (node.code_version or ""):
            return "its settings or its code changed"
        if self._recorded(key, snapshot) != commit.data_version:
            return "its last run did not finish"
        if key.path[0] in _KEPT:
            return None
        for parent in sorted(node.parent_keys):
            if any((parent, part) in stale for part in self._read_parts(key, parent, snapshot)):
                return f"{table_name(parent)} is built anew"
        itself = self._made_with(key)
        if any(asset_key(table) in itself for table in commit.inputs) and any(
            made in itself and (part or "") < (snapshot or "") for made, part in stale
        ):
            return "an earlier snapshot is built anew"
        for table, version in sorted(commit.inputs.items()):
            is_read = rows_read([table_name(made) for made in itself], table, snapshot, self._reads(key))
            if rows_changed(self._history(table), version, None, commit.committed_at, is_read):
                return f"{table} changed"
        landing = commit.details.get("landing")
        if landing and landing != landing_fingerprint(self._lake, key.path[1], snapshot or ""):
            return "the files in the landing folder changed"
        return self._waits_for_model(commit)

    def _waits_for_model(self, commit: Commit) -> str | None:
        """Why calls to models are to be made, if so: the model is another, or there are units without an answer."""
        for name, (asked, *_) in sorted(commit.details.get("models", {}).items()):
            if asked and self._models.get(name, asked) != asked:
                return f"the model is {self._models[name]} now"
        # A limit that stopped the calls stops them until it is raised.
        if self._models and commit.details.get("pending") and not commit.details.get("stopped_by"):
            return f"{commit.details['pending']} units wait for the model"
        return None

    def _read_parts(self, key: dg.AssetKey, parent: dg.AssetKey, snapshot: str | None) -> list[str | None]:
        if not self._graph.get(parent).is_partitioned:
            return [None]
        everything: list[str | None] = [*self._instance.get_dynamic_partitions(SNAPSHOTS.name or "")]
        if not self._graph.get(key).is_partitioned:
            return everything
        reads = self._reads(key).get(table_name(parent))
        if reads == ALL:
            return everything
        return [
            part
            for part in everything
            if part == snapshot
            or (reads == UNTIL and (part or "") < (snapshot or ""))
            # A later snapshot may take something from this one.
            or (self._rewrites(parent) and (part or "") > (snapshot or ""))
        ]

    def _reads(self, key: dg.AssetKey) -> Mapping[str, str]:
        """The tables of which an asset reads more than its own snapshot."""
        found: Mapping[str, str] = self._graph.get(key).metadata.get(READS, {})
        return found

    def _rewrites(self, key: dg.AssetKey) -> bool:
        """Whether building one snapshot of an asset may write earlier ones anew."""
        return bool(self._graph.get(key).metadata.get(REWRITES))

    def _recorded(self, key: dg.AssetKey, snapshot: str | None) -> str | None:
        """The data version that Dagster knows; of all snapshots at once, as there may be hundreds."""
        if snapshot is None:
            record = self._instance.get_latest_data_version_record(key)
            version = extract_data_version_from_entry(record.event_log_entry) if record else None
            return version.value if version else None
        if key not in self._tags:
            self._tags[key] = self._instance.event_log_storage.get_latest_tags_by_partition(
                key, dg.DagsterEventType.ASSET_MATERIALIZATION, [DATA_VERSION_TAG]
            )
        return self._tags[key].get(snapshot, {}).get(DATA_VERSION_TAG)

    def _has_input(self, key: dg.AssetKey, snapshot: str | None, stale: set[tuple[dg.AssetKey, str | None]]) -> bool:
        """Whether there is, or will be, something to make an asset from: not every source has every snapshot."""
        if snapshot is None:
            return True
        reads = self._reads(key)
        parents = [
            parent
            for parent in self._graph.get(key).parent_keys
            if self._graph.get(parent).is_partitioned and reads.get(table_name(parent)) != ALL
        ]
        if not parents:
            return bool(landed_files(self._lake, key.path[1], snapshot))
        return any((parent, snapshot) in stale or self._last_commit(parent, snapshot) is not None for parent in parents)

    def _last_commit(self, key: dg.AssetKey, snapshot: str | None) -> Commit | None:
        history = self._history(table_name(key))
        return next((commit for commit in history if snapshot is None or commit.partition in (snapshot, None)), None)

    def _history(self, table: str) -> list[Commit]:
        """The commits that wrote rows of a table, newest first; read once, as many snapshots ask for them."""
        if table not in self._histories:
            history = self._lake.history(table) if self._lake.exists(table) else []
            self._histories[table] = [commit for commit in history if commit.asset]
        return self._histories[table]

    def levels(self) -> dict[dg.AssetKey, int]:
        """How many times, on the way to each asset, all snapshots of one have to be there before the next is made."""
        levels: dict[dg.AssetKey, int] = {}
        for key in self._graph.toposorted_asset_keys:
            node = self._graph.get(key)
            levels[key] = max(
                (levels[parent] + self._waits(key, parent) for parent in node.parent_keys if parent in levels),
                default=0,
            )
        return levels

    def _waits(self, key: dg.AssetKey, parent: dg.AssetKey) -> bool:
        """Whether an asset is made when all snapshots of its parent are there."""
        differ = self._graph.get(parent).is_partitioned != self._graph.get(key).is_partitioned
        return differ or self._rewrites(parent) or self._reads(key).get(table_name(parent)) == ALL

    def _whole_operations(self, keys: Sequence[dg.AssetKey]) -> list[dg.AssetKey]:
        """`keys` and what is made in the same operation as one of them."""
        return sorted({member for key in keys for member in self._made_with(key)})

    def _made_with(self, key: dg.AssetKey) -> set[dg.AssetKey]:
        """An asset and what is always made in the same operation."""
        return {key, *self._graph.get(key).execution_set_asset_keys}
