"""A closing intent as an order: reduce-only, no larger than what is held and not being closed already.

Guarantees: checked only to truly lower risk; a remainder below the venue's minimum (dust) goes with the order instead of
being left behind. Never: a look at the trading state.
"""

from __future__ import annotations

from actors.router import conditions
from actors.router.refusal import Refusal
from actors.router.state import RouterConfig, RouterState
from titan.clock import Now
from titan.codes import RejectCode
from titan.ids import ClientOrderId
from titan.model import Intent, Order, OrderRole, OrderState, OrderType
from titan.money import ZERO
from titan.positions import reduces


def close_order(
    intent: Intent, cid: ClientOrderId, state: RouterState, config: RouterConfig, now: Now
) -> Order | Refusal:
    """The order of a closing intent, or why there is nothing to close."""
    symbol, side, kind = intent.symbol, intent.side, intent.order_type
    held = state.held(symbol)
    if held == 0 or (held > 0) == (side.sign > 0):
        return Refusal(RejectCode.NOTHING_TO_REDUCE, f"a {side.value} does not reduce a position of {held} {symbol}")
    # What waits for a trigger keeps nobody from closing, and is no larger than the whole position.
    room = abs(held) - (ZERO if kind.waits else state.closing(symbol))
    quantity = room if intent.quantity is None else min(intent.quantity, room)
    instrument = config.instruments.find(intent.venue, symbol)
    if instrument is None:
        return Refusal(RejectCode.UNKNOWN_INSTRUMENT, f"{intent.venue} lists no {symbol}")
    if quantity < room:
        quantity = instrument.floor_qty(quantity)
        if ZERO < room - quantity < instrument.min_qty:
            quantity = room
    if not reduces(held, side, quantity):
        return Refusal(RejectCode.NOTHING_TO_REDUCE, f"{held} {symbol} are held and being closed already")
    limit = trigger = None
    if kind is not OrderType.MARKET:
        quote = state.quotes.get(symbol)
        if quote is None and kind.waits:
            return Refusal(
                RejectCode.MARKET_DATA_STALE, f"no quote of {symbol} was ever seen, a trigger can't be judged"
            )
        bid, ask = (ZERO, ZERO) if quote is None else (quote.bid, quote.ask)
        named = conditions.prices(intent, config.can, instrument, bid, ask)
        if isinstance(named, Refusal):
            return named
        limit, trigger = named
    trailing = kind is OrderType.TRAILING_STOP
    terms = intent.terms
    if terms is not None and terms.expires_ms and terms.expires_ms <= now.market_ms:
        return Refusal(RejectCode.INTENT_EXPIRED, f"good till {terms.expires_ms}, and it is {now.market_ms}")
    return Order(
        client_order_id=cid,
        intent_id=intent.intent_id,
        signal_id=intent.signal_id,
        child=0,
        role=OrderRole.CLOSE,
        phase=intent.phase,
        venue=intent.venue,
        account=intent.account,
        symbol=symbol,
        side=side,
        order_type=OrderType.STOP_MARKET if trailing else kind,
        quantity=quantity,
        price=limit,
        trigger_price=trigger,
        stop_price=None,
        target_price=None,
        reduce_only=True,
        state=OrderState.PENDING,
        created_ms=now.wall_ms,
        updated_ms=now.wall_ms,
        terms=None if terms is None else conditions.kept(terms, enters=False, trailing=trailing),
    )
