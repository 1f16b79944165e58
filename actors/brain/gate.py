"""The risk gate: the documented guards in their documented order; the first veto wins.

Guarantees: whatever a guard raises becomes the veto RISK_CHECK_ERROR; size-dependent guards see the adjusted size and
count what is pending. Never: state, clocks, I/O; approval on missing knowledge. Source: reference/brain.md section 2.4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from decimal import Decimal

from actors.brain.config import PhaseLimit
from actors.brain.correlation import UNKNOWN, NoHistory
from actors.brain.costs import CostVeto, expectancy, friction, trade_cost
from actors.brain.governance import Defcon, may_open
from actors.brain.quality import MIN_SCORE
from actors.brain.regime import Cluster, Regime, Tail
from actors.brain.tail import DEFAULT_ALPHA, OWN_SYMBOL_ALPHA, alpha_throttle, aptr
from titan.codes import VetoCode
from titan.model import Phase, Side, Signal
from titan.money import ZERO, text_of
from titan.policy import RiskPolicy
from titan.symbols import whitelisted
from titan.values import value

MIN_TRUTH = 80
DEFAULT_CONFIDENCE = 80.0
LATENCY_VETO_MS = 500.0
LATENCY_CUT_MS = 200.0
LATENCY_CUT = Decimal("0.75")
TAIL_LEVERAGE = Decimal(5)
SURVIVAL_SHARE = Decimal("0.5")

PHASE_NAMES = {
    Phase.SCAVENGER: "phase1",
    Phase.HUNTER: "phase2",
    Phase.SENTINEL: "phase3",
    Phase.MANUAL: "manual",
}
_CENT = Decimal("0.01")


@value
class GateInput:
    """Everything the gate judges by. Notionals are signed USD by symbol, pending included; `size` is what to judge.

    `correlation` answers for two symbols in [-1, 1] and raises when it can't; `truth` is a percentage;
    `unlisted_pending` is USD at risk beyond the exposures that has no symbol.
    """

    signal: Signal
    size: Decimal
    exposures: Mapping[str, Decimal]
    equity: Decimal
    leverage_cap: Decimal
    defcon: Defcon
    regime: Regime
    truth: int
    quality: float
    latency_ms: float
    tails: Mapping[str, Tail]
    benchmark: str
    policy: RiskPolicy
    correlation: Callable[[str, str], float]
    calibrate: Callable[[str, float], float]
    unlisted_pending: Decimal = ZERO
    phase_notional: Decimal = ZERO
    phase_limits: Mapping[Phase, PhaseLimit] = field(default_factory=dict)
    cost_veto: CostVeto | None = None
    trade_gate: bool = False


@value
class RiskMetrics:
    """The account's risk as the gate saw it: leverage as multiples of equity, delta in USD."""

    current_leverage: float = 0.0
    projected_leverage: float = 0.0
    correlation: float = 0.0
    delta: float = 0.0
    beta: float = 0.0


@value
class Verdict:
    """The gate's answer; `size` is what it allows, zero on a veto."""

    code: VetoCode
    reason: str
    size: Decimal
    risk: RiskMetrics

    @property
    def approved(self) -> bool:
        """Whether the signal may go on."""
        return self.code is VetoCode.APPROVED


