"""What Execution concludes: equity, what a truth pass means, what a person must hear.

Guarantees: the same events give the same effects; equity is wallet of the ledger plus profit at the router's marks;
confidence moves only by completed passes. Never: I/O, a clock, an order (the router alone trades).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from actors.execution.equity import EquityPoint, EquityTracker, unrealized
from actors.execution.holdings import Holding, Instrument, RoundTrip
from actors.execution.ledger import plus, rounded
from actors.execution.truth import FULL_CONFIDENCE, Comparison, Drift, next_confidence
from protos import trading_pb2 as pb
from titan import subjects
from titan.clock import Now
from titan.codec import TRADING_STATE_FROM_PB
from titan.codes import TradingState
from titan.effects import Publish, RaiseAlert
from titan.ids import deterministic_ulid
from titan.model import Fill, OrderRole
from titan.money import ZERO, dec, dec_or_none

KEEP_EVERY_MS = 5_000
MAX_TOLD = 20
MAX_SENT_DRIFTS = 200


@dataclass(frozen=True, slots=True)
class Account:
    """Whose books these are, and the currency they are settled in."""

    venue: str
    name: str
    currency: str = "USDT"


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the books knew when this process started."""

    holdings: tuple[Holding, ...] = ()
    cash: Decimal | None = None
    equity: EquityPoint | None = None
    confidence: int = FULL_CONFIDENCE


@dataclass(frozen=True, slots=True)
class RouterSpoke:
    """The router's own account of itself."""

    message: pb.RouterState


@dataclass(frozen=True, slots=True)
class Committed:
    """A batch is in the books. `claims` are fills whose journalled PnL is not what the position makes."""

    fills: tuple[Fill, ...] = ()
    holdings: tuple[Holding, ...] = ()
    round_trips: tuple[RoundTrip, ...] = ()
    late: tuple[Instrument, ...] = ()
    claims: tuple[tuple[str, str], ...] = ()
    funding_paid: Decimal = ZERO
    wallet_moved: bool = False


@dataclass(frozen=True, slots=True)
class CashRead:
    """The wallet as the double entries have it; None before the books were opened."""

    cash: Decimal | None


@dataclass(frozen=True, slots=True)
class Tick:
    """Once a second of wall time."""


@dataclass(frozen=True, slots=True)
class StoreChanged:
    """PostgreSQL came or went."""

    up: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class TruthPassed:
    """A comparison ended. `error` says why it could not be completed; `venue_only` left the journal out.

    `since_ms`: of the venue's time, from when on orders and fills were compared.
    """

    requested_by: str
    comparison: Comparison
    evidence_sha256: str
    duration_ms: int
    error: str = ""
    venue_only: bool = False
    since_ms: int = 0


@dataclass(frozen=True, slots=True)
class ReadCash:
    """Read the wallet of the double entries, and tell it with `CashRead`."""


@dataclass(frozen=True, slots=True)
class KeepEquity:
    """Write a point of the equity curve."""

    point: EquityPoint


@dataclass(frozen=True, slots=True)
class TruthRun:
    """One pass as it is kept and published."""

    truth_id: str
    ts_ms: int
    duration_ms: int
    requested_by: str
    venue: str
    orders_compared: int
    fills_compared: int
    drifts: tuple[Drift, ...]
    confidence: int
    complete: bool
    error: str
    policy_hash: str
    evidence_sha256: str
    venue_only: bool = False
    since_ms: int = 0

    def message(self) -> pb.Truth:
        """The pass as it travels; of very many differences it carries the first ones and the number of all."""
        return pb.Truth(
            truth_id=self.truth_id,
            ts_ms=self.ts_ms,
            venue=self.venue,
            orders_compared=self.orders_compared,
            fills_compared=self.fills_compared,
            differences=len(self.drifts),
            details=[
                pb.Difference(
                    kind=drift.kind.value,
                    key=drift.key,
                    venue_value=drift.venue,
                    journal_value=drift.journal,
                    ledger_value=drift.ledger,
                )
                for drift in self.drifts[:MAX_SENT_DRIFTS]
            ],
            confidence=self.confidence,
            policy_hash=self.policy_hash,
            complete=self.complete,
            error=self.error,
            since_ms=self.since_ms,
        )


