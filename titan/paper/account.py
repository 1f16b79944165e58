"""The venue's one account: wallet, positions, margin, fees and funding, in exact Decimal.

Guarantees: wallet - sum(entry cost) always equals deposit - sum(signed qty * price) - fees - funding, to the last
digit, because a partial close releases cost rounded once and the rest keeps the remainder.
Never: orders, books or time.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from decimal import Decimal

from titan.paper.orders import ZERO, Instrument, PositionView, Side, TriggerBy
from titan.values import value

MAKER_FEE = Decimal("0.0002")
TAKER_FEE = Decimal("0.00055")
MAINTENANCE_RATE = Decimal("0.005")
DEFAULT_LEVERAGE = Decimal(10)
MONEY_STEP = Decimal("1e-8")
COST_STEP = Decimal("1e-12")


_REMEMBERED = tuple(field.name for field in fields(PositionView) if field.name != "symbol")


@value
class FillOutcome:
    """What a fill did: profit taken, size closed, size opened."""

    realised: Decimal
    closed: Decimal
    opened: Decimal


@dataclass(slots=True)
class Position:
    """One-way position of a symbol. `size` and `cost` are signed; `realised` is net of fees since opening, `cum_realised` ever."""

    instrument: Instrument
    leverage: Decimal = DEFAULT_LEVERAGE
    size: Decimal = ZERO
    cost: Decimal = ZERO
    realised: Decimal = ZERO
    cum_realised: Decimal = ZERO
    mark: Decimal = ZERO
    stop_loss: Decimal = ZERO
    take_profit: Decimal = ZERO
    sl_trigger_by: TriggerBy = TriggerBy.LAST
    tp_trigger_by: TriggerBy = TriggerBy.LAST
    sl_parent: str = ""
    tp_parent: str = ""
    created_ms: int = 0
    updated_ms: int = 0
    next_funding_ms: int = 0
    funding_rate: Decimal = ZERO

    @property
    def side(self) -> Side | None:
        """Direction held, None when flat."""
        if self.size == 0:
            return None
        return Side.BUY if self.size > 0 else Side.SELL

    @property
    def unrealised(self) -> Decimal:
        """Profit at the mark price."""
        return self.size * self.mark - self.cost if self.size else ZERO

    def apply(self, side: Side, price: Decimal, qty: Decimal) -> FillOutcome:
        """Books a fill; a fill against the position closes first and opens the other side with the rest."""
        closed = ZERO
        realised = ZERO
        signed = qty * side.sign
        if self.size * side.sign < 0:
            closed = min(qty, abs(self.size))
            whole = closed == abs(self.size)
            released = self.cost if whole else (self.cost * closed / abs(self.size)).quantize(COST_STEP)
            closed_signed = closed * side.sign
            realised = -closed_signed * price - released
            self.size += closed_signed
            self.cost -= released
            signed -= closed_signed
        if signed:
            self.size += signed
            self.cost += signed * price
        return FillOutcome(realised, closed, abs(signed))

    def book_profit(self, net: Decimal, *, fresh: bool = False) -> None:
        """Adds to realised profit; `fresh` starts the count of a new position."""
        self.realised = net if fresh else self.realised + net
        self.cum_realised += net

    def view(self) -> PositionView:
        """An immutable copy."""
        return PositionView(
            symbol=self.instrument.id,
            size=self.size,
            cost=self.cost,
            leverage=self.leverage,
            realised=self.realised,
            cum_realised=self.cum_realised,
            stop_loss=self.stop_loss,
            take_profit=self.take_profit,
            sl_trigger_by=self.sl_trigger_by,
            tp_trigger_by=self.tp_trigger_by,
            sl_parent=self.sl_parent,
            tp_parent=self.tp_parent,
            created_ms=self.created_ms,
            updated_ms=self.updated_ms,
            next_funding_ms=self.next_funding_ms,
            funding_rate=self.funding_rate,
            mark=self.mark,
        )

    def restore(self, view: PositionView) -> None:
        """Becomes what the ledger remembers."""
        for name in _REMEMBERED:
            setattr(self, name, getattr(view, name))


@dataclass(slots=True)
class Exposure:
    """Running sums of live orders that may open, by side: quantity and value at their prices."""

    buy_qty: Decimal = ZERO
    buy_value: Decimal = ZERO
    sell_qty: Decimal = ZERO
    sell_value: Decimal = ZERO

    def add(self, side: Side, qty: Decimal, value: Decimal) -> None:
        """Counts (or with negative numbers discounts) part of an order."""
        if side is Side.BUY:
            self.buy_qty += qty
            self.buy_value += value
        else:
            self.sell_qty += qty
            self.sell_value += value

    def opening_value(self, size: Decimal) -> Decimal:
        """Value that would be opened if all orders filled against a position of `size`, both sides counted."""
        return _opening(self.buy_qty, self.buy_value, max(-size, ZERO)) + _opening(
            self.sell_qty, self.sell_value, max(size, ZERO)
        )


def _opening(qty: Decimal, value: Decimal, offset: Decimal) -> Decimal:
    if qty <= offset:
        return ZERO
    return value if offset == 0 else value * (qty - offset) / qty


@value
class Margin:
    """The account at mark prices, in quote money."""

    wallet: Decimal
    unrealised: Decimal
    position_im: Decimal
    order_im: Decimal
    maintenance: Decimal

    @property
    def equity(self) -> Decimal:
        """Wallet plus unrealised profit."""
        return self.wallet + self.unrealised

    @property
    def available(self) -> Decimal:
        """What new orders may use; can be negative."""
        return self.equity - self.position_im - self.order_im


class Account:
    """Wallet and positions."""

    def __init__(self, instruments: tuple[Instrument, ...], wallet: Decimal) -> None:
        self.wallet = wallet
        self.positions = {i.id: Position(i, min(DEFAULT_LEVERAGE, i.max_leverage)) for i in instruments}
        self.exposures = {i.id: Exposure() for i in instruments}

    def margin(self) -> Margin:
        """Sums the account at current marks."""
        unrealised = position_im = order_im = maintenance = ZERO
        for symbol, position in self.positions.items():
            if position.size:
                value = abs(position.size) * position.mark
                unrealised += position.unrealised
                position_im += value / position.leverage
                maintenance += value * MAINTENANCE_RATE
            exposure = self.exposures[symbol]
            if exposure.buy_qty or exposure.sell_qty:
                order_im += exposure.opening_value(position.size) / position.leverage
        return Margin(self.wallet, unrealised, position_im, order_im, maintenance)


def fee_of(value: Decimal, *, is_maker: bool) -> Decimal:
    """Fee on a traded value, rounded to 1e-8 of the quote coin."""
    return (value * (MAKER_FEE if is_maker else TAKER_FEE)).quantize(MONEY_STEP)
