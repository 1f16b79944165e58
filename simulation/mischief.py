"""What a venue does to an order after it has answered: refuses what it took, trades more than was asked for.

Guarantees: position, money and executions stay those of the real matching core; only the order that they are booked under
is another one. Never: a change of what was traded.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from simulation.plan import Fault
from titan.paper import orders as paper
from titan.paper.commands import PlaceOrder

if TYPE_CHECKING:
    from simulation.engine import Engine
    from simulation.venue import SimVenue


class Mischief:
    """The faults that wait for an order's end. `excesses` are those still to strike."""

    def __init__(self, venue: SimVenue, engine: Engine) -> None:
        self._venue = venue
        self._engine = engine
        self._refused = 0
        self.excesses: list[Fault] = []

    def refuse_later(self, new: paper.NewOrder) -> str:
        """Takes an order, and refuses it when the answer is out."""
        self._refused += 1
        now = self._engine.venue_ms()
        order = paper.Order(
            f"refused-{self._refused}",
            0,
            new.link_id,
            new.symbol,
            new.side,
            new.type,
            new.tif,
            new.qty,
            new.price,
            now,
            now,
        )
        order.status, order.reject_reason = paper.OrderStatus.REJECTED, paper.Reason.NO_BALANCE
        order.reduce_only = new.reduce_only
        wait_ms = self._engine.chance("stream").randint(0, 80)
        self._venue.books.orders[order.order_id] = order
        self._venue.books.by_link.setdefault(order.link_id, []).append(order.order_id)
        self._engine.after(wait_ms, lambda: self._venue.show(order))
        return order.order_id

    def exceed(self, order: paper.Order) -> None:
        """An order has ended; a fault may have the venue trade more under it all the same."""
        filled = order.status is paper.OrderStatus.FILLED
        cancelled = order.status is paper.OrderStatus.CANCELLED and order.cum_qty < order.qty
        wanted = Fault.OVERFILL if filled else Fault.AFTER_CANCEL
        if not order.link_id or not (filled or cancelled) or order.reduce_only or wanted not in self.excesses:
            return
        self.excesses.remove(wanted)
        chance, lot = self._engine.chance("excess"), self._venue.core.symbols[order.symbol].instrument.min_qty
        size = lot if filled else order.qty - order.cum_qty
        if cancelled and chance.random() < 0.5:
            size = min(size, lot)
        self._engine.after(chance.randint(1, 60), lambda: self._trade_under(order.order_id, size))

    def _trade_under(self, order_id: str, size: Decimal) -> None:
        """Trades at the market, and books it under an order that has ended."""
        known = self._venue.books.orders[order_id].snapshot()
        new = paper.NewOrder(
            known.symbol,
            known.side,
            paper.OrderType.MARKET,
            size,
            tif=paper.TimeInForce.IOC,
            stop_loss=known.stop_loss,
            take_profit=known.take_profit,
        )
        result = self._venue.core.handle(PlaceOrder(new), self._engine.venue_ms())
        if isinstance(result.reply, paper.Refused):
            return
        ghost = result.reply.orders[0][0]
        effects: list[paper.Effect] = []
        for effect in result.effects:
            if isinstance(effect, paper.Executed) and effect.execution.order_id == ghost:
                done = effect.execution
                known.cum_qty += done.qty
                known.cum_value += done.value
                known.cum_fee += done.fee
                named = replace(done, order_id=order_id, link_id=known.link_id, order_qty=known.qty, leaves=Decimal(0))
                effects.append(paper.Executed(named))
            elif not (isinstance(effect, paper.OrderChanged) and effect.order.order_id == ghost):
                effects.append(effect)
        known.updated_ms = self._engine.venue_ms()
        if known.cum_qty >= known.qty:
            known.status = paper.OrderStatus.FILLED
        self._venue.settle([*effects, paper.OrderChanged(known)])
