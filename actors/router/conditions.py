"""What an order beyond a plain one needs: its type at this venue, its prices, its trigger, expiry and targets.

Guarantees: a venue that does not offer a type refuses it with `ORDER_TYPE_UNSUPPORTED` before anything is sent; terms that
make no sense are refused with `TERMS_INVALID` and what was seen. Never: a plain market order comes here.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from actors.router.refusal import Refusal
from titan.clock import Now
from titan.codes import RejectCode
from titan.instruments import Instrument
from titan.model import Intent, OrderType, Side, Terms
from titan.money import ZERO
from titan.venues.base import VenueCapabilities

MAX_TARGETS = 10
STOPS = frozenset({OrderType.STOP_MARKET, OrderType.STOP_LIMIT, OrderType.TRAILING_STOP})
ENTERING = frozenset({OrderType.STOP_MARKET, OrderType.STOP_LIMIT})
_NO_TERMS = Terms()


def prices(
    intent: Intent, can: VenueCapabilities, instrument: Instrument, bid: Decimal, ask: Decimal
) -> tuple[Decimal | None, Decimal | None] | Refusal:
    """Limit price and trigger of an order, on the tick grid; each None where its type has none."""
    kind, terms = intent.order_type, intent.terms or _NO_TERMS
    sent = OrderType.STOP_MARKET if kind is OrderType.TRAILING_STOP else kind
    if sent not in can.order_types:
        offered = ", ".join(sorted(one.value for one in can.order_types))
        return Refusal(RejectCode.ORDER_TYPE_UNSUPPORTED, f"{intent.venue} takes no {kind.value}; it takes {offered}")
    limit = intent.limit_price if kind.names_price else None
    if kind.names_price and limit is None:
        return Refusal(RejectCode.INVALID_INTENT, f"a {kind.value} order needs a limit price")
    limit = None if limit is None else instrument.round_price(limit)
    if not kind.waits:
        return limit, None
    buying = intent.side is Side.BUY
    trigger = terms.trigger_price
    if kind is OrderType.TRAILING_STOP:
        if terms.trail is None:
            return Refusal(RejectCode.TERMS_INVALID, "a TRAILING_STOP needs terms.trail, its distance in price units")
        trigger = trigger or (ask + terms.trail if buying else bid - terms.trail)
    if trigger is None:
        return Refusal(RejectCode.TERMS_INVALID, f"a {kind.value} order needs terms.trigger_price")
    trigger = instrument.round_price(trigger)
    rises = buying if kind in STOPS else not buying
    touch = ask if buying else bid
    if trigger <= ZERO or (trigger <= touch if rises else trigger >= touch):
        way = "above" if rises else "below"
        detail = f"trigger {trigger} of a {intent.side.value} {kind.value} must lie {way} the market at {touch}"
        return Refusal(RejectCode.TERMS_INVALID, detail)
    return limit, trigger


def kept(terms: Terms, *, enters: bool, trailing: bool = False) -> Terms | None:
    """What an order keeps of its intent's terms: the trigger is a field of its own, targets belong to entries."""
    own = replace(
        terms,
        trigger_price=None,
        targets=terms.targets if enters else (),
        trail=terms.trail if enters or trailing else None,
    )
    return None if own == _NO_TERMS else own


def unfit(
    intent: Intent,
    terms: Terms,
    can: VenueCapabilities,
    instrument: Instrument,
    quantity: Decimal,
    price: Decimal,
    now: Now,
) -> Refusal | None:
    """Why an opening's terms make no sense, None when they do."""
    if intent.order_type.waits and intent.order_type not in ENTERING:
        return Refusal(RejectCode.TERMS_INVALID, f"a {intent.order_type.value} order only closes")
    if terms.expires_ms and terms.expires_ms <= now.market_ms:
        return Refusal(RejectCode.INTENT_EXPIRED, f"good till {terms.expires_ms}, and it is {now.market_ms}")
    if terms.trail is not None and terms.trail < instrument.tick:
        return Refusal(RejectCode.TERMS_INVALID, f"trail {terms.trail} is less than a tick of {instrument.tick}")
    if (
        terms.trail is not None
        and "trigger_price" not in can.amends_waiting
        and OrderType.STOP_MARKET not in can.order_types
    ):
        return Refusal(RejectCode.ORDER_TYPE_UNSUPPORTED, f"a stop of {intent.venue} can't be moved, so it can't trail")
    if not terms.targets:
        return None
    if intent.target_price is not None:
        return Refusal(RejectCode.TERMS_INVALID, "give target_price or terms.targets, not both")
    if len(terms.targets) > MAX_TARGETS:
        return Refusal(RejectCode.TERMS_INVALID, f"{len(terms.targets)} targets, at most {MAX_TARGETS} are allowed")
    whole = sum((each.share for each in terms.targets), ZERO)
    if whole != 1:
        return Refusal(RejectCode.TERMS_INVALID, f"the shares of the targets add up to {whole}, not 1")
    for each in terms.targets:
        if not (each.price > price if intent.side is Side.BUY else each.price < price):
            detail = f"target {each.price} is no gain for a {intent.side.value} at {price}"
            return Refusal(RejectCode.TERMS_INVALID, detail)
        if instrument.floor_qty(quantity * each.share) < instrument.min_qty:
            detail = f"{each.share} of {quantity} is below the minimum {instrument.min_qty}: fewer or larger targets"
            return Refusal(RejectCode.TERMS_INVALID, detail)
    return None
