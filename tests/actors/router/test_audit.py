"""Journal against venue: on start, and while trading."""

from __future__ import annotations

from dataclasses import replace

import pytest

from actors.router.effects import FetchExecutions
from actors.router.events import ExecutionsSeen, Tick
from tests.actors.router.support import (
    BTC,
    Bottle,
    alerts,
    config,
    d,
    execution,
    funding,
    held,
    intent,
    lookups,
    protective,
    sends,
    shown,
    stored,
)
from tests.shared_data import load_vectors
from titan.model import Order, OrderRole, OrderState, OrderType, Side


@pytest.fixture
def ready() -> Bottle:
    return Bottle().begin()


def restart(before: Bottle) -> Bottle:
    """A new core on the same journal, not yet recovered."""
    after = Bottle(config=before.config)
    after.clock = before.clock
    after.core.replay(stored(before.rows))
    after.rows = list(before.rows)
    after._take(after.core.start(after.now, 2))
    return after


# start


def test_a_first_start_takes_the_venues_wallet_and_begins_the_day(ready: Bottle) -> None:
    assert ready.state.equity() == d(10_000)
    assert (ready.state.money.day, ready.state.money.start_of_day) == ("2023-11-14", d(10_000))
    assert alerts(ready.effects) == []


def test_an_order_that_filled_while_the_router_was_dead_is_booked(ready: Bottle) -> None:
    order = ready.send(intent())
    after = restart(ready)
    filled = shown(order, OrderState.FILLED, "0.1")
    done = execution(order, "0.1", "50000", "t1")
    after.tell(after.recovery(positions=(held("0.1"),), closed_orders=(filled,), executions=(done,)))
    assert after.state.orders[order.client_order_id].state is OrderState.FILLED
    assert after.state.positions[BTC].quantity == d("0.1")
    assert "POSITION_ADOPTED" not in alerts(after.effects)
    assert sends(after.effects) == []


def test_an_order_that_the_venue_does_not_know_is_searched_and_not_resent(ready: Bottle) -> None:
    order = ready.send(intent())
    after = restart(ready)
    assert [each.client_order_id for each in after.core.unsettled()] == [order.client_order_id]
    after.tell(after.recovery(missing=((order.client_order_id, None),)))
    assert order.client_order_id in after.state.lookups
    assert after.state.orders[order.client_order_id].state is OrderState.PENDING
    assert sends(after.effects) == []


def test_an_order_found_by_its_id_is_taken_up(ready: Bottle) -> None:
    order = ready.send(intent("rest", order_type=OrderType.LIMIT, limit_price=d(49900)))
    after = restart(ready)
    after.tell(after.recovery(missing=((order.client_order_id, shown(order, OrderState.OPEN)),)))
    assert after.state.orders[order.client_order_id].state is OrderState.OPEN


def test_what_the_venue_did_meanwhile_is_in_the_books_afterwards(ready: Bottle) -> None:
    entry = ready.open()
    after = restart(ready)
    stop = protective(
        "stop-1", OrderRole.STOP, "49500", entry.client_order_id, state=OrderState.FILLED, filled=d("0.1")
    )
    hit = replace(
        execution(entry, "0.1", "49500", "t-stop"), venue_order_id="stop-1", client_order_id="", side=Side.SELL
    )
    after.tell(after.recovery(closed_orders=(stop,), executions=(hit, funding("f1", "2"))))
    assert after.state.positions[BTC].is_flat
    assert after.state.positions[BTC].realized_pnl == d(-50)
    assert after.state.positions[BTC].funding == d(2)
    assert after.state.orders[after.state.by_venue_id["stop-1"]].state is OrderState.FILLED
    assert "POSITION_ADOPTED" not in alerts(after.effects)


def test_executions_seen_before_are_not_booked_again_on_start(ready: Bottle) -> None:
    order = ready.open()
    after = restart(ready)
    done = execution(order, "0.1", "50000", "t-i-open")
    after.tell(after.recovery(positions=(held("0.1"),), executions=(done,)))
    assert after.state.positions[BTC].quantity == d("0.1")


def test_a_position_that_no_execution_explains_is_adopted_and_told() -> None:
    bottle = Bottle().begin(positions=(held("0.5", average="48000"),))
    assert (bottle.state.positions[BTC].quantity, bottle.state.positions[BTC].average_price) == (d("0.5"), d(48000))
    assert "POSITION_ADOPTED" in alerts(bottle.effects)
    assert bottle.last_row("position")["previous_quantity"] == "0"
    assert bottle.replayed().positions[BTC].quantity == d("0.5")


