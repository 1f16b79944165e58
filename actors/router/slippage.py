"""The slippage breaker: what market entries really cost against the price they were decided at, in bands of the policy's limit.

Over `max_slippage_bps` the router is CAUTIOUS and halves openings; over twice that it is DEFENSIVE, which is an impediment:
nothing opens. Each lasts five minutes of market time after the last such fill, then it ends by itself.
Guarantees: only a fill worse than expected counts; closes and protection are never touched. Never: I/O, a row (after a start
the market is learned anew). Source: reference/execution.md section 1.7, breakers; a window in place of a latch (section 1.18).
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

from actors.router.effects import STATE_CHANGED
from actors.router.state import RouterConfig, RouterState
from actors.router.turn import Turn
from titan.effects import RaiseAlert
from titan.model import Fill
from titan.money import BPS

WINDOW_MS = 300_000
IMPEDIMENT = "slippage"


class Band(StrEnum):
    """How far fills are from what was expected."""

    NORMAL = "Normal"
    CAUTIOUS = "Cautious"
    DEFENSIVE = "Defensive"


def slippage_bps(fill: Fill, expected: Decimal) -> Decimal:
    """How much worse than expected a fill was, in bps; below zero when it was better."""
    return (fill.price - expected) * fill.side.sign / expected * BPS


def band_after(band: Band, bps: Decimal, limit_bps: Decimal) -> Band:
    """The band after a fill: it only rises here."""
    if bps > 2 * limit_bps:
        return Band.DEFENSIVE
    return Band.CAUTIOUS if bps > limit_bps and band is Band.NORMAL else band


def judge(state: RouterState, config: RouterConfig, turn: Turn, fill: Fill) -> None:
    """Takes a booked fill in."""
    expected = state.expected.get(fill.client_order_id)
    if expected is None or state.orders[fill.client_order_id].side is not fill.side:
        return
    bps, limit = slippage_bps(fill, expected), Decimal(config.policy.max_slippage_bps)
    if bps <= limit:
        return
    before = band_of(state)
    band = band_after(before, bps, limit)
    state.slipped_ms = turn.now.market_ms + WINDOW_MS
    if band is Band.DEFENSIVE:
        state.impediments[IMPEDIMENT] = f"an entry filled {bps:.1f} bps worse than decided, {2 * limit} defend"
    if band is not before:
        text = (
            f"{fill.symbol} filled {bps:.1f} bps worse than {expected}, {limit} allowed: {band.value} for five minutes"
        )
        turn.do(RaiseAlert(f"SLIPPAGE_{band.name}", "WARNING", text, {"symbol": fill.symbol}))
        turn.do(STATE_CHANGED)


def relax(state: RouterState, turn: Turn) -> None:
    """Ends a band whose window has passed, and forgets orders that ended."""
    for cid in [cid for cid in state.expected if cid not in state.live]:
        del state.expected[cid]
    if state.slipped_ms and turn.now.market_ms >= state.slipped_ms:
        state.slipped_ms = 0
        state.impediments.pop(IMPEDIMENT, None)
        turn.do(RaiseAlert("SLIPPAGE_NORMAL", "INFO", "no entry slipped beyond the limit for five minutes"))
        turn.do(STATE_CHANGED)


def band_of(state: RouterState) -> Band:
    """The band that holds now."""
    if IMPEDIMENT in state.impediments:
        return Band.DEFENSIVE
    return Band.CAUTIOUS if state.slipped_ms else Band.NORMAL
