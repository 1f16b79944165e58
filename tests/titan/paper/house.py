"""What the venue's tests share: an instrument, a core with a simple book, events, a scripted feed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from titan.paper.commands import CancelOrder, Command, PlaceOrder
from titan.paper.core import PaperVenueCore
from titan.paper.feeds.base import Bar, FeedBook, FeedEvent, FeedInstrument, FeedMark, FeedTrade, TakerSide
from titan.paper.orders import (
    Accepted,
    Executed,
    Execution,
    Instrument,
    NewOrder,
    Order,
    OrderChanged,
    OrderType,
    PositionChanged,
    Refused,
    Result,
    Side,
    TimeInForce,
    WalletChanged,
)

D = Decimal

SYMBOL = "BTCUSDT"
CANONICAL = "BTC/USDT:USDT"
T0 = 1_700_000_000_000

BTC = Instrument(
    id=SYMBOL,
    symbol=CANONICAL,
    base="BTC",
    quote="USDT",
    tick=D("0.1"),
    lot=D("0.001"),
    min_qty=D("0.001"),
    min_notional=D(5),
    max_leverage=D(100),
    max_qty=D(1000),
)
ETH = Instrument("ETHUSDT", "ETH/USDT:USDT", "ETH", "USDT", D("0.01"), D("0.01"), D("0.01"), D(5), D(50), D(10000))


def levels(*pairs: tuple[str | int, str | int]) -> tuple[tuple[D, D], ...]:
    return tuple((D(p), D(q)) for p, q in pairs)


BIDS = levels((100, 1), (99, 2), (98, 3))
ASKS = levels((101, 1), (102, 2), (103, 3))


def book(
    bids: tuple[tuple[D, D], ...] = BIDS, asks: tuple[tuple[D, D], ...] = ASKS, ts: int = T0, symbol: str = CANONICAL
) -> FeedBook:
    return FeedBook(ts, symbol, bids, asks)


def trade(
    price: str | int, qty: str | int, side: TakerSide = "buy", ts: int = T0, symbol: str = CANONICAL
) -> FeedTrade:
    return FeedTrade(ts, symbol, D(price), D(qty), side, f"t{ts}")


def mark(
    price: str | int, rate: str = "0.0001", next_ms: int = T0 + 8 * 3_600_000, ts: int = T0, symbol: str = CANONICAL
) -> FeedMark:
    return FeedMark(ts, symbol, D(price), D(price), D(rate), next_ms, D(1000))


class Desktop:
    """A core with a clock and shorthand for what tests do to it."""

    def __init__(self, wallet: str = "100000", salt: str = "test") -> None:
        self.core = PaperVenueCore([BTC, ETH], D(wallet), salt)
        self.now = T0
        self.effects: list[object] = []
        self.feed(book())
        self.feed(trade(100, 1))
        self.feed(mark(100))
        self.effects.clear()

    def feed(self, event: FeedEvent) -> Result:
        return self._run(event)

    def run(self, command: Command) -> Result:
        return self._run(command)

    def _run(self, event: FeedEvent | Command) -> Result:
        self.now += 1
        result = self.core.handle(event, self.now)
        self.effects.extend(result.effects)
        return result

    def place(
        self,
        side: Side,
        qty: str,
        price: str | None = None,
        *,
        tif: TimeInForce = TimeInForce.GTC,
        symbol: str = SYMBOL,
        **more: object,
    ) -> Placed:
        new = NewOrder(
            symbol=symbol,
            side=side,
            type=OrderType.MARKET if price is None else OrderType.LIMIT,
            qty=D(qty),
            price=D(price or 0),
            tif=tif,
            **more,  # type: ignore[arg-type]
        )
        return Placed(self.run(PlaceOrder(new)))

    def buy(self, qty: str, price: str | None = None, **more: object) -> Placed:
        return self.place(Side.BUY, qty, price, **more)  # type: ignore[arg-type]

    def sell(self, qty: str, price: str | None = None, **more: object) -> Placed:
        return self.place(Side.SELL, qty, price, **more)  # type: ignore[arg-type]

    def cancel(self, order_id: str) -> Result:
        return self.run(CancelOrder(SYMBOL, order_id))

    @property
    def size(self) -> D:
        return self.core.account.positions[SYMBOL].size

    @property
    def executions(self) -> list[Execution]:
        return [e.execution for e in self.effects if isinstance(e, Executed)]

    def order(self, order_id: str) -> Order:
        """The last reported state of an order."""
        return [e.order for e in self.effects if isinstance(e, OrderChanged) and e.order.order_id == order_id][-1]

    def untriggered(self) -> dict[str, Order]:
        return {o.stop_type.value: o for o in self.core.symbols[SYMBOL].untriggered.values()}


class Placed:
    """The outcome of a placement."""

    def __init__(self, result: Result) -> None:
        self.result = result

    @property
    def refused(self) -> Refused:
        assert isinstance(self.result.reply, Refused), self.result.reply
        return self.result.reply

    @property
    def id(self) -> str:
        assert isinstance(self.result.reply, Accepted), self.result.reply
        return self.result.reply.orders[0][0]

    @property
    def order(self) -> Order:
        """The order as this input left it."""
        orders = [e.order for e in self.result.effects if isinstance(e, OrderChanged)]
        return next(o for o in orders if o.order_id == self.id)

    @property
    def fills(self) -> list[tuple[D, D]]:
        return [(e.execution.price, e.execution.qty) for e in self.result.effects if isinstance(e, Executed)]


def kinds(result: Result) -> list[type]:
    known = (OrderChanged, Executed, PositionChanged, WalletChanged)
    assert all(isinstance(e, known) for e in result.effects)
    return [type(e) for e in result.effects]


@dataclass
class ScriptedFeed:
    """A feed whose events a test writes; history is one bar a minute at 100."""

    script: list[FeedEvent] = field(default_factory=list)
    name: str = "scripted:1"
    start_ms: int = T0
    end_ms: int | None = None
    warmup: str = "a flat day precedes the script"
    instruments: tuple[FeedInstrument, ...] = (
        FeedInstrument(CANONICAL, "BTC", "USDT", BTC.tick, BTC.lot, BTC.min_qty, BTC.min_notional, BTC.max_leverage),
        FeedInstrument(ETH.symbol, "ETH", "USDT", ETH.tick, ETH.lot, ETH.min_qty, ETH.min_notional, ETH.max_leverage),
    )

    def history(self, symbol: str, interval_s: int, before_ms: int, limit: int) -> list[Bar]:
        step = interval_s * 1000
        last = before_ms - before_ms % step
        return [Bar(last - n * step, D(100), D(110), D(90), D(100), D(2)) for n in range(limit, 0, -1)]

    def events(self, from_ms: int) -> Iterator[FeedEvent]:
        return (e for e in self.script if e.ts_ms >= from_ms)
