"""A second, naive model of the paper venue's matching, written from its rules and not from its code.

Whole numbers only: prices in ticks, quantities in lots, money in fractions. No heaps, queues or indexes: it looks at everything
every time. It knows limit and market orders, GTC, IOC, FOK and post-only, reduce-only, cancels, public trades and books.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

TAKER, MAKER = Fraction(55, 100_000), Fraction(2, 10_000)
UNSEEN = 10**18


@dataclass
class Resting:
    """An order that waits. `buy` is its side, `ahead` what stands before it at its price."""

    name: str
    buy: bool
    price: int
    left: int
    ahead: int
    reduce: bool


@dataclass
class Naive:
    """One symbol and its account; `fills` are (order, price, lots, maker)."""

    bids: list[list[int]] = field(default_factory=list)
    asks: list[list[int]] = field(default_factory=list)
    waiting: list[Resting] = field(default_factory=list)
    fills: list[tuple[str, int, int, bool]] = field(default_factory=list)
    held: int = 0
    cost: Fraction = Fraction(0)
    money: Fraction = Fraction(0)
    deepest: tuple[int, int] | None = None

    # The market.

    def book(self, bids: list[tuple[int, int]], asks: list[tuple[int, int]]) -> None:
        """A new picture of the market: what it crosses trades at our own prices, best first, then first come."""
        self.bids, self.asks = [list(each) for each in bids], [list(each) for each in asks]
        self.deepest = (bids[-1][0], asks[-1][0])
        for buy in (True, False):
            for order in self._in_line(buy):
                if order not in self.waiting:
                    continue
                for price, lots in self._within(order.buy, order.price, order.left):
                    self._take(order.buy, price, lots)
                    self._done(order, order.price, lots, maker=True)
            for order in self.waiting:
                if order.buy is buy and order.ahead:
                    order.ahead = min(order.ahead, self._shown(buy, order.price))

    def trade(self, price: int, lots: int, *, taker_buys: bool) -> None:
        """Somebody traded: it went through our better prices, and at its own price through those before us."""
        shares: list[tuple[Resting, int]] = []
        passed = 0
        for order in self._in_line(not taker_buys):
            if lots == 0 or (order.price > price if taker_buys else order.price < price):
                break
            if order.price == price:
                before_us = min(max(order.ahead - passed, 0), lots)
                passed += before_us
                lots -= before_us
            else:
                order.ahead = 0
            share = min(order.left, lots)
            lots -= share
            if share:
                shares.append((order, share))
        for order in self.waiting:
            if order.buy is not taker_buys and order.price == price:
                order.ahead = max(0, order.ahead - passed)
        for order, share in shares:
            share = min(share, order.left) if order in self.waiting else 0
            if share:
                self._done(order, order.price, share, maker=True)

    # Our orders.

    def place(self, name: str, *, buy: bool, lots: int, price: int | None, tif: str, reduce: bool) -> None:
        """Takes what it may, then rests or is gone."""
        if reduce:
            lots = min(lots, self._reducible(buy))
            if lots == 0:
                return
        reachable = self._within(buy, price, 10**12)
        if tif == "PostOnly" and reachable:
            return
        if tif == "FOK" and sum(each for _, each in reachable) < lots:
            return
        order = Resting(name, buy, price or 0, lots, 0, reduce)
        for level, part in self._within(buy, price, lots):
            self._take(buy, level, part)
            self._done(order, level, part, maker=False)
        if order.left and tif in ("GTC", "PostOnly"):
            assert price is not None
            order.ahead = self._shown(buy, price)
            self.waiting.append(order)

    def cancel(self, name: str) -> None:
        """Takes a waiting order back."""
        self.waiting = [order for order in self.waiting if order.name != name]

    # What follows from a fill.

    def _done(self, order: Resting, price: int, lots: int, *, maker: bool) -> None:
        order.left -= lots
        if order.left == 0 and order in self.waiting:
            self.waiting.remove(order)
        self.fills.append((order.name, price, lots, maker))
        signed = lots if order.buy else -lots
        closing = min(lots, abs(self.held)) if self.held * signed < 0 else 0
        if closing:
            entry = self.cost / self.held
            direction = 1 if self.held > 0 else -1
            self.money += direction * closing * (price - entry)
            self.cost -= direction * closing * entry
            self.held -= direction * closing
        opening = lots - closing
        self.held += opening if order.buy else -opening
        self.cost += (opening if order.buy else -opening) * price
        self.money -= lots * price * (MAKER if maker else TAKER)
        self._shrink()

    def _shrink(self) -> None:
        """No reduce-only order may do more than close what is held."""
        for order in list(self.waiting):
            if order.reduce:
                order.left = min(order.left, self._reducible(order.buy))
                if order.left == 0:
                    self.waiting.remove(order)

    def _reducible(self, buy: bool) -> int:
        return max(0, -self.held if buy else self.held)

    # Looking at the book.

    def _in_line(self, buy: bool) -> list[Resting]:
        """Best price first; the list is in order of arrival already, and sorting keeps that."""
        return sorted((one for one in self.waiting if one.buy is buy), key=lambda one: -one.price if buy else one.price)

    def _within(self, buy: bool, limit: int | None, lots: int) -> list[tuple[int, int]]:
        found = []
        for price, shown in self.asks if buy else self.bids:
            if limit is not None and (price > limit if buy else price < limit):
                break
            part = min(shown, lots)
            lots -= part
            if part:
                found.append((price, part))
        return found

    def _take(self, buy: bool, price: int, lots: int) -> None:
        for level in self.asks if buy else self.bids:
            if level[0] == price:
                level[1] -= lots

    def _shown(self, buy: bool, price: int) -> int:
        """What stands at a price on our own side; nobody knows beyond the last level that is shown."""
        assert self.deepest is not None
        if price < self.deepest[0] if buy else price > self.deepest[1]:
            return UNSEEN
        return sum(shown for level, shown in (self.bids if buy else self.asks) if level == price)
