"""Liquidity and queues of one symbol: the feed's visible book and the venue's own resting orders.

Guarantees: a visible quantity is taken at most once until the next snapshot; own orders fill in price-time order;
what they fill against one public trade never exceeds that trade. Own orders never trade with each other.
Never: money, positions or time; the core decides what a fill means.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Sequence
from decimal import Decimal

from titan.paper.orders import ZERO, Order, Side

Level = tuple[Decimal, Decimal]

_LAST = 2**63
UNSEEN_QUEUE = Decimal(10) ** 15
"""Queue ahead of an order whose price lies beyond the visible book; the next snapshot that shows it cuts it down."""


class VisibleBook:
    """The feed's last snapshot less what own takers took from it."""

    def __init__(self) -> None:
        self._levels: dict[Side, list[list[Decimal]]] = {Side.BUY: [], Side.SELL: []}
        self._depth_price: dict[Side, Decimal | None] = {Side.BUY: None, Side.SELL: None}

    def replace(self, bids: Sequence[Level], asks: Sequence[Level]) -> None:
        """Takes a new snapshot, best price first; earlier consumption is forgotten."""
        for side, levels in ((Side.BUY, bids), (Side.SELL, asks)):
            self._levels[side] = list(map(list, levels))
            self._depth_price[side] = levels[-1][0] if levels else None

    def levels(self, side: Side) -> list[list[Decimal]]:
        """Bids for BUY, asks for SELL, best first, as [price, quantity left, zero when all is taken]; not to be changed."""
        return self._levels[side]

    def best(self, side: Side) -> Decimal | None:
        """Best price that still has quantity."""
        for price, qty in self._levels[side]:
            if qty > 0:
                return price
        return None

    def crosses(self, side: Side, price: Decimal) -> bool:
        """Whether an order of `side` at `price` would trade at once."""
        best = self.best(side.opposite)
        return best is not None and (best <= price if side is Side.BUY else best >= price)

    def takeable(self, side: Side, limit: Decimal | None) -> Decimal:
        """Quantity a taker of `side` finds up to `limit` (None for any price)."""
        return sum((qty for _, qty in self._reachable(side, limit)), ZERO)

    def _reachable(self, side: Side, limit: Decimal | None) -> Iterator[list[Decimal]]:
        for level in self._levels[side.opposite]:
            if limit is not None and (level[0] > limit if side is Side.BUY else level[0] < limit):
                return
            if level[1] > 0:
                yield level

    def plan(self, side: Side, qty: Decimal, limit: Decimal | None) -> list[Level]:
        """Fills that a taker of `side` gets for `qty`, best price first; takes nothing."""
        fills: list[Level] = []
        for price, available in self._reachable(side, limit):
            if qty <= 0:
                break
            taken = min(qty, available)
            fills.append((price, taken))
            qty -= taken
        return fills

    def take(self, side: Side, price: Decimal, qty: Decimal) -> None:
        """Consumes `qty` of the level at `price` that a taker of `side` hit."""
        for level in self._levels[side.opposite]:
            if level[0] == price:
                level[1] -= qty
                return

    def ahead_at(self, side: Side, price: Decimal) -> Decimal:
        """Visible quantity at `price` on the side of a resting order, `UNSEEN_QUEUE` beyond the visible depth."""
        deepest = self._depth_price[side]
        if deepest is None or (price < deepest if side is Side.BUY else price > deepest):
            return UNSEEN_QUEUE
        buys = side is Side.BUY
        for level_price, qty in self._levels[side]:
            if level_price <= price if buys else level_price >= price:
                return qty if level_price == price else ZERO
        return ZERO


class RestingQueue:
    """Own resting orders of one side in price-time order."""

    def __init__(self, side: Side) -> None:
        self._side = side
        self._sign = -1 if side is Side.BUY else 1
        self._keys: list[tuple[Decimal, int]] = []
        self._orders: dict[int, Order] = {}
        self._reducing: dict[int, Order] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, order: Order) -> bool:
        return order.seq in self._orders

    def __iter__(self) -> Iterator[Order]:
        """Orders, best price first, earliest first within a price."""
        orders = self._orders
        return iter([orders[key[1]] for key in self._keys])

    def reaching(self, price: Decimal) -> list[Order]:
        """The orders whose price is `price` or better, best first, earliest first within a price."""
        orders = self._orders
        end = bisect_right(self._keys, (self._sign * price, _LAST))
        return [orders[seq] for _, seq in self._keys[:end]]

    def reducing(self) -> list[Order]:
        """The reduce-only orders, in the order of the queue."""
        return sorted(self._reducing.values(), key=lambda order: (self._sign * order.price, order.seq))

    def add(self, order: Order) -> None:
        """Puts an order behind those of its price that are already here."""
        insort(self._keys, (self._sign * order.price, order.seq))
        self._orders[order.seq] = order
        if order.reduce_only:
            self._reducing[order.seq] = order

    def remove(self, order: Order) -> None:
        """Takes an order out; unknown orders are ignored."""
        if self._orders.pop(order.seq, None) is not None:
            self._reducing.pop(order.seq, None)
            del self._keys[bisect_left(self._keys, (self._sign * order.price, order.seq))]

    def hits_of_trade(self, price: Decimal, qty: Decimal) -> list[tuple[Order, Decimal]]:
        """Shares of own orders in a public trade of `qty` at `price` that hit this side.

        Orders with a better price than the trade fill first: the market went through them. At the trade's own
        price the queue ahead is served first. Updates the queue positions.
        """
        hits: list[tuple[Order, Decimal]] = []
        limit = self._sign * price
        served = ZERO
        for key, seq in self._keys:
            if key > limit:
                break
            order = self._orders[seq]
            if key == limit:
                others = max(order.queue_ahead - served, ZERO)
                eaten = min(others, qty)
                served += eaten
                qty -= eaten
            else:
                order.queue_ahead = ZERO
            share = min(order.leaves, qty)
            if share > 0:
                hits.append((order, share))
                qty -= share
            if qty <= 0:
                break
        if served:
            for order in self._at(limit):
                order.queue_ahead = max(order.queue_ahead - served, ZERO)
        return hits

    def _at(self, key: Decimal) -> Iterator[Order]:
        for index in range(bisect_left(self._keys, (key, -1)), len(self._keys)):
            if self._keys[index][0] != key:
                return
            yield self._orders[self._keys[index][1]]

    def shrink_to(self, book: VisibleBook) -> None:
        """Cuts every queue position to the quantity now visible at its price."""
        for order in self._orders.values():
            if order.queue_ahead > 0:
                order.queue_ahead = min(order.queue_ahead, book.ahead_at(self._side, order.price))
