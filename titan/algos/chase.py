"""Orders that follow the market's best price: maker-first with a chase and a last crossing, and the peg.

Guarantees: an order rests inside the leg's worst price; a new price needs the wait of `reprice_ms` to be over. Never: a
second order while the first may still trade.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from titan.algos.model import Cancel, Child, Finish, Leg, Parent, Place, Step, Top
from titan.codes import AlgoEnd
from titan.model import OrderType, Side
from titan.money import text_of


def maker_first(
    parent: Parent, children: Sequence[Child], live: Child | None, top: Top | None, left: Decimal, now_ms: int
) -> Step:
    """Rests at the best, follows it at most `reprices` times, then crosses once within the band when it may."""
    execution, leg = parent.execution, parent.legs[0]
    patient_ms = parent.started_ms + execution.reprice_ms * (execution.reprices + 1)
    rested = sum(each.order_type is OrderType.POST_ONLY for each in children)
    if live is not None:
        if live.order_type is not OrderType.POST_ONLY:
            return Step(wake_ms=parent.until_ms)
        if now_ms >= patient_ms:
            return Step((Cancel(live.number),))
        if rested <= execution.reprices and top is not None:
            moved = live.price != _resting(leg, top, 0)
            return _follow(parent, live, moved, now_ms, patient_ms)
        return Step(wake_ms=patient_ms)
    if len(children) > rested:
        return Step((Finish(AlgoEnd.GAVE_UP, f"crossed within the band, {text_of(left)} did not fill"),))
    if top is None:
        return Step(wake_ms=min(now_ms + execution.reprice_ms, parent.until_ms))
    if now_ms < patient_ms and rested <= execution.reprices:
        return _place(parent, OrderType.POST_ONLY, left, _resting(leg, top, 0))
    if not execution.cross:
        return Step((Finish(AlgoEnd.GAVE_UP, f"rested {rested} times, {text_of(left)} did not fill"),))
    if not leg.within(top.far(leg.side)):
        text = f"the market is at {text_of(top.far(leg.side))}, the band ends at {text_of(leg.worst)}"
        return Step((Finish(AlgoEnd.BEYOND_BAND, text),))
    return _place(parent, OrderType.IOC, left, leg.kept(leg.worst))


def peg(parent: Parent, live: Child | None, top: Top | None, left: Decimal, now_ms: int) -> Step:
    """Rests `offset_ticks` behind the best and follows it until the time is over."""
    execution, leg = parent.execution, parent.legs[0]
    if top is None:
        return Step(wake_ms=parent.until_ms)
    price = _resting(leg, top, execution.offset_ticks)
    if live is None:
        return _place(parent, OrderType.POST_ONLY, left, price)
    return _follow(parent, live, live.price != price, now_ms, parent.until_ms)


def _resting(leg: Leg, top: Top, offset_ticks: int) -> Decimal:
    away = offset_ticks * leg.grid.tick
    near = top.near(leg.side)
    return leg.kept(near - away if leg.side is Side.BUY else near + away)


def _follow(parent: Parent, live: Child, moved: bool, now_ms: int, wake_ms: int) -> Step:
    """Takes a resting order away for a better price when it is time, and when what is left of it could be sent again."""
    again_ms = live.placed_ms + parent.execution.reprice_ms
    if not moved or not parent.legs[0].grid.tradable(live.open_quantity, parent.legs[0].worst):
        return Step(wake_ms=wake_ms)
    if now_ms < again_ms:
        return Step(wake_ms=min(again_ms, wake_ms))
    return Step((Cancel(live.number),))


def _place(parent: Parent, kind: OrderType, quantity: Decimal, price: Decimal) -> Step:
    return Step((Place(0, kind, parent.legs[0].side, quantity, price),), wake_ms=parent.until_ms)
