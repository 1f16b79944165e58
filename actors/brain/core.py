"""The brain's core: one event in, effects out.

Guarantees: deterministic; the same events at the same times give the same effects, so replay, simulation and
production are the same thing. Never: I/O, a clock, randomness, or equity and limits from anywhere but the router's
report and the hashed policy.
"""

from __future__ import annotations

from decimal import Decimal
from typing import assert_never

from actors.brain.breaker import Trip
from actors.brain.budgets import BudgetInput, PhaseBudget, budget_of
from actors.brain.config import BrainConfig
from actors.brain.decide import decide
from actors.brain.events import (
    BUDGET_TIMER,
    BreakerResetRequested,
    Effect,
    Event,
    FillSeen,
    ModeRequested,
    PolicyAttested,
    RejectSeen,
    RouterReported,
    Save,
    SignalReceived,
    TailSeen,
    TickerSeen,
    TimerFired,
    TradingStateSeen,
    TruthSeen,
)
from actors.brain.exposure import DAY_MS, router_view
from actors.brain.governance import may_open
from actors.brain.messages import budget_message, halt_message, tail_of
from actors.brain.performance import ClosedTrade
from actors.brain.snapshot import dump, restore
from actors.brain.state import TRADING_PHASES, BrainState, Quote
from protos import market_pb2, trading_pb2
from titan import subjects
from titan.clock import Now
from titan.codec import TRADING_STATE_FROM_PB, fill_from_pb
from titan.codes import TradingState
from titan.effects import Publish, RaiseAlert, SetTimer
from titan.model import Phase
from titan.money import BPS, ZERO, dec_or_none, text_of
from titan.policy import RiskPolicy

HALT_AGAIN_WALL_MS = 1000


