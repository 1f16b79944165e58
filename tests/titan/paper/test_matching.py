"""Orders against the feed's book and trades."""

from __future__ import annotations

import pytest

from tests.titan.paper.house import ASKS, BIDS, SYMBOL, D, Desktop, book, kinds, levels, mark, trade
from titan.paper.commands import AmendOrder, CancelAll, CancelOrder, SetLeverage
from titan.paper.orders import (
    Accepted,
    CancelType,
    Executed,
    OrderChanged,
    OrderFilter,
    OrderStatus,
    PositionChanged,
    Reason,
    Refused,
    RetCode,
    StopOrderType,
    TimeInForce,
    TriggerBy,
    WalletChanged,
)


def test_a_market_order_walks_the_book_in_executions_with_their_own_ids() -> None:
    desk = Desktop()
    placed = desk.buy("2.5")
    assert placed.fills == [(D(101), D(1)), (D(102), D("1.5"))]
    assert placed.order.status is OrderStatus.FILLED
    assert len({e.exec_id for e in desk.executions}) == 2
    assert desk.size == D("2.5")


def test_effects_come_executions_first_then_orders_then_positions() -> None:
    assert kinds(Desktop().buy("1").result) == [Executed, WalletChanged, OrderChanged, PositionChanged]


def test_a_market_order_beyond_the_visible_book_ends_with_the_part_it_got() -> None:
    placed = Desktop().buy("10")
    assert placed.order.status is OrderStatus.CANCELLED
    assert placed.order.reject_reason is Reason.NO_IMMEDIATE
    assert placed.order.cum_qty == 6
    assert placed.order.leaves == 0


def test_two_takers_do_not_take_the_same_quantity() -> None:
    desk = Desktop()
    assert desk.buy("1").fills == [(D(101), D(1))]
    assert desk.buy("1").fills == [(D(102), D(1))]


def test_taker_and_maker_pay_their_own_rates() -> None:
    desk = Desktop()
    desk.buy("1")
    assert desk.executions[0].fee == D("0.05555")
    assert not desk.executions[0].is_maker
    desk.buy("1", "100")
    desk.feed(trade("99.9", 1, "sell"))
    assert desk.executions[1].fee == D("0.02")
    assert desk.executions[1].is_maker


def test_a_limit_order_takes_what_crosses_and_rests_the_remainder() -> None:
    desk = Desktop()
    placed = desk.buy("3", "101")
    assert placed.fills == [(D(101), D(1))]
    assert placed.order.status is OrderStatus.PARTIALLY_FILLED
    assert placed.order.leaves == 2
    desk.feed(trade(101, 5, "sell"))
    assert desk.order(placed.id).status is OrderStatus.FILLED


def test_a_resting_order_waits_behind_the_visible_quantity() -> None:
    desk = Desktop()
    placed = desk.buy("1", "99")
    desk.feed(trade(99, 2, "sell"))
    assert desk.size == 0
    desk.feed(trade(99, "0.4", "sell"))
    assert desk.order(placed.id).cum_qty == D("0.4")
    assert desk.executions[-1].price == 99


def test_a_trade_on_the_other_side_does_not_fill_a_resting_order() -> None:
    desk = Desktop()
    desk.buy("1", "99.5")
    desk.feed(trade("99.5", 5, "buy"))
    assert desk.size == 0


def test_a_snapshot_that_crosses_a_resting_order_fills_it_at_its_own_price_as_maker() -> None:
    desk = Desktop()
    desk.buy("2", "99.5")
    desk.buy("1", "98.5")
    desk.feed(book(levels((97, 1)), levels((99, 1), ("99.4", "0.5"), (102, 1))))
    assert [(e.price, e.qty, e.is_maker) for e in desk.executions] == [
        (D("99.5"), D(1), True),
        (D("99.5"), D("0.5"), True),
    ]


def test_post_only_that_would_take_is_cancelled_and_says_why() -> None:
    placed = Desktop().buy("1", "101", tif=TimeInForce.POST_ONLY)
    assert placed.fills == []
    assert placed.order.status is OrderStatus.CANCELLED
    assert placed.order.reject_reason is Reason.POST_ONLY


