"""The visible book and the queue of own orders."""

from __future__ import annotations

from tests.titan.paper.house import ASKS, BIDS, SYMBOL, T0, D, levels
from titan.paper.book import UNSEEN_QUEUE, RestingQueue, VisibleBook
from titan.paper.orders import Order, OrderType, Side, TimeInForce


def resting(seq: int, side: Side, price: str, qty: str, ahead: str = "0") -> Order:
    return Order(
        f"o{seq}",
        seq,
        "",
        SYMBOL,
        side,
        OrderType.LIMIT,
        TimeInForce.GTC,
        D(qty),
        D(price),
        T0,
        T0,
        queue_ahead=D(ahead),
    )


def queue_of(side: Side, *orders: Order) -> RestingQueue:
    queue = RestingQueue(side)
    for order in orders:
        queue.add(order)
    return queue


def hits(queue: RestingQueue, price: str, qty: str) -> list[tuple[str, D]]:
    return [(order.order_id, share) for order, share in queue.hits_of_trade(D(price), D(qty))]


def test_a_taken_quantity_is_not_there_again_until_the_next_snapshot() -> None:
    book = VisibleBook()
    book.replace(BIDS, ASKS)
    book.take(Side.BUY, D(101), D(1))
    assert book.plan(Side.BUY, D(1), None) == [(D(102), D(1))]
    assert book.best(Side.SELL) == D(102)
    book.replace(BIDS, ASKS)
    assert book.best(Side.SELL) == D(101)


def test_a_plan_stops_at_the_limit_price_on_both_sides() -> None:
    book = VisibleBook()
    book.replace(BIDS, ASKS)
    assert book.plan(Side.BUY, D(9), D(102)) == [(D(101), D(1)), (D(102), D(2))]
    assert book.plan(Side.SELL, D(9), D(99)) == [(D(100), D(1)), (D(99), D(2))]
    assert book.takeable(Side.SELL, D(100)) == 1
    assert book.takeable(Side.SELL, None) == 6


def test_taking_a_price_that_is_not_shown_changes_nothing() -> None:
    book = VisibleBook()
    book.replace(BIDS, ASKS)
    book.take(Side.BUY, D(500), D(1))
    assert book.takeable(Side.BUY, None) == 6


def test_an_empty_side_has_no_best_and_crosses_nothing() -> None:
    book = VisibleBook()
    assert book.best(Side.BUY) is None
    assert not book.crosses(Side.SELL, D(1))
    assert book.ahead_at(Side.BUY, D(1)) == UNSEEN_QUEUE


def test_the_queue_ahead_is_what_is_visible_at_the_price() -> None:
    book = VisibleBook()
    book.replace(BIDS, ASKS)
    assert book.ahead_at(Side.BUY, D(99)) == 2
    assert book.ahead_at(Side.BUY, D("99.5")) == 0
    assert book.ahead_at(Side.BUY, D(97)) == UNSEEN_QUEUE
    assert book.ahead_at(Side.SELL, D(103)) == 3
    assert book.ahead_at(Side.SELL, D(104)) == UNSEEN_QUEUE


def test_a_trade_serves_the_queue_ahead_before_own_orders() -> None:
    order = resting(1, Side.BUY, "100", "1", ahead="3")
    queue = queue_of(Side.BUY, order)
    assert hits(queue, "100", "2") == []
    assert order.queue_ahead == 1
    assert hits(queue, "100", "1.5") == [("o1", D("0.5"))]
    assert order.queue_ahead == 0


def test_at_one_price_the_earlier_own_order_fills_first() -> None:
    queue = queue_of(Side.BUY, resting(2, Side.BUY, "100", "1"), resting(1, Side.BUY, "100", "1"))
    assert hits(queue, "100", "1.5") == [("o1", D(1)), ("o2", D("0.5"))]


def test_strangers_between_two_own_orders_are_served_between_them() -> None:
    queue = queue_of(Side.BUY, resting(1, Side.BUY, "100", "1", "2"), resting(2, Side.BUY, "100", "1", "5"))
    assert hits(queue, "100", "5") == [("o1", D(1))]
    assert [o.queue_ahead for o in queue] == [D(0), D(1)]


def test_a_better_price_fills_before_an_earlier_order() -> None:
    queue = queue_of(Side.SELL, resting(1, Side.SELL, "102", "1"), resting(2, Side.SELL, "101", "1"))
    assert hits(queue, "102", "1") == [("o2", D(1))]


def test_a_trade_through_a_price_fills_orders_there_whatever_was_ahead() -> None:
    order = resting(1, Side.BUY, "100", "1", ahead="50")
    queue = queue_of(Side.BUY, order)
    assert hits(queue, "99.9", "0.4") == [("o1", D("0.4"))]
    assert order.queue_ahead == 0


def test_a_trade_that_does_not_reach_the_price_hits_nothing() -> None:
    queue = queue_of(Side.BUY, resting(1, Side.BUY, "100", "1"))
    assert hits(queue, "100.1", "9") == []


def test_a_thinner_level_moves_an_order_forward_and_a_thicker_one_does_not_move_it_back() -> None:
    order = resting(1, Side.BUY, "99", "1", ahead="2")
    queue = queue_of(Side.BUY, order)
    book = VisibleBook()
    book.replace(levels((100, 1), (99, "0.5")), ASKS)
    queue.shrink_to(book)
    assert order.queue_ahead == D("0.5")
    book.replace(BIDS, ASKS)
    queue.shrink_to(book)
    assert order.queue_ahead == D("0.5")


def test_removing_an_order_twice_is_harmless() -> None:
    order = resting(1, Side.BUY, "100", "1")
    queue = queue_of(Side.BUY, order)
    queue.remove(order)
    queue.remove(order)
    assert len(queue) == 0
    assert order not in queue


def test_the_orders_that_a_price_reaches_come_best_first_and_at_one_price_in_time_order() -> None:
    bids = queue_of(
        Side.BUY, *(resting(n, Side.BUY, price, "1") for n, price in enumerate(("99", "101", "100", "101")))
    )
    asks = queue_of(Side.SELL, *(resting(n, Side.SELL, price, "1") for n, price in enumerate(("101", "99", "100"))))
    assert [order.seq for order in bids.reaching(D(100))] == [1, 3, 2]
    assert [order.seq for order in asks.reaching(D(100))] == [1, 2]
    assert bids.reaching(D(102)) == []


def test_reduce_only_orders_are_known_until_they_leave_the_queue() -> None:
    first, second, plain = (resting(n, Side.SELL, price, "1") for n, price in enumerate(("102", "101", "100")))
    first.reduce_only = second.reduce_only = True
    queue = queue_of(Side.SELL, first, second, plain)
    assert queue.reducing() == [second, first]
    queue.remove(second)
    assert queue.reducing() == [first]
