from lakehouse.select.conditions import (
    Column,
    Condition,
    Expression,
    Rule,
    RuleError,
    Top,
    parameters,
    required_annotators,
)
from lakehouse.select.decide import decide
from lakehouse.select.draw import draw
from lakehouse.select.edits import Edits, apply_edits, merge_edits
from lakehouse.select.expressions import check_type, evaluated
from lakehouse.select.recipe import Recipe, load_recipe, recipe_names
from lakehouse.select.rule_sets import RULE_SETS
from lakehouse.select.rules import ByLanguage, Declared, Languages, Measured, resolve

__all__ = [
    "RULE_SETS",
    "ByLanguage",
    "Column",
    "Condition",
    "Declared",
    "Edits",
    "Expression",
    "Languages",
    "Measured",
    "Recipe",
    "Rule",
    "RuleError",
    "Top",
    "apply_edits",
    "check_type",
    "decide",
    "draw",
    "evaluated",
    "load_recipe",
    "merge_edits",
    "parameters",
    "recipe_names",
    "required_annotators",
    "resolve",
]
