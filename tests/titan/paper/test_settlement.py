"""Funding, liquidation and the end of a market."""

from __future__ import annotations

from tests.titan.paper.house import SYMBOL, T0, D, Desktop, book, mark, trade
from titan.paper.commands import CloseMarket
from titan.paper.feeds.base import FeedLiquidation
from titan.paper.orders import CancelType, ExecType, OrderStatus, PositionChanged, Reason
from titan.paper.settlement import FUNDING_INTERVAL_MS

DUE = T0 + FUNDING_INTERVAL_MS


def test_a_long_pays_positive_funding_once_at_the_funding_time() -> None:
    desk = Desktop()
    desk.buy("1")
    before = desk.core.account.wallet
    desk.core.handle(trade(100, 1), DUE - 1)
    assert desk.core.account.wallet == before
    result = desk.core.handle(trade(100, 1), DUE)
    assert desk.core.account.wallet == before - D("0.01")
    assert any(isinstance(e, PositionChanged) for e in result.effects)
    desk.core.handle(trade(100, 1), DUE + 1)
    assert desk.core.account.wallet == before - D("0.01")


def test_a_short_receives_positive_funding_and_pays_negative() -> None:
    desk = Desktop()
    desk.sell("1")
    before = desk.core.account.wallet
    result = desk.core.handle(trade(100, 1), DUE)
    desk.effects.extend(result.effects)
    paid = desk.executions[-1]
    assert (paid.exec_type, paid.fee, paid.qty) == (ExecType.FUNDING, D("-0.01"), D(1))
    assert desk.core.account.wallet == before + D("0.01")
    desk.core.handle(mark(100, "-0.0002", DUE + FUNDING_INTERVAL_MS), DUE + 1)
    desk.core.handle(trade(100, 1), DUE + FUNDING_INTERVAL_MS)
    assert desk.core.account.wallet == before + D("0.01") - D("0.02")


def test_a_flat_account_pays_nothing_but_the_rate_is_remembered() -> None:
    desk = Desktop()
    assert desk.core.handle(trade(100, 1), DUE + 5).effects == []
    assert list(desk.core.symbols[SYMBOL].settled) == [(DUE, D("0.0001"))]


def test_after_a_long_gap_funding_is_paid_once_and_the_next_time_lies_ahead() -> None:
    desk = Desktop()
    desk.buy("1")
    before = desk.core.account.wallet
    late = DUE + 5 * FUNDING_INTERVAL_MS + 7
    desk.core.handle(trade(100, 1), late)
    assert desk.core.account.wallet == before - D("0.01")
    assert late < desk.core.account.positions[SYMBOL].next_funding_ms <= late + FUNDING_INTERVAL_MS


def test_priming_learns_the_mark_but_skips_no_funding_time() -> None:
    desk = Desktop()
    desk.core.prime(mark(120, "0.0003", DUE + FUNDING_INTERVAL_MS))
    position = desk.core.account.positions[SYMBOL]
    assert position.mark == 120
    assert position.next_funding_ms == DUE
    desk.core.prime(trade(121, 1))
    desk.core.prime(book())
    assert desk.core.symbols[SYMBOL].last == 121


def test_an_account_below_its_maintenance_margin_is_closed_at_the_mark() -> None:
    desk = Desktop(wallet="60")
    resting = desk.buy("0.5", "90")
    desk.buy("5")
    desk.feed(mark(91))
    assert desk.size == 5
    desk.feed(mark("90.2"))
    assert desk.size == 0
    assert desk.executions[-1].exec_type is ExecType.BUST
    ended = desk.order(resting.id)
    assert (ended.status, ended.cancel_type) == (OrderStatus.CANCELLED, CancelType.BY_LIQUIDATION)


def test_an_ended_market_leaves_no_order_and_no_position_and_books_the_close() -> None:
    desk = Desktop()
    desk.buy("1", stop_loss=D(90))
    resting = desk.buy("1", "95")
    desk.feed(mark(105))
    desk.run(CloseMarket())
    assert desk.size == 0
    assert not desk.core.open_orders
    assert desk.order(resting.id).reject_reason is Reason.MARKET_CLOSED
    closing = desk.executions[-1]
    assert (closing.price, closing.qty, closing.exec_type) == (D(105), D(1), ExecType.TRADE)
    assert desk.order(closing.order_id).status is OrderStatus.FILLED
    assert desk.core.account.positions[SYMBOL].next_funding_ms == 0


def test_a_liquidation_of_others_moves_nothing_here() -> None:
    assert Desktop().feed(FeedLiquidation(T0, "BTC/USDT:USDT", "sell", D(90), D(5))).effects == []


def test_realised_profit_restarts_with_each_position_and_accumulates_over_all() -> None:
    desk = Desktop()
    desk.buy("1")
    desk.feed(book())
    desk.sell("1")
    position = desk.core.account.positions[SYMBOL]
    first = position.realised
    assert first == -1 - D("0.05555") - D("0.055")
    desk.feed(book())
    desk.buy("1")
    assert position.realised == -D("0.05555")
    assert position.cum_realised == first - D("0.05555")
