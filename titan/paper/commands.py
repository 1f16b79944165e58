"""What a client can ask of the venue's core, already parsed.

Guarantees: values are typed and finite; whether they are allowed is for the core to say. Never: text of a protocol.
"""

from __future__ import annotations

from decimal import Decimal

from titan.paper.orders import ZERO, NewOrder, OrderFilter, TriggerBy
from titan.values import value


@value
class PlaceOrder:
    """Make an order."""

    order: NewOrder


@value
class CancelOrder:
    """Cancel one open order, by order id or by client id."""

    symbol: str
    order_id: str = ""
    link_id: str = ""


@value
class CancelAll:
    """Cancel open orders of a symbol, or of all with an empty one. Unfiltered it also removes TP/SL orders."""

    symbol: str = ""
    filter: OrderFilter = OrderFilter.ALL


@value
class AmendOrder:
    """Change quantity, price or trigger of an open order; zero keeps a value."""

    symbol: str
    order_id: str = ""
    link_id: str = ""
    qty: Decimal = ZERO
    price: Decimal = ZERO
    trigger_price: Decimal = ZERO


@value
class SetLeverage:
    """Set the leverage of a symbol."""

    symbol: str
    leverage: Decimal


@value
class SetTradingStop:
    """Set (price), remove (zero) or keep (None) the protection of a whole position."""

    symbol: str
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None
    sl_trigger_by: TriggerBy = TriggerBy.LAST
    tp_trigger_by: TriggerBy = TriggerBy.LAST


@value
class CloseMarket:
    """End the present market: cancel every order and close every position at its mark, for another feed follows."""


Command = PlaceOrder | CancelOrder | CancelAll | AmendOrder | SetLeverage | SetTradingStop | CloseMarket
