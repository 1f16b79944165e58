"""Numbers for the venue's order ids, for exchanges that name orders by number.

Guarantees: a number is a function of the order's id, so that it is the same after every restart. Never: a lookup in the
ledger while trading; the ids are read once at the start.
"""

from __future__ import annotations

from titan.paper.ledger import Filter, Ledger
from titan.paper.orders import Effect, OrderChanged

ALL = 10_000_000
_DIGITS = 12


def number_of(order_id: str) -> int:
    """48 bits of an order's id: below 2^53, so that every JSON reader keeps it."""
    return int(order_id.replace("-", "")[:_DIGITS], 16)


def second_number_of(order_id: str) -> int:
    """Another 48 bits of the same id, for exchanges that name one order twice."""
    return int(order_id.replace("-", "")[_DIGITS : 2 * _DIGITS], 16)


class Numbers:
    """Both numbers of every order of a ledger, and the way back."""

    def __init__(self, ledger: Ledger) -> None:
        self._ids: dict[int, str] = {}
        self._second: dict[int, str] = {}
        for order in ledger.orders(Filter(), ALL):
            self._learn(order.order_id)

    def _learn(self, order_id: str) -> None:
        self._ids[number_of(order_id)] = order_id
        self._second[second_number_of(order_id)] = order_id

    def observe(self, effects: list[Effect]) -> None:
        """Learns the orders that the venue made."""
        for effect in effects:
            if isinstance(effect, OrderChanged):
                self._learn(effect.order.order_id)

    def order_id(self, number: int) -> str:
        """The id behind a number; empty when there is none."""
        return self._ids.get(number, "")

    def order_id_of_second(self, number: int) -> str:
        """The id behind a second number; empty when there is none."""
        return self._second.get(number, "")
