"""The last veto: pure checks of an opening in a fixed order, each with its code.

Guarantees: the first check that does not say yes is the answer; what a check can't know (no quote, no equity) is a no.
Reduce-only orders never come here. Source: reference/execution.md section 1.7 with its fixes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from actors.router.state import Pending, Quote, RouterConfig, RouterState
from titan.clock import Now, market_limit_ms
from titan.codes import RejectCode, TradingState
from titan.instruments import Instrument
from titan.model import Intent, OrderType, Side
from titan.money import BPS, ZERO
from titan.positions import reduces
from titan.symbols import whitelisted

NOTHING_PENDING = Pending(0, ZERO, ZERO)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why not."""

    code: RejectCode
    detail: str


@dataclass(slots=True)
class Opening:
    """An opening under examination. Each check fills in what later checks and the order need.

    `limit_price` is None for a market order; protection is on the tick grid, and absent when the order only `reduces`.
    """

    intent: Intent
    state: RouterState
    config: RouterConfig
    now: Now
    quote: Quote | None = None
    instrument: Instrument | None = None
    price: Decimal = ZERO
    quantity: Decimal = ZERO
    held: Decimal = ZERO
    pending: Pending = NOTHING_PENDING
    reduces: bool = False
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    target_price: Decimal | None = None


Check = Callable[[Opening], Refusal | None]

# Parsing a symbol costs 2 us; a run trades a handful of them.
_listed = lru_cache(maxsize=256)(whitelisted)
_limit_ms = lru_cache(maxsize=16)(market_limit_ms)

_STATE_CODES = {
    TradingState.DISARMED: RejectCode.DISARMED,
    TradingState.REDUCING: RejectCode.REDUCING,
    TradingState.HALTED: RejectCode.HALTED,
}


def trading_state(c: Opening) -> Refusal | None:
    """Only ACTIVE opens."""
    code = _STATE_CODES.get(c.state.trading)
    return None if code is None else Refusal(code, f"{c.state.trading.value}: {c.state.trading_reason}")


def readiness(c: Opening) -> Refusal | None:
    """Recovered, journal writable, venue and bus there, books in agreement."""
    if "journal" in c.state.impediments:
        return Refusal(RejectCode.JOURNAL_FAILED, c.state.impediments["journal"])
    if not c.state.ready:
        return Refusal(RejectCode.NOT_READY, "the router has not agreed with the venue yet")
    if c.state.impediments:
        return Refusal(RejectCode.REDUCING, c.state.reason)
    return None


def policy_hash(c: Opening) -> Refusal | None:
    """An opener names the policy it was approved under, and it is ours."""
    got, ours = c.intent.policy_hash, c.config.policy_hash
    if not got:
        return Refusal(RejectCode.POLICY_HASH_MISSING, f"an opening intent must carry the policy hash; ours is {ours}")
    if got != ours:
        return Refusal(RejectCode.POLICY_HASH_MISMATCH, f"intent approved under {got}, router enforces {ours}")
    return None


def brain_heartbeat(c: Opening) -> Refusal | None:
    """The brain was heard of within five seconds of wall time."""
    silence = c.now.wall_ms - c.state.brain_beat_ms
    if silence > c.config.brain_silence_ms:
        return Refusal(
            RejectCode.HEARTBEAT_STALE,
            f"no heartbeat of the brain for {silence} ms, {c.config.brain_silence_ms} allowed",
        )
    return None


def market_data(c: Opening) -> Refusal | None:
    """A quote of the symbol is fresh in market time."""
    quote = c.state.quotes.get(c.intent.symbol)
    if quote is None:
        return Refusal(RejectCode.MARKET_DATA_STALE, f"no quote of {c.intent.symbol} was ever seen")
    limit = _limit_ms(c.config.policy.max_staleness_ms, c.config.speed)
    age = c.now.market_ms - quote.ts_ms
    if age > limit:
        return Refusal(
            RejectCode.MARKET_DATA_STALE, f"the quote of {c.intent.symbol} is {age} ms old, {limit} ms allowed"
        )
    if quote.bid <= 0 or quote.ask <= 0 or quote.mark <= 0:
        return Refusal(RejectCode.MARKET_DATA_STALE, f"{c.intent.symbol} has no two-sided market now")
    c.quote = quote
    return None


def whitelist(c: Opening) -> Refusal | None:
    """The policy lists the symbol."""
    if _listed(c.intent.symbol, c.config.policy.symbol_whitelist):
        return None
    listed = ", ".join(c.config.policy.symbol_whitelist) or "nothing"
    return Refusal(RejectCode.SYMBOL_NOT_WHITELISTED, f"{c.intent.symbol} is not in the whitelist ({listed})")


def size(c: Opening) -> Refusal | None:
    """USD become base units on the lot grid, not below the venue's minimum."""
    intent = c.intent
    instrument = c.config.instruments.find(intent.venue, intent.symbol)
    if instrument is None:
        return Refusal(RejectCode.UNKNOWN_INSTRUMENT, f"{intent.venue} lists no {intent.symbol}")
    if intent.size_usd <= 0:
        return Refusal(RejectCode.INVALID_SIZE, f"size_usd is {intent.size_usd}, it must be above zero")
    assert c.quote is not None
    c.instrument = instrument
    c.price = c.quote.executable(intent.side)
    if intent.order_type is not OrderType.MARKET:
        if intent.limit_price is None:
            return Refusal(RejectCode.INVALID_INTENT, f"a {intent.order_type.value} order needs a limit price")
        c.price = c.limit_price = instrument.round_price(intent.limit_price)
    c.quantity = instrument.floor_qty(intent.size_usd / (intent.reference_price or c.price))
    if c.quantity < instrument.min_qty or c.quantity <= 0:
        return Refusal(
            RejectCode.BELOW_MINIMUM,
            f"{intent.size_usd} USD are {c.quantity} {instrument.base}, the minimum is {instrument.min_qty}",
        )
    if c.quantity * c.price < instrument.min_notional:
        return Refusal(
            RejectCode.BELOW_MINIMUM,
            f"{c.quantity} at {c.price} is below the minimum notional {instrument.min_notional}",
        )
    c.held = c.state.held(intent.symbol)
    c.reduces = reduces(c.held, intent.side, c.quantity)
    return None