def test_a_position_that_vanished_is_flat_afterwards(ready: Bottle) -> None:
    ready.open()
    after = restart(ready)
    after.tell(after.recovery())
    assert after.state.positions[BTC].is_flat
    assert "POSITION_ADOPTED" in alerts(after.effects)


def test_money_that_came_while_the_router_was_dead_is_no_profit_of_the_day(ready: Bottle) -> None:
    after = restart(ready)
    report = after.recovery()
    richer = replace(report.report, wallet=replace(report.report.wallet, wallet=d(15_000)))
    after.tell(replace(report, report=richer))
    assert after.state.money.cash == d(15_000)
    assert after.state.daily_pnl() == 0
    assert "WALLET_CORRECTED" in alerts(after.effects)
    assert after.replayed().money.cash == d(15_000)


def test_vector_e12_a_restart_keeps_position_and_cash() -> None:
    case = next(each for each in load_vectors("execution")["vectors"] if each["id"] == "E12")
    seed, expected = case["input"]["seed_positions"][0], case["expected"]
    size, entry = str(seed["size"]), str(seed["entry_price"])
    before = Bottle(wallet=d(case["input"]["initial_balance"])).begin(positions=(held(size, average=entry),))
    after = restart(before)
    after.tell(after.recovery(positions=(held(size, average=entry),)))
    position = after.state.positions[BTC]
    assert position.quantity == expected["position"]["size"]
    assert position.average_price == expected["position"]["entry_price"]
    assert after.state.money.cash == expected["cash"]


def test_recovery_is_the_same_when_done_twice(ready: Bottle) -> None:
    order = ready.send(intent())
    after = restart(ready)
    report = after.recovery(
        positions=(held("0.1"),),
        closed_orders=(shown(order, OrderState.FILLED, "0.1"),),
        executions=(execution(order, "0.1", "50000", "t1"),),
    )
    after.tell(report)
    rows = len(after.rows)
    after.tell(report)
    assert len(after.rows) == rows


# while trading


def report_twice(bottle: Bottle, quantity: str | None) -> None:
    """The same difference, seen over five seconds."""
    for _ in range(2):
        bottle.tell(bottle.report(() if quantity is None else (replace(held(quantity), stop_price=d(1)),)))
        bottle.clock.advance(5_000)


def test_a_position_that_stays_different_stops_openings_until_it_agrees(ready: Bottle) -> None:
    ready.open()
    report_twice(ready, "0.3")
    assert "position BTC/USDT:USDT" in ready.state.impediments
    assert "POSITION_MISMATCH" in alerts(ready.effects)
    ready.tell(ready.report((held("0.1"),)))
    assert ready.state.impediments == {}
    assert "POSITION_AGREES" in alerts(ready.effects)


def test_a_difference_of_a_moment_is_no_mismatch(ready: Bottle) -> None:
    order = ready.send(intent())
    effects = ready.tell(ready.report((held("0.1"),)))
    assert any(isinstance(each, FetchExecutions) for each in effects)
    ready.fill(order, "0.1", "50000", "t1")
    ready.clock.advance(5_000)
    ready.tell(ready.report((held("0.1"),)))
    assert ready.state.impediments == {}
    assert "POSITION_MISMATCH" not in alerts(ready.effects)


def test_a_position_that_the_venue_lost_is_a_mismatch_too(ready: Bottle) -> None:
    ready.open()
    report_twice(ready, None)
    assert "position BTC/USDT:USDT" in ready.state.impediments


def resting(bottle: Bottle) -> Order:
    order = bottle.send(intent("rest", order_type=OrderType.LIMIT, limit_price=d(49900)))
    bottle.acknowledge(order)
    return order


def test_an_open_order_that_the_venue_does_not_list_is_searched(ready: Bottle) -> None:
    order = resting(ready)
    assert lookups(ready.tell(ready.report())) == []
    ready.clock.advance(5_000)
    assert [each.client_order_id for each in lookups(ready.tell(ready.report()))] == [order.client_order_id]


def test_a_listed_order_is_not_searched_and_a_new_one_is_adopted(ready: Bottle) -> None:
    order = resting(ready)
    ready.clock.advance(5_000)
    stop = protective("stop-9", OrderRole.STOP, "49000")
    effects = ready.tell(ready.report(open_orders=(shown(order, OrderState.OPEN), stop)))
    assert lookups(effects) == []
    assert "stop-9" in ready.state.by_venue_id


