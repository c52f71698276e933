"""Rewriting by a language model: recipes, requests, the journal of calls, gates, and the documents that pass them."""

from lakehouse.generate.client import GenerationReport, check_endpoint, generate
from lakehouse.generate.documents import accepted_documents, rejected_rows
from lakehouse.generate.endpoint import Endpoint
from lakehouse.generate.errors import GenerationError, RecipeError
from lakehouse.generate.gates import judge
from lakehouse.generate.journal import generations_for, missing
from lakehouse.generate.mock_server import MockModel
from lakehouse.generate.recipe import Recipe, load_recipe, recipe_names
from lakehouse.generate.requests import Request, requests_for

__all__ = [
    "Endpoint",
    "GenerationError",
    "GenerationReport",
    "MockModel",
    "Recipe",
    "RecipeError",
    "Request",
    "accepted_documents",
    "check_endpoint",
    "generate",
    "generations_for",
    "judge",
    "load_recipe",
    "missing",
    "recipe_names",
    "rejected_rows",
    "requests_for",
]
