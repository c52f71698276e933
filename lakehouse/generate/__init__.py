"""Rewriting by language models: recipes, units, the journal of calls, gates, and the documents that pass them."""

from lakehouse.generate.calls.budget import GenerationReport, Limits
from lakehouse.generate.calls.client import check_endpoint, check_endpoints, generate
from lakehouse.generate.calls.endpoint import Endpoint
from lakehouse.generate.documents import Laid
from lakehouse.generate.errors import GenerationError, RecipeError
from lakehouse.generate.gates.tools import Tools
from lakehouse.generate.journal.index import Index
from lakehouse.generate.journal.recorder import Recorder, spool_folder
from lakehouse.generate.journal.sharing import Others, export_answers, import_answers
from lakehouse.generate.mock.server import MockModel
from lakehouse.generate.recipe import Recipe, load_recipe, recipe_names
from lakehouse.generate.requests import Asking, Model, Request
from lakehouse.generate.rewriting import Rewriting, Run, Survey
from lakehouse.generate.units import Unit, estimated_tokens, units_of

__all__ = [
    "Asking",
    "Endpoint",
    "GenerationError",
    "GenerationReport",
    "Index",
    "Laid",
    "Limits",
    "MockModel",
    "Model",
    "Others",
    "Recipe",
    "RecipeError",
    "Recorder",
    "Request",
    "Rewriting",
    "Run",
    "Survey",
    "Tools",
    "Unit",
    "check_endpoint",
    "check_endpoints",
    "estimated_tokens",
    "export_answers",
    "generate",
    "import_answers",
    "load_recipe",
    "recipe_names",
    "spool_folder",
    "units_of",
]
