"""Dagster resources: the outside world that assets work with."""

from resources.compute import ComputeResource
from resources.lake import LakeResource
from resources.language_model import LanguageModelResource

__all__ = ["ComputeResource", "LakeResource", "LanguageModelResource"]
