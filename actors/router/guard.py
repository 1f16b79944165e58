"""The last veto: pure checks of an opening in a fixed order, each with its code.

Guarantees: the first check that does not say yes is the answer; what a check can't know (no quote, no equity) is a no.
Reduce-only orders never come here. Source: reference/execution.md section 1.7 with its fixes.

The order of the checks: trading state, readiness, policy hash, the brain's heartbeat, market data; whitelist, size,
protection, slippage; open orders, daily loss, position notional, leverage. They stand in three stages and not each in a
function of its own because this is the order's path: a call and its look-ups cost as much as the comparison they carry.
"""

from __future__ import annotations

from decimal import Decimal

from actors.router import conditions
from actors.router.refusal import Refusal
from actors.router.state import Ground, Quote, RouterConfig, RouterState
from titan.clock import Now
from titan.codes import RejectCode, TradingState
from titan.model import Intent, OrderType, Side
from titan.money import BPS, ZERO
from titan.positions import reduces
from titan.values import value


@value
class Opening:
    """A sized opening. `price` is what it is judged at; `limit_price` is None for a market order; protection is on the
    tick grid, and absent when the order only `reduces`.
    """

    quantity: Decimal
    price: Decimal
    limit_price: Decimal | None
    stop_price: Decimal | None
    target_price: Decimal | None
    held: Decimal
    reduces: bool
    trigger_price: Decimal | None = None


# Looking a member up on its class costs 0.1 us in Python 3.11, as much as what is compared with it.
_ACTIVE, _BUY, _MARKET = TradingState.ACTIVE, Side.BUY, OrderType.MARKET

_STATE_CODES = {
    TradingState.DISARMED: RejectCode.DISARMED,
    TradingState.REDUCING: RejectCode.REDUCING,
    TradingState.HALTED: RejectCode.HALTED,
}


def examine(intent: Intent, state: RouterState, config: RouterConfig, now: Now) -> Opening | Refusal:
    """Runs every check in order; the sized opening, or the first refusal."""
    ground = config.ground(intent.symbol)
    quote = _admitted(intent, state, config, ground, now)
    if isinstance(quote, Refusal):
        return quote
    opening = _sized(intent, state, config, ground, quote)
    if isinstance(opening, Refusal):
        return opening
    return _within_limits(intent, state, config, quote, opening) or opening


def _admitted(intent: Intent, state: RouterState, config: RouterConfig, ground: Ground, now: Now) -> Quote | Refusal:
    """Whether anything may open now: the router's state, the policy, the brain and the market. The quote when so."""
    # Only ACTIVE opens.
    if state.trading is not _ACTIVE:
        return Refusal(_STATE_CODES[state.trading], f"{state.trading.value}: {state.trading_reason}")

    # Recovered, journal writable, venue and bus there, books in agreement.
    if not state.ready or state.impediments:
        return _unready(state)

    # An opener names the policy it was approved under, and it is ours.
    if intent.policy_hash != config.policy_hash:
        return _other_policy(intent.policy_hash, config.policy_hash)

    # The brain was heard of within five seconds of wall time.
    silence = now.wall_ms - state.brain_beat_ms
    if silence > config.brain_silence_ms:
        detail = f"no heartbeat of the brain for {silence} ms, {config.brain_silence_ms} allowed"
        return Refusal(RejectCode.HEARTBEAT_STALE, detail)

    # A quote of the symbol is fresh in market time.
    quote = state.quotes.get(intent.symbol)
    if quote is None:
        return Refusal(RejectCode.MARKET_DATA_STALE, f"no quote of {intent.symbol} was ever seen")
    age = now.market_ms - quote.ts_ms
    if age > ground.stale_ms:
        detail = f"the quote of {intent.symbol} is {age} ms old, {ground.stale_ms} ms allowed"
        return Refusal(RejectCode.MARKET_DATA_STALE, detail)
    if quote.bid <= ZERO or quote.ask <= ZERO or quote.mark <= ZERO:
        return Refusal(RejectCode.MARKET_DATA_STALE, f"{intent.symbol} has no two-sided market now")
    return quote


def _unready(state: RouterState) -> Refusal:
    if "journal" in state.impediments:
        return Refusal(RejectCode.JOURNAL_FAILED, state.impediments["journal"])
    if not state.ready:
        return Refusal(RejectCode.NOT_READY, "the router has not agreed with the venue yet")
    return Refusal(RejectCode.REDUCING, state.reason)


def _other_policy(got: str, ours: str) -> Refusal:
    if not got:
        return Refusal(RejectCode.POLICY_HASH_MISSING, f"an opening intent must carry the policy hash; ours is {ours}")
    return Refusal(RejectCode.POLICY_HASH_MISMATCH, f"intent approved under {got}, router enforces {ours}")


