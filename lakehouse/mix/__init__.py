"""Mixtures: which documents are trained on, how often, in which order."""

from lakehouse.mix.mixture import Component, MixtureError, MixtureOutcome, mix
from lakehouse.mix.synthetic import ORIGIN, SyntheticLimits, share_of_synthetic, synthetic_shares

__all__ = [
    "ORIGIN",
    "Component",
    "MixtureError",
    "MixtureOutcome",
    "SyntheticLimits",
    "mix",
    "share_of_synthetic",
    "synthetic_shares",
]
