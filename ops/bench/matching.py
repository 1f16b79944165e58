"""matching: orders a second in the paper venue's matching core, against the synthetic market's own book and trades.

Of ten commands six rest (limit and post-only, near the touch), two are market orders, two cancel; a market event (trade,
50-level book or mark) stands between any two commands, which is far more market than an order gets in a run at sixty times
real time. One core, no ledger, no sockets: what is durable is the shell's. The rate counts commands over all the time that
the core took, its market events among them; what the bench itself needs is not timed. By processor time the rate leaves
out what other processes of the machine took meanwhile.
"""

from __future__ import annotations

import gc
import itertools
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from ops.bench.result import Options, Report, Row, Target, microseconds, row
from titan.paper.commands import CancelOrder, Command, PlaceOrder
from titan.paper.core import PaperVenueCore
from titan.paper.feeds.base import FeedBook, FeedEvent
from titan.paper.feeds.synthetic import SyntheticFeed
from titan.paper.orders import Accepted, Executed, NewOrder, OrderType, Result, Side, TimeInForce
from titan.paper.venue import listed

TARGET = Target(p50=10_000, better="high")
SYMBOL = "BTC/USDT:USDT"
SEED = 42
EVENTS = 8_000
SLICE = 500
WALLET = Decimal(10_000_000)
REACH_TICKS = 40
MOST_LOTS = 20
MOST_OPEN = 400
KINDS = ("limit", "post-only", "limit", "post-only", "limit", "post-only", "market", "market", "cancel", "cancel")


@dataclass(slots=True)
class _Times:
    """Nanoseconds by what was handled, and orders a second of each slice of `SLICE` commands by both clocks."""

    parts: dict[str, list[int]] = field(default_factory=dict)
    rates: list[float] = field(default_factory=list)
    processor_rates: list[float] = field(default_factory=list)
    spent_ns: int = 0
    processor_ns: int = 0
    taken: int = 0
    refused: int = 0
    fills: int = 0

    def handle(self, core: PaperVenueCore, event: Command | FeedEvent, now_ms: int, kind: str) -> Result:
        """Lets the core handle one input, and keeps what it took."""
        processor, began = time.thread_time_ns(), time.perf_counter_ns()
        result = core.handle(event, now_ms)
        took = time.perf_counter_ns() - began
        self.processor_ns += time.thread_time_ns() - processor
        self.spent_ns += took
        self.parts.setdefault(kind, []).append(took)
        self.fills += sum(isinstance(each, Executed) for each in result.effects)
        return result

    def slice(self) -> None:
        """Ends a slice of commands."""
        self.rates.append(SLICE * 1e9 / self.spent_ns)
        self.processor_rates.append(SLICE * 1e9 / self.processor_ns)
        self.spent_ns = self.processor_ns = 0


class _Trader:
    """Chooses commands: seeded, near the touch, as many buys as sells, each cancel of an order that is open."""

    def __init__(self, core: PaperVenueCore, chance: random.Random) -> None:
        self._core = core
        (self._state,) = core.symbols.values()
        self._chance = chance
        self._serial = 0

    def next(self) -> tuple[str, Command]:
        """What to do next; with nothing to cancel an order is placed, with too many open one is cancelled."""
        chance, waiting = self._chance, self._core.open_orders
        kind = chance.choice(KINDS)
        if kind == "cancel" and not waiting:
            kind = "limit"
        elif kind in ("limit", "post-only") and len(waiting) >= MOST_OPEN:
            kind = "cancel"
        if kind == "cancel":
            name = next(itertools.islice(waiting, chance.randrange(len(waiting)), None))
            return kind, CancelOrder(self._state.instrument.id, name)
        return kind, PlaceOrder(self._order(kind))

    def _order(self, kind: str) -> NewOrder:
        chance, instrument = self._chance, self._state.instrument
        self._serial += 1
        side = chance.choice((Side.BUY, Side.SELL))
        market = kind == "market"
        away = side.sign * chance.randrange(REACH_TICKS) * instrument.tick
        touch = self._state.book.best(side) or self._state.last
        return NewOrder(
            symbol=instrument.id,
            side=side,
            type=OrderType.MARKET if market else OrderType.LIMIT,
            qty=chance.randrange(1, MOST_LOTS + 1) * instrument.lot,
            price=Decimal(0) if market else touch - away,
            tif=TimeInForce.POST_ONLY if kind == "post-only" else TimeInForce.GTC,
            link_id=f"bench-{self._serial}",
        )


def run(options: Options) -> Report:
    """The same market again and again, with a fresh core each time, until the time is over."""
    feed = SyntheticFeed(SEED, (SYMBOL,))
    market = list(itertools.islice(feed.events(feed.start_ms), EVENTS))
    # The bench's own million objects: a venue reads its market from the feed as it goes.
    gc.collect()
    gc.freeze()
    try:
        return _report(feed, market, options.seconds)
    finally:
        gc.unfreeze()


def _report(feed: SyntheticFeed, market: list[FeedEvent], seconds: float) -> Report:
    first_book = next(event for event in market if isinstance(event, FeedBook))
    times = _Times()
    chance = random.Random(SEED)
    deadline = time.monotonic() + seconds
    while not times.rates or time.monotonic() < deadline:
        core = PaperVenueCore([listed(each) for each in feed.instruments], WALLET, "bench")
        core.prime(first_book)
        _one_market(core, market, _Trader(core, chance), times, lambda: time.monotonic() > deadline)
    return Report("matching", _rows(times), (f"{times.fills:,} fills, {times.refused:,} of {times.taken:,} refused",))


def _one_market(
    core: PaperVenueCore, market: list[FeedEvent], trader: _Trader, times: _Times, over: Callable[[], bool]
) -> None:
    for event in market:
        times.handle(core, event, event.ts_ms, type(event).__name__)
        kind, command = trader.next()
        answer = times.handle(core, command, event.ts_ms, kind)
        times.taken += 1
        times.refused += not isinstance(answer.reply, Accepted)
        if times.taken % SLICE == 0:
            times.slice()
            if over():
                return


def _rows(times: _Times) -> tuple[Row, ...]:
    parts = times.parts
    places = [took for kind in ("limit", "post-only") for took in parts.get(kind, ())]
    named = (
        ("a resting order", places),
        ("a market order", parts.get("market", [])),
        ("a cancel", parts.get("cancel", [])),
        ("a public trade", parts.get("FeedTrade", [])),
        ("a book of 50 levels", parts.get("FeedBook", [])),
    )
    return (
        row("orders and cancels, with the market between them", "orders/s", times.rates, TARGET),
        row("the same by processor time", "orders/s", times.processor_rates, Target(better="high")),
        *(row(name, "µs", microseconds(taken)) for name, taken in named if taken),
    )
