"""Everything the brain knows between two messages, and what follows from it: weights, regime, posture.

Guarantees: equity, positions and pending orders come from the router's report alone; regime and risk state are
announced when they change and only then. Never: a decision on a signal (that is `decide`).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from decimal import Decimal

from actors.brain.allocation import Allocation, Weights, adaptive, for_regime, tier_of
from actors.brain.books import Books
from actors.brain.breaker import Breaker, Trip
from actors.brain.calibration import Calibration
from actors.brain.changepoint import ChangePoint
from actors.brain.config import BrainConfig
from actors.brain.correlation import BUCKET_MS, PriceHistory
from actors.brain.events import Effect
from actors.brain.exposure import DAY_MS, Exposure
from actors.brain.governance import Defcon, Ladder, Mode
from actors.brain.messages import regime_message, risk_state_message
from actors.brain.performance import Performance
from actors.brain.posture import Posture, PostureInput, RiskLevel, posture_of
from actors.brain.quality import ExecutionQuality
from actors.brain.regime import NO_TAIL_METRICS, Regime, Tail, regime_of
from actors.brain.sizing import leverage_cap
from actors.brain.surprise import Surprise
from actors.brain.tail import TailConstraints, TailMode, tail_constraints
from titan import subjects
from titan.algos import Impact, Route
from titan.clock import Now
from titan.codes import TradingState
from titan.effects import Publish, RaiseAlert
from titan.model import Phase, Side
from titan.money import ZERO
from titan.policy import RiskPolicy

REMEMBERED_APPROVALS = 4096
TRADING_PHASES = (Phase.SCAVENGER, Phase.HUNTER, Phase.SENTINEL)


@dataclass(slots=True)
class Approved:
    """What must be remembered of an approval until its fills are in. `takes` says it was to fill at once."""

    trap_type: str
    side: Side
    reference: Decimal | None
    wall_ms: int
    takes: bool
    filled: bool = False


@dataclass(frozen=True, slots=True)
class Quote:
    """The last ticker of a symbol. `ts_ms` is exchange time."""

    ts_ms: int
    bid: Decimal | None
    ask: Decimal | None
    last: Decimal | None

    def touch(self, side: Side) -> Decimal | None:
        """The price an order of this side would meet."""
        return (self.ask if side is Side.BUY else self.bid) or self.last


class BrainState:
    """The brain's memory. The core changes it, `decide` reads it."""

    def __init__(self, config: BrainConfig, policy: RiskPolicy) -> None:
        self.config = config
        self.policy = policy
        self.allocation = Allocation(config.thresholds)
        self.breaker = Breaker(policy.max_daily_drawdown, policy.min_equity)
        self.performance = Performance(config.sharpe_mode)
        self.calibration = Calibration()
        self.books = Books()
        self.exposure = Exposure(config.reservation_wall_ms)
        self.quality = ExecutionQuality()
        self.history = PriceHistory()
        self.surprise = Surprise()
        self.change_point = ChangePoint()
        self.ladder = Ladder()
        self.operator_mode = Mode.NORMAL
        self.quotes: dict[str, Quote] = {}
        self.volumes: dict[str, Decimal] = {}
        self.routed: dict[str, int] = {}
        self.routes: dict[tuple[str, Phase], Route] = {}
        self.impacts: dict[Impact, int] = {}
        self.tails: dict[str, Tail] = {}
        self.approvals: OrderedDict[str, Approved] = OrderedDict()
        self.decided: OrderedDict[str, int] = OrderedDict()
        self.trading_state = TradingState.DISARMED
        self.trading_reason = "no report of the router yet"
        self.trading_order = (0, 0)
        self.router_hash = ""
        self.hash_alerted = False
        self.truth = 100
        self.truth_wall_ms = 0
        self.survival_until_ms = 0
        self.halt_sent_wall_ms = 0
        self.base = Weights(1.0, 0.0, 0.0)
        self.weights = self.base
        self.regime, self.regime_source = Regime.STABLE, NO_TAIL_METRICS
        self.posture = Posture(Defcon.NORMAL, RiskLevel.NORMAL, Decimal(1), ())
        self._announced_regime: tuple[Regime, str] | None = None
        self._announced_level: RiskLevel | None = None
        self._announced_defcon = Defcon.NORMAL
        self._benchmark_close: tuple[int, float, float | None] | None = None

    # What is known.

    @property
    def equity(self) -> Decimal | None:
        """The account's equity in USD, as the router reported it last."""
        return None if self.exposure.view is None else self.exposure.view.equity

    def day_volume_usd(self, symbol: str) -> float | None:
        """What a symbol trades in a day; None where only the default can be taken.

        The volume of a paper venue is what it has traded since it began, and says nothing of a day.
        """
        volume, quote = self.volumes.get(symbol), self.quotes.get(symbol)
        if self.config.profile != "live" or not volume or quote is None or quote.last is None:
            return None
        return float(volume * quote.last)

    @property
    def hash_matches(self) -> bool:
        """Whether the router attested our policy."""
        return self.router_hash == self.policy.hash

    def router_age_ms(self, wall_ms: int) -> int | None:
        """Wall age of the router's last report, None without any."""
        view = self.exposure.view
        return None if view is None else max(0, wall_ms - view.ts_ms)

    def drawdown(self, market_ms: int) -> Decimal:
        """Today's loss as a fraction of the day's first equity."""
        view = self.exposure.view
        if view is None or view.equity is None:
            return ZERO
        return self.breaker.drawdown(view.equity, view.start_of_day, market_ms // DAY_MS)

    def survival(self, market_ms: int) -> bool:
        """Whether the survival override stands."""
        return 0 < self.survival_until_ms - market_ms <= self.config.survival_override_ms

    def constraints_of(self, symbol: str) -> TailConstraints | None:
        """What the tail policy implies for a symbol, None without tail metrics or in SHADOW."""
        tail = self.tails.get(symbol)
        if tail is None or self.config.tail_mode is TailMode.SHADOW:
            return None
        return tail_constraints(tail, self.config.tail_policy)

    def binding_constraints(self, symbol: str) -> TailConstraints | None:
        """The same, but only where it binds."""
        return self.constraints_of(symbol) if self.config.tail_mode is TailMode.ENFORCEMENT else None

    def leverage_cap(self, symbol: str, equity: Decimal) -> Decimal:
        """The leverage that an opening in a symbol may bring the account to."""
        tail = self.tails.get(symbol) or self.tails.get(self.config.benchmark)
        return leverage_cap(equity, self.policy, self.posture.defcon, tail, self.binding_constraints(symbol))

    def account_cap(self) -> Decimal:
        """Tier and policy cap under the present alarm, for budgets."""
        equity = self.equity or ZERO
        return min(tier_of(equity)[1], self.policy.max_account_leverage) * self.posture.defcon.leverage_factor

    def last_prices(self) -> dict[str, Decimal]:
        """The last price of every symbol seen."""
        return {symbol: quote.last for symbol, quote in self.quotes.items() if quote.last is not None}

    # What is remembered.

    def remember(self, intent_id: str, approved: Approved) -> None:
        """Keeps what is needed when the approval's fills come."""
        self.approvals[intent_id] = approved
        while len(self.approvals) > REMEMBERED_APPROVALS:
            self.approvals.popitem(last=False)

    def first_time(self, signal_id: str, wall_ms: int) -> bool:
        """Whether a signal is seen for the first time within the idempotency window; remembers it."""
        while self.decided:
            oldest, at = next(iter(self.decided.items()))
            if wall_ms - at <= self.config.idempotency_wall_ms:
                break
            del self.decided[oldest]
        if signal_id in self.decided:
            return False
        self.decided[signal_id] = wall_ms
        return True

    def quote(self, symbol: str, quote: Quote, price: float) -> None:
        """Takes note of a ticker. Older ones change nothing."""
        known = self.quotes.get(symbol)
        if known is not None and quote.ts_ms < known.ts_ms:
            return
        self.quotes[symbol] = quote
        self.history.record(symbol, quote.ts_ms, price)
        if symbol == self.config.benchmark and (self.config.surprise_gate or self.config.change_point_regime):
            self._observe_benchmark(quote.ts_ms, price)

    def _observe_benchmark(self, ts_ms: int, price: float) -> None:
        bucket = ts_ms // BUCKET_MS
        known = self._benchmark_close
        if known is None or known[0] == bucket:
            self._benchmark_close = (bucket, price, None if known is None else known[2])
            return
        _, close, before = known
        if before is not None:
            value = close / before - 1.0
            self.surprise.observe(value)
            self.change_point.observe(value)
        self._benchmark_close = (bucket, price, close)

    # What follows.

    def reassess(self, now: Now) -> list[Effect]:
        """Draws regime, weights and posture from what is known; returns the announcements of what changed."""
        limit = now.market_ms - self.config.tail_limit_ms
        for symbol in [symbol for symbol, tail in self.tails.items() if tail.calc_ts_ms < limit]:
            del self.tails[symbol]
        benchmark = self.tails.get(self.config.benchmark)
        self.regime, self.regime_source = regime_of(benchmark)
        if self.regime_source == NO_TAIL_METRICS and self.config.change_point_regime:
            self.regime, self.regime_source = self.change_point.regime(), "change point"
        self._weigh(now)
        self.posture = self._posture(now)
        effects: list[Effect] = []
        if (self.regime, self.regime_source) != self._announced_regime:
            self._announced_regime = (self.regime, self.regime_source)
            alpha = benchmark.alpha if benchmark is not None and benchmark.alpha is not None else 0.0
            message = regime_message(self.regime, alpha, self.regime_source, now.market_ms)
            effects.append(Publish(subjects.REGIME, message))
        if self.posture.level is not self._announced_level:
            self._announced_level = self.posture.level
            changed = risk_state_message(self.posture.level, self.posture.reasons, now.market_ms)
            effects.append(Publish(subjects.RISK_STATE, changed))
            if self.posture.level is RiskLevel.EMERGENCY:
                effects.append(RaiseAlert("RISK_EMERGENCY", "CRITICAL", "; ".join(self.posture.reasons)))
        if self.posture.defcon is not self._announced_defcon:
            self._announced_defcon = self.posture.defcon
            effects.append(self._alarm())
        return effects

    def _alarm(self) -> RaiseAlert:
        # Signals that find no budget are a riddle to whoever reads only the trading state.
        level = self.posture.defcon
        if level is Defcon.NORMAL:
            return RaiseAlert("ALARM_OVER", "INFO", "openings are possible again")
        held = "the hunter's openings are held" if level is Defcon.CAUTION else "openings are held"
        return RaiseAlert("ALARM", "WARNING", f"alarm {level.value}, {held}: {'; '.join(self.posture.reasons)}")

    def _weigh(self, now: Now) -> None:
        equity = self.equity
        if equity is not None:
            self.base = self.allocation.update(equity)
        weights = self.base
        if self.config.adaptive_weights:
            scavenger, hunter, sentinel = (self.performance.sharpe_of(phase, now.market_ms) for phase in TRADING_PHASES)
            weights = adaptive(weights, (scavenger, hunter, sentinel))
        self.weights = for_regime(weights, self.regime)

    def _posture(self, now: Now) -> Posture:
        wall, quality = now.wall_ms, self.quality
        gate = self.config.surprise_gate
        trip = self.breaker.state.trip if self.breaker.active(now.market_ms) else Trip.CLOSED
        return posture_of(
            PostureInput(
                drawdown_pct=float(self.drawdown(now.market_ms)) * 100.0,
                latency_ms=quality.latency_ms(wall),
                error_rate=quality.error_rate(wall),
                truth=self.truth,
                quality=quality.score(wall),
                regime=self.regime,
                trip=trip,
                trip_reason=self.breaker.state.reason,
                operator=self.operator_mode,
                ladder=self.ladder.step,
                survival=self.survival(now.market_ms),
                surprise_lowers=gate and self.surprise.lowers_size,
                surprise_defends=gate and self.surprise.defends,
            )
        )