def protection(c: Opening) -> Refusal | None:
    """A stop is there and on the losing side, a target on the winning side."""
    intent, price = c.intent, c.price
    if c.reduces:
        return None
    assert c.instrument is not None
    if intent.stop_price is None:
        return Refusal(RejectCode.STOP_MISSING, "every entry carries its protective stop")
    losing = intent.stop_price < price if intent.side is Side.BUY else intent.stop_price > price
    if not losing:
        return Refusal(
            RejectCode.STOP_WRONG_SIDE, f"stop {intent.stop_price} does not protect a {intent.side.value} at {price}"
        )
    if intent.target_price is not None:
        winning = intent.target_price > price if intent.side is Side.BUY else intent.target_price < price
        if not winning:
            return Refusal(
                RejectCode.STOP_WRONG_SIDE,
                f"target {intent.target_price} is no gain for a {intent.side.value} at {price}",
            )
        c.target_price = c.instrument.round_price(intent.target_price)
    c.stop_price = c.instrument.round_price(intent.stop_price)
    return None


def slippage(c: Opening) -> Refusal | None:
    """The market has not run away from the price the decision was made at."""
    reference = c.intent.reference_price
    if reference is None:
        return Refusal(RejectCode.SLIPPAGE, "no reference price: slippage can't be judged")
    assert c.quote is not None
    allowed = c.config.policy.max_slippage_bps
    if 0 < c.intent.max_slippage_bps < allowed:
        allowed = c.intent.max_slippage_bps
    worse = (c.quote.executable(c.intent.side) - reference) * c.intent.side.sign
    if worse * BPS > allowed * reference:
        bps = worse / reference * BPS
        return Refusal(RejectCode.SLIPPAGE, f"the market moved {bps:.1f} bps against {reference}, {allowed} allowed")
    return None


def open_orders(c: Opening) -> Refusal | None:
    """Not more entries of a symbol on their way than the policy allows; from here on `pending` counts this one too."""
    limit = c.config.policy.max_open_orders_per_symbol
    count, buys, sells = c.state.pending(c.intent.symbol)
    if count >= limit:
        return Refusal(RejectCode.OPEN_ORDERS, f"{count} entries of {c.intent.symbol} are open, {limit} allowed")
    if c.intent.side is Side.BUY:
        c.pending = Pending(count, buys + c.quantity, sells)
    else:
        c.pending = Pending(count, buys, sells + c.quantity)
    return None


def daily_loss(c: Opening) -> Refusal | None:
    """Realised and unrealised profit of the market day, fees and funding included, is above the limit."""
    if c.state.equity() is None:
        return Refusal(RejectCode.DAILY_LOSS, "equity is unknown")
    pnl = c.state.daily_pnl()
    if pnl <= c.config.policy.max_daily_loss:
        return Refusal(
            RejectCode.DAILY_LOSS, f"today's result is {pnl:.2f}, the limit {c.config.policy.max_daily_loss}"
        )
    return None


def position_notional(c: Opening) -> Refusal | None:
    """The position after this and every pending entry stays within the cap, netted and measured at mark."""
    assert c.quote is not None
    limit = c.config.policy.max_position_notional
    after = c.held + c.pending.buys if c.intent.side is Side.BUY else c.pending.sells - c.held
    price = c.quote.mark
    if c.limit_price is not None and c.limit_price > price:
        price = c.limit_price
    notional = after * price
    if notional > limit:
        return Refusal(
            RejectCode.POSITION_NOTIONAL, f"{c.intent.symbol} would reach {notional:.2f} USD, {limit} allowed"
        )
    return None


def leverage(c: Opening) -> Refusal | None:
    """All exposure after this order over equity stays within the policy's leverage."""
    assert c.quote is not None
    limit = c.config.policy.max_account_leverage
    if c.intent.leverage > limit:
        return Refusal(RejectCode.LEVERAGE, f"the intent asks for {c.intent.leverage}x, {limit}x allowed")
    equity = c.state.equity()
    if equity is None or equity <= 0:
        return Refusal(RejectCode.LEVERAGE, f"equity is {'unknown' if equity is None else equity}")
    own = c.pending.worst(c.held) * c.quote.mark
    total = c.state.exposure(besides=c.intent.symbol) + own
    if total > limit * equity:
        return Refusal(RejectCode.LEVERAGE, f"exposure {total:.2f} over equity {equity:.2f} exceeds {limit}x")
    return None


CHECKS: tuple[Check, ...] = (
    trading_state,
    readiness,
    policy_hash,
    brain_heartbeat,
    market_data,
    whitelist,
    size,
    protection,
    slippage,
    open_orders,
    daily_loss,
    position_notional,
    leverage,
)


def examine(intent: Intent, state: RouterState, config: RouterConfig, now: Now) -> Opening | Refusal:
    """Runs every check in order; the sized opening, or the first refusal."""
    opening = Opening(intent, state, config, now)
    for check in CHECKS:
        refusal = check(opening)
        if refusal is not None:
            return refusal
    return opening
