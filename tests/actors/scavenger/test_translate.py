"""Bus messages as events, and what is refused."""

from __future__ import annotations

from decimal import Decimal

import pytest

from actors.scavenger import translate
from actors.scavenger.events import BudgetState, FillSeen
from protos import brain_pb2, market_pb2, trading_pb2

SYMBOL = "BTC/USDT:USDT"


def candle(**changes: object) -> market_pb2.Candle:
    fields: dict[str, object] = {
        "symbol": SYMBOL,
        "interval_s": 60,
        "open_ts_ms": 60_000,
        "open": "10",
        "high": "12",
        "low": "9",
        "close": "11",
        "volume": "5",
        "closed": True,
        **changes,
    }
    return market_pb2.Candle(**fields)  # type: ignore[arg-type]


def test_a_trade_without_a_side_is_refused() -> None:
    batch = market_pb2.TradeBatch(
        symbol=SYMBOL, ts_ms=[1], price=[1], qty=[1], side=[market_pb2.TAKER_SIDE_UNSPECIFIED]
    )
    with pytest.raises(ValueError, match="no taker side"):
        translate.columns(batch)


def test_an_empty_figure_of_a_ticker_is_absent_and_a_broken_one_is_refused() -> None:
    seen = translate.ticker(market_pb2.Ticker(symbol=SYMBOL, ts_ms=5, last="1.5"))
    assert (seen.last, seen.bid, seen.open_interest) == (1.5, None, None)
    with pytest.raises(ValueError, match="last is not a finite number: 'nan'"):
        translate.ticker(market_pb2.Ticker(symbol=SYMBOL, last="nan"))


def test_only_closed_bars_of_known_intervals_are_taken() -> None:
    closed = translate.bar_closed(candle())
    assert closed is not None
    assert (closed.bar.high, closed.interval_s) == (12.0, 60)
    assert translate.bar_closed(candle(closed=False)) is None
    assert translate.bar_closed(candle(interval_s=900)) is None


def test_a_bar_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(ValueError, match="o/h/l/c"):
        translate.bar_closed(candle(high="10.5"))


def test_a_stores_error_is_passed_on() -> None:
    with pytest.raises(ValueError, match="still being loaded"):
        translate.history(SYMBOL, 60, market_pb2.CandlesReply(error="bars are still being loaded"))


def test_a_budget_of_another_phase_is_none_of_ours() -> None:
    message = brain_pb2.Budget(phase=trading_pb2.PHASE_HUNTER, state=brain_pb2.BUDGET_STATE_ACTIVE)
    assert translate.budget(message) is None


def test_a_budget_without_a_state_is_refused() -> None:
    with pytest.raises(ValueError, match="no known state"):
        translate.budget(brain_pb2.Budget(phase=trading_pb2.PHASE_SCAVENGER))


def test_a_budget_is_read() -> None:
    read = translate.budget(
        brain_pb2.Budget(
            phase=trading_pb2.PHASE_SCAVENGER, state=brain_pb2.BUDGET_STATE_THROTTLED, max_notional_usd="12.5"
        )
    )
    assert read is not None
    assert (read.state, read.max_notional) == (BudgetState.THROTTLED, Decimal("12.5"))


def test_answers_to_other_phases_are_ignored() -> None:
    assert translate.decision(brain_pb2.Decision(signal_id="hunter-1")) is None
    assert translate.reject(trading_pb2.Reject(signal_id="hunter-1")) is None
    assert translate.fill(trading_pb2.Fill(phase=trading_pb2.PHASE_HUNTER)) is None
    ours = translate.decision(brain_pb2.Decision(signal_id="scavenger-1", approved=True, code="APPROVED"))
    assert ours is not None
    assert ours.approved
    assert translate.reject(trading_pb2.Reject(signal_id="scavenger-1", code="HALTED")) is not None


def test_a_sale_is_a_negative_quantity_and_no_side_is_refused() -> None:
    sale = trading_pb2.Fill(
        phase=trading_pb2.PHASE_SCAVENGER,
        signal_id="s",
        symbol=SYMBOL,
        side=trading_pb2.SIDE_SELL,
        quantity="0.5",
    )
    assert translate.fill(sale) == FillSeen("s", SYMBOL, -0.5)
    sale.side = trading_pb2.SIDE_UNSPECIFIED
    with pytest.raises(ValueError, match="has no side"):
        translate.fill(sale)


def test_positions_of_all_accounts_add_up_and_our_orders_are_told_apart() -> None:
    scavenger, hunter = trading_pb2.PHASE_SCAVENGER, trading_pb2.PHASE_HUNTER
    state = trading_pb2.RouterState(
        positions=[
            trading_pb2.Position(symbol=SYMBOL, quantity="1"),
            trading_pb2.Position(symbol=SYMBOL, quantity="-0.25"),
        ],
        open_orders=[
            trading_pb2.OrderEvent(symbol=SYMBOL, phase=scavenger, role=trading_pb2.ORDER_ROLE_ENTRY),
            trading_pb2.OrderEvent(symbol=SYMBOL, phase=scavenger, role=trading_pb2.ORDER_ROLE_STOP),
            trading_pb2.OrderEvent(symbol="ETH/USDT:USDT", phase=hunter, role=trading_pb2.ORDER_ROLE_STOP),
        ],
    )
    seen = translate.positions(state)
    assert (seen.quantities, seen.resting, seen.ours) == ({SYMBOL: 0.75}, {SYMBOL: 1}, frozenset({SYMBOL}))


def test_tail_metrics_without_an_estimate_are_none() -> None:
    assert translate.tail(brain_pb2.PowerLawMetrics(symbol=SYMBOL)) is None
    seen = translate.tail(
        brain_pb2.PowerLawMetrics(symbol=SYMBOL, alpha=2.5, cluster=brain_pb2.VOLATILITY_CLUSTER_EXPANDING)
    )
    assert seen is not None
    assert (seen.alpha, seen.clustered) == (2.5, True)
