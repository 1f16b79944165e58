"""Two legs as one: the first is taken within its band, the second hedges what the first filled, and what stays naked for
longer than `hedge_ms` is taken back.

Guarantees: nothing is bought on the first leg unless both can be had within their bands; a naked quantity is hedged or
unwound, and the unwinding is not given up before twenty tries; an order in doubt on either leg keeps every new one back,
because only its answer says what is naked. Never: a second entry on the first leg.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from titan.algos.model import Cancel, Child, ChildStatus, Finish, Parent, Place, Step, Top, filled
from titan.codes import AlgoEnd
from titan.model import OrderType
from titan.money import text_of

LEAD, HEDGE = 0, 1
UNWINDS = 20


def step(parent: Parent, children: Sequence[Child], tops: Sequence[Top | None], now_ms: int) -> Step:
    """What to do now."""
    if any(each.status is ChildStatus.DOUBT for each in children):
        return Step()
    live = [each for each in children if each.status is ChildStatus.LIVE]
    late = now_ms >= _naked_until(parent, children)
    if live:
        # All of them take at once or not at all; one that stays is cancelled when the time is over.
        wanted = [each for each in live if not each.unwinds and not each.cancelling] if late or parent.stopping else []
        return Step(
            tuple(Cancel(each.number) for each in wanted), wake_ms=None if late else _naked_until(parent, children)
        )
    entered = [each for each in children if each.leg == LEAD and not each.unwinds]
    if not entered:
        return _enter(parent, tops, now_ms)
    naked = filled(children, LEAD) - filled(children, HEDGE)
    if naked > 0 and not late and parent.stopping is None:
        hedged = _hedge(parent, children, tops[HEDGE], naked, now_ms)
        if hedged is not None:
            return hedged
    leg = LEAD if naked > 0 else HEDGE
    return _unwind(parent, children, leg, parent.legs[leg].grid.floor(abs(naked)), now_ms)


def _naked_until(parent: Parent, children: Sequence[Child]) -> int:
    """Until when a naked leg may wait for its hedge: from when the first leg's order was sent."""
    began = min((each.placed_ms for each in children if each.leg == LEAD), default=parent.until_ms)
    return began + parent.execution.hedge_ms


def _enter(parent: Parent, tops: Sequence[Top | None], now_ms: int) -> Step:
    if parent.stopping is not None:
        return Step((Finish(parent.stopping, "nothing was sent"),))
    if now_ms >= parent.until_ms:
        return Step((Finish(AlgoEnd.DEADLINE, "the legs could not be had within their bands"),))
    for leg, top in zip(parent.legs, tops, strict=True):
        if top is None or not leg.within(top.far(leg.side)):
            return Step(wake_ms=parent.until_ms)
    lead = parent.legs[LEAD]
    act = Place(LEAD, OrderType.IOC, lead.side, lead.quantity, lead.kept(lead.worst))
    return Step((act,), wake_ms=now_ms + parent.execution.hedge_ms)


def _hedge(parent: Parent, children: Sequence[Child], top: Top | None, naked: Decimal, now_ms: int) -> Step | None:
    """The hedge of what is naked, or the wait for it; None when it is too small to be hedged."""
    leg, until_ms = parent.legs[HEDGE], _naked_until(parent, children)
    size = leg.grid.floor(naked)
    if not leg.grid.tradable(size, leg.worst):
        return None
    again_ms = max((each.placed_ms for each in children if each.leg == HEDGE), default=now_ms) + _pause_ms(parent)
    if any(each.leg == HEDGE for each in children) and now_ms < again_ms:
        return Step(wake_ms=min(again_ms, until_ms))
    if top is None or not leg.within(top.far(leg.side)):
        return Step(wake_ms=until_ms)
    return Step((Place(HEDGE, OrderType.IOC, leg.side, size, leg.kept(leg.worst)),), wake_ms=until_ms)


def _unwind(parent: Parent, children: Sequence[Child], leg: int, size: Decimal, now_ms: int) -> Step:
    done = filled(children, HEDGE)
    if size <= 0:
        if filled(children, LEAD) > 0 or done > 0:
            return Step((Finish(AlgoEnd.HEDGED, f"{text_of(done)} stand on both legs"),))
        if not any(each.filled for each in children):
            return Step((Finish(parent.stopping or AlgoEnd.GAVE_UP, "the first leg did not fill"),))
        return Step((Finish(AlgoEnd.UNWOUND, "the hedge could not be had, the first leg was taken back"),))
    tried = [each for each in children if each.unwinds]
    if len(tried) >= UNWINDS:
        text = f"{text_of(size)} {parent.legs[leg].symbol} stand without their other leg after {UNWINDS} tries to close them"
        return Step((Finish(AlgoEnd.NAKED, text),))
    if tried and not tried[-1].filled:
        again_ms = tried[-1].placed_ms + _pause_ms(parent)
        if now_ms < again_ms:
            return Step(wake_ms=again_ms)
    return Step((Place(leg, OrderType.MARKET, parent.legs[leg].side.opposite, size, None, unwinds=True),))


def _pause_ms(parent: Parent) -> int:
    return max(1, parent.execution.hedge_ms // 4)
