"""What Execution concludes from what it is told."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from actors.execution.core import (
    Account,
    CashRead,
    Committed,
    ExecutionCore,
    KeepEquity,
    KeepTruth,
    ReadCash,
    Remembered,
    RouterSpoke,
    StoreChanged,
    Tick,
    TruthPassed,
)
from actors.execution.equity import EquityPoint
from actors.execution.holdings import Holding, Instrument
from actors.execution.truth import Comparison, Drift
from protos import trading_pb2 as pb
from tests.actors.execution.builders import PERP, fill
from titan.clock import Now
from titan.codes import DifferenceKind, TradingState
from titan.effects import Publish, RaiseAlert
from titan.model import OrderRole

ACCOUNT = Account("bybit", "main")
BTC = Instrument("bybit", "main", PERP)
LONG = Holding(BTC, quantity=Decimal(2), average_price=Decimal(100))
DAY_MS = 86_400_000


def _at(wall_ms: int, market_ms: int = DAY_MS * 10) -> Now:
    return Now(market_ms, wall_ms)


def _core(**changes: object) -> ExecutionCore:
    known = replace(Remembered(holdings=(LONG,), cash=Decimal(1000)), **changes)  # type: ignore[arg-type]
    core = ExecutionCore(ACCOUNT, "hash")
    core.remember(known)
    return core


def _spoke(mark: str = "103", wallet: str = "500") -> RouterSpoke:
    return RouterSpoke(
        pb.RouterState(
            trading_state=pb.TRADING_STATE_REDUCING,
            equity=pb.Equity(wallet=wallet),
            positions=[pb.Position(symbol=PERP, mark_price=mark, stop_price="95", target_price="")],
            journal_seq=7,
        )
    )


def _equity(core: ExecutionCore, now: Now) -> pb.Equity:
    (told,) = [effect for effect in core.handle(Tick(), now) if isinstance(effect, Publish)]
    assert isinstance(told.message, pb.Equity)
    return told.message


def _passed(*drifts: Drift, error: str = "") -> TruthPassed:
    return TruthPassed("test", Comparison(5, 4, drifts), "digest", 12, error)


DRIFT = Drift(DifferenceKind.FILL_MISSING_IN_LEDGER, "f1", "a fill", "a fill", "")


def test_a_router_that_leads_no_more_is_not_heard() -> None:
    core = _core()
    core.handle(RouterSpoke(pb.RouterState(trading_state=pb.TRADING_STATE_HALTED, term=2)), _at(1))
    core.handle(RouterSpoke(pb.RouterState(trading_state=pb.TRADING_STATE_ACTIVE, term=1)), _at(2))
    assert core.trading_state is TradingState.HALTED


def test_equity_is_the_ledgers_wallet_plus_profit_at_the_routers_marks() -> None:
    core = _core()
    core.handle(_spoke(mark="103"), _at(1))
    told = _equity(core, _at(2))
    assert [told.wallet, told.unrealized_pnl, told.equity] == ["1000", "6", "1006"]
    assert core.trading_state is TradingState.REDUCING
    assert core.protection(PERP) == (Decimal(95), None)
    assert core.journal_seq == 7


def test_before_the_books_are_opened_the_routers_wallet_counts() -> None:
    core = _core(cash=None, holdings=())
    assert core.handle(Tick(), _at(1)) == []
    core.handle(_spoke(wallet="500"), _at(2))
    assert _equity(core, _at(3)).wallet == "500"
    core.handle(CashRead(Decimal(700)), _at(4))
    assert _equity(core, _at(5)).wallet == "700"


def test_a_mark_that_is_not_known_makes_no_profit() -> None:
    assert _equity(_core(), _at(1)).unrealized_pnl == "0"


def test_every_committed_fill_moves_the_wallet_at_once() -> None:
    core = _core()
    done = fill(1, fee="0.5", pnl="10")
    moved = Holding(BTC, quantity=Decimal(1), average_price=Decimal(90))
    core.handle(Committed(fills=(done,), holdings=(moved,), funding_paid=Decimal("0.25")), _at(1))
    assert core.cash == Decimal("1009.25")
    assert core.holdings[BTC] == moved


def test_a_wallet_that_moved_by_itself_is_read_anew() -> None:
    assert _core().handle(Committed(wallet_moved=True), _at(1)) == [ReadCash()]


def test_the_curve_is_kept_every_five_seconds_and_published_every_time() -> None:
    core = _core()
    kept = [
        any(isinstance(effect, KeepEquity) for effect in core.handle(Tick(), _at(ms)))
        for ms in (10_000, 11_000, 14_999, 15_000)
    ]
    assert kept == [True, False, False, True]


def test_the_high_never_falls_and_a_market_day_begins_with_what_is_there() -> None:
    core = _core()
    told = pb.Equity()
    for mark, market_ms in [("110", DAY_MS * 10), ("90", DAY_MS * 10 + 5), ("95", DAY_MS * 11)]:
        core.handle(_spoke(mark=mark), _at(1))
        told = _equity(core, _at(2, market_ms))
    assert [told.high_watermark, told.start_of_day, told.equity] == ["1020", "990", "990"]
    assert core.equity is not None
    assert round(core.equity.drawdown_percent, 4) == Decimal("2.9412")


def test_a_restart_goes_on_with_the_last_kept_point() -> None:
    past = EquityPoint(
        "bybit", "main", "USDT", Decimal(1), Decimal(0), Decimal(1), Decimal(1500), Decimal(2000), 1, DAY_MS * 10
    )
    told = _equity(_core(equity=past), _at(2, DAY_MS * 10 + 1))
    assert [told.start_of_day, told.high_watermark] == ["1500", "2000"]


def test_an_account_without_a_high_has_no_drawdown() -> None:
    zero = Decimal(0)
    point = EquityPoint("b", "m", "USDT", zero, zero, zero, zero, zero, 1, 1)
    assert point.drawdown_percent == 0


def test_a_pass_is_kept_published_and_moves_confidence() -> None:
    core = _core(confidence=50)
    keep, publish = core.handle(_passed(), _at(9))
    assert isinstance(keep, KeepTruth)
    assert isinstance(publish, Publish)
    assert [publish.durable, publish.idempotency_key] == [True, keep.run.truth_id]
    told = publish.message
    assert isinstance(told, pb.Truth)
    assert [told.orders_compared, told.fills_compared, told.differences, told.confidence] == [5, 4, 0, 51]
    assert [told.complete, told.policy_hash, told.ts_ms] == [True, "hash", 9]


def test_a_difference_is_told_to_a_person_with_all_three_sides() -> None:
    core = _core()
    _, publish, alert = core.handle(_passed(DRIFT, replace(DRIFT, key="f2")), _at(9))
    assert isinstance(alert, RaiseAlert)
    assert [alert.code, alert.severity] == ["TRUTH_DRIFT", "CRITICAL"]
    assert "FILL_MISSING_IN_LEDGER f1" in alert.message
    assert "ledger: nothing" in alert.message
    assert "and 1 more" in alert.message
    assert alert.labels == {"FILL_MISSING_IN_LEDGER": "2"}
    assert isinstance(publish, Publish)
    assert isinstance(publish.message, pb.Truth)
    assert [publish.message.differences, publish.message.details[1].key, core.confidence] == [2, "f2", 60]


def test_an_incomplete_pass_changes_no_confidence_and_is_told_once() -> None:
    core = _core(confidence=70)
    first = core.handle(_passed(DRIFT, error="the venue is away"), _at(1))
    second = core.handle(_passed(error="the venue is away"), _at(2))
    assert core.confidence == 70
    assert [isinstance(effect, RaiseAlert) for effect in first] == [False, False, True]
    assert not any(isinstance(effect, RaiseAlert) for effect in second)
    assert core.truth is not None
    assert [core.truth.complete, core.truth.drifts] == [False, ()]


def test_the_store_is_spoken_of_when_it_changes_only() -> None:
    core = _core()
    assert core.handle(StoreChanged(True), _at(1)) == []
    (down,) = core.handle(StoreChanged(False, "connection refused"), _at(2))
    assert core.handle(StoreChanged(False, "connection refused"), _at(3)) == []
    (back,) = core.handle(StoreChanged(True), _at(4))
    assert isinstance(down, RaiseAlert)
    assert isinstance(back, RaiseAlert)
    assert [down.code, down.severity, back.code] == ["LEDGER_DOWN", "CRITICAL", "LEDGER_BACK"]


def test_what_is_strange_about_a_batch_is_told() -> None:
    strange = replace(fill(1), role=OrderRole.EXTERNAL)
    effects = _core().handle(Committed(fills=(strange,), late=(BTC,), claims=(("f9", "1.5"),)), _at(1))
    assert [effect.code for effect in effects if isinstance(effect, RaiseAlert)] == [
        "LATE_FILL",
        "PNL_CLAIM_DIFFERS",
        "EXTERNAL_FILL",
    ]
