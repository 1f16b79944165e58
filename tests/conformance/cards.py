"""The registry of cards: a number, a title, and the sequence that an adapter must survive."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from tests.conformance.bench import Bench

Run = Callable[[Bench], Awaitable[None]]


@dataclass(frozen=True, slots=True, order=True)
class Card:
    """One sequence. `instead` says for which venue a refusal is what passes, and why."""

    number: str
    group: str = field(compare=False)
    title: str = field(compare=False)
    run: Run = field(compare=False)
    frozen: bool = field(default=False, compare=False)
    instead: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def id(self) -> str:
        """A name for a test report."""
        return f"{self.number}-{self.run.__name__}"


CARDS: list[Card] = []


def card(
    number: str, group: str, title: str, *, frozen: bool = False, instead: Mapping[str, str] | None = None
) -> Callable[[Run], Run]:
    """Puts a sequence into the registry."""

    def add(run: Run) -> Run:
        CARDS.append(Card(number, group, title, run, frozen, instead or {}))
        return run

    return add
