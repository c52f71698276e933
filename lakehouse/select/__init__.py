from lakehouse.select.conditions import Condition, RuleError, decide, parameters, required_annotators
from lakehouse.select.rules import RULE_SETS, Languages, resolve

__all__ = [
    "RULE_SETS",
    "Condition",
    "Languages",
    "RuleError",
    "decide",
    "parameters",
    "required_annotators",
    "resolve",
]
