"""Holdings: net positions and the round trips they make, step by step in journal order.

Guarantees: the same fills in the same journal order give the same holding and the same round trips, to the last digit,
whether booked one by one or all again; a step that comes after a later one is reported, never squeezed in.
Never: I/O.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal

from actors.execution.ledger import fee_in_settlement, plus, product, rounded
from actors.execution.news import Adoption
from titan.model import Fill, Position, Side
from titan.money import ZERO
from titan.positions import apply_fill

PNL_TOLERANCE = Decimal("0.000001")

Step = Fill | Adoption
"""What moves a position: a fill, or its adoption from the venue."""


@dataclass(frozen=True, slots=True)
class Instrument:
    """Whose position it is."""

    venue: str
    account: str
    symbol: str

    @classmethod
    def of(cls, step: Step) -> Instrument:
        """The instrument that a step belongs to."""
        return cls(step.venue, step.account, step.symbol)


@dataclass(frozen=True, slots=True)
class Trip:
    """A round trip under way. Values are price x quantity in the settlement currency."""

    phase: str = ""
    opened_ms: int = 0
    entry_quantity: Decimal = ZERO
    entry_value: Decimal = ZERO
    exit_quantity: Decimal = ZERO
    exit_value: Decimal = ZERO
    pnl: Decimal = ZERO
    fees: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """A holding from flat to flat, or to the other side. `side` is the side that opened it; PnL is before fees."""

    closing_fill_id: str
    instrument: Instrument
    phase: str
    side: Side
    quantity: Decimal
    entry_price: Decimal
    exit_price: Decimal
    realized_pnl: Decimal
    fees: Decimal
    opened_ms: int
    closed_ms: int


@dataclass(frozen=True, slots=True)
class Holding:
    """One net position, the trip it is in, and the journal row of its last fill."""

    instrument: Instrument
    quantity: Decimal = ZERO
    average_price: Decimal = ZERO
    realized_pnl: Decimal = ZERO
    fees: Decimal = ZERO
    funding: Decimal = ZERO
    last_seq: int = 0
    updated_ms: int = 0
    trip: Trip = Trip()


@dataclass(frozen=True, slots=True)
class Booked:
    """A fill's effect. `claim_error` is how far the journal's realised PnL is from our own, in settlement currency."""

    holding: Holding
    round_trip: RoundTrip | None
    claim_error: Decimal

    @property
    def claim_is_off(self) -> bool:
        """Whether the claim is further off than two ways of rounding can be."""
        return self.claim_error > PNL_TOLERANCE


def seq_of(step: Step) -> int:
    """The journal row of a step."""
    return step.seq if isinstance(step, Adoption) else step.journal_seq


def is_late(holding: Holding, step: Step) -> bool:
    """Whether a later step of the instrument is in the holding already."""
    return seq_of(step) < holding.last_seq


def book(holding: Holding, step: Step) -> Booked:
    """Books the next step. Raises ValueError for a fill without positive quantity and price."""
    return _adopt(holding, step) if isinstance(step, Adoption) else _fill(holding, step)


def _adopt(holding: Holding, adoption: Adoption) -> Booked:
    quantity = abs(adoption.quantity)
    trip = Trip(
        opened_ms=adoption.ts_ms,
        entry_quantity=quantity,
        entry_value=product(quantity, adoption.average_price),
    )
    adopted = replace(
        holding,
        quantity=adoption.quantity,
        average_price=rounded(adoption.average_price),
        last_seq=adoption.seq,
        updated_ms=adoption.ts_ms,
        trip=trip if quantity else Trip(),
    )
    return Booked(adopted, None, ZERO)


def _fill(holding: Holding, fill: Fill) -> Booked:
    position = Position(
        holding.instrument.venue,
        holding.instrument.account,
        holding.instrument.symbol,
        quantity=holding.quantity,
        average_price=holding.average_price,
    )
    applied = apply_fill(position, fill.side, fill.quantity, fill.price, ZERO)
    fee = fee_in_settlement(fill)
    claimed = rounded(fill.realized_pnl)
    opened = fill.quantity - applied.closed
    closing_fee = fee if opened == 0 else rounded(fee * applied.closed / fill.quantity)
    trip = holding.trip
    round_trip = None
    if applied.closed:
        trip = replace(
            trip,
            exit_quantity=plus(trip.exit_quantity, applied.closed),
            exit_value=plus(trip.exit_value, product(applied.closed, fill.price)),
            pnl=plus(trip.pnl, claimed),
            fees=plus(trip.fees, closing_fee),
        )
        if applied.round_trip:
            round_trip = _close(holding, trip, fill)
            trip = Trip()
    if opened:
        if trip.entry_quantity == 0:
            trip = Trip(phase=_phase(fill), opened_ms=fill.t_exchange_ms)
        trip = replace(
            trip,
            entry_quantity=plus(trip.entry_quantity, opened),
            entry_value=plus(trip.entry_value, product(opened, fill.price)),
            fees=plus(trip.fees, plus(fee, -closing_fee)),
        )
    booked = replace(
        holding,
        quantity=applied.position.quantity,
        average_price=rounded(applied.position.average_price),
        realized_pnl=plus(holding.realized_pnl, claimed),
        fees=plus(holding.fees, fee),
        last_seq=fill.journal_seq,
        updated_ms=fill.t_exchange_ms,
        trip=trip,
    )
    return Booked(booked, round_trip, abs(claimed - rounded(applied.realized)))


def rebuild(instrument: Instrument, steps: Iterable[Step], funding: Decimal = ZERO) -> tuple[Holding, list[RoundTrip]]:
    """The holding and round trips that all of an instrument's steps make, in journal order."""
    holding = Holding(instrument, funding=funding)
    trips: list[RoundTrip] = []
    for step in sorted(steps, key=order_of):
        booked = book(holding, step)
        holding = booked.holding
        if booked.round_trip is not None:
            trips.append(booked.round_trip)
    return holding, trips


def order_of(step: Step) -> tuple[int, str]:
    """Sorts steps as the journal has them."""
    return (seq_of(step), "" if isinstance(step, Adoption) else step.fill_id)


def _close(holding: Holding, trip: Trip, fill: Fill) -> RoundTrip:
    return RoundTrip(
        closing_fill_id=fill.fill_id,
        instrument=holding.instrument,
        phase=trip.phase,
        side=Side.BUY if holding.quantity > 0 else Side.SELL,
        quantity=trip.exit_quantity,
        entry_price=rounded(trip.entry_value / trip.entry_quantity),
        exit_price=rounded(trip.exit_value / trip.exit_quantity),
        realized_pnl=trip.pnl,
        fees=trip.fees,
        opened_ms=trip.opened_ms,
        closed_ms=fill.t_exchange_ms,
    )


def _phase(fill: Fill) -> str:
    return fill.phase.value if fill.phase is not None else ""
