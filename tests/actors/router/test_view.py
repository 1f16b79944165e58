"""The router's account of itself."""

from __future__ import annotations

from actors.router import view
from actors.router.events import LinkChanged, OrdersSeen, SendFailed
from protos import trading_pb2 as pb
from tests.actors.router.support import BTC, Bottle, d, intent, protective
from titan.model import OrderRole, OrderType, Side


def shown(bottle: Bottle) -> pb.RouterState:
    return view.router_state(bottle.state, bottle.config, bottle.now, {"loop_cpus": "1"})


def test_the_account_names_positions_orders_money_and_what_binds() -> None:
    bottle = Bottle().begin()
    entry = bottle.open()
    bottle.tell(OrdersSeen((protective("stop-1", OrderRole.STOP, "49500", entry.client_order_id),)))
    bottle.tell(OrdersSeen((protective("target-1", OrderRole.TARGET, "51000", entry.client_order_id),)))
    rest = bottle.send(intent("rest", order_type=OrderType.LIMIT, limit_price=d(49900), size_usd="2000"))
    bottle.quote("50100")
    account = shown(bottle)
    assert account.trading_state == pb.TRADING_STATE_ACTIVE
    position = account.positions[0]
    assert (position.symbol, position.quantity, position.mark_price) == (BTC, "0.1", "50100")
    assert (position.stop_price, position.target_price, position.unrealized_pnl) == ("49500", "51000", "10")
    assert {each.client_order_id for each in account.open_orders} >= {rest.client_order_id}
    assert account.pending_notional_usd == "2004"
    assert (account.equity.equity, account.equity.wallet, account.daily_pnl) == ("10010", "10000", "10")
    assert (account.policy_hash, account.term, account.reconciled) == (bottle.config.policy_hash, 1, True)
    assert account.affinity == {"loop_cpus": "1"}
    assert account.journal_seq == len(bottle.rows)


def test_an_impediment_shows_as_reducing_with_its_reason() -> None:
    bottle = Bottle().begin()
    bottle.tell(LinkChanged("venue stream", False, "closed 1006"))
    account = shown(bottle)
    assert account.trading_state == pb.TRADING_STATE_REDUCING
    assert "closed 1006" in account.reason


def test_doubts_and_disagreement_are_counted() -> None:
    bottle = Bottle().begin()
    order = bottle.send(intent(side=Side.SELL))
    bottle.tell(SendFailed(order.client_order_id, "in_doubt", "timeout"))
    bottle.state.impediments["position BTC/USDT:USDT"] = "differs"
    account = shown(bottle)
    assert (account.unknown_orders, account.reconciled) == (1, False)


def test_before_the_venue_was_asked_money_is_unknown_and_not_zero() -> None:
    account = shown(Bottle())
    assert (account.equity.equity, account.equity.wallet, account.reconciled) == ("", "", False)
