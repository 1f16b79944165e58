"""The comparison of venue, journal and ledger: order by order, fill by fill, then positions and money.

Guarantees: equal snapshots give no difference; whatever is missing, too much or different in one of them is named by
its kind and key; the same snapshots give the same evidence hash. Invariants: I2, I3, I6 of design/reliability.md.
Never: I/O, a clock, a tolerance for quantities.

What is under way makes snapshots differ for a moment. `persisting` tells such a difference from one that stays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from actors.execution.ledger import settlement
from actors.execution.sides import Ending, FillView, OrderView, Snapshot, ending
from titan.codes import DifferenceKind
from titan.money import ZERO, text_of

MONEY_TOLERANCE = Decimal("0.000001")
FULL_CONFIDENCE = 100
DRIFT_COST = 20
CLEAN_GAIN = 1


@dataclass(frozen=True, slots=True)
class Drift:
    """One difference, with what each side says; an empty text is a side that has nothing to say."""

    kind: DifferenceKind
    key: str
    venue: str
    journal: str
    ledger: str

    @property
    def evidence(self) -> str:
        """SHA-256 over what the sides say of it."""
        said = f"{self.kind}\x1f{self.key}\x1f{self.venue}\x1f{self.journal}\x1f{self.ledger}"
        return hashlib.sha256(said.encode()).hexdigest()

    def difference_id(self, venue: str, account: str) -> str:
        """One id for the same difference of an account, whichever passes see it."""
        return hashlib.sha256(f"{venue}\x1f{account}\x1f{self.evidence}".encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a comparison looked at and found."""

    orders: int
    fills: int
    drifts: tuple[Drift, ...]


def compare(venue: Snapshot, journal: Snapshot, ledger: Snapshot) -> Comparison:
    """Compares the three sides. Drifts come sorted by kind and key."""
    orders, order_drifts = _compare_orders(venue, journal, ledger)
    fills, fill_drifts = _compare_fills(venue, journal, ledger)
    drifts = [
        *order_drifts,
        *fill_drifts,
        *_compare_positions(venue, journal, ledger),
        *_compare_money(venue, journal, ledger),
    ]
    return Comparison(orders, fills, tuple(sorted(drifts, key=lambda drift: (drift.kind, drift.key))))


def persisting(before: Comparison, now: Comparison) -> Comparison:
    """The drifts of `now` that were there before and that the books had time to mend.

    A drift whose venue side and book side both moved on is news under way, not a difference.
    """
    known = {(drift.kind, drift.key): drift for drift in before.drifts}
    kept = []
    for drift in now.drifts:
        past = known.get((drift.kind, drift.key))
        if past is None:
            continue
        books_stood = (past.journal, past.ledger) == (drift.journal, drift.ledger)
        if past.venue == drift.venue or books_stood:
            kept.append(drift)
    return Comparison(now.orders, now.fills, tuple(kept))


def next_confidence(confidence: int, differences: int) -> int:
    """0 to 100: every difference costs 20, a pass without one gains 1."""
    if differences:
        return max(0, confidence - DRIFT_COST * differences)
    return min(FULL_CONFIDENCE, confidence + CLEAN_GAIN)


def evidence(venue: Snapshot, journal: Snapshot, ledger: Snapshot) -> str:
    """SHA-256 over everything that was compared, in a canonical order."""
    digest = hashlib.sha256()
    for side in (venue, journal, ledger):
        for line in _lines(side):
            digest.update(line.encode())
            digest.update(b"\n")
        digest.update(b"--\n")
    return digest.hexdigest()


def missing_at_venue(comparison: Comparison) -> tuple[str, ...]:
    """Keys of the orders that the venue's lists did not show: worth asking for one by one."""
    return tuple(drift.key for drift in comparison.drifts if drift.kind is DifferenceKind.ORDER_MISSING_AT_VENUE)


def _lines(side: Snapshot) -> Iterable[str]:
    yield from sorted(f"order {_order_text(one)}" for one in side.orders)
    yield from sorted(f"fill {one.fill_id} {_fill_text(one)}" for one in side.fills)
    yield from sorted(f"position {symbol} {text_of(held)}" for symbol, held in side.positions.items())
    yield from sorted(f"money {currency} {text_of(held)}" for currency, held in side.money.items())


