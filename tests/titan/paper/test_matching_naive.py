"""The matching core against a naive model over random markets: the same fills, orders, position and money after every step.

A thousand markets by default; `MATCHING_MARKETS=10000 pytest tests/titan/paper/test_matching_naive.py` runs ten thousand.
"""

from __future__ import annotations

import os
import random
from decimal import Decimal
from fractions import Fraction

import pytest

from tests.titan.paper.house import BTC, CANONICAL, SYMBOL, T0, D
from tests.titan.paper.naive import Naive
from titan.paper.commands import CancelOrder, PlaceOrder
from titan.paper.core import PaperVenueCore
from titan.paper.feeds.base import FeedBook, FeedTrade
from titan.paper.orders import Executed, NewOrder, OrderType, Result, Side, TimeInForce

MARKETS = int(os.environ.get("MATCHING_MARKETS", "1000"))
CHUNKS = 10
STEPS = 22
TICK, LOT = BTC.tick, BTC.lot
UNIT = TICK * LOT
WALLET = D(10**12)
TIFS = ("GTC", "GTC", "GTC", "IOC", "FOK", "PostOnly")


class Twin:
    """Core and model side by side, told the same things."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.core = PaperVenueCore([BTC], WALLET, "twin")
        self.model = Naive()
        self.fills: list[tuple[str, int, int, bool]] = []
        self.now = T0
        self.mid = self.chance.randrange(50_000, 900_000)
        self.names = 0
        self.market()

    def step(self) -> None:
        kind = self.chance.choices(("market", "trade", "place", "cancel"), (2, 4, 6, 1))[0]
        {"market": self.market, "trade": self.trade, "place": self.place, "cancel": self.cancel}[kind]()

    def market(self) -> None:
        chance = self.chance
        self.mid = max(1000, self.mid + chance.randrange(-6, 7))
        bids, asks = self._side(-1), self._side(1)
        self.model.book(bids, asks)
        shown = [tuple((price * TICK, lots * LOT) for price, lots in side) for side in (bids, asks)]
        self._tell(FeedBook(self.now, CANONICAL, shown[0], shown[1]))

    def _side(self, way: int) -> list[tuple[int, int]]:
        price, levels = self.mid, []
        for _ in range(self.chance.randrange(1, 5)):
            price += way * self.chance.randrange(1, 4)
            levels.append((price, self.chance.randrange(1, 40)))
        return levels

    def trade(self) -> None:
        price, lots = self.mid + self.chance.randrange(-6, 7), self.chance.randrange(1, 60)
        buys = self.chance.random() < 0.5
        self.model.trade(price, lots, taker_buys=buys)
        side = "buy" if buys else "sell"
        self._tell(FeedTrade(self.now, CANONICAL, price * TICK, lots * LOT, "buy" if side == "buy" else "sell", "t"))

    def place(self) -> None:
        chance = self.chance
        self.names += 1
        name, buy, lots = f"o{self.names}", chance.random() < 0.5, chance.randrange(1, 50)
        market = chance.random() < 0.2
        price = None if market else self.mid + chance.randrange(-7, 8)
        tif = "IOC" if market else chance.choice(TIFS)
        reduce = chance.random() < 0.25
        if not reduce and lots * LOT * (price or self.mid - 50) * TICK < BTC.min_notional:
            return
        wish = NewOrder(
            symbol=SYMBOL,
            side=Side.BUY if buy else Side.SELL,
            type=OrderType.MARKET if market else OrderType.LIMIT,
            qty=lots * LOT,
            price=D(0) if price is None else price * TICK,
            tif=TimeInForce(tif),
            link_id=name,
            reduce_only=reduce,
        )
        self.model.place(name, buy=buy, lots=lots, price=price, tif=tif, reduce=reduce)
        self._tell(PlaceOrder(wish))

    def cancel(self) -> None:
        if self.model.waiting:
            name = self.chance.choice(self.model.waiting).name
            self.model.cancel(name)
            self._tell(CancelOrder(SYMBOL, link_id=name))

    def _tell(self, event: FeedBook | FeedTrade | PlaceOrder | CancelOrder) -> None:
        self.now += 1
        result: Result = self.core.handle(event, self.now)
        for each in result.effects:
            if isinstance(each, Executed):
                done = each.execution
                self.fills.append((done.link_id, _whole(done.price, TICK), _whole(done.qty, LOT), done.is_maker))

    def agree(self, where: str) -> None:
        assert self.fills == self.model.fills, where
        waiting = {order.link_id: _whole(order.leaves, LOT) for order in self.core.open_orders.values()}
        assert waiting == {order.name: order.left for order in self.model.waiting}, where
        position = self.core.account.positions[SYMBOL]
        assert _whole(position.size, LOT) == self.model.held, where
        # The venue rounds a fee to 8 places and a released cost to 12, the model rounds nothing.
        slack = Decimal("1e-8") * (len(self.fills) + 1)
        assert abs(position.cost - _decimal(self.model.cost)) <= slack, where
        assert abs(self.core.account.wallet - WALLET - _decimal(self.model.money)) <= slack, where


def _whole(value: Decimal, step: Decimal) -> int:
    count = value / step
    assert count == int(count)
    return int(count)


def _decimal(value: Fraction) -> Decimal:
    """Ticks times lots as money."""
    return Decimal(value.numerator) * UNIT / Decimal(value.denominator)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_random_markets_match_like_the_naive_model(chunk: int) -> None:
    fills = makers = rested = 0
    for seed in range(chunk * MARKETS // CHUNKS, (chunk + 1) * MARKETS // CHUNKS):
        twin = Twin(seed)
        for number in range(STEPS):
            twin.step()
            twin.agree(f"seed {seed}, step {number}")
        fills += len(twin.fills)
        makers += sum(maker for *_, maker in twin.fills)
        rested += len(twin.model.waiting)
    assert min(fills, makers, rested) > MARKETS / CHUNKS
