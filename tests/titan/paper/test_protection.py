"""Stop loss and take profit of positions."""

from __future__ import annotations

from tests.titan.paper.house import ASKS, SYMBOL, D, Desktop, book, levels, mark, trade
from titan.paper.commands import AmendOrder, SetTradingStop
from titan.paper.orders import Accepted, CancelType, OrderStatus, OrderType, Refused, RetCode, Side, TriggerBy


def protected() -> Desktop:
    desk = Desktop()
    desk.buy("1", link_id="entry", stop_loss=D(95), take_profit=D(110))
    return desk


def test_an_entry_leaves_visible_conditional_orders_once_it_fills() -> None:
    desk = Desktop()
    entry = desk.buy("1", "99.5", link_id="entry", stop_loss=D(95), take_profit=D(110))
    assert desk.untriggered() == {}
    desk.feed(trade("99.5", "0.4", "sell"))
    waiting = desk.untriggered()
    assert set(waiting) == {"StopLoss", "TakeProfit"}
    stop = waiting["StopLoss"]
    assert (stop.status, stop.side, stop.type) == (OrderStatus.UNTRIGGERED, Side.SELL, OrderType.MARKET)
    assert (stop.qty, stop.trigger_price, stop.trigger_direction) == (D("0.4"), D(95), 2)
    assert (stop.link_id, stop.parent_link_id) == ("", "entry")
    assert stop.reduce_only
    assert stop.order_id != entry.id
    assert waiting["TakeProfit"].trigger_direction == 1


def test_the_protection_follows_the_size_of_the_position() -> None:
    desk = protected()
    desk.feed(book())
    desk.buy("0.5")
    assert desk.untriggered()["StopLoss"].qty == D("1.5")
    desk.sell("1", reduce_only=True)
    assert desk.untriggered()["TakeProfit"].qty == D("0.5")


def test_a_touched_stop_closes_the_position_and_deactivates_the_target() -> None:
    desk = protected()
    stop, target = (desk.untriggered()[k] for k in ("StopLoss", "TakeProfit"))
    desk.feed(book(levels((94, 5)), ASKS))
    desk.feed(trade(95, 1, "sell"))
    assert desk.size == 0
    assert desk.order(stop.order_id).status is OrderStatus.FILLED
    assert desk.executions[-1].price == 94
    ended = desk.order(target.order_id)
    assert (ended.status, ended.cancel_type) == (OrderStatus.DEACTIVATED, CancelType.BY_TPSL_CLEAR)
    assert desk.core.account.positions[SYMBOL].stop_loss == 0
    assert not desk.core.open_orders


def test_a_touched_target_closes_a_short() -> None:
    desk = Desktop()
    desk.sell("1", stop_loss=D(105), take_profit=D(90))
    assert desk.untriggered()["StopLoss"].trigger_direction == 1
    desk.feed(trade(90, 1, "sell"))
    assert desk.size == 0


def test_a_stop_on_the_mark_price_ignores_trades() -> None:
    desk = Desktop()
    desk.buy("1", stop_loss=D(95), sl_trigger_by=TriggerBy.MARK)
    desk.feed(trade(90, 1, "sell"))
    assert desk.size == 1
    desk.feed(mark(95))
    assert desk.size == 0


def test_a_stop_that_finds_too_little_liquidity_is_set_again() -> None:
    desk = protected()
    first = desk.untriggered()["StopLoss"].order_id
    desk.feed(book(levels((94, "0.3")), ASKS))
    desk.feed(trade(95, 1, "sell"))
    assert desk.size == D("0.7")
    again = desk.untriggered()["StopLoss"]
    assert again.order_id != first
    assert again.qty == D("0.7")
    desk.feed(book(levels((93, 5)), ASKS))
    desk.feed(trade(94, 1, "sell"))
    assert desk.size == 0


def test_closing_by_hand_deactivates_both() -> None:
    desk = protected()
    ids = [o.order_id for o in desk.untriggered().values()]
    desk.sell("1", reduce_only=True)
    assert [desk.order(i).status for i in ids] == [OrderStatus.DEACTIVATED] * 2


def test_a_turned_position_drops_the_old_protection_and_takes_the_new() -> None:
    desk = protected()
    desk.sell("3", stop_loss=D(120))
    assert desk.size == -2
    assert set(desk.untriggered()) == {"StopLoss"}
    assert desk.untriggered()["StopLoss"].side is Side.BUY


def test_a_later_entry_replaces_the_stop_price() -> None:
    desk = protected()
    desk.buy("1", link_id="second", stop_loss=D(96))
    stop = desk.untriggered()["StopLoss"]
    assert (stop.trigger_price, stop.parent_link_id, stop.qty) == (D(96), "second", D(2))
    assert desk.untriggered()["TakeProfit"].parent_link_id == "entry"


def test_cancelling_the_stop_removes_it_from_the_position_for_good() -> None:
    desk = protected()
    for kind in ("StopLoss", "TakeProfit"):
        desk.cancel(desk.untriggered()[kind].order_id)
    desk.feed(book())
    desk.buy("0.5")
    assert desk.untriggered() == {}


def test_trading_stop_sets_moves_keeps_and_removes() -> None:
    desk = Desktop()
    desk.buy("1")
    assert desk.run(SetTradingStop(SYMBOL, stop_loss=D(95), take_profit=D(120))).reply == Accepted()
    assert set(desk.untriggered()) == {"StopLoss", "TakeProfit"}
    desk.run(SetTradingStop(SYMBOL, stop_loss=D(96)))
    assert desk.untriggered()["StopLoss"].trigger_price == 96
    assert desk.untriggered()["TakeProfit"].trigger_price == 120
    desk.run(SetTradingStop(SYMBOL, take_profit=D(0)))
    assert set(desk.untriggered()) == {"StopLoss"}


def test_trading_stop_is_refused_without_position_change_or_sense() -> None:
    desk = Desktop()
    codes = []
    for command in (
        SetTradingStop(SYMBOL, stop_loss=D(95)),
        SetTradingStop("NOPE", stop_loss=D(95)),
    ):
        reply = desk.run(command).reply
        assert isinstance(reply, Refused)
        codes.append(reply.code)
    desk.buy("1")
    for command in (SetTradingStop(SYMBOL), SetTradingStop(SYMBOL, stop_loss=D(150))):
        reply = desk.run(command).reply
        assert isinstance(reply, Refused)
        codes.append(reply.code)
    assert codes == [RetCode.PARAMS, RetCode.PARAMS, RetCode.TPSL_NOT_MODIFIED, RetCode.PARAMS]


def test_a_position_stop_is_not_amended_as_an_order() -> None:
    desk = protected()
    reply = desk.run(AmendOrder(SYMBOL, desk.untriggered()["StopLoss"].order_id, trigger_price=D(90))).reply
    assert isinstance(reply, Refused)
    assert "trading-stop" in reply.message