class _Veto(Exception):
    def __init__(self, code: VetoCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class _Book:
    """The account's exposure, and what a signal would make of it."""

    __slots__ = ("cap", "delta", "equity", "exposures", "gross")

    def __init__(self, given: GateInput) -> None:
        self.exposures = given.exposures
        self.equity = given.equity
        self.cap = given.leverage_cap
        self.gross = sum((abs(notional) for notional in given.exposures.values()), given.unlisted_pending)
        self.delta = sum(given.exposures.values(), ZERO)

    def leverage(self, gross: Decimal) -> Decimal:
        return gross / self.equity if self.equity > 0 else ZERO

    def position_after(self, symbol: str, side: Side, size: Decimal) -> Decimal:
        held = self.exposures.get(symbol, ZERO)
        signed = size * side.sign
        same_side = held == 0 or (held > 0) == (signed > 0)
        return abs(held) + size if same_side else abs(abs(held) - size)

    def projected(self, symbol: str, side: Side, size: Decimal) -> Decimal:
        held = abs(self.exposures.get(symbol, ZERO))
        return self.leverage(self.gross - held + self.position_after(symbol, side, size))


def judge(given: GateInput) -> Verdict:
    """The gate's verdict on one opening signal."""
    metrics = RiskMetrics()
    try:
        book = _Book(given)
        now = float(book.leverage(book.gross))
        metrics = RiskMetrics(now, now, 0.0, float(book.delta), _beta(given, book))
        size = _strategy_guards(given, book)
        metrics = RiskMetrics(now, now, _max_correlation(given), metrics.delta, metrics.beta)
        hedge = _hedges(given, book, size)
        metrics = _projected(metrics, book, given, size)
        size, reason = _size_guards(given, book, size, metrics, hedge=hedge)
        return Verdict(VetoCode.APPROVED, reason, size, _projected(metrics, book, given, size))
    except _Veto as veto:
        return Verdict(veto.code, veto.reason, ZERO, metrics)
    except Exception as error:  # noqa: BLE001 - a check that can't be made is a no, whatever went wrong in it
        return Verdict(VetoCode.RISK_CHECK_ERROR, f"RISK_CHECK_ERROR: {type(error).__name__}: {error}", ZERO, metrics)


def _projected(metrics: RiskMetrics, book: _Book, given: GateInput, size: Decimal) -> RiskMetrics:
    projected = float(book.projected(given.signal.symbol, given.signal.side, size))
    return RiskMetrics(metrics.current_leverage, projected, metrics.correlation, metrics.delta, metrics.beta)


def _strategy_guards(given: GateInput, book: _Book) -> Decimal:
    """Guards 1 to 12; returns the size they leave."""
    signal, policy, size = given.signal, given.policy, given.size
    if not may_open(given.defcon, signal.phase, lowers_delta=_lowers_delta(signal, book.delta, size)):
        raise _Veto(
            VetoCode.GOVERNANCE_LOCKDOWN,
            f"GOVERNANCE_LOCKDOWN: {given.defcon.value} rejects {PHASE_NAMES[signal.phase]}",
        )
    if not whitelisted(signal.symbol, policy.symbol_whitelist):
        raise _Veto(VetoCode.SYMBOL_NOT_WHITELISTED, f"Symbol not whitelisted: {signal.symbol}")
    if given.truth < MIN_TRUTH:
        raise _Veto(VetoCode.TRUTH_VETO, f"TRUTH_VETO: Confidence Score {given.truth / 100:.2f} < 0.8")
    asked = max(signal.requested_size, size)
    if asked > policy.max_position_notional:
        raise _Veto(VetoCode.POSITION_NOTIONAL, _notional_text(asked, policy.max_position_notional))
    if given.quality < MIN_SCORE:
        raise _Veto(VetoCode.EXECUTION_QUALITY, f"EXECUTION_QUALITY_VETO: Score {given.quality:.2f} < 0.7")
    if given.regime is Regime.CRASH:
        raise _Veto(VetoCode.REGIME_CRASH, "REGIME_CRASH_RISK_AVERSION: All new signals rejected")
    _survival_guard(given)
    _confidence_guard(given)
    _phase_guard(given, size)
    size = _latency_guard(given, size)
    size = _tail_guard(given, book, size)
    _cost_guard(given, size)
    return size


def _survival_guard(given: GateInput) -> None:
    at_risk = 0.0
    for symbol, notional in given.exposures.items():
        tail = given.tails.get(symbol)
        if tail is not None and tail.alpha is not None:
            alpha = tail.alpha
        else:
            alpha = OWN_SYMBOL_ALPHA if symbol == given.signal.symbol else DEFAULT_ALPHA
        at_risk += aptr(abs(float(notional)), alpha)
    limit = float(given.equity * SURVIVAL_SHARE)
    if at_risk > limit or given.equity <= 0:
        raise _Veto(VetoCode.SURVIVAL_MODE, f"SURVIVAL_MODE: APTR Critical ({at_risk:.2f} > {limit:.2f})")


def confidence_of(given: GateInput) -> float:
    """The confidence that counts, as a fraction: calibrated for the scavenger's traps, stated for everybody else."""
    signal = given.signal
    raw = signal.confidence if signal.confidence > 0.0 else DEFAULT_CONFIDENCE
    if signal.phase is Phase.SCAVENGER and signal.trap_type != "MANUAL":
        return given.calibrate(signal.trap_type, raw)
    return raw / 100.0


def _confidence_guard(given: GateInput) -> None:
    confidence, floor = confidence_of(given), given.policy.min_confidence_score
    if confidence < floor:
        raise _Veto(VetoCode.CONFIDENCE, f"CONFIDENCE_VETO: Calibrated {confidence * 100:.2f}% < {floor * 100:g}%")


def _phase_guard(given: GateInput, size: Decimal) -> None:
    limit = given.phase_limits.get(given.signal.phase)
    if limit is None:
        return
    name = PHASE_NAMES[given.signal.phase]
    notional = given.phase_notional + size
    leverage = notional / given.equity
    if leverage > limit.max_leverage:
        raise _Veto(
            VetoCode.PHASE_LIMIT,
            f"FRACTAL_VETO: {name} leverage {leverage:.2f}x > max {text_of(limit.max_leverage)}x",
        )
    allocation = notional / given.equity / Decimal(str(max(1.0, given.signal.leverage)))
    if allocation > limit.max_allocation:
        raise _Veto(
            VetoCode.PHASE_LIMIT,
            f"FRACTAL_VETO: {name} allocation {allocation * 100:.1f}% > max {text_of(limit.max_allocation * 100)}%",
        )


def _latency_guard(given: GateInput, size: Decimal) -> Decimal:
    if given.latency_ms > LATENCY_VETO_MS:
        raise _Veto(VetoCode.LATENCY, f"LATENCY_VETO: System lag {given.latency_ms:.0f}ms > 500ms")
    return size * LATENCY_CUT if given.latency_ms > LATENCY_CUT_MS else size


def _tail_guard(given: GateInput, book: _Book, size: Decimal) -> Decimal:
    signal = given.signal
    tail = given.tails.get(signal.symbol) or given.tails.get(given.benchmark)
    if tail is None:
        return size
    alpha = DEFAULT_ALPHA if tail.alpha is None else tail.alpha
    if alpha < 2.0 and book.projected(signal.symbol, signal.side, size) > TAIL_LEVERAGE:
        raise _Veto(VetoCode.TAIL_RISK, f"TAIL_RISK_VETO: Extreme tail risk (α={alpha:.2f}) prohibits leverage > 5x")
    if tail.cluster is Cluster.EXPANDING and signal.phase is Phase.SCAVENGER:
        raise _Veto(VetoCode.VOLATILITY_REGIME, "REGIME_VETO: Expanding volatility rejects Phase 1 scalps")
    if signal.phase is Phase.SENTINEL:
        return size
    return scaled_by(size, alpha_throttle(alpha))


def scaled_by(size: Decimal, factor: float) -> Decimal:
    """A size times a float factor, exact where the factor is 1."""
    return size if factor == 1.0 else size * Decimal(repr(round(factor, 12)))


def _cost_guard(given: GateInput, size: Decimal) -> None:
    if given.cost_veto is None and not given.trade_gate:
        return
    signal = given.signal
    if signal.entry_price is None or signal.target_price is None or signal.stop_price is None:
        raise _Veto(VetoCode.COST, "COST_AWARE_VETO: Missing targets/stops for expectancy calc")
    entry, target, stop = float(signal.entry_price), float(signal.target_price), float(signal.stop_price)
    expected = expectancy(confidence_of(given), entry, target, stop)
    if given.cost_veto is not None:
        ratio, cost = given.cost_veto.min_expectancy_ratio, trade_cost(entry, given.cost_veto.base_fee_bps)
        if expected < ratio * cost:
            raise _Veto(
                VetoCode.COST,
                f"COST_AWARE_VETO: Expectancy too low ({expected:.4f} < {ratio:g}x Cost {cost:.4f})",
            )
    if given.trade_gate:
        sigma = signal.volatility / entry if signal.volatility > 0.0 else None
        costs, edge = friction(float(size), sigma), expected / entry
        if not costs.accepts(edge):
            raise _Veto(VetoCode.COST, f"TRADE_GATE_VETO: Edge {edge:.4%} <= 1.05x friction {costs.total:.4%}")


def _lowers_delta(signal: Signal, delta: Decimal, size: Decimal) -> bool:
    return abs(delta + size * signal.side.sign) < abs(delta)


def _hedges(given: GateInput, book: _Book, size: Decimal) -> bool:
    return given.signal.phase is Phase.SENTINEL and _lowers_delta(given.signal, book.delta, size)


def _size_guards(
    given: GateInput, book: _Book, size: Decimal, metrics: RiskMetrics, *, hedge: bool
) -> tuple[Decimal, str]:
    """Guards 13 to 18. A hedge skips stop and correlation, never the caps."""
    signal, policy = given.signal, given.policy
    if not hedge:
        _stop_guard(signal, policy)
    _cap_guards(given, book, size)
    if hedge:
        return size, "Phase 3 hedge approved: reduces global delta"
    if metrics.correlation > policy.max_correlation and _same_direction(given):
        size = scaled_by(size, 1.0 - policy.correlation_penalty)
        _cap_guards(given, book, size)
        return size, (
            f"High correlation ({metrics.correlation:.2f}) with same direction: "
            f"size reduced by {policy.correlation_penalty * 100:g}%"
        )
    if size != signal.requested_size:
        return size, "Signal approved with size adjustment: Risk/Latency/Alpha"
    return size, "Signal approved: within risk limits"


def _stop_guard(signal: Signal, policy: RiskPolicy) -> None:
    if signal.entry_price is None or signal.stop_price is None or signal.volatility <= 0.0:
        return
    distance = abs(signal.entry_price - signal.stop_price)
    multiplier = policy.min_stop_distance_multiplier
    needed = Decimal(str(signal.volatility)) * Decimal(str(multiplier))
    if distance < needed:
        raise _Veto(
            VetoCode.STOP_DISTANCE,
            f"Stop distance too tight: {distance.quantize(_CENT)} < {needed.quantize(_CENT)} ({multiplier:g}x ATR)",
        )


def _cap_guards(given: GateInput, book: _Book, size: Decimal) -> None:
    signal, limit = given.signal, given.policy.max_position_notional
    after = book.position_after(signal.symbol, signal.side, size)
    if after > limit:
        raise _Veto(VetoCode.POSITION_NOTIONAL, _notional_text(after, limit))
    projected = book.projected(signal.symbol, signal.side, size)
    if projected > book.cap:
        raise _Veto(
            VetoCode.LEVERAGE,
            f"Leverage cap exceeded: projected {projected:.2f}x > max {text_of(book.cap)}x",
        )


def _notional_text(seen: Decimal, limit: Decimal) -> str:
    return f"Max Position Notional Exceeded: {text_of(seen)} > {text_of(limit)}"


def _max_correlation(given: GateInput) -> float:
    """The highest correlation of the signal's symbol with anything held, 0 with nothing held."""
    held = [symbol for symbol, notional in given.exposures.items() if notional != 0]
    return max((_pair(given, given.signal.symbol, symbol) for symbol in held), default=0.0)


def _same_direction(given: GateInput) -> bool:
    """Whether a position that correlates above the limit lies on the signal's side."""
    sign = given.signal.side.sign
    return any(
        notional * sign > 0 and _pair(given, given.signal.symbol, symbol) > given.policy.max_correlation
        for symbol, notional in given.exposures.items()
    )


def _beta(given: GateInput, book: _Book) -> float:
    if book.gross == 0:
        return 0.0
    return sum(
        float(notional / book.gross) * _to_benchmark(given, symbol)
        for symbol, notional in given.exposures.items()
        if notional != 0
    )


def _to_benchmark(given: GateInput, symbol: str) -> float:
    try:
        return _pair(given, symbol, given.benchmark)
    except NoHistory:
        return UNKNOWN


def _pair(given: GateInput, left: str, right: str) -> float:
    return 1.0 if left == right else given.correlation(left, right)