class BrainCore:
    """Decides signals and watches over risk. Feed it events in the order they came."""

    def __init__(self, config: BrainConfig, policy: RiskPolicy) -> None:
        self.config = config
        self.policy = policy
        self.state = BrainState(config, policy)
        self._urgent = False

    def start(self, now: Now, snapshot: str | None = None) -> list[Effect]:
        """Restores what a former incarnation kept, and begins the budget rounds. Raises ValueError on a bad snapshot."""
        if snapshot:
            restore(self.state, snapshot)
        self.state.truth_wall_ms = now.wall_ms
        return [*self.state.reassess(now), *self._budget_round(now)]

    def snapshot(self) -> str:
        """What must survive a restart, as text."""
        return dump(self.state)

    def handle(self, event: Event, now: Now) -> list[Effect]:
        """One event's effects. Raises ValueError when a message makes no sense (never for a signal)."""
        match event:
            case SignalReceived(message):
                return decide(self.state, message, now)
            case TickerSeen(message):
                return self._ticker(message)
            case RouterReported(message):
                return self._router_reported(message, now)
            case TradingStateSeen(message):
                return self._trading_state(message)
            case FillSeen(message):
                return self._fill(message, now)
            case RejectSeen(message):
                return self._reject(message, now)
            case TruthSeen(message):
                return self._truth(message, now)
            case TailSeen(message):
                self.state.tails[message.symbol] = tail_of(message)
                return self.state.reassess(now)
            case PolicyAttested(policy_hash):
                return self._attested(policy_hash)
            case ModeRequested():
                return self._mode(event, now)
            case BreakerResetRequested():
                return self._reset(event, now)
            case TimerFired(key):
                return self._timer(key, now)
            case _:
                assert_never(event)

    # The market.

    def _ticker(self, message: market_pb2.Ticker) -> list[Effect]:
        bid, ask = dec_or_none(message.bid), dec_or_none(message.ask)
        last = dec_or_none(message.last) or dec_or_none(message.mark)
        price = last or bid or ask
        if price is None or price <= 0:
            raise ValueError(f"the ticker of {message.symbol} has no price")
        volume = dec_or_none(message.volume_24h)
        if volume is not None and volume > 0:
            self.state.volumes[message.symbol] = volume
        self.state.quote(message.symbol, Quote(message.ts_ms, bid, ask, last), float(price))
        return []

    # The router.

    def _router_reported(self, message: trading_pb2.RouterState, now: Now) -> list[Effect]:
        state = self.state
        view = router_view(message, state.last_prices())
        if not state.exposure.report(view, now.wall_ms):
            return []
        if (view.ts_ms, view.journal_seq) >= state.trading_order:
            state.trading_state, state.trading_reason = view.trading_state, view.reason
            state.trading_order = (view.ts_ms, view.journal_seq)
        state.books.agree(view.positions, now.wall_ms)
        effects = self._attested(view.policy_hash) if view.policy_hash else []
        if view.equity is not None and view.reconciled:
            day = now.market_ms // DAY_MS
            effects += self._ladder(view.daily_pnl, day)
            if state.breaker.on_equity(view.equity, view.start_of_day, now.market_ms, day):
                reason = state.breaker.state.reason
                effects += [
                    RaiseAlert("CIRCUIT_BREAKER_HARD", "CRITICAL", f"circuit breaker tripped: {reason}"),
                    Save(),
                ]
        if state.breaker.on_time(now.market_ms):
            effects += [RaiseAlert("CIRCUIT_BREAKER_RESUMED", "INFO", "the pause after losses is over"), Save()]
        effects += self._keep_halted(now)
        effects += state.reassess(now)
        return effects

    def _keep_halted(self, now: Now) -> list[Effect]:
        """While the breaker stands hard, the router is told to halt until it reports that it has."""
        state = self.state
        if state.breaker.state.trip is not Trip.HARD or state.trading_state is TradingState.HALTED:
            return []
        if now.wall_ms - state.halt_sent_wall_ms < HALT_AGAIN_WALL_MS:
            return []
        state.halt_sent_wall_ms = now.wall_ms
        message = halt_message(f"circuit breaker: {state.breaker.state.reason}", now.wall_ms)
        return [Publish(subjects.operator("halt"), message, idempotency_key=message.command_id)]

    def _ladder(self, daily_pnl: Decimal, day: int) -> list[Effect]:
        before = self.state.ladder
        self.state.ladder = before.after(day, daily_pnl, self.policy.max_daily_loss)
        if self.state.ladder == before:
            return []
        effects: list[Effect] = [Save()]
        if self.state.ladder.step.rank > before.step.rank or self.state.ladder.step.rank > 0:
            text = f"daily PnL {daily_pnl:.2f} of limit {text_of(self.policy.max_daily_loss)}: {self.state.ladder.step.value}"
            effects.append(RaiseAlert("DAILY_LOSS_LADDER", "WARNING", text))
        return effects

    def _attested(self, policy_hash: str) -> list[Effect]:
        state = self.state
        state.router_hash = policy_hash
        if state.hash_matches == (not state.hash_alerted):
            return []
        state.hash_alerted = not state.hash_matches
        if state.hash_matches:
            return [RaiseAlert("POLICY_HASH_AGREED", "INFO", f"brain and router attest policy {policy_hash}")]
        text = f"brain attests policy {self.policy.hash}, router {policy_hash}: openings are held"
        return [RaiseAlert("POLICY_HASH_MISMATCH", "CRITICAL", text)]

    def _trading_state(self, message: trading_pb2.TradingStateChanged) -> list[Effect]:
        current = TRADING_STATE_FROM_PB.get(message.current)
        if current is None:
            raise ValueError(f"trading state is missing or unknown: {message.current}")
        order = (message.ts_ms, message.journal_seq)
        known = self.state.exposure.view
        superseded = known is not None and 0 < message.term < known.term
        if order >= self.state.trading_order and not superseded:
            self.state.trading_state, self.state.trading_reason = current, message.reason
            self.state.trading_order = order
        return []

    # What became of intents.

    def _fill(self, message: trading_pb2.Fill, now: Now) -> list[Effect]:
        fill, state = fill_from_pb(message), self.state
        state.exposure.filled(fill.intent_id, fill.journal_seq)
        approved = state.approvals.get(fill.intent_id)
        if approved is not None and approved.takes and not approved.filled:
            approved.filled = True
            slippage = None
            if approved.reference is not None:
                slippage = float((fill.price - approved.reference) / approved.reference * approved.side.sign * BPS)
            latency = float(fill.t_ingress_ms - approved.wall_ms) if fill.t_ingress_ms else None
            state.quality.filled(now.wall_ms, latency, slippage)
        trap = approved.trap_type if approved is not None else ""
        trip = state.books.apply(fill, trap, fill.t_exchange_ms or now.market_ms)
        effects: list[Effect] = [Save()]
        if trip is not None:
            equity = float(state.equity or ZERO)
            state.performance.record(ClosedTrade(trip.phase, float(trip.pnl), equity, trip.ts_ms))
            if trip.phase is Phase.SCAVENGER and trip.trap_type:
                state.calibration.record(trip.trap_type, trip.ts_ms, won=trip.pnl > 0)
            if state.breaker.on_round_trip(trip.pnl, trip.ts_ms):
                effects.append(
                    RaiseAlert("CIRCUIT_BREAKER_SOFT", "WARNING", f"openings paused: {state.breaker.state.reason}")
                )
            effects += state.reassess(now)
        return effects + self._urgent_budgets(now)

    def _reject(self, message: trading_pb2.Reject, now: Now) -> list[Effect]:
        if message.intent_id in self.state.approvals:
            self.state.exposure.release(message.intent_id)
            self.state.quality.rejected(now.wall_ms, message.code)
        return self._urgent_budgets(now)

    def _truth(self, message: trading_pb2.Truth, now: Now) -> list[Effect]:
        if not 0 <= message.confidence <= 100:
            raise ValueError(f"truth confidence must be between 0 and 100, got {message.confidence}")
        self.state.truth = message.confidence
        self.state.truth_wall_ms = now.wall_ms
        return self.state.reassess(now)

    # People.

    def _mode(self, event: ModeRequested, now: Now) -> list[Effect]:
        self.state.operator_mode = event.mode
        text = f"{event.operator_id} set the mode to {event.mode.value}"
        return [RaiseAlert("OPERATOR_MODE", "INFO", text), Save(), *self.state.reassess(now)]

    def _reset(self, event: BreakerResetRequested, now: Now) -> list[Effect]:
        state, day = self.state, now.market_ms // DAY_MS
        stood = state.breaker.reset(state.equity, day)
        state.ladder = type(state.ladder)(day)
        what = "reset the circuit breaker" if stood else "reset the ladder; the circuit breaker was closed"
        text = f"{event.operator_id} {what}: {event.reason}"
        return [RaiseAlert("CIRCUIT_BREAKER_RESET", "WARNING", text), Save(), *state.reassess(now)]

    # Budgets.

    def _timer(self, key: str, now: Now) -> list[Effect]:
        if key != BUDGET_TIMER:
            raise ValueError(f"unknown timer {key!r}")
        return [*self.state.reassess(now), *self._budget_round(now), Save()]

    def _budget_round(self, now: Now) -> list[Effect]:
        return [*self._budgets(now), SetTimer(BUDGET_TIMER, self.config.budget_every_wall_ms)]

    def _urgent_budgets(self, now: Now) -> list[Effect]:
        was, self._urgent = self._urgent, self._budget_input(Phase.SCAVENGER, now).urgent
        return self._budgets(now) if self._urgent and not was else []

    def budgets(self, now: Now) -> dict[Phase, PhaseBudget]:
        """Each trading phase's budget as of now."""
        return {phase: budget_of(self._budget_input(phase, now)) for phase in TRADING_PHASES}

    def _budgets(self, now: Now) -> list[Effect]:
        ttl, equity = self.config.budget_ttl_wall_ms, self.state.equity
        return [
            Publish(subjects.BUDGET, budget_message(phase, budget, equity, now.wall_ms, ttl, self.policy.hash))
            for phase, budget in self.budgets(now).items()
        ]

    def _budget_input(self, phase: Phase, now: Now) -> BudgetInput:
        state = self.state
        view = state.exposure.view
        age = state.router_age_ms(now.wall_ms)
        held = ""
        if state.breaker.active(now.market_ms):
            held = f"circuit breaker: {state.breaker.state.reason}"
        elif age is None or age > self.config.router_state_limit_wall_ms:
            held = "the router's report is stale"
        elif not state.hash_matches:
            held = "policy hash mismatch"
        elif not may_open(state.posture.defcon, phase, lowers_delta=True):
            held = f"alarm {state.posture.defcon.value}: {'; '.join(state.posture.reasons)}"
        return BudgetInput(
            equity=state.equity,
            leverage_cap=state.account_cap(),
            weight=state.weights.of(phase),
            slippage_bps=state.quality.slippage_bps(now.wall_ms),
            reject_rate=state.quality.reject_rate(now.wall_ms),
            regime=state.regime,
            daily_pnl=ZERO if view is None else view.daily_pnl,
            max_daily_loss=self.policy.max_daily_loss,
            trading_state=state.trading_state,
            held=held,
        )
