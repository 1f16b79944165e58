"""What is at risk: the router's report, and the approvals it has not shown yet.

Guarantees: an approval counts from the moment it is given until the router's report shows it, a reject answers it, or
it is too old to be alive; nothing is ever netted against an order that may not fill. Never: equity of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from protos import trading_pb2 as pb
from titan.codec import ORDER_STATE_FROM_PB, TRADING_STATE_FROM_PB, position_from_pb
from titan.codes import TradingState
from titan.model import Position, Side
from titan.money import ZERO, dec

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class PendingEntry:
    """An entry order that may still fill. `notional` is what is left of it, USD, signed by side."""

    intent_id: str
    symbol: str
    notional: Decimal


@dataclass(frozen=True, slots=True)
class RouterView:
    """One report of the router. Money in USD; `equity` is None while the router does not know it."""

    trading_state: TradingState
    reason: str
    policy_hash: str
    term: int
    journal_seq: int
    ts_ms: int
    reconciled: bool
    equity: Decimal | None
    start_of_day: Decimal
    high_watermark: Decimal
    daily_pnl: Decimal
    pending_total: Decimal
    positions: Mapping[tuple[str, str, str], Position]
    entries: tuple[PendingEntry, ...]

    @property
    def order(self) -> tuple[int, int, int]:
        """Later reports compare greater."""
        return self.term, self.journal_seq, self.ts_ms


def router_view(message: pb.RouterState, prices: Mapping[str, Decimal]) -> RouterView:
    """A report as a value; `prices` value entries without a price of their own, for symbols that are not held.

    Raises ValueError for an unknown trading state or a number that is none.
    """
    state = TRADING_STATE_FROM_PB.get(message.trading_state)
    if state is None:
        raise ValueError(f"trading_state is missing or unknown: {message.trading_state}")
    positions = {
        (held.venue, held.account, held.symbol): held
        for held in (position_from_pb(each) for each in message.positions)
        if not held.is_flat
    }
    marks = {**prices, **{held.symbol: held.mark_price or held.average_price for held in positions.values()}}
    known = message.HasField("equity") and message.equity.equity != ""
    equity = dec(message.equity.equity) if known else None
    start_of_day = dec(message.equity.start_of_day)
    daily_pnl = dec(message.daily_pnl)
    if not message.daily_pnl and equity is not None and start_of_day > 0:
        daily_pnl = equity - start_of_day
    return RouterView(
        trading_state=state,
        reason=message.reason,
        policy_hash=message.policy_hash,
        term=message.term,
        journal_seq=message.journal_seq,
        ts_ms=message.ts_ms,
        reconciled=message.reconciled,
        equity=equity,
        start_of_day=start_of_day,
        high_watermark=dec(message.equity.high_watermark),
        daily_pnl=daily_pnl,
        pending_total=dec(message.pending_notional_usd),
        positions=positions,
        entries=tuple(
            _entry(order, marks.get(order.symbol, ZERO)) for order in message.open_orders if _may_enter(order)
        ),
    )


def _may_enter(order: pb.OrderEvent) -> bool:
    if order.role != pb.ORDER_ROLE_ENTRY or order.reduce_only:
        return False
    state = ORDER_STATE_FROM_PB.get(order.state)
    return state is None or not state.is_terminal


def _entry(order: pb.OrderEvent, mark: Decimal) -> PendingEntry:
    price = dec(order.price) or dec(order.average_price) or mark
    left = max(ZERO, dec(order.quantity) - dec(order.filled_quantity)) * price
    return PendingEntry(order.intent_id, order.symbol, left if order.side == pb.SIDE_BUY else -left)


@dataclass(slots=True)
class Reservation:
    """An approval that the router has not shown yet. `notional` is signed USD."""

    intent_id: str
    symbol: str
    notional: Decimal
    wall_ms: int
    fill_seq: int = 0


class Exposure:
    """The router's last report and the approvals beyond it."""

    def __init__(self, reservation_wall_ms: int) -> None:
        self.view: RouterView | None = None
        self.reservations: dict[str, Reservation] = {}
        self._limit_ms = reservation_wall_ms

    def report(self, view: RouterView, wall_ms: int) -> bool:
        """Takes note of a report; False when it is older than the one known."""
        if self.view is not None and view.order < self.view.order:
            return False
        self.view = view
        shown = {entry.intent_id for entry in view.entries}
        for intent_id, held in list(self.reservations.items()):
            booked = held.fill_seq and view.journal_seq >= held.fill_seq
            if intent_id in shown or booked or wall_ms - held.wall_ms > self._limit_ms:
                del self.reservations[intent_id]
        return True

    def reserve(self, intent_id: str, symbol: str, side: Side, size_usd: Decimal, wall_ms: int) -> None:
        """Counts an approval from now on."""
        self.reservations[intent_id] = Reservation(intent_id, symbol, size_usd * side.sign, wall_ms)

    def filled(self, intent_id: str, journal_seq: int) -> None:
        """An approval began to fill: the report at that journal row shows it."""
        held = self.reservations.get(intent_id)
        if held is not None:
            held.fill_seq = journal_seq

    def release(self, intent_id: str) -> None:
        """An approval came to nothing."""
        self.reservations.pop(intent_id, None)

    def position(self, venue: str, account: str, symbol: str) -> Position | None:
        """The net position the router reports, None when flat or unknown."""
        return None if self.view is None else self.view.positions.get((venue, account, symbol))

    def pending_orders(self, symbol: str) -> int:
        """Entries of a symbol that may still fill."""
        entries = 0 if self.view is None else sum(1 for entry in self.view.entries if entry.symbol == symbol)
        return entries + sum(1 for held in self.reservations.values() if held.symbol == symbol)

    def held(self) -> dict[str, Decimal]:
        """Signed USD notional of the positions, by symbol."""
        notionals: dict[str, Decimal] = {}
        if self.view is not None:
            for position in self.view.positions.values():
                signed = position.notional if position.quantity > 0 else -position.notional
                notionals[position.symbol] = notionals.get(position.symbol, ZERO) + signed
        return notionals

    def worst(self) -> dict[str, Decimal]:
        """Signed USD notional by symbol if whatever of the pending entries makes it larger fills."""
        longs: dict[str, Decimal] = {}
        shorts: dict[str, Decimal] = {}
        pending = () if self.view is None else self.view.entries
        for symbol, notional in (
            *((entry.symbol, entry.notional) for entry in pending),
            *((held.symbol, held.notional) for held in self.reservations.values()),
        ):
            side = longs if notional > 0 else shorts
            side[symbol] = side.get(symbol, ZERO) + notional
        notionals = self.held()
        for symbol in longs.keys() | shorts.keys():
            held = notionals.get(symbol, ZERO)
            up, down = held + longs.get(symbol, ZERO), held + shorts.get(symbol, ZERO)
            notionals[symbol] = up if up >= -down else down
        return notionals

    def unlisted_pending(self) -> Decimal:
        """USD that the router counts as pending beyond the entries it lists and the approvals reserved here."""
        if self.view is None:
            return ZERO
        listed = sum((abs(entry.notional) for entry in self.view.entries), ZERO)
        reserved = sum((abs(held.notional) for held in self.reservations.values()), ZERO)
        return max(ZERO, self.view.pending_total - listed - reserved)
