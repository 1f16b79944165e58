"""Everything the Scavenger knows about one symbol, and the detection of bursts on its tape.

Guarantees: each trade is counted once however many traps are near; a batch that touches no trap costs a few comparisons;
time is exchange time. Never: decisions about trading (see core), clocks.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass

import numpy as np

from actors.scavenger.config import ScavengerConfig
from actors.scavenger.detectors import BBO_SAMPLES, BBO_STEP_MS, OI_HISTORY_MS, BasisGap, OiSample
from actors.scavenger.events import TickerSeen, TradeColumns
from actors.scavenger.flow import CVD_STEP_MS, Burst, Cvd, Leader, LeadLag, VelocityTracker
from actors.scavenger.holdings import Holdings
from actors.scavenger.indicators import Bbo
from actors.scavenger.web import BarStore, LiveTrap, Web

OI_STEP_MS = 5_000
_LEADERS = {"binance": Leader.BINANCE, "bybit": Leader.BYBIT}


@dataclass(frozen=True, slots=True)
class Spring:
    """A burst that was big enough, and the armed traps it touched."""

    ts_ms: int
    price: float
    burst: Burst
    traps: tuple[LiveTrap, ...]


class SymbolState:
    """The state of one symbol. Attributes are read by the core; only methods here move the tape on."""

    def __init__(self, symbol: str, config: ScavengerConfig) -> None:
        self.symbol = symbol
        self._config = config
        self.web = Web(config)
        self.bars = BarStore()
        self.cvd = Cvd()
        self.velocity = VelocityTracker()
        self.lead = LeadLag()
        self.holdings = Holdings()
        self.last_price: float | None = None
        self.last_ms = 0
        self.price_scale = 8
        self.trades_seen = 0
        self.funding: float | None = None
        self.index: float | None = None
        self.volume_24h = 0.0
        self.open_interest: deque[OiSample] = deque()
        self.bbo: deque[Bbo] = deque(maxlen=BBO_SAMPLES)
        self.basis: BasisGap | None = None
        self.alpha: float | None = None
        self.clustered = False
        self.mapped_ms: int | None = None
        self.last_fired_ms: int | None = None
        self.failures = 0
        self.blacklisted_until_ms = 0
        self._bbo_ms = 0
        self._burst: Burst | None = None

    def trades(self, columns: TradeColumns) -> list[Spring]:
        """Moves the tape on by a batch and returns the bursts that completed in it."""
        count = len(columns.ts_ms)
        last_ms, last = int(columns.ts_ms[-1]), float(columns.price[-1])
        self.trades_seen += count
        self.price_scale = columns.price_scale
        self.velocity.add(last_ms, last)
        self._flow(columns)
        leader = _LEADERS.get(columns.venue)
        if leader is not None:
            self.lead.add(leader, last_ms, last)
        springs: list[Spring] = []
        if last_ms >= self.blacklisted_until_ms:
            self.web.rearm(last_ms)
            if self.web.bands:
                springs = self._near(columns)
        self.last_price = last
        self.last_ms = max(self.last_ms, last_ms)
        return springs

    def _flow(self, columns: TradeColumns) -> None:
        first_ms, last_ms = int(columns.ts_ms[0]), int(columns.ts_ms[-1])
        signed = np.where(columns.buy, columns.qty, -columns.qty)
        if last_ms - first_ms < CVD_STEP_MS:
            self.cvd.add(last_ms, float(signed.sum()))
            return
        for ts_ms, delta in zip(columns.ts_ms.tolist(), signed.tolist(), strict=True):
            self.cvd.add(ts_ms, delta)

    def _near(self, columns: TradeColumns) -> list[Spring]:
        low, high = float(columns.price.min()), float(columns.price.max())
        hit = [bounds for bounds in self.web.bands if bounds[0] <= high and low <= bounds[1]]
        if not hit:
            return []
        if low >= hit[0][0] and high <= hit[0][1]:
            times, prices = columns.ts_ms.tolist(), columns.price.tolist()
            sizes, sides = columns.qty.tolist(), columns.buy.tolist()
        else:
            mask = np.zeros(len(columns.price), dtype=np.bool_)
            for bounds in hit:
                mask |= (columns.price >= bounds[0]) & (columns.price <= bounds[1])
            times, prices = columns.ts_ms[mask].tolist(), columns.price[mask].tolist()
            sizes, sides = columns.qty[mask].tolist(), columns.buy[mask].tolist()
        return self._count(times, prices, sizes, sides)

    def _count(self, times: list[int], prices: list[float], sizes: list[float], sides: list[bool]) -> list[Spring]:
        window, needed = self._config.volume_window_ms, self._config.min_trades_in_window
        springs: list[Spring] = []
        burst = self._burst
        for ts_ms, price, qty, buy in zip(times, prices, sizes, sides, strict=True):
            if burst is None:
                burst = Burst(ts_ms)
            burst.trades += 1
            if buy:
                burst.buy_qty += qty
            else:
                burst.sell_qty += qty
            if ts_ms - burst.started_ms < window:
                continue
            if burst.trades >= needed and ts_ms - burst.started_ms <= window + self._config.burst_max_age_ms:
                touched = tuple(self.web.touching(price, ts_ms))
                if touched:
                    springs.append(Spring(ts_ms, price, burst, touched))
            burst = None
        self._burst = burst
        return springs

    def ticker(self, ticker: TickerSeen) -> None:
        """Takes the figures that a ticker brings; only trades move the price of detection, until there are some."""
        if self.last_price is None:
            self.last_price = ticker.last
        self.last_ms = max(self.last_ms, ticker.ts_ms)
        self.funding = ticker.funding_rate if ticker.funding_rate is not None else self.funding
        self.index = ticker.index if ticker.index is not None else self.index
        self.volume_24h = ticker.volume_24h if ticker.volume_24h is not None else self.volume_24h
        if ticker.open_interest is not None:
            samples = self.open_interest
            if not samples or ticker.ts_ms - samples[-1].ts_ms >= OI_STEP_MS:
                samples.append(OiSample(ticker.ts_ms, ticker.open_interest))
                while samples[0].ts_ms < ticker.ts_ms - OI_HISTORY_MS:
                    samples.popleft()
        quote = (ticker.bid, ticker.bid_size, ticker.ask, ticker.ask_size)
        if None not in quote and ticker.ts_ms - self._bbo_ms >= BBO_STEP_MS:
            self.bbo.append(Bbo(*(float(part or 0.0) for part in quote)))
            self._bbo_ms = ticker.ts_ms


def price_at(columns: TradeColumns, ts_ms: int, before: float | None) -> float | None:
    """The last price at or before an exchange time: in the batch, else the price `before` it."""
    place = bisect_right(columns.ts_ms, ts_ms) - 1
    return float(columns.price[place]) if place >= 0 else before
