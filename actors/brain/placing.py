"""How an approved opening meets the market: at which venues, and in which manner for the impact it would have.

Guarantees: what is asked of a venue by name or rule goes there or nowhere; the portions add up to the approved size to the
cent; a size that would move the market further is never sent in a freer manner. Never: a decision on risk.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from actors.brain.outcome import Veto
from actors.brain.state import BrainState
from titan.algos import (
    Impact,
    NoVenue,
    Route,
    Target,
    Unsplittable,
    impact_bps,
    route,
    split,
)
from titan.codes import VetoCode
from titan.model import Execution, OrderType, Side, Signal, Style
from titan.money import BPS, ONE, text_of
from titan.values import value

CENT = Decimal("0.01")
TAKING = frozenset({OrderType.MARKET, OrderType.IOC})


@value
class Manner:
    """The signal as it will be ordered, and what the decision says about it."""

    signal: Signal
    remark: str = ""


def route_of(state: BrainState, signal: Signal) -> Route:
    """Where a signal's order goes. Raises Veto when nowhere."""
    asked = signal.venue, signal.phase
    found = state.routes.get(asked)
    if found is None:
        try:
            found = route(*asked, state.config.routing, dict.fromkeys(state.config.all_venues, ""))
        except NoVenue as error:
            raise Veto(VetoCode.VENUE_UNAVAILABLE, f"VENUE_UNAVAILABLE: {error}") from None
        # The rules and the venues stay as they are for the whole run.
        state.routes[asked] = found
    return found


def portions(state: BrainState, where: Route, size: Decimal) -> list[tuple[str, Decimal]]:
    """USD by venue. Raises Veto when it is too little for any."""
    targets = [Target(name, share, CENT, min_notional=state.config.min_order_usd) for name, share in where.shares]
    try:
        made = split(size, targets, ONE)
    except Unsplittable as error:
        raise Veto(VetoCode.SIZE_TOO_SMALL, f"SIZE_TOO_SMALL: {error}") from None
    for name, _ in made:
        state.routed[name] = state.routed.get(name, 0) + 1
    return made


def manner_of(state: BrainState, signal: Signal, size: Decimal) -> Manner:
    """How a size may meet the market. Raises Veto when it would move it too far, or when that can't be said."""
    slices = _slices(signal)
    try:
        bps = impact_bps(float(size) / slices, state.day_volume_usd(signal.symbol))
    except ValueError as error:
        raise Veto(VetoCode.IMPACT, f"IMPACT: {error}") from None
    verdict = state.config.impact.judge(bps)
    state.impacts[verdict] = state.impacts.get(verdict, 0) + 1
    text = f"impact {bps:.1f} bps"
    if verdict is Impact.REFUSE:
        limit = state.config.impact.refuse_bps
        raise Veto(VetoCode.IMPACT, f"IMPACT: {text} for {text_of(size)} USD of {signal.symbol}, limit {limit:g} bps")
    if verdict is Impact.FREE or signal.order_type not in TAKING or signal.execution is not None:
        return Manner(signal, "" if verdict is Impact.FREE else text)
    if verdict is Impact.POST_ONLY:
        return Manner(_resting(state, signal), f"{text}: post-only")
    return Manner(_banded(state, signal), f"{text}: IOC within the slippage band")


def _slices(signal: Signal) -> int:
    """What of it meets the market at once: a TWAP's slice is judged, not its sum."""
    work = signal.execution
    return max(1, work.slices) if work is not None and work.style is Style.TWAP else 1


def _resting(state: BrainState, signal: Signal) -> Signal:
    """Rests at the best price and follows it, and never takes; with terms of its own it rests once."""
    if signal.terms is None:
        return replace(signal, execution=Execution(Style.MAKER_FIRST))
    quote = state.quotes.get(signal.symbol)
    near = None if quote is None else quote.touch(signal.side.opposite)
    return replace(signal, order_type=OrderType.POST_ONLY, entry_price=near or signal.entry_price)


def _banded(state: BrainState, signal: Signal) -> Signal:
    """Takes what stands within the slippage band of the touch, and leaves the rest."""
    if signal.order_type is OrderType.IOC:
        return signal
    quote = state.quotes.get(signal.symbol)
    touch = None if quote is None else quote.touch(signal.side)
    reference = touch or signal.entry_price
    if reference is None:
        raise Veto(VetoCode.IMPACT, f"IMPACT: no price of {signal.symbol} to set the band of an IOC order by")
    most = state.policy.max_slippage_bps
    bps = Decimal(min(signal.max_slippage_bps or most, most))
    return replace(signal, order_type=OrderType.IOC, entry_price=_worst(reference, signal.side, bps))


def _worst(reference: Decimal, side: Side, bps: Decimal) -> Decimal:
    return reference * (1 + side.sign * bps / BPS)
