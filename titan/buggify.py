"""Rare branches on purpose: places where a core may take a legal path that life takes once a year.

A core asks `if rare.on and rare.takes("name")`. What answers is injected: production has `NEVER`, for which the question
costs one attribute; the simulator injects its seed's own chance. Guarantees: `NEVER` takes no branch and can't be switched
on. Never: a source of chance here. Source of the idea: FoundationDB's BUGGIFY.
"""

from __future__ import annotations

from typing import Protocol


class Rare(Protocol):
    """Decides whether a rare branch is taken."""

    @property
    def on(self) -> bool:
        """Whether any branch may be taken at all."""

    def takes(self, branch: str) -> bool:
        """Whether this branch is taken now."""


class _Never:
    __slots__ = ()
    on = False

    def takes(self, branch: str) -> bool:
        del branch
        return False


NEVER: Rare = _Never()