def test_two_passing_differences_of_the_wallet_are_no_lasting_one(ready: Bottle) -> None:
    for wallet in ("9990", "10003"):
        ready.clock.advance(5_000)
        seen = ready.report()
        ready.tell(replace(seen, wallet=replace(seen.wallet, wallet=d(wallet))))
    assert ready.state.money.cash == 10_000
    assert "WALLET_CORRECTED" not in alerts(ready.effects)


def test_a_wallet_that_stays_different_is_corrected_and_told(ready: Bottle) -> None:
    for _ in range(2):
        seen = ready.report()
        ready.tell(replace(seen, wallet=replace(seen.wallet, wallet=d("9990"))))
        ready.clock.advance(5_000)
    assert ready.state.money.cash == d(9990)
    assert "WALLET_CORRECTED" in alerts(ready.effects)


def test_fills_in_another_order_than_the_venues_are_no_difference_of_money(ready: Bottle) -> None:
    # Bought 0.2 at 50,000, sold 0.1 at 51,000, bought 0.1 at 52,000: booked with the last two the other way round.
    order = ready.send(intent())
    ready.acknowledge(order)
    made = (
        execution(order, "0.2", "50000", "t-1"),
        execution(order, "0.1", "52000", "t-3"),
        replace(execution(order, "0.1", "51000", "t-2"), side=Side.SELL),
    )
    ready.tell(ExecutionsSeen(made))
    before = ready.state.money.cash
    for _ in range(3):
        seen = ready.report(positions=(held("0.2", average="51000"),))
        ready.tell(replace(seen, wallet=replace(seen.wallet, wallet=d("10100"))))
        ready.clock.advance(5_000)
    assert ready.state.money.cash == before != d("10100")
    assert "WALLET_CORRECTED" not in alerts(ready.effects)


def test_a_rounding_of_the_venue_is_no_difference(ready: Bottle) -> None:
    for _ in range(3):
        seen = ready.report()
        ready.tell(replace(seen, wallet=replace(seen.wallet, wallet=d("9999.995"))))
        ready.clock.advance(5_000)
    assert ready.state.money.cash == d(10_000)


def test_a_position_without_a_stop_at_the_venue_is_told_once(ready: Bottle) -> None:
    ready.open()
    for _ in range(4):
        ready.tell(ready.report((held("0.1"),)))
        ready.clock.advance(5_000)
    assert alerts(ready.effects).count("POSITION_UNPROTECTED") == 1


def test_a_protected_position_is_not_told(ready: Bottle) -> None:
    ready.open()
    report_twice(ready, "0.1")
    assert alerts(ready.effects) == []


# the day


def test_the_day_rolls_with_the_market_and_its_loss_with_it(ready: Bottle) -> None:
    ready.open()
    ready.quote("49000")
    assert ready.state.daily_pnl() == d(-100)
    ready.clock.advance(86_400_000)
    ready.tell(Tick())
    assert ready.state.daily_pnl() == 0
    assert ready.state.money.start_of_day == d(9900)
    assert ready.replayed().money.day == "2023-11-15"


def test_the_high_watermark_is_kept_when_it_rose_enough(ready: Bottle) -> None:
    ready.open(usd="50000")
    ready.quote("51000")
    ready.clock.advance(10_000)
    ready.tell(Tick())
    assert ready.state.money.high_watermark == d(11_000)
    assert ready.replayed().money.high_watermark == d(11_000)
    ready.quote("50900")
    ready.clock.advance(10_000)
    rows = len(ready.rows)
    ready.tell(Tick())
    assert len(ready.rows) == rows


def test_a_deposit_while_running_is_no_profit_of_the_day() -> None:
    bottle = Bottle(config=config()).begin()
    for _ in range(2):
        seen = bottle.report()
        bottle.tell(replace(seen, wallet=replace(seen.wallet, wallet=d("12000"))))
        bottle.clock.advance(5_000)
    assert bottle.state.daily_pnl() == 0


def test_the_books_replayed_equal_the_books_that_lived(ready: Bottle) -> None:
    ready.open()
    order = ready.send(intent("second", size_usd="3333"))
    ready.fill(order, "0.033", "50123.4", "t2", fee="0.98765")
    ready.fill(order, "0.033", "50123.5", "t3", fee="0.98766")
    ready.tell(ExecutionsSeen((funding("f1", "0.123456"),)))
    again = ready.replayed()
    assert again.positions == ready.state.positions
    assert again.money.cash == ready.state.money.cash
    assert again.orders == ready.state.orders
    assert again.live == ready.state.live
    assert (again.seq, again.fills, again.intents) == (ready.state.seq, ready.state.fills, ready.state.intents)