def test_post_only_that_does_not_cross_rests() -> None:
    assert Desktop().buy("1", "100.9", tif=TimeInForce.POST_ONLY).order.status is OrderStatus.NEW


def test_ioc_cancels_its_remainder() -> None:
    placed = Desktop().buy("3", "101", tif=TimeInForce.IOC)
    assert placed.fills == [(D(101), D(1))]
    assert placed.order.status is OrderStatus.CANCELLED


def test_fok_fills_whole_or_not_at_all() -> None:
    desk = Desktop()
    killed = desk.buy("3.5", "102", tif=TimeInForce.FOK)
    assert killed.fills == []
    assert killed.order.status is OrderStatus.CANCELLED
    assert desk.buy("3", "102", tif=TimeInForce.FOK).order.status is OrderStatus.FILLED


def test_own_orders_do_not_trade_with_each_other() -> None:
    desk = Desktop()
    desk.sell("1", "100.5")
    assert desk.buy("1", "100.7").fills == []


def test_reduce_only_is_cut_to_the_position_and_never_flips_it() -> None:
    desk = Desktop()
    desk.buy("1")
    placed = desk.sell("5", reduce_only=True)
    assert placed.order.qty == 1
    assert desk.size == 0


def test_reduce_only_without_a_position_or_on_its_side_is_refused() -> None:
    desk = Desktop()
    assert desk.sell("1", reduce_only=True).refused.code is RetCode.REDUCE_ONLY
    desk.buy("1")
    refused = desk.buy("1", reduce_only=True).refused
    assert refused.code is RetCode.REDUCE_ONLY
    assert "does not reduce a position of 1" in refused.message


def test_a_resting_reduce_only_order_shrinks_with_the_position_and_dies_with_it() -> None:
    desk = Desktop()
    desk.buy("3")
    resting = desk.sell("3", "110", reduce_only=True)
    desk.feed(book())
    desk.sell("2")
    assert desk.order(resting.id).qty == 1
    desk.feed(book())
    desk.sell("1")
    ended = desk.order(resting.id)
    assert ended.status is OrderStatus.CANCELLED
    assert ended.cancel_type is CancelType.BY_REDUCE_ONLY


def test_two_reduce_only_orders_hit_by_one_trade_close_no_more_than_the_position() -> None:
    desk = Desktop()
    desk.buy("1")
    desk.sell("1", "105", reduce_only=True)
    desk.sell("1", "105", reduce_only=True)
    desk.feed(trade(106, 5, "buy"))
    assert desk.size == 0
    assert not desk.core.open_orders


def test_a_live_duplicate_client_id_is_refused_and_accepted_again_after_the_end() -> None:
    desk = Desktop()
    first = desk.buy("1", "90", link_id="same")
    refused = desk.buy("1", "90", link_id="same").refused
    assert refused.code is RetCode.DUPLICATE_LINK_ID
    desk.cancel(first.id)
    second = desk.buy("1", "90", link_id="same")
    assert second.id != first.id
    assert desk.core.find("", "same") is not None
    assert [o.order_id for o in desk.core.closed("", "same")] == [first.id]
    assert [o.order_id for o in desk.core.closed(first.id, "")] == [first.id]


def test_cancelling_an_unknown_or_finished_order_says_it_does_not_exist() -> None:
    desk = Desktop()
    filled = desk.buy("1")
    assert desk.cancel(filled.id).reply == Refused(
        RetCode.ORDER_NOT_EXISTS, f"order not exists or too late to cancel: {filled.id}"
    )
    assert isinstance(desk.run(CancelOrder(SYMBOL, link_id="never")).reply, Refused)
    resting = desk.buy("1", "90", link_id="x")
    assert isinstance(desk.run(CancelOrder("ETHUSDT", resting.id)).reply, Refused)
    assert desk.run(CancelOrder(SYMBOL, link_id="x")).reply == Accepted(((resting.id, "x"),))


