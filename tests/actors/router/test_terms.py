"""Terms on the wire and in the journal: what goes in comes out."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from actors.router import rows
from tests.actors.router.support import intent
from titan.codec import intent_from_pb, intent_to_pb, order_from_pb, order_to_pb
from titan.ids import client_order_id
from titan.journal.format import order_of, targets_of, targets_text
from titan.model import Intent, Order, OrderRole, OrderType, Side, Target, Terms

D = Decimal
TARGETS = (Target(D("51000.5"), D("0.5")), Target(D("52000"), D("0.5"), market=True))
TERMS = [
    None,
    Terms(trigger_price=D("50100")),
    Terms(trail=D("12.5"), expires_ms=1_700_000_000_000, targets=TARGETS),
]


@pytest.mark.parametrize("terms", TERMS)
def test_an_intent_keeps_its_terms_on_the_wire(terms: Terms | None) -> None:
    wanted: Intent = intent(terms=terms)
    assert intent_from_pb(intent_to_pb(wanted)) == wanted


@pytest.mark.parametrize(
    ("field", "text"),
    [("trigger_price", "-1"), ("trail", "0"), ("trigger_price", "nan"), ("trail", "far")],
)
def test_terms_that_are_no_prices_are_refused_by_name(field: str, text: str) -> None:
    message = intent_to_pb(intent(terms=Terms(trigger_price=D(1))))
    setattr(message.terms, field, text)
    with pytest.raises(ValueError, match=r"decimal|above zero"):
        intent_from_pb(message)


def _order(terms: Terms | None) -> Order:
    return Order(
        client_order_id=client_order_id("i", 1),
        intent_id="i",
        signal_id="s",
        child=1,
        role=OrderRole.TARGET,
        phase=None,
        venue="bybit",
        account="main",
        symbol="BTC/USDT:USDT",
        side=Side.SELL,
        order_type=OrderType.TAKE_PROFIT_LIMIT,
        quantity=D("0.1"),
        price=D(51000),
        trigger_price=D(50900),
        stop_price=None,
        target_price=None,
        reduce_only=True,
        terms=terms,
    )


@pytest.mark.parametrize(
    "terms", [None, Terms(leg=2, replaces="tt1"), Terms(trail=D(5), targets=TARGETS, expires_ms=7)]
)
def test_an_order_keeps_its_terms_in_the_journal(terms: Terms | None) -> None:
    order = _order(terms)
    assert order_of(rows.decode(rows.encode(rows.order_payload(order, "NEW", 1)))) == order


def test_an_event_shows_what_an_order_stands_in_for_and_till_when() -> None:
    terms = Terms(leg=2, replaces="tt1", expires_ms=7, trail=D(5))
    assert order_from_pb(order_to_pb(_order(terms))).terms == terms
    assert order_from_pb(order_to_pb(_order(None))).terms is None
    hidden = replace(terms, targets=TARGETS)
    assert order_from_pb(order_to_pb(_order(hidden))).terms == terms


def test_targets_are_text_and_back() -> None:
    assert targets_of(targets_text(TARGETS)) == TARGETS
    assert targets_of("") == ()
    with pytest.raises(ValueError, match="price:share"):
        targets_of("1:0.5:limit")
