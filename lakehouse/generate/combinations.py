"""Combinations of what was found in documents: of one document's entities, or of concepts from all over a set.

Sources: Yang et al., Synthetic Continued Pretraining (EntiGraph): pairs and triples of a document's entities. Qin et
al., Scaling Laws of Synthetic Data for Language Models (SynthLLM): walks over the graph of concepts found together.

Everything is drawn by hashes of the items themselves: a document more changes few of the others' combinations.
"""

from __future__ import annotations

import itertools
import json
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lakehouse.generate.sections import Combine
from lakehouse.generate.units import Unit
from lakehouse.identity import order_key

_ENUMERATED = 20_000
"""Up to so many combinations are all looked at; of more, some are drawn."""


@dataclass(frozen=True)
class Origin:
    """A unit without its text, and the items that were found in it."""

    unit: Unit
    items: Any


def of_unit(items: Any, combine: Combine, key: str) -> list[list[Any]]:
    """At most `most` combinations of a unit's items, of all sizes alike often, in an order of their own.

    Args:
        items: of the unit; the same item counts once.
        combine: sizes, how many, and the seed.
        key: what tells this unit from others.
    """
    names = list({_name(item): item for item in items}.values()) if isinstance(items, list) else []
    found: list[list[list[Any]]] = []
    for size in combine.sizes:
        if math.comb(len(names), size) <= _ENUMERATED:
            candidates: Iterator[tuple[Any, ...]] = itertools.combinations(names, size)
        else:
            candidates = _drawn(names, size, combine, key)
        ranked = sorted(candidates, key=lambda some: order_key(combine.seed, key, *map(_name, some)))
        found.append([list(some) for some in ranked[: combine.most]])
    taken = [some for alike in itertools.zip_longest(*found) for some in alike if some is not None]
    return taken[: combine.most]


def of_set(origins: Sequence[Origin], combine: Combine) -> Iterator[tuple[Unit, list[Any]]]:
    """Combinations of items of different units: walks over the graph of items that occur together.

    From one of a unit's items the walk goes to an item that stands beside it in another unit, more often to one that
    stands there often; each unit begins `most` walks. The whole graph is in memory: names, not texts.

    Yields:
        A unit whose anchors are those of all the units on the way, and the items.
    """
    items: dict[str, Any] = {}
    places: dict[str, list[int]] = defaultdict(list)
    for place, origin in enumerate(origins):
        for item in origin.items if isinstance(origin.items, list) else []:
            items.setdefault(_name(item), item)
            if place not in places[_name(item)][-1:]:
                places[_name(item)].append(place)
    for place, origin in enumerate(origins):
        own = sorted({_name(item) for item in origin.items}) if isinstance(origin.items, list) else []
        seen = set()
        for walk in range(combine.most if own else 0):
            size = combine.sizes[walk % len(combine.sizes)]
            key = f"{origin.unit.anchors[0]}/{origin.unit.place}/{walk}"
            names, visited = _walk(own, place, origins, places, size, combine.seed, key)
            if len(names) == size and frozenset(names) not in seen:
                seen.add(frozenset(names))
                yield _joined([origins[other].unit for other in visited], walk), [items[name] for name in names]


def _walk(
    own: Sequence[str],
    place: int,
    origins: Sequence[Origin],
    places: dict[str, list[int]],
    size: int,
    seed: int,
    key: str,
) -> tuple[list[str], list[int]]:
    """Items on a walk from one of a unit's own, and the units that it goes through."""
    names, visited = [min(own, key=lambda name: order_key(seed, key, name))], [place]
    while len(names) < size:
        others = [other for other in places[names[-1]] if other not in visited]
        at = (
            min(others, key=lambda other: order_key(seed, key, *origins[other].unit.anchors)) if others else visited[-1]
        )
        near = sorted({_name(item) for item in origins[at].items} - set(names))
        if not near:
            break
        # Weighted by how often the item occurs (Efraimidis and Spirakis): the draw of each item is its own.
        draws = {name: ((order_key(seed, key, name) + 1) / 2**63) ** (1 / len(places[name])) for name in near}
        names.append(max(near, key=lambda name: (draws[name], name)))
        if at not in visited:
            visited.append(at)
    return names, visited


def _joined(units: Sequence[Unit], walk: int) -> Unit:
    languages = {unit.language for unit in units}
    return replace(
        units[0],
        anchors=tuple(dict.fromkeys(anchor for unit in units for anchor in unit.anchors)),
        depth=max(unit.depth for unit in units),
        language=units[0].language if len(languages) == 1 else None,
        place=walk,
    )


def _drawn(names: Sequence[Any], size: int, combine: Combine, key: str) -> Iterator[tuple[Any, ...]]:
    """Some of very many combinations, each once."""
    seen = set()
    for draw in range(4 * combine.most):
        chosen = sorted(
            range(len(names)), key=lambda place: order_key(combine.seed, key, str(draw), _name(names[place]))
        )
        some = tuple(sorted(chosen[:size]))
        if some not in seen:
            seen.add(some)
            yield tuple(names[place] for place in some)


def _name(item: Any) -> str:
    """What makes an item the same as another: its name without regard to case."""
    named = item.get("name") if isinstance(item, dict) else item
    return str(named).casefold().strip() if isinstance(named, str | int) else json.dumps(item, sort_keys=True)
