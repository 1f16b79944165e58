"""From an intent to an order, a rejection, or nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from actors.router.effects import Append, SendOrder
from actors.router.events import Acked, Command, ExecutionsSeen, SendFailed
from tests.actors.router.support import BTC, T0, Bottle, closing, d, execution, held, intent, sends, shown
from titan.codes import RejectCode
from titan.ids import client_order_id
from titan.model import Action, OrderRole, OrderState, OrderType, Side


@pytest.fixture
def ready() -> Bottle:
    return Bottle().begin()


def rejected(bottle: Bottle) -> str:
    return str(bottle.last_row("reject")["code"])


def test_a_row_stands_before_the_send(ready: Bottle) -> None:
    effects = ready.intend(intent())
    kinds = [type(effect) for effect in effects]
    assert kinds.index(Append) < kinds.index(SendOrder)
    row = ready.last_row("order")
    assert (row["event"], row["state"]) == ("NEW", "PENDING")
    assert row["approved_policy_hash"] == ready.config.policy_hash


def test_the_client_id_is_a_function_of_the_intent(ready: Bottle) -> None:
    assert ready.send(intent("i-7")).client_order_id == client_order_id("i-7", 0)


def test_every_entry_carries_its_stop_and_target(ready: Bottle) -> None:
    order = ready.send(intent(stop="49500", target="51000"))
    assert (order.stop_price, order.target_price, order.reduce_only) == (d(49500), d(51000), False)


def test_a_copy_of_an_intent_makes_no_second_order(ready: Bottle) -> None:
    ready.send(intent("once"))
    assert ready.intend(intent("once")) == []
    assert ready.state.duplicates == 1


def test_a_rejected_intent_stays_rejected_when_it_comes_again(ready: Bottle) -> None:
    ready.intend(intent("bad", stop=None))
    rows = len(ready.rows)
    assert sends(ready.intend(intent("bad"))) == []
    assert len(ready.rows) == rows


def test_a_copy_after_a_restart_makes_no_second_order(ready: Bottle) -> None:
    ready.send(intent("once"))
    ready.intend(intent("bad", stop=None))
    assert ready.replayed().intents == {"once", "bad"}


def test_an_intent_whose_order_only_the_venue_remembers_makes_no_second_order(ready: Bottle) -> None:
    order = replace(ready.open(), role=OrderRole.CLOSE)
    lost = replace(order, client_order_id=client_order_id("unwritten", 0), venue_order_id="v-9")
    again = Bottle().begin(positions=(held("0.1"),), closed_orders=(shown(lost, OrderState.FILLED, filled="0.1"),))
    assert sends(again.intend(closing("unwritten"))) == []
    assert again.state.duplicates == 1


def test_a_stale_signal_is_journalled_as_expired(ready: Bottle) -> None:
    ready.clock.advance(5_001)
    ready.refresh()
    assert sends(ready.intend(intent())) == []
    assert rejected(ready) == RejectCode.INTENT_EXPIRED


def test_a_close_that_waited_too_long_is_expired_too(ready: Bottle) -> None:
    ready.open()
    ready.clock.advance(5_001)
    assert sends(ready.intend(closing())) == []
    assert rejected(ready) == RejectCode.INTENT_EXPIRED


def test_a_signal_from_the_future_is_refused(ready: Bottle) -> None:
    ready.intend(intent(t_signal_ms=T0 + 6_000))
    assert rejected(ready) == RejectCode.INVALID_INTENT


@pytest.mark.parametrize("change", [{"venue": "binance"}, {"account": "other"}])
def test_an_intent_for_another_account_is_refused(ready: Bottle, change: dict[str, str]) -> None:
    ready.intend(replace(intent(), **change))  # type: ignore[arg-type]  # both are text fields
    assert rejected(ready) == RejectCode.INVALID_INTENT


def test_a_check_that_errors_says_no(ready: Bottle) -> None:
    ready.quote("1", "nonsense")
    ready.intend(intent(symbol="nonsense"))
    assert rejected(ready) == RejectCode.INVALID_INTENT


def test_a_rejection_names_both_hashes(ready: Bottle) -> None:
    ready.intend(intent(policy_hash="other"))
    row = ready.last_row("reject")
    assert (row["got_policy_hash"], row["expected_policy_hash"]) == ("other", ready.config.policy_hash)


# closes


def test_a_close_takes_all_that_is_held(ready: Bottle) -> None:
    ready.open()
    order = ready.send(closing())
    assert (order.quantity, order.side, order.reduce_only, order.role) == (d("0.1"), Side.SELL, True, OrderRole.CLOSE)


def test_a_close_of_more_than_is_held_is_clipped(ready: Bottle) -> None:
    ready.open()
    assert ready.send(closing(quantity="7")).quantity == d("0.1")


def test_a_part_close_is_rounded_down_to_the_lot(ready: Bottle) -> None:
    ready.open()
    assert ready.send(closing(quantity="0.0349")).quantity == d("0.034")


def test_closes_on_their_way_count(ready: Bottle) -> None:
    ready.open()
    ready.send(closing("c1", quantity="0.08"))
    assert ready.send(closing("c2")).quantity == d("0.02")
    ready.intend(closing("c3"))
    assert rejected(ready) == RejectCode.NOTHING_TO_REDUCE


def test_a_close_in_doubt_does_not_keep_another_from_trying(ready: Bottle) -> None:
    ready.open()
    order = ready.send(closing("c1"))
    ready.tell(SendFailed(order.client_order_id, "in_doubt", "timeout"))
    assert ready.send(closing("c2")).quantity == d("0.1")


def test_a_close_never_opens(ready: Bottle) -> None:
    ready.intend(closing("flat"))
    assert rejected(ready) == RejectCode.NOTHING_TO_REDUCE
    ready.open()
    ready.intend(closing("wrong-side", side=Side.BUY))
    assert rejected(ready) == RejectCode.NOTHING_TO_REDUCE


@pytest.mark.parametrize("verb", ["disarm", "reduce", "halt"])
def test_a_close_passes_in_every_trading_state(ready: Bottle, verb: str) -> None:
    ready.open()
    ready.tell(Command(verb, "test", "op", "c1"))
    assert ready.send(closing()).reduce_only


def test_a_close_needs_no_policy_hash_heartbeat_quote_or_whitelist(ready: Bottle) -> None:
    ready.open()
    ready.clock.advance(60_000)
    ready.state.quotes.clear()
    order = ready.send(closing(policy_hash="", t_signal_ms=ready.now.market_ms))
    assert order.reduce_only


def test_a_limit_close_needs_a_price_on_the_grid(ready: Bottle) -> None:
    ready.open()
    ready.intend(closing("no-price", order_type=OrderType.LIMIT))
    assert rejected(ready) == RejectCode.INVALID_INTENT
    order = ready.send(closing("priced", order_type=OrderType.LIMIT, limit_price=d("50100.04")))
    assert order.price == d(50100)


def test_a_close_of_an_unlisted_symbol_is_refused(ready: Bottle) -> None:
    stray = replace(execution(ready.send(intent()), "0.1", "50000", "t"), symbol="SOL/USDT:USDT", client_order_id="")
    ready.tell(ExecutionsSeen((replace(stray, venue_order_id="stray"),)))
    ready.intend(closing(symbol="SOL/USDT:USDT"))
    assert rejected(ready) == RejectCode.UNKNOWN_INSTRUMENT


def test_an_opposite_opening_that_only_reduces_is_sent_reduce_only(ready: Bottle) -> None:
    ready.open()
    order = ready.send(intent("opp", side=Side.SELL, size_usd="2000"))
    assert (order.role, order.reduce_only, order.stop_price) == (OrderRole.CLOSE, True, None)


def test_a_flip_is_one_entry_with_its_own_stop(ready: Bottle) -> None:
    ready.open()
    order = ready.send(intent("flip", side=Side.SELL, size_usd="8000"))
    assert (order.role, order.reduce_only) == (OrderRole.ENTRY, False)
    ready.tell(Acked(order.client_order_id, "v"))
    ready.fill(order, order.quantity, "50000", "t-flip")
    assert ready.state.positions[BTC].quantity == d("-0.06")
    assert ready.state.orders[order.client_order_id].state is OrderState.FILLED


def test_an_intent_without_a_time_to_live_has_the_default_one(ready: Bottle) -> None:
    ready.clock.advance(5_001)
    ready.refresh()
    ready.intend(intent(ttl_ms=0, action=Action.OPEN))
    assert rejected(ready) == RejectCode.INTENT_EXPIRED