def test_cancel_all_takes_every_kind_of_order_unless_filtered() -> None:
    desk = Desktop()
    desk.buy("1", stop_loss=D(90))
    resting = desk.buy("1", "95")
    conditional = desk.sell("1", trigger_price=D(95), trigger_direction=2, reduce_only=True)
    only_active = desk.run(CancelAll(SYMBOL, OrderFilter.ORDER)).reply
    assert only_active == Accepted(((resting.id, ""),))
    stops = desk.run(CancelAll("", OrderFilter.STOP_ORDER)).reply
    assert isinstance(stops, Accepted)
    assert conditional.id in {order_id for order_id, _ in stops.orders}
    assert len(stops.orders) == 2
    assert desk.order(conditional.id).status is OrderStatus.DEACTIVATED
    assert not desk.core.open_orders
    assert isinstance(desk.run(CancelAll("NOPE")).reply, Refused)


def test_cancel_all_of_opening_orders_leaves_reduce_only_ones() -> None:
    desk = Desktop()
    desk.buy("1")
    desk.buy("1", "95")
    closing = desk.sell("1", "110", reduce_only=True)
    desk.run(CancelAll(SYMBOL, OrderFilter.OPEN_ORDER))
    assert list(desk.core.open_orders) == [closing.id]


def test_a_conditional_order_waits_and_becomes_a_market_order_at_its_trigger() -> None:
    desk = Desktop()
    placed = desk.buy("1", trigger_price=D(105), trigger_direction=1)
    assert placed.order.status is OrderStatus.UNTRIGGERED
    assert placed.order.stop_type is StopOrderType.STOP
    desk.feed(trade("104.9", 1))
    assert desk.size == 0
    desk.feed(trade(105, 1))
    assert desk.order(placed.id).status is OrderStatus.FILLED
    assert desk.size == 1


def test_a_conditional_limit_order_rests_after_its_trigger() -> None:
    desk = Desktop()
    placed = desk.buy("1", "95", trigger_price=D(98), trigger_direction=2)
    desk.feed(trade(98, 1, "sell"))
    assert desk.order(placed.id).status is OrderStatus.NEW
    assert not desk.untriggered()


def test_a_conditional_order_may_look_at_the_mark_or_index_price() -> None:
    desk = Desktop()
    by_mark = desk.buy("1", trigger_price=D(105), trigger_direction=1, trigger_by=TriggerBy.MARK)
    by_index = desk.buy("1", trigger_price=D(106), trigger_direction=1, trigger_by=TriggerBy.INDEX)
    desk.feed(trade(107, 1))
    assert desk.size == 0
    desk.feed(mark(105))
    assert desk.order(by_mark.id).status is OrderStatus.FILLED
    desk.feed(mark(106))
    assert desk.order(by_index.id).cum_qty == 1


def test_a_trigger_on_the_wrong_side_of_the_price_is_refused() -> None:
    desk = Desktop()
    assert desk.buy("1", trigger_price=D(99), trigger_direction=1).refused.code is RetCode.EXPECT_RISING
    assert desk.buy("1", trigger_price=D(101), trigger_direction=2).refused.code is RetCode.EXPECT_FALLING


def test_a_released_reduce_only_order_without_a_position_is_cancelled() -> None:
    desk = Desktop()
    placed = desk.sell("1", trigger_price=D(95), trigger_direction=2, reduce_only=True)
    desk.feed(trade(95, 1, "sell"))
    assert desk.order(placed.id).cancel_type is CancelType.BY_REDUCE_ONLY
    assert desk.size == 0


def test_a_released_order_that_the_balance_does_not_cover_is_rejected() -> None:
    desk = Desktop(wallet="50")
    placed = desk.buy("5", trigger_price=D(105), trigger_direction=1)
    desk.feed(trade(105, 1))
    assert desk.order(placed.id).status is OrderStatus.REJECTED


def test_margin_is_reserved_by_resting_orders_and_freed_by_their_end() -> None:
    desk = Desktop(wallet="100")
    first = desk.buy("5", "99")
    refused = desk.buy("6", "99").refused
    assert refused.code is RetCode.INSUFFICIENT_BALANCE
    assert "ab not enough for new order: needs" in refused.message
    assert desk.core.margin().order_im == D("49.5")
    desk.cancel(first.id)
    assert desk.core.margin().order_im == 0
    assert desk.buy("6", "99").order.status is OrderStatus.NEW


def test_closing_a_position_needs_no_margin() -> None:
    desk = Desktop(wallet="60.5")
    desk.buy("5.5")
    desk.feed(book())
    assert desk.core.margin().available < 5
    assert desk.sell("5.5", "101").order.status is OrderStatus.NEW