@dataclass(frozen=True, slots=True)
class KeepTruth:
    """Write a pass with its differences."""

    run: TruthRun


Event = RouterSpoke | Committed | CashRead | Tick | StoreChanged | TruthPassed
Effect = Publish | RaiseAlert | ReadCash | KeepEquity | KeepTruth


class ExecutionCore:
    """The state behind `/api/state/*` and the truth. Feed it events; carry out what it returns, in order."""

    def __init__(self, account: Account, policy_hash: str) -> None:
        self.account = account
        self.policy_hash = policy_hash
        self.holdings: dict[Instrument, Holding] = {}
        self.cash: Decimal | None = None
        self.confidence = FULL_CONFIDENCE
        self.trading_state: TradingState | None = None
        self.router: pb.RouterState | None = None
        self.router_heard: Now | None = None
        self.marks: dict[str, Decimal] = {}
        self.truth: TruthRun | None = None
        self.store_up = True
        self._tracker = EquityTracker(account.venue, account.name, account.currency)
        self._kept_ms = 0

    def remember(self, known: Remembered) -> None:
        """Goes on from what the books know; to be called before the first `Committed`."""
        self.holdings = {holding.instrument: holding for holding in known.holdings}
        self.cash = known.cash
        self.confidence = known.confidence
        if known.equity is not None:
            self._tracker.restore(known.equity)

    @property
    def equity(self) -> EquityPoint | None:
        """The last equity point."""
        return self._tracker.last

    @property
    def journal_seq(self) -> int:
        """The last journal row that the router spoke of."""
        return 0 if self.router is None else self.router.journal_seq

    def protection(self, symbol: str) -> tuple[Decimal | None, Decimal | None]:
        """Stop and target of a position, as the router knows them."""
        for position in () if self.router is None else self.router.positions:
            if position.symbol == symbol:
                return dec_or_none(position.stop_price), dec_or_none(position.target_price)
        return None, None

    def handle(self, event: Event, now: Now) -> list[Effect]:
        """The effects of one event."""
        match event:
            case RouterSpoke():
                self._router_spoke(event.message, now)
                return []
            case Committed():
                return self._committed(event)
            case CashRead():
                self.cash = event.cash
                return []
            case Tick():
                return self._tick(now)
            case StoreChanged():
                return self._store_changed(event)
            case TruthPassed():
                return self._truth_passed(event, now)

    def _router_spoke(self, message: pb.RouterState, now: Now) -> None:
        if self.router is not None and message.term < self.router.term:
            # The last word of a router that leads no more; its fills are booked from its own events all the same.
            return
        self.router, self.router_heard = message, now
        self.trading_state = TRADING_STATE_FROM_PB.get(message.trading_state)
        for position in message.positions:
            mark = dec_or_none(position.mark_price)
            if mark is not None:
                self.marks[position.symbol] = mark

    def _committed(self, event: Committed) -> list[Effect]:
        for holding in event.holdings:
            self.holdings[holding.instrument] = holding
        if self.cash is not None:
            for fill in event.fills:
                self.cash = plus(self.cash, plus(rounded(fill.realized_pnl), -fill.fee))
            self.cash = plus(self.cash, -event.funding_paid)
        alerts: list[Effect] = []
        for instrument in event.late:
            text = f"a fill of {instrument.symbol} came after a later one: position and round trips were made anew"
            alerts.append(RaiseAlert("LATE_FILL", "INFO", text, {"symbol": instrument.symbol}))
        for fill_id, error in event.claims:
            text = f"the journal's realised profit of fill {fill_id} is {error} off what the position makes"
            alerts.append(RaiseAlert("PNL_CLAIM_DIFFERS", "WARNING", text, {"fill_id": fill_id}))
        for fill in event.fills:
            if fill.role is OrderRole.EXTERNAL:
                text = f"fill {fill.fill_id} ({fill.side} {fill.quantity} {fill.symbol}) belongs to no order of Titan"
                alerts.append(RaiseAlert("EXTERNAL_FILL", "WARNING", text, {"symbol": fill.symbol}))
        told = alerts[:MAX_TOLD]
        return [*told, ReadCash()] if event.wallet_moved else told

    def _tick(self, now: Now) -> list[Effect]:
        wallet = self._wallet()
        if wallet is None:
            return []
        profit = unrealized(self.holdings.values(), self.marks, self.account.currency)
        point = self._tracker.observe(wallet, profit, now)
        effects: list[Effect] = [Publish(subjects.EQUITY, point.message())]
        if now.wall_ms - self._kept_ms >= KEEP_EVERY_MS:
            self._kept_ms = now.wall_ms
            effects.append(KeepEquity(point))
        return effects

    def _wallet(self) -> Decimal | None:
        """The ledger's wallet; before the books were opened, the router's."""
        if self.cash is not None:
            return self.cash
        if self.router is None or not self.router.equity.wallet:
            return None
        return dec(self.router.equity.wallet)

    def _store_changed(self, event: StoreChanged) -> list[Effect]:
        if event.up == self.store_up:
            return []
        self.store_up = event.up
        if event.up:
            return [RaiseAlert("LEDGER_BACK", "INFO", "PostgreSQL answers again, the books catch up")]
        text = f"the books wait for PostgreSQL, trading goes on: {event.detail}"
        return [RaiseAlert("LEDGER_DOWN", "CRITICAL", text)]

    def _truth_passed(self, event: TruthPassed, now: Now) -> list[Effect]:
        found = event.comparison
        if not event.error:
            self.confidence = next_confidence(self.confidence, len(found.drifts))
        was_complete = self.truth is None or self.truth.complete
        run = TruthRun(
            truth_id=deterministic_ulid(now.wall_ms, event.requested_by, event.evidence_sha256, str(event.duration_ms)),
            ts_ms=now.wall_ms,
            duration_ms=event.duration_ms,
            requested_by=event.requested_by,
            venue=self.account.venue,
            orders_compared=found.orders,
            fills_compared=found.fills,
            drifts=() if event.error else found.drifts,
            confidence=self.confidence,
            complete=not event.error,
            error=event.error,
            policy_hash=self.policy_hash,
            evidence_sha256=event.evidence_sha256,
            venue_only=event.venue_only,
            since_ms=event.since_ms,
        )
        self.truth = run
        effects: list[Effect] = [
            KeepTruth(run),
            Publish(subjects.TRUTH, run.message(), idempotency_key=run.truth_id, durable=True),
        ]
        if run.drifts:
            effects.append(RaiseAlert("TRUTH_DRIFT", "CRITICAL", _drift_text(run.drifts), _drift_labels(run.drifts)))
        elif event.error and was_complete:
            effects.append(
                RaiseAlert("TRUTH_INCOMPLETE", "WARNING", f"a truth pass could not be completed: {event.error}")
            )
        return effects


def _drift_text(drifts: Sequence[Drift]) -> str:
    first = drifts[0]
    more = f" and {len(drifts) - 1} more" if len(drifts) > 1 else ""
    return (
        f"venue, journal and ledger differ: {first.kind} {first.key} "
        f"(venue: {first.venue or 'nothing'}; journal: {first.journal or 'nothing'}; ledger: {first.ledger or 'nothing'}){more}"
    )


def _drift_labels(drifts: Sequence[Drift]) -> Mapping[str, str]:
    kinds: dict[str, int] = {}
    for drift in drifts:
        kinds[drift.kind.value] = kinds.get(drift.kind.value, 0) + 1
    return {kind: str(number) for kind, number in sorted(kinds.items())}
