"""Executions: booked once, in any order, from anywhere, and never dropped."""

from __future__ import annotations

from dataclasses import replace

import pytest

from actors.router.events import ExecutionsSeen
from tests.actors.router.support import BTC, T0, Bottle, alerts, d, execution, funding, intent
from titan.ids import client_order_id
from titan.model import OrderRole, OrderState, Phase, Side


@pytest.fixture
def ready() -> Bottle:
    return Bottle().begin()


def test_a_fill_moves_position_cash_and_order_together(ready: Bottle) -> None:
    order = ready.send(intent())
    ready.fill(order, "0.04", "50000", "t1", fee="1.1")
    ready.fill(order, "0.06", "50010", "t2", fee="1.65")
    done = ready.state.orders[order.client_order_id]
    assert (done.state, done.filled, done.average_price) == (OrderState.FILLED, d("0.1"), d(50006))
    held = ready.state.positions[BTC]
    assert (held.quantity, held.average_price, held.fees) == (d("0.1"), d(50006), d("2.75"))
    assert ready.state.money.cash == d("9997.25")


def test_the_fill_and_the_order_it_moved_are_one_append(ready: Bottle) -> None:
    order = ready.send(intent())
    before = len(ready.rows)
    effects = ready.fill(order, "0.04", "50000", "t1")
    assert [row.kind for row in ready.rows[before:]] == ["fill", "order"]
    assert [len(each.rows) for each in effects if hasattr(each, "rows")] == [2]


def test_a_fill_told_twice_is_booked_once(ready: Bottle) -> None:
    order = ready.send(intent())
    ready.fill(order, "0.04", "50000", "t1")
    rows = len(ready.rows)
    assert ready.fill(order, "0.04", "50000", "t1") == []
    assert len(ready.rows) == rows
    assert ready.state.positions[BTC].quantity == d("0.04")


def test_two_fills_of_one_order_are_two_fills(ready: Bottle) -> None:
    order = ready.send(intent())
    same = execution(order, "0.05", "50000", "t1")
    ready.tell(ExecutionsSeen((same, replace(same, venue_trade_id="t2"))))
    assert ready.state.orders[order.client_order_id].filled == d("0.1")


def test_a_fill_before_the_acknowledgement_is_booked(ready: Bottle) -> None:
    order = ready.send(intent())
    ready.fill(order, order.quantity, "50000", "t1")
    assert ready.state.orders[order.client_order_id].state is OrderState.FILLED


def test_a_fill_after_a_refusal_is_booked_and_clears_the_code(ready: Bottle) -> None:
    from actors.router.events import SendFailed

    order = ready.send(intent())
    ready.tell(SendFailed(order.client_order_id, "refused", "said no"))
    ready.fill(order, "0.05", "50000", "t1")
    back = ready.state.orders[order.client_order_id]
    assert (back.state, back.code, back.detail) == (OrderState.PARTIALLY_FILLED, "", "")


def test_a_fill_of_an_unknown_order_makes_its_record_and_an_alert(ready: Bottle) -> None:
    stray = replace(
        execution(ready.send(intent()), "0.2", "50000", "t9"), client_order_id="theirs", venue_order_id="v-theirs"
    )
    ready.tell(ExecutionsSeen((stray,)))
    cid = client_order_id("bybit:main:v-theirs", 0)
    assert ready.state.orders[cid].role is OrderRole.EXTERNAL
    assert ready.state.orders[cid].state is OrderState.FILLED
    assert ready.state.positions[BTC].quantity == d("0.2")
    assert "EXTERNAL_ORDER" in alerts(ready.effects)


def test_a_stop_known_only_by_its_execution_counts_for_the_entrys_phase(ready: Bottle) -> None:
    entry = ready.open()
    hit = replace(
        execution(entry, "0.1", "49500", "t-stop"),
        venue_order_id="v-stop",
        client_order_id="",
        side=Side.SELL,
        role=OrderRole.STOP,
    )
    ready.tell(ExecutionsSeen((hit,)))
    row = ready.last_row("fill")
    assert (row["role"], row["phase"], row["signal_id"]) == ("STOP", Phase.SCAVENGER, entry.signal_id)
    assert row["realized_pnl"] == "-50"
    assert ready.state.positions[BTC].is_flat


def test_more_than_was_ordered_is_still_booked(ready: Bottle) -> None:
    order = ready.send(intent())
    ready.fill(order, "0.1", "50000", "t1")
    ready.fill(order, "0.02", "50000", "t2")
    assert ready.state.positions[BTC].quantity == d("0.12")
    assert ready.state.orders[order.client_order_id].state is OrderState.FILLED


def test_a_fee_in_the_base_currency_is_valued_at_the_fill(ready: Bottle) -> None:
    order = ready.send(intent())
    ready.tell(ExecutionsSeen((replace(execution(order, "0.1", "50000", "t1", fee="0.0001"), fee_currency="BTC"),)))
    assert ready.state.positions[BTC].fees == d(5)
    assert ready.state.money.cash == d(9995)


@pytest.mark.parametrize(("amount", "cash"), [("1.5", "9998.5"), ("-1.5", "10001.5")])
def test_funding_is_cash_and_no_trade(ready: Bottle, amount: str, cash: str) -> None:
    ready.open()
    fills = len([row for row in ready.rows if row.kind == "fill"])
    ready.tell(ExecutionsSeen((funding("f1", amount), funding("f1", amount))))
    assert ready.state.positions[BTC].funding == d(amount)
    assert ready.state.money.cash == d(cash)
    assert len([row for row in ready.rows if row.kind == "fill"]) == fills


def test_the_cursor_follows_the_newest_execution(ready: Bottle) -> None:
    order = ready.send(intent())
    ready.tell(ExecutionsSeen((execution(order, "0.01", "50000", "t1", ts_ms=T0 + 5),)))
    ready.tell(ExecutionsSeen((execution(order, "0.01", "50000", "t2", ts_ms=T0 + 2),)))
    assert ready.state.cursor_ms == T0 + 5
    assert ready.replayed().cursor_ms == T0 + 5


def test_executions_in_any_order_give_one_position(ready: Bottle) -> None:
    order = ready.send(intent())
    parts = [execution(order, quantity, "50000", f"t{quantity}") for quantity in ("0.01", "0.02", "0.07")]
    for done in reversed(parts):
        ready.tell(ExecutionsSeen((done,)))
    ready.tell(ExecutionsSeen(tuple(parts)))
    assert ready.state.positions[BTC].quantity == d("0.1")