@pytest.mark.parametrize(("leverage", "code"), [("101", RetCode.LEVERAGE_RISK), ("10", RetCode.LEVERAGE_NOT_MODIFIED)])
def test_leverage_out_of_range_or_unchanged_is_refused(leverage: str, code: RetCode) -> None:
    reply = Desktop().run(SetLeverage(SYMBOL, D(leverage))).reply
    assert isinstance(reply, Refused)
    assert reply.code is code


def test_leverage_can_be_raised_but_not_lowered_beyond_the_balance() -> None:
    desk = Desktop(wallet="60.5")
    desk.buy("5.5")
    reply = desk.run(SetLeverage(SYMBOL, D(2))).reply
    assert isinstance(reply, Refused)
    assert reply.code is RetCode.INSUFFICIENT_BALANCE
    assert desk.core.account.positions[SYMBOL].leverage == 10
    assert desk.run(SetLeverage(SYMBOL, D(20))).reply == Accepted()
    assert isinstance(desk.run(SetLeverage("NOPE", D(2))).reply, Refused)


def test_an_amended_order_keeps_its_place_only_when_it_shrinks() -> None:
    desk = Desktop()
    first = desk.buy("2", "99.5")
    second = desk.buy("1", "99.5")
    desk.run(AmendOrder(SYMBOL, first.id, qty=D(1)))
    desk.feed(trade("99.5", 1, "sell"))
    assert desk.order(first.id).status is OrderStatus.FILLED
    third = desk.buy("1", "99.5")
    desk.run(AmendOrder(SYMBOL, second.id, qty=D(2)))
    desk.feed(trade("99.5", 1, "sell"))
    assert desk.order(third.id).status is OrderStatus.FILLED
    assert desk.order(second.id).cum_qty == 0


def test_an_amended_price_that_crosses_takes_at_once() -> None:
    desk = Desktop()
    placed = desk.buy("1", "95")
    desk.run(AmendOrder(SYMBOL, placed.id, price=D(101)))
    assert desk.order(placed.id).status is OrderStatus.FILLED
    assert desk.core.margin().order_im == 0


def test_an_amendment_the_balance_does_not_cover_leaves_the_order_as_it_was() -> None:
    desk = Desktop(wallet="100")
    placed = desk.buy("5", "99")
    reply = desk.run(AmendOrder(SYMBOL, placed.id, qty=D(20))).reply
    assert isinstance(reply, Refused)
    assert desk.core.open_orders[placed.id].qty == 5
    assert desk.core.margin().order_im == D("49.5")


def test_amendments_are_checked_like_new_orders() -> None:
    desk = Desktop()
    placed = desk.buy("1", "99.5")
    desk.feed(trade("99.5", "0.5", "sell"))
    for bad in (AmendOrder(SYMBOL, placed.id, qty=D("0.5")), AmendOrder(SYMBOL, placed.id, price=D("99.55"))):
        assert isinstance(desk.run(bad).reply, Refused)
    assert isinstance(desk.run(AmendOrder(SYMBOL, "unknown", qty=D(1))).reply, Refused)
    closing = desk.sell("0.4", "110", reduce_only=True)
    reply = desk.run(AmendOrder(SYMBOL, closing.id, qty=D(9))).reply
    assert isinstance(reply, Refused)
    assert reply.code is RetCode.REDUCE_ONLY
    conditional = desk.buy("1", trigger_price=D(105), trigger_direction=1)
    desk.run(AmendOrder(SYMBOL, conditional.id, trigger_price=D(106)))
    assert desk.order(conditional.id).trigger_price == 106


def test_the_book_is_forgotten_by_the_next_snapshot() -> None:
    desk = Desktop()
    desk.buy("6")
    assert desk.buy("1").order.status is OrderStatus.CANCELLED
    desk.feed(book(BIDS, ASKS))
    assert desk.buy("1").order.status is OrderStatus.FILLED


def test_events_of_unlisted_symbols_change_nothing() -> None:
    desk = Desktop()
    for event in (book(symbol="X/USDT:USDT"), trade(1, 1, symbol="X/USDT:USDT"), mark(1, symbol="X/USDT:USDT")):
        assert desk.feed(event).effects == []
        desk.core.prime(event)