class _Index:
    """Orders of one side under a key that all sides share: the venue's id, else ours."""

    def __init__(self, orders: Sequence[OrderView], aliases: Mapping[str, str]) -> None:
        self.by_key: dict[str, OrderView] = {}
        self.doubled: list[str] = []
        for order in orders:
            key = order.venue_order_id or aliases.get(order.client_order_id) or order.client_order_id
            if key in self.by_key:
                self.doubled.append(key)
            self.by_key[key] = order


def _compare_orders(venue: Snapshot, journal: Snapshot, ledger: Snapshot) -> tuple[int, list[Drift]]:
    aliases = {
        order.client_order_id: order.venue_order_id
        for side in (venue, ledger, journal)
        for order in side.orders
        if order.client_order_id and order.venue_order_id
    }
    at_venue, in_journal, in_ledger = (_Index(side.orders, aliases) for side in (venue, journal, ledger))
    sides = (at_venue, in_journal, in_ledger)
    drifts = [
        _order_drift(DifferenceKind.ORDER_DIFFERS, f"{key} twice", *(side.by_key.get(key) for side in sides))
        for key in sorted({key for side in sides for key in side.doubled})
    ]
    compared = 0
    for key in sorted(at_venue.by_key.keys() | in_journal.by_key.keys() | in_ledger.by_key.keys()):
        theirs, ours, booked = at_venue.by_key.get(key), in_journal.by_key.get(key), in_ledger.by_key.get(key)
        if theirs is not None and ours is None and booked is None and _is_spent_protection(theirs):
            continue
        compared += 1
        kind = _order_kind(theirs, ours, booked)
        if kind is not None:
            drifts.append(_order_drift(kind, key, theirs, ours, booked))
    return compared, drifts


def _is_spent_protection(order: OrderView) -> bool:
    return order.venue_made and order.filled == 0 and ending(order.state) is Ending.DEAD


def _order_kind(theirs: OrderView | None, ours: OrderView | None, booked: OrderView | None) -> DifferenceKind | None:
    if ours is None:
        return DifferenceKind.ORDER_MISSING_IN_JOURNAL
    if booked is None:
        return DifferenceKind.ORDER_MISSING_IN_LEDGER
    if _order_fields(ours) != _order_fields(booked):
        return DifferenceKind.ORDER_DIFFERS
    if theirs is None:
        return None if ours.may_be_nowhere else DifferenceKind.ORDER_MISSING_AT_VENUE
    return DifferenceKind.ORDER_DIFFERS if not _venue_agrees(theirs, ours) else None


def _order_fields(order: OrderView) -> tuple[object, ...]:
    return (
        order.client_order_id,
        order.venue_order_id,
        order.symbol,
        order.side,
        order.quantity,
        order.price,
        order.state,
        order.filled,
    )


def _venue_agrees(theirs: OrderView, ours: OrderView) -> bool:
    if (theirs.symbol, theirs.side, theirs.filled) != (ours.symbol, ours.side, ours.filled):
        return False
    if ending(theirs.state) is not ending(ours.state):
        return False
    if theirs.venue_made:
        # The venue sizes protection by the position and names it by itself.
        return True
    if theirs.client_order_id and theirs.client_order_id != ours.client_order_id:
        return False
    if ours.venue_order_id and theirs.venue_order_id != ours.venue_order_id:
        return False
    # A market order's price is the venue's own bound.
    return theirs.quantity == ours.quantity and (ours.price is None or theirs.price == ours.price)


def _order_drift(
    kind: DifferenceKind, key: str, theirs: OrderView | None, ours: OrderView | None, booked: OrderView | None
) -> Drift:
    return Drift(kind, key, _order_text(theirs), _order_text(ours), _order_text(booked))


def _order_text(order: OrderView | None) -> str:
    if order is None:
        return ""
    price = "market" if order.price is None else text_of(order.price)
    return (
        f"{order.client_order_id or order.venue_order_id} {order.side} {text_of(order.quantity)} {order.symbol} at {price} "
        f"{order.state} filled {text_of(order.filled)} ({order.venue_order_id})"
    )


