"""Mixtures: which documents are trained on, how often, in which order."""

from lakehouse.mix.mixture import Component, MixtureError, MixtureOutcome, mix

__all__ = ["Component", "MixtureError", "MixtureOutcome", "mix"]
