"""One step of a parent order: from what stands at the venue, what the market shows and the time, what to do next.

Entry points: `completed` fills the style's parameters in, `problem` says what is wrong with them, `step` decides.
Guarantees: (1) a step is a function of the journalled children, so a restart goes on where it was; (2) a leg has at most
one child that is not over, and a child in doubt keeps every new one back; (3) what has filled and what is open never add
up to more than the leg; (4) no child trades beyond the leg's worst price, but one that lowers risk (a naked leg taken
back, the rest of a close); (5) a parent is over only when nothing of it is open or in doubt. Never: I/O, a clock, chance;
amending in place (a new price is a cancel, its last word, and a new child: the same at every venue, and never two at once).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import assert_never

from titan.algos import basis, chase, slices
from titan.algos.model import MAX_CHILDREN, Cancel, Child, ChildStatus, Finish, Leg, Parent, Place, Step, Top, filled
from titan.codes import AlgoEnd
from titan.model import Execution, OrderType, Style
from titan.money import text_of

REPRICE_MS = 2_000
REPRICES = 3
SLICES = 5
DURATION_MS = 60_000
HEDGE_MS = 3_000
MAX_DURATION_MS = 24 * 3_600_000
REFUSED_IN_A_ROW = 5
_SHORT = frozenset({AlgoEnd.DEADLINE, AlgoEnd.GAVE_UP, AlgoEnd.BEYOND_BAND, AlgoEnd.REFUSED})


def completed(execution: Execution, shortest_ms: int) -> Execution:
    """The execution with defaults for what it leaves at zero; waits that a machine must keep are at least `shortest_ms`."""
    return replace(
        execution,
        duration_ms=execution.duration_ms or DURATION_MS,
        reprice_ms=max(execution.reprice_ms or REPRICE_MS, shortest_ms),
        reprices=execution.reprices or REPRICES,
        slices=execution.slices or SLICES,
        hedge_ms=max(execution.hedge_ms or HEDGE_MS, shortest_ms),
    )


def problem(execution: Execution, *, limited: bool) -> str:
    """What is wrong with an execution's parameters, empty when nothing is; `limited` says that a limit price is given."""
    if not 0 < execution.duration_ms <= MAX_DURATION_MS:
        return f"duration_ms is {execution.duration_ms}, it must be between 1 and {MAX_DURATION_MS}"
    if not 0 < execution.slices <= MAX_CHILDREN // 2:
        return f"slices is {execution.slices}, it must be between 1 and {MAX_CHILDREN // 2}"
    if not 0 < execution.reprices <= MAX_CHILDREN // 2:
        return f"reprices is {execution.reprices}, it must be between 1 and {MAX_CHILDREN // 2}"
    if execution.reprice_ms <= 0 or execution.hedge_ms <= 0 or execution.offset_ticks < 0:
        return "reprice_ms and hedge_ms must be above zero, offset_ticks not below"
    if execution.style is Style.ICEBERG and (not limited or execution.display is None):
        return "an iceberg needs a limit price and the quantity it displays"
    if execution.style is Style.BASIS and not execution.hedge_symbol:
        return "a basis order names the symbol of its hedge"
    if execution.style is Style.BASIS and execution.hedge_reference_price is None:
        return "a basis order needs the price its hedge was decided at"
    return ""


def lifetime_ms(execution: Execution) -> int:
    """How long a parent may live from its start, in market ms: what is not done by then is given up."""
    match execution.style:
        case Style.MAKER_FIRST:
            return execution.reprice_ms * (execution.reprices + 3)
        case Style.TWAP:
            return slices.twap_lifetime_ms(execution)
        case Style.PEG | Style.ICEBERG | Style.BASIS:
            return execution.duration_ms
        case _:
            assert_never(execution.style)


def step(parent: Parent, children: Sequence[Child], tops: Sequence[Top | None], now_ms: int) -> Step:
    """What to do now; `tops` are the best prices of the legs, None where they are not known."""
    if parent.execution.style is Style.BASIS:
        return basis.step(parent, children, tops, now_ms)
    made = _styled(parent, children, tops[0], now_ms)
    leg = parent.legs[0]
    if parent.takes_the_rest and not _took_the_rest(children):
        for act in made.acts:
            if isinstance(act, Finish) and act.end in _SHORT:
                left = leg.quantity - filled(children, 0)
                return Step((Place(0, OrderType.MARKET, leg.side, left, None),))
    return made


def _took_the_rest(children: Sequence[Child]) -> bool:
    return any(each.order_type is OrderType.MARKET for each in children)


def _styled(parent: Parent, children: Sequence[Child], top: Top | None, now_ms: int) -> Step:
    leg = parent.legs[0]
    if any(each.status is ChildStatus.DOUBT for each in children):
        return Step(wake_ms=parent.until_ms if now_ms < parent.until_ms else None)
    live = next((each for each in children if each.status is ChildStatus.LIVE), None)
    left = leg.quantity - filled(children, 0)
    over = _over(parent, leg, children, left, live, now_ms)
    if over is not None:
        if live is None:
            return Step((over,))
        return Step() if live.cancelling else Step((Cancel(live.number),))
    if live is not None and live.cancelling:
        return Step(wake_ms=parent.until_ms)
    if live is None and children and not children[-1].filled:
        # Whoever ended it, the venue or we: no two of them come faster than one may be re-priced.
        again_ms = children[-1].placed_ms + parent.execution.reprice_ms
        if now_ms < again_ms:
            return Step(wake_ms=again_ms)
    style = parent.execution.style
    assert style is not Style.BASIS
    match style:
        case Style.MAKER_FIRST:
            return chase.maker_first(parent, children, live, top, left, now_ms)
        case Style.PEG:
            return chase.peg(parent, live, top, left, now_ms)
        case Style.TWAP:
            return slices.twap(parent, children, live, top, left, now_ms)
        case Style.ICEBERG:
            return slices.iceberg(parent, live, left)
        case _:
            assert_never(style)


def _over(
    parent: Parent, leg: Leg, children: Sequence[Child], left: Decimal, live: Child | None, now_ms: int
) -> Finish | None:
    done = text_of(leg.quantity - left)
    if left <= 0:
        return Finish(AlgoEnd.FILLED, f"{done} filled")
    if parent.stopping is not None:
        return Finish(parent.stopping, f"{done} of {text_of(leg.quantity)} filled")
    if live is None and not leg.grid.tradable(left, leg.worst):
        return Finish(AlgoEnd.FILLED, f"{done} filled, {text_of(left)} left are below the venue's minimum")
    if live is None and _took_the_rest(children):
        return Finish(AlgoEnd.GAVE_UP, f"{text_of(left)} are left after a market order for the rest")
    if now_ms >= parent.until_ms:
        return Finish(AlgoEnd.DEADLINE, f"{done} of {text_of(leg.quantity)} filled in time")
    if len(children) >= MAX_CHILDREN and live is None:
        return Finish(AlgoEnd.GAVE_UP, f"{len(children)} orders were made, {done} of {text_of(leg.quantity)} filled")
    last = children[-REFUSED_IN_A_ROW:]
    if len(last) == REFUSED_IN_A_ROW and all(each.refused for each in last):
        return Finish(AlgoEnd.REFUSED, f"{REFUSED_IN_A_ROW} orders in a row were refused")
    return None