def _sized(  # noqa: C901 - a list of checks, nothing nested deep
    intent: Intent, state: RouterState, config: RouterConfig, ground: Ground, quote: Quote
) -> Opening | Refusal:
    """What the intent becomes on the venue's grid, with its protection, at a price that has not run away."""
    # The policy lists the symbol.
    symbol, side = intent.symbol, intent.side
    if not ground.listed:
        listed = ", ".join(config.policy.symbol_whitelist) or "nothing"
        return Refusal(RejectCode.SYMBOL_NOT_WHITELISTED, f"{symbol} is not in the whitelist ({listed})")

    # USD become base units on the lot grid, not below the venue's minimum; half of them while entries slip (`slippage`).
    instrument = ground.instrument
    if instrument is None:
        return Refusal(RejectCode.UNKNOWN_INSTRUMENT, f"{intent.venue} lists no {symbol}")
    size = intent.size_usd if not state.slipped_ms else intent.size_usd / 2
    if size <= ZERO:
        return Refusal(RejectCode.INVALID_SIZE, f"size_usd is {size}, it must be above zero")
    buying = side is _BUY
    executable = price = quote.ask if buying else quote.bid
    limit_price = trigger_price = None
    if intent.order_type is not _MARKET:
        named = conditions.prices(intent, config.can, instrument, quote.bid, quote.ask)
        if isinstance(named, Refusal):
            return named
        limit_price, trigger_price = named
        price = limit_price or trigger_price or price
    reference = intent.reference_price
    lot, tick = instrument.lot, instrument.tick
    quantity = size / (price if reference is None else reference) // lot * lot
    if quantity < instrument.min_qty or quantity <= ZERO:
        detail = f"{size} USD are {quantity} {instrument.base}, the minimum is {instrument.min_qty}"
        return Refusal(RejectCode.BELOW_MINIMUM, detail)
    if quantity * price < instrument.min_notional:
        detail = f"{quantity} at {price} is below the minimum notional {instrument.min_notional}"
        return Refusal(RejectCode.BELOW_MINIMUM, detail)

    # A stop is there and on the losing side, a target on the winning side.
    held = state.held(symbol)
    lowers = held != ZERO and reduces(held, side, quantity)
    stop = target = None
    if not lowers:
        stop, target = intent.stop_price, intent.target_price
        if stop is None or not (stop < price if buying else stop > price):
            return _unprotected(stop, side, price)
        if stop % tick:
            stop = instrument.round_price(stop)
        if target is not None:
            if not (target > price if buying else target < price):
                detail = f"target {target} is no gain for a {side.value} at {price}"
                return Refusal(RejectCode.STOP_WRONG_SIDE, detail)
            if target % tick:
                target = instrument.round_price(target)

    # The market has not run away from the price the decision was made at.
    if reference is None:
        return Refusal(RejectCode.SLIPPAGE, "no reference price: slippage can't be judged")
    allowed = config.policy.max_slippage_bps
    if 0 < intent.max_slippage_bps < allowed:
        allowed = intent.max_slippage_bps
    worse = executable - reference if buying else reference - executable
    if worse > ZERO and worse * BPS > allowed * reference:
        bps = worse / reference * BPS
        return Refusal(RejectCode.SLIPPAGE, f"the market moved {bps:.1f} bps against {reference}, {allowed} allowed")
    return Opening(quantity, price, limit_price, stop, target, held, lowers, trigger_price)


def _unprotected(stop: Decimal | None, side: Side, price: Decimal) -> Refusal:
    if stop is None:
        return Refusal(RejectCode.STOP_MISSING, "every entry carries its protective stop")
    return Refusal(RejectCode.STOP_WRONG_SIDE, f"stop {stop} does not protect a {side.value} at {price}")


def _within_limits(
    intent: Intent, state: RouterState, config: RouterConfig, quote: Quote, opening: Opening
) -> Refusal | None:
    """What the account would carry afterwards, everything pending counted, against the policy's limits."""
    policy, symbol, held, buying = config.policy, intent.symbol, opening.held, intent.side is _BUY

    # Not more entries of a symbol on their way than the policy allows; from here on this one is counted too.
    count, buys, sells = state.pending(symbol)
    limit = policy.max_open_orders_per_symbol
    if count >= limit:
        return Refusal(RejectCode.OPEN_ORDERS, f"{count} entries of {symbol} are open, {limit} allowed")
    if buying:
        buys += opening.quantity
    else:
        sells += opening.quantity

    # Realised and unrealised profit of the market day, fees and funding included, is above the limit.
    equity = state.equity()
    if equity is None:
        return Refusal(RejectCode.DAILY_LOSS, "equity is unknown")
    pnl = state.daily_pnl(equity)
    if pnl <= policy.max_daily_loss:
        detail = f"today's result is {pnl:.2f}, the limit {policy.max_daily_loss}"
        return Refusal(RejectCode.DAILY_LOSS, detail)

    # The position after this and every pending entry stays within the cap, netted and measured at mark.
    mark = price = quote.mark
    if opening.limit_price is not None and opening.limit_price > price:
        price = opening.limit_price
    up, down = held + buys, sells - held
    notional = (up if buying else down) * price
    if notional > policy.max_position_notional:
        detail = f"{symbol} would reach {notional:.2f} USD, {policy.max_position_notional} allowed"
        return Refusal(RejectCode.POSITION_NOTIONAL, detail)

    # All exposure after this order over equity stays within the policy's leverage.
    most = policy.max_account_leverage
    if intent.leverage > most:
        return Refusal(RejectCode.LEVERAGE, f"the intent asks for {intent.leverage}x, {most}x allowed")
    if equity <= ZERO:
        return Refusal(RejectCode.LEVERAGE, f"equity is {equity}")
    total = state.exposure(besides=symbol) + (up if up > down else down) * mark
    if total > most * equity:
        return Refusal(RejectCode.LEVERAGE, f"exposure {total:.2f} over equity {equity:.2f} exceeds {most}x")
    return None


def admits(
    intent: Intent, price: Decimal, limit_price: Decimal | None, state: RouterState, config: RouterConfig, now: Now
) -> Refusal | None:
    """Whether one more order of an intent that is worked in parts may leave: every check of an opening but its size, which
    was reserved when the intent was accepted and counts as pending since.
    """
    quote = _admitted(intent, state, config, config.ground(intent.symbol), now)
    if isinstance(quote, Refusal):
        return quote
    stop = intent.stop_price
    if stop is None or (price - stop) * intent.side.sign <= ZERO:
        return _unprotected(stop, intent.side, price)
    reserved = Opening(ZERO, price, limit_price, None, None, state.held(intent.symbol), reduces=False)
    return _within_limits(intent, state, config, quote, reserved)
