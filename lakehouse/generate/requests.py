"""Requests: what is sent to a model, and its identity, from which it is known whether it was sent before."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from lakehouse import identity
from lakehouse.generate.recipe import Recipe
from lakehouse.generate.sections import Step, StructuredOutput
from lakehouse.generate.units import Unit


@dataclass(frozen=True)
class Model:
    """What a step has to know of the endpoint that it asks: the model's name, and whether it can be held to JSON."""

    name: str
    structured_output: StructuredOutput = "off"


@dataclass(frozen=True)
class Request:
    """One call: what a step of a recipe asks a model about one unit.

    `request_id` depends on messages, model and parameters alone: units with the same text share it, and the answer.
    """

    request_id: str
    doc_id: str  # the unit's (first) anchor document
    snapshot: str
    recipe: str
    recipe_version: str
    step: str
    endpoint: str  # its name
    model: str
    messages: list[dict[str, str]]
    params: dict[str, Any]  # all else that is sent: temperature, top_p, max_tokens, …
    prompt_hash: str
    params_hash: str
    form: Literal["chat", "completion"] = "chat"  # a completion has one message, whose content is the prompt


@dataclass(frozen=True)
class Asking:
    """A recipe, and all else that the prompts depend on.

    Attributes:
        recipe: what is asked.
        models: of each endpoint that the recipe names.
        seed: of what is drawn.
        examples: for templates that show examples.
    """

    recipe: Recipe
    models: Mapping[str, Model]
    seed: int = 0
    examples: Sequence[Mapping[str, Any]] = field(default=(), repr=False)

    def request(self, step: Step, unit: Unit, variables: Mapping[str, Any], sample: int = 0) -> Request:
        """The request of one step about one unit; `sample` tells several answers to the same prompt apart.

        Raises:
            RecipeError: a template cannot be filled in.
        """
        messages = self.recipe.messages(step, variables)
        model, params, params_hash = self._params[step.name]
        prompt_hash = identity.hash_of(json.dumps(messages, sort_keys=True))
        again = (str(sample),) if sample else ()
        return Request(
            request_id=identity.hash_of(prompt_hash, model, params_hash, *again),
            doc_id=unit.anchors[0],
            snapshot=unit.snapshot,
            recipe=self.recipe.name,
            recipe_version=self.recipe.version,
            step=step.name,
            endpoint=step.endpoint,
            model=model,
            messages=messages,
            params=params,
            prompt_hash=prompt_hash,
            params_hash=params_hash,
            form="completion" if step.completion else "chat",
        )

    @cached_property
    def _params(self) -> dict[str, tuple[str, dict[str, Any], str]]:
        """Of each step that asks: the model, what is sent along, and the hash of that."""
        from lakehouse.generate.answer_json import json_schema_of

        found = {}
        for step in self.recipe.steps:
            if step.asks:
                model, sampling = self.models[step.endpoint], self.recipe.sampling_of(step)
                params = sampling.model_dump(exclude={"further"}) | dict(sampling.further)
                if form := json_schema_of(step.answer, step.name, model.structured_output):
                    params["response_format"] = form
                found[step.name] = (model.name, params, identity.hash_of(json.dumps(params, sort_keys=True)))
        return found
