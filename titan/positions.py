"""Position arithmetic of a net (one-way) account.

Guarantees: exact in Decimal up to the context's 28 digits; an average price changes only when a position grows or
flips; every fee and funding payment is kept apart from realised PnL. Source: reference/execution.md section 1.8.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from titan.model import Position, Side
from titan.money import ZERO


@dataclass(frozen=True, slots=True)
class Applied:
    """A fill's effect: the new position, the PnL it realised (before fees) and whether it closed a round trip."""

    position: Position
    realized: Decimal
    closed: Decimal
    flipped: bool

    @property
    def round_trip(self) -> bool:
        """Whether the fill ended a holding: the position is flat or on the other side now."""
        return self.closed > 0 and (self.position.is_flat or self.flipped)


def apply_fill(
    position: Position,
    side: Side,
    quantity: Decimal,
    price: Decimal,
    fee: Decimal,
    ts_ms: int = 0,
) -> Applied:
    """Books a fill of `quantity` base units at `price`. Raises ValueError when either is not positive."""
    if quantity <= 0 or price <= 0:
        raise ValueError(f"a fill needs a positive quantity and price, got {quantity} at {price}")
    held = position.quantity
    signed = quantity if side is Side.BUY else -quantity
    after = held + signed
    fees = position.fees + fee
    if held == 0 or (held > 0) == (signed > 0):
        cost = position.average_price * abs(held) + price * quantity
        average = cost / abs(after)
        grown = replace(position, quantity=after, average_price=average, fees=fees, updated_ms=ts_ms)
        return Applied(grown, ZERO, ZERO, flipped=False)
    closed = min(abs(held), quantity)
    move = price - position.average_price
    realized = move * closed if held > 0 else -move * closed
    flipped = after != 0 and (after > 0) != (held > 0)
    if after == 0:
        average = ZERO
    elif flipped:
        average = price
    else:
        average = position.average_price
    reduced = replace(
        position,
        quantity=after,
        average_price=average,
        realized_pnl=position.realized_pnl + realized,
        fees=fees,
        stop_price=position.stop_price if after != 0 and not flipped else None,
        target_price=position.target_price if after != 0 and not flipped else None,
        updated_ms=ts_ms,
    )
    return Applied(reduced, realized, closed, flipped)


def reduces(held: Decimal, side: Side, quantity: Decimal) -> bool:
    """Whether the order strictly lowers |position| and never flips it."""
    signed = quantity if side is Side.BUY else -quantity
    return quantity > 0 and held != 0 and (held > 0) != (signed > 0) and quantity <= abs(held)