def _compare_fills(venue: Snapshot, journal: Snapshot, ledger: Snapshot) -> tuple[int, list[Drift]]:
    at_venue, in_journal, in_ledger = ({one.fill_id: one for one in side.fills} for side in (venue, journal, ledger))
    drifts = []
    keys = sorted(at_venue.keys() | in_journal.keys() | in_ledger.keys())
    for key in keys:
        theirs, ours, booked = at_venue.get(key), in_journal.get(key), in_ledger.get(key)
        if ours is None:
            kind = DifferenceKind.FILL_MISSING_IN_JOURNAL
        elif booked is None:
            kind = DifferenceKind.FILL_MISSING_IN_LEDGER
        elif theirs is None:
            kind = DifferenceKind.FILL_MISSING_AT_VENUE
        elif (
            _fill_fields(ours) != _fill_fields(booked)
            or ours.cash != booked.cash
            or _fill_fields(theirs) != _fill_fields(ours)
        ):
            kind = DifferenceKind.FILL_DIFFERS
        else:
            continue
        drifts.append(Drift(kind, key, _fill_text(theirs), _fill_text(ours), _fill_text(booked)))
    return len(keys), drifts


def _fill_fields(fill: FillView) -> tuple[object, ...]:
    return (fill.venue_order_id, fill.symbol, fill.side, fill.price, fill.quantity, fill.fee, fill.fee_currency)


def _fill_text(fill: FillView | None) -> str:
    if fill is None:
        return ""
    cash = f" cash {text_of(fill.cash)}" if fill.cash else ""
    return (
        f"{fill.side} {text_of(fill.quantity)} {fill.symbol} at {text_of(fill.price)} "
        f"fee {text_of(fill.fee)} {fill.fee_currency} of {fill.venue_order_id}{cash}"
    )


def _as_seen_by_venue(side: Snapshot, venue: Snapshot) -> dict[str, Decimal]:
    """A side's positions, had it exactly the fills that the venue listed: fills under way are judged one by one."""
    known = {one.fill_id for one in venue.fills}
    own = {one.fill_id for one in side.fills}
    held = dict(side.positions)
    for fill in side.fills:
        if fill.fill_id not in known:
            held[fill.symbol] = held.get(fill.symbol, ZERO) - fill.quantity * fill.side.sign
    for fill in venue.fills:
        if fill.fill_id not in own:
            held[fill.symbol] = held.get(fill.symbol, ZERO) + fill.quantity * fill.side.sign
    return held


def _compare_positions(venue: Snapshot, journal: Snapshot, ledger: Snapshot) -> list[Drift]:
    ours, booked = _as_seen_by_venue(journal, venue), _as_seen_by_venue(ledger, venue)
    drifts = []
    for symbol in sorted(venue.positions.keys() | ours.keys() | booked.keys()):
        values = [side.get(symbol, ZERO) for side in (venue.positions, ours, booked)]
        if len(set(values)) > 1:
            texts = [text_of(value) for value in values]
            drifts.append(Drift(DifferenceKind.POSITION_DIFFERS, symbol, *texts))
    if ledger.legs is not None:
        for symbol in sorted(ledger.legs.keys() | ledger.positions.keys()):
            leg, table = ledger.legs.get(symbol, ZERO), ledger.positions.get(symbol, ZERO)
            if leg != table:
                said = f"entries {text_of(leg)}, positions {text_of(table)}"
                drifts.append(Drift(DifferenceKind.POSITION_DIFFERS, f"{symbol} in the ledger", "", "", said))
    return drifts


def _compare_money(venue: Snapshot, journal: Snapshot, ledger: Snapshot) -> list[Drift]:
    drifts = []
    sides = [(side, _cash_after_venue(side, venue)) for side in (journal, ledger)]
    for currency in sorted(venue.money):
        theirs = venue.money[currency]
        texts = []
        off = False
        for side, later in sides:
            # A side that lacks a fill can't know its profit; the missing fill itself is the drift.
            held = None if later is None else side.money.get(currency, ZERO) - later.get(currency, ZERO)
            texts.append("" if held is None else text_of(held))
            off = off or (held is not None and abs(held - theirs) > MONEY_TOLERANCE)
        if off:
            drifts.append(Drift(DifferenceKind.BALANCE_DIFFERS, currency, text_of(theirs), *texts))
    return drifts


def _cash_after_venue(side: Snapshot, venue: Snapshot) -> dict[str, Decimal] | None:
    """What fills that the venue had not listed yet did to a side's wallet; None when the side lacks a listed fill."""
    known = {one.fill_id for one in venue.fills}
    if known - {one.fill_id for one in side.fills}:
        return None
    later: dict[str, Decimal] = {}
    for fill in side.fills:
        if fill.fill_id not in known:
            currency = settlement(fill.symbol)
            later[currency] = later.get(currency, ZERO) + fill.cash
    return later
