"""Why a page yields no text."""

from __future__ import annotations


class ExtractError(ValueError):
    """A page that nothing can be extracted from.

    Attributes:
        rule: the reject ledger's rule: `too_large`, `undecodable`, `hostile_markup` or `no_text`.
        evidence: what was found, in one line.
    """

    def __init__(self, rule: str, evidence: str) -> None:
        super().__init__(f"{rule}: {evidence}")
        self.rule = rule
        self.evidence = evidence

    def __reduce__(self) -> tuple[type[ExtractError], tuple[str, str]]:
        return type(self), (self.rule, self.evidence)
