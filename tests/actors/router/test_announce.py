"""Journal rows as messages: the same row, the same message, the same id."""

from __future__ import annotations

from actors.router.announce import messages_of
from actors.router.events import Command, SendFailed
from protos import trading_pb2 as pb
from tests.actors.router.support import BTC, Bottle, d, intent, stored
from titan import subjects
from titan.codec import fill_from_pb, order_from_pb
from titan.effects import Publish


def told(bottle: Bottle, term: int = 1) -> list[Publish]:
    return [message for row in stored(bottle.rows, term) for message in messages_of(row)]


def test_every_transition_of_an_order_and_every_fill_is_told() -> None:
    bottle = Bottle().begin()
    order = bottle.open()
    subjects_told = [each.subject for each in told(bottle)]
    assert subjects_told == [
        subjects.TRADING_STATE,
        subjects.ORDER_EVENT,
        subjects.ORDER_EVENT,
        subjects.fill("bybit", "main", BTC),
        subjects.ORDER_EVENT,
    ]
    last = told(bottle)[-1].message
    assert isinstance(last, pb.OrderEvent)
    assert (last.journal_seq, last.term, last.state) == (bottle.state.seq, 1, pb.ORDER_STATE_FILLED)
    assert order_from_pb(last).client_order_id == order.client_order_id
    fill = told(bottle)[3].message
    assert isinstance(fill, pb.Fill)
    assert fill_from_pb(fill).quantity == d("0.1")
    assert told(bottle)[3].idempotency_key == "bybit:main:t-i-open"


def test_a_row_told_again_has_the_same_ids_and_another_term_has_others() -> None:
    bottle = Bottle().begin()
    bottle.open()
    assert told(bottle) == told(bottle)
    assert {each.envelope_id for each in told(bottle)}.isdisjoint({each.envelope_id for each in told(bottle, 2)})
    assert len({each.envelope_id for each in told(bottle)}) == len(told(bottle))


def test_an_intent_that_became_no_order_is_told_with_both_hashes() -> None:
    bottle = Bottle().begin()
    bottle.intend(intent(policy_hash="other"))
    reject = told(bottle)[-1]
    assert reject.subject == subjects.REJECT
    assert isinstance(reject.message, pb.Reject)
    assert (reject.message.code, reject.message.got_policy_hash) == ("POLICY_HASH_MISMATCH", "other")
    assert reject.message.expected_policy_hash == bottle.config.policy_hash


def test_an_order_that_the_venue_refused_is_a_rejection_of_its_intent_too() -> None:
    bottle = Bottle().begin()
    order = bottle.send(intent("i-9"))
    bottle.tell(SendFailed(order.client_order_id, "refused", "110007 no money"))
    event, reject = told(bottle)[-2:]
    assert (event.subject, reject.subject) == (subjects.ORDER_EVENT, subjects.REJECT)
    assert isinstance(reject.message, pb.Reject)
    assert (reject.message.intent_id, reject.message.code) == ("i-9", "VENUE_REJECTED")


def test_a_change_of_the_trading_state_says_who_and_why() -> None:
    bottle = Bottle().begin()
    bottle.tell(Command("halt", "drill", "alice", "c1"))
    changed = told(bottle)[-1].message
    assert isinstance(changed, pb.TradingStateChanged)
    assert (changed.previous, changed.current) == (pb.TRADING_STATE_ACTIVE, pb.TRADING_STATE_HALTED)
    assert (changed.reason, changed.operator_id, changed.journal_seq) == ("drill", "alice", bottle.state.seq)


def test_the_routers_own_rows_are_not_told() -> None:
    bottle = Bottle().begin()
    own = [row for row in stored(bottle.rows) if row.kind in ("start", "wallet", "day")]
    assert len(own) == 3
    assert [messages_of(row) for row in own] == [(), (), ()]
