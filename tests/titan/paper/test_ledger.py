"""The durable record and its rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.titan.paper.house import SYMBOL, T0, D, Desktop, book, mark, trade
from titan.paper.core import PaperVenueCore
from titan.paper.ledger import Filter, Ledger, LedgerError
from titan.paper.orders import Effect, Executed, OrderChanged, OrderStatus, PositionChanged, WalletChanged
from titan.paper.rows import from_text, to_text


def busy() -> Desktop:
    desk = Desktop()
    desk.buy("1.5", link_id="entry", stop_loss=D(95), take_profit=D(110))
    desk.feed(book())
    desk.sell("0.5", reduce_only=True)
    desk.buy("1", "99", link_id="rest")
    desk.feed(trade(99, "2.4", "sell"))
    desk.feed(mark(101))
    return desk


def written(desk: Desktop, path: Path) -> Ledger:
    ledger = Ledger(path, D(100_000))
    effects: list[Effect] = [
        e for e in desk.effects if isinstance(e, OrderChanged | Executed | PositionChanged | WalletChanged)
    ]
    ledger.commit(effects)
    return ledger


def test_every_row_reads_back_equal() -> None:
    for effect in busy().effects:
        if isinstance(effect, OrderChanged):
            assert from_text(type(effect.order), to_text(effect.order)) == effect.order
        elif isinstance(effect, Executed):
            assert from_text(type(effect.execution), to_text(effect.execution)) == effect.execution
        elif isinstance(effect, PositionChanged):
            assert from_text(type(effect.position), to_text(effect.position)) == effect.position
        elif isinstance(effect, WalletChanged):
            assert from_text(type(effect.row), to_text(effect.row)) == effect.row


def test_a_core_restored_from_the_record_goes_on_like_the_one_that_wrote_it(tmp_path: Path) -> None:
    desk = busy()
    ledger = written(desk, tmp_path / "ledger.db")
    ledger.close()
    again = Ledger(tmp_path / "ledger.db", D(1))
    assert again.initial_wallet == 100_000
    copy = Desktop()
    copy.core = PaperVenueCore([s.instrument for s in desk.core.symbols.values()], again.initial_wallet, "test")
    copy.core.restore(again.remember())
    for each in (desk, copy):
        each.effects.clear()
        each.now = T0 + 1000
        each.feed(book())
        each.feed(mark(101))
        each.feed(trade(101, 1))
        each.buy("0.2", link_id="new")
        each.feed(trade(94, 9, "sell"))
    assert copy.core.margin() == desk.core.margin()
    assert copy.core.open_orders == desk.core.open_orders
    assert copy.executions == desk.executions
    assert copy.size == desk.size
    assert [o.order_id for o in copy.core.recent_closed] == [o.order_id for o in desk.core.recent_closed]


def test_a_failed_commit_leaves_nothing_behind(tmp_path: Path) -> None:
    desk = busy()
    ledger = written(desk, tmp_path / "ledger.db")
    before = len(ledger.executions(Filter(), 100))
    order = next(e for e in desk.effects if isinstance(e, OrderChanged))
    repeated = next(e for e in desk.effects if isinstance(e, Executed))
    with pytest.raises(LedgerError, match="cannot write the venue ledger"):
        ledger.commit([order, repeated])
    assert len(ledger.executions(Filter(), 100)) == before
    ledger.commit([order])


def test_queries_filter_and_run_newest_first(tmp_path: Path) -> None:
    ledger = written(busy(), tmp_path / "ledger.db")
    executions = ledger.executions(Filter(), 100)
    assert [e.seq for e in executions] == sorted((e.seq for e in executions), reverse=True)
    older = ledger.executions(Filter(before_seq=executions[0].seq), 2)
    assert [e.seq for e in older] == [e.seq for e in executions[1:3]]
    assert {e.link_id for e in ledger.executions(Filter(link_id="entry"), 10)} == {"entry"}
    assert ledger.executions(Filter(symbol="ETHUSDT"), 10) == []
    assert ledger.executions(Filter(exec_type="Funding"), 10) == []
    assert ledger.executions(Filter(start_ms=T0 + 10**6), 10) == []
    assert ledger.orders(Filter(end_ms=T0 - 1), 10) == []
    finished = ledger.orders(Filter(closed_only=True), 100)
    assert finished
    assert not any(o.status.is_open for o in finished)
    assert {o.stop_type.value for o in ledger.orders(Filter(conditional=True), 10)} == {"StopLoss", "TakeProfit"}
    assert ledger.orders(Filter(order_id=finished[0].order_id), 10) == [finished[0]]
    assert ledger.balance_rows(100)[0].wallet == busy().core.account.wallet
    assert [p.symbol for p in ledger.positions()] == [SYMBOL]
    assert ledger.last_ms() > T0


def test_a_new_record_remembers_its_deposit_and_nothing_else(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "deep" / "ledger.db", D(500))
    past = ledger.remember()
    assert (past.wallet, past.orders, past.positions, past.next_order_seq) == (D(500), (), (), 1)
    assert ledger.last_ms() == 0
    assert ledger.meta("none") == ""
    assert len(ledger.salt) == 16


def test_an_unusable_path_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match=r"cannot open the venue ledger .* choose a writable --home"):
        Ledger(tmp_path / "file" / "ledger.db", D(1))


def test_an_order_amended_in_time_priority_keeps_one_row(tmp_path: Path) -> None:
    from titan.paper.commands import AmendOrder

    desk = Desktop()
    placed = desk.buy("1", "95")
    desk.run(AmendOrder(SYMBOL, placed.id, price=D(96)))
    ledger = written(desk, tmp_path / "ledger.db")
    rows = ledger.orders(Filter(), 10)
    assert [(o.order_id, o.price, o.status) for o in rows] == [(placed.id, D(96), OrderStatus.NEW)]
