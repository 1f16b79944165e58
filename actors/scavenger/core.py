"""The Scavenger: waits at prices where others are forced to trade, and proposes to trade with the burst.

Web: every minute of market time the traps of a symbol are computed anew from closed bars and merged. Spider: trades near a
trap are counted for 100 ms; enough of them spring it. Bite: 200 ms later, if the price held and no veto speaks, a signal
with size, stop, target and order type goes to the brain.

Guarantees: deterministic: the same events and times give the same effects; signal ids follow from symbol, market time and
a counter. Nothing is opened without an unexpired budget, nor while an entry of ours stands on the symbol; every trap
that is vetoed is armed again; an entry that outlives `max_hold_ms` is proposed for closing, budget or not. Never: clocks, I/O, orders.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import assert_never

from actors.scavenger.config import ScavengerConfig
from actors.scavenger.events import (
    BarClosed,
    BudgetState,
    BudgetUpdate,
    DecisionSeen,
    DispatchFailed,
    Effect,
    EmitSignal,
    Event,
    FillSeen,
    HistoryLoaded,
    MapUpdated,
    NeedHistory,
    PositionsSeen,
    RejectSeen,
    SymbolBlacklisted,
    TailSeen,
    TickerSeen,
    TimerFired,
    TradeColumns,
    TrapSettled,
    TrapSprung,
)
from actors.scavenger.fire import Outcome, Weather, market_veto
from actors.scavenger.flow import accelerates
from actors.scavenger.indicators import adx, atr, volatility_regime
from actors.scavenger.moment import flow_traps
from actors.scavenger.proposal import Proposal, build_close, build_signal
from actors.scavenger.symbol import Spring, SymbolState, price_at
from actors.scavenger.traps import PROFILE_BARS, Trap, TrapType, holds
from actors.scavenger.web import LiveTrap, Sprung, level_traps, missing
from titan.clock import Now, market_limit_ms
from titan.effects import CancelTimer, SetTimer
from titan.ids import SignalId
from titan.subjects import token

HISTORY = ((3600, 120), (300, 120), (60, 240))
"""Intervals in seconds and how many bars are asked for."""
ATR_BARS = 14


class ScavengerCore:
    """State and handlers; see the module for what it promises."""

    def __init__(self, symbols: Sequence[str], config: ScavengerConfig | None = None, speed: float = 1.0) -> None:
        """`speed` is market milliseconds per wall millisecond."""
        self.config = ScavengerConfig() if config is None else config
        self._late_limit_ms = market_limit_ms(self.config.burst_max_age_ms, speed)
        self.states = {symbol: SymbolState(symbol, self.config) for symbol in symbols}
        self.budget: BudgetUpdate | None = None
        self.signals = 0
        self._serial = 0
        self._sent: deque[int] = deque()
        self._owners: dict[str, SymbolState] = {}

    def start(self) -> list[Effect]:
        """What is needed before anything can be computed."""
        return [NeedHistory(symbol, interval_s, limit) for symbol in self.states for interval_s, limit in HISTORY]

    def handle(self, event: Event, now: Now) -> list[Effect]:
        """One event in, its effects out, in the order they must be carried out."""
        match event:
            case TradeColumns():
                return self._on_trades(event, now)
            case TickerSeen():
                return self._on_ticker(event, now)
            case BarClosed():
                return self._on_bar(event, now)
            case HistoryLoaded():
                return self._on_history(event, now)
            case TimerFired():
                return self._on_timer(event, now)
            case RejectSeen() | DispatchFailed():
                return self._on_failure(event.signal_id)
            case BudgetUpdate() | PositionsSeen() | FillSeen() | TailSeen() | DecisionSeen():
                self._learn(event, now)
                return []
            case _:
                assert_never(event)

    def _learn(self, event: BudgetUpdate | PositionsSeen | FillSeen | TailSeen | DecisionSeen, now: Now) -> None:
        """Facts that only change what later events may do."""
        match event:
            case BudgetUpdate():
                self.budget = event
            case PositionsSeen():
                for symbol, state in self.states.items():
                    quantity, resting = event.quantities.get(symbol, 0.0), event.resting.get(symbol, 0)
                    state.holdings.settle(quantity, resting, symbol in event.ours, now.market_ms)
            case FillSeen():
                if event.symbol in self.states:
                    self.states[event.symbol].holdings.fill(event.signal_id, event.quantity, now.market_ms)
            case TailSeen():
                if event.symbol in self.states:
                    seen = self.states[event.symbol]
                    seen.alpha, seen.clustered = event.alpha, event.clustered
            case DecisionSeen():
                if not event.approved:
                    self._withdraw(event.signal_id)
            case _:
                assert_never(event)

    def _on_trades(self, columns: TradeColumns, now: Now) -> list[Effect]:
        state = self.states.get(columns.symbol)
        if state is None or not len(columns.ts_ms):
            return []
        before = state.last_price
        effects: list[Effect] = []
        for spring in state.trades(columns):
            effects += self._sprung(state, spring)
        for live in state.web.due(state.last_ms):
            sprung = live.sprung
            if sprung is not None:
                price = price_at(columns, sprung.due_ms, before)
                effects.append(CancelTimer(sprung.key))
                effects += self._settle(state, live, sprung, price, now)
        self._remap_when_due(state, now, effects)
        return effects

    def _on_ticker(self, ticker: TickerSeen, now: Now) -> list[Effect]:
        state = self.states.get(ticker.symbol)
        if state is None:
            return []
        state.ticker(ticker)
        effects: list[Effect] = []
        for live in state.web.due(ticker.ts_ms):
            if live.sprung is not None:
                effects.append(CancelTimer(live.sprung.key))
                effects += self._settle(state, live, live.sprung, state.last_price, now)
        if state.holdings.overdue(now.market_ms, now.wall_ms, self.config.max_hold_ms):
            state.holdings.close(now.wall_ms + self.config.pending_wall_ms)
            effects.append(EmitSignal(build_close(self._next_id(state, now), state, now, self.config.ttl_ms)))
            self.signals += 1
        self._remap_when_due(state, now, effects)
        return effects

    def _next_id(self, state: SymbolState, now: Now) -> SignalId:
        return SignalId(f"scavenger-{token(state.symbol)}-{now.market_ms}-{self.signals + 1}")

    def _on_bar(self, event: BarClosed, now: Now) -> list[Effect]:
        state = self.states.get(event.symbol)
        if state is None:
            return []
        effects: list[Effect] = []
        if not state.bars.close(event.interval_s, event.bar):
            limit = dict(HISTORY)[event.interval_s]
            effects.append(NeedHistory(event.symbol, event.interval_s, limit))
        if event.interval_s == max(interval_s for interval_s, _ in HISTORY):
            self._remap(state, now, effects)
        return effects

    def _on_history(self, event: HistoryLoaded, now: Now) -> list[Effect]:
        state = self.states.get(event.symbol)
        effects: list[Effect] = []
        if state is not None:
            state.bars.load(event.interval_s, event.bars)
            self._remap(state, now, effects)
        return effects

    def _on_timer(self, event: TimerFired, now: Now) -> list[Effect]:
        for state in self.states.values():
            live = state.web.by_key(event.key)
            if live is not None and live.sprung is not None:
                state.last_ms = max(state.last_ms, live.sprung.due_ms)
                return self._settle(state, live, live.sprung, state.last_price, now)
        return []

    def _on_failure(self, signal_id: str) -> list[Effect]:
        state = self._withdraw(signal_id)
        if state is None:
            return []
        state.failures += 1
        if state.failures < self.config.failures_to_blacklist:
            return []
        state.failures = 0
        state.blacklisted_until_ms = state.last_ms + self.config.blacklist_ms
        return [SymbolBlacklisted(state.symbol, state.blacklisted_until_ms)]

    def _withdraw(self, signal_id: str) -> SymbolState | None:
        state = self._owners.pop(signal_id, None)
        return state if state is not None and state.holdings.withdraw(signal_id) else None

    def _remap_when_due(self, state: SymbolState, now: Now, effects: list[Effect]) -> None:
        if state.mapped_ms is None or state.last_ms - state.mapped_ms >= self.config.update_interval_ms:
            self._remap(state, now, effects)

    def _remap(self, state: SymbolState, now: Now, effects: list[Effect]) -> None:
        at_ms = state.last_ms or now.market_ms
        traps = level_traps(state.symbol, state.bars, state.last_price, self.config)
        traps += flow_traps(state, self._btc(), at_ms, self.config)
        state.web.merge(traps, at_ms)
        state.mapped_ms = at_ms
        effects.append(MapUpdated(state.symbol, state.web.live()))

    def _btc(self) -> SymbolState | None:
        return next((state for name, state in self.states.items() if name.startswith("BTC/")), None)

    def _sprung(self, state: SymbolState, spring: Spring) -> list[Effect]:
        effects: list[Effect] = []
        for live in spring.traps:
            self._serial += 1
            key = f"confirm:{token(state.symbol)}:{spring.ts_ms}:{self._serial}"
            due_ms = spring.ts_ms + self.config.confirmation_ms
            live.sprung = Sprung(key, due_ms, spring.burst, state.velocity.now())
            burst = spring.burst
            effects.append(
                TrapSprung(live.trap, burst.trades, burst.buy_qty - burst.sell_qty, spring.ts_ms - burst.started_ms)
            )
            effects.append(SetTimer(key, self.config.confirmation_ms, "market"))
        state.web.refresh(spring.ts_ms)
        return effects

    def _settle(
        self, state: SymbolState, live: LiveTrap, sprung: Sprung, confirmed: float | None, now: Now
    ) -> list[Effect]:
        """Confirms or releases a sprung trap; `confirmed` is the price at the moment the confirmation was due."""
        live.sprung = None
        at_ms, trap, price = state.last_ms, live.trap, state.last_price
        effects: list[Effect] = []
        signal_id: SignalId | None = None
        figures: dict[str, float] = {}
        outcome = Outcome.PRICE_LEFT
        if price is not None and confirmed is not None:
            weather = _weather(state, sprung)
            figures = {"velocity": weather.velocity, "adx": weather.trend.adx, "price": price}
            refusal = self._refusal(state, trap, sprung, confirmed, now)
            refusal = refusal or market_veto(trap, sprung.burst, price, weather, self.config)
            if refusal is None:
                outcome, signal_id = self._propose(state, trap, sprung, price, weather, now, effects)
            else:
                outcome = refusal
        if outcome in (Outcome.SUBMITTED, Outcome.GHOST):
            live.fired_ms = state.last_fired_ms = at_ms
        state.web.refresh(at_ms)
        effects.append(TrapSettled(trap, outcome, signal_id, figures))
        return effects

    def _refusal(self, state: SymbolState, trap: Trap, sprung: Sprung, confirmed: float, now: Now) -> Outcome | None:
        config, at_ms = self.config, state.last_ms
        if not holds(trap.direction, trap.trigger, confirmed):
            return Outcome.WICK_REVERSION
        if at_ms - sprung.due_ms > self._late_limit_ms:
            return Outcome.STALE_BURST
        if not config.enabled:
            return Outcome.DISABLED
        if at_ms < state.blacklisted_until_ms:
            return Outcome.BLACKLISTED
        if state.last_fired_ms is not None and at_ms - state.last_fired_ms < config.symbol_cooldown_ms:
            return Outcome.COOLDOWN
        entries = state.holdings.entries(now.wall_ms)
        reversal = config.allow_reversal and state.holdings.is_against(trap.direction.sign)
        if entries >= config.max_open_entries_per_symbol and not reversal:
            return Outcome.ALREADY_HELD
        return None

    def _propose(
        self,
        state: SymbolState,
        trap: Trap,
        sprung: Sprung,
        price: float,
        weather: Weather,
        now: Now,
        effects: list[Effect],
    ) -> tuple[Outcome, SignalId | None]:
        budget = self.usable_budget(now.wall_ms)
        if budget is None:
            return Outcome.NO_BUDGET, None
        while self._sent and self._sent[0] <= now.wall_ms - 60_000:
            self._sent.popleft()
        if budget.max_order_rate and len(self._sent) >= budget.max_order_rate:
            return Outcome.ORDER_RATE, None
        signal_id = self._next_id(state, now)
        signal = build_signal(
            Proposal(
                signal_id=signal_id,
                trap=trap,
                burst=sprung.burst,
                price=price,
                price_scale=state.price_scale,
                weather=weather,
                leader=state.lead.leader(),
                budget=budget,
                minute_atr=atr(state.bars.last(60, ATR_BARS + 1), ATR_BARS),
                macro_cvd=state.cvd.over(60_000, state.last_ms),
                t_signal_ms=now.market_ms,
                t_exchange_ms=state.last_ms,
            ),
            self.config,
        )
        if signal is None:
            return Outcome.SIZE_ZERO, None
        if self.config.ghost_mode:
            return Outcome.GHOST, None
        self.signals += 1
        self._sent.append(now.wall_ms)
        state.holdings.propose(signal_id, now.wall_ms + self.config.pending_wall_ms, trap.trap_type.value)
        self._remember_owner(signal_id, state)
        effects.append(EmitSignal(signal))
        return Outcome.SUBMITTED, signal_id

    def _remember_owner(self, signal_id: str, state: SymbolState) -> None:
        self._owners[signal_id] = state
        if len(self._owners) > 1000:
            self._owners.pop(next(iter(self._owners)))

    def usable_budget(self, wall_ms: int) -> BudgetUpdate | None:
        """The budget when it has not expired and lets something be opened; without one the phase counts as HALTED."""
        budget = self.budget
        if budget is None or wall_ms >= budget.expires_at_ms or budget.max_notional <= 0:
            return None
        return budget if budget.state in (BudgetState.ACTIVE, BudgetState.THROTTLED) else None

    def missing(self) -> dict[str, list[str]]:
        """What each symbol still lacks, one sentence a rule; symbols that are fully warm are left out."""
        lacking: dict[str, list[str]] = {}
        for symbol, state in self.states.items():
            sentences = missing(state.bars)
            if state.last_price is None:
                sentences.append("no trade or ticker has been seen")
            if sentences:
                lacking[symbol] = sentences
        return lacking

    def active_traps(self) -> dict[TrapType, int]:
        """Standing traps by type over all symbols."""
        counts = dict.fromkeys(TrapType, 0)
        for state in self.states.values():
            for trap_type, count in state.web.live().items():
                counts[trap_type] += count
        return counts


def _weather(state: SymbolState, sprung: Sprung) -> Weather:
    velocity = state.velocity.now()
    frame = state.bars.ladder(PROFILE_BARS)
    bars = frame[1] if frame is not None else state.bars.last(60, PROFILE_BARS)
    return Weather(
        velocity=velocity,
        accelerates=accelerates(velocity, sprung.velocity),
        trend=adx(bars),
        atr=atr(bars),
        volatility=volatility_regime(bars),
    )
