"""Trading as unmodified ccxt and ccxt.pro do it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp
import ccxt
import pytest

from tests.titan.paper.house import ASKS, CANONICAL, SYMBOL, D, book, levels, mark, trade
from tests.titan.paper.live import KEY, LiveVenue, bybit, first, subscribed
from titan.paper.ledger import Filter
from titan.paper.protocol.auth import Credentials


async def lookup(exchange: Any, link_id: str, where: str = "Realtime") -> list[dict[str, Any]]:
    ask = getattr(exchange, f"privateGetV5Order{where}")
    answer = await ask({"category": "linear", "symbol": SYMBOL, "orderLinkId": link_id})
    found: list[dict[str, Any]] = answer["result"]["list"]
    return found


async def test_balance_shows_what_positions_and_orders_use(live: LiveVenue, exchange: Any) -> None:
    assert (await exchange.fetch_balance())["USDT"]["free"] == 100_000
    await exchange.create_order(CANONICAL, "limit", "buy", 10, 90)
    usdt = (await exchange.fetch_balance())["USDT"]
    assert (usdt["total"], usdt["used"]) == (100_000, 90)


async def test_a_market_order_becomes_a_position_with_its_executions(live: LiveVenue, exchange: Any) -> None:
    order = await exchange.create_order(CANONICAL, "market", "buy", 1.5, None, {"clientOrderId": "m-1"})
    (found,) = await lookup(exchange, "m-1")
    assert (found["orderId"], found["orderStatus"], found["cumExecQty"]) == (order["id"], "Filled", "1.5")
    (position,) = await exchange.fetch_positions([CANONICAL])
    assert (position["side"], position["contracts"]) == ("long", 1.5)
    assert position["entryPrice"] == pytest.approx(101.3333333333)
    trades = await exchange.fetch_my_trades(CANONICAL)
    assert [(t["price"], t["amount"], t["takerOrMaker"]) for t in sorted(trades, key=lambda t: t["price"])] == [
        (101.0, 1.0, "taker"),
        (102.0, 0.5, "taker"),
    ]
    assert sum(D(str(t["fee"]["cost"])) for t in trades) == D("0.0836")


async def test_leverage_is_set_once_and_then_not_modified(exchange: Any) -> None:
    await exchange.set_leverage(5, CANONICAL)
    with pytest.raises(ccxt.BadRequest, match="110043"):
        await exchange.set_leverage(5, CANONICAL)
    assert (await exchange.fetch_leverage(CANONICAL))["longLeverage"] == 5
    with pytest.raises(ccxt.ExchangeError, match=r"110013.*allowed is 1 to 100"):
        await exchange.set_leverage(500, CANONICAL)


async def test_own_orders_and_executions_are_watched(live: LiveVenue, exchange: Any) -> None:
    orders = asyncio.ensure_future(exchange.watch_orders())
    trades = asyncio.ensure_future(exchange.watch_my_trades())
    await subscribed(live, "order", private=True)
    await subscribed(live, "execution", private=True)
    await exchange.create_order(CANONICAL, "limit", "buy", 1, 99.5, {"clientOrderId": "w-1"})
    (opened,) = await first(orders)
    assert (opened["status"], opened["clientOrderId"], opened["remaining"]) == ("open", "w-1", 1.0)
    orders = asyncio.ensure_future(exchange.watch_orders())
    await asyncio.sleep(0)
    live.apply(trade(99, "0.4", "sell"))
    (partly,) = await first(orders)
    assert (partly["filled"], partly["info"]["orderStatus"]) == (0.4, "PartiallyFilled")
    (fill,) = await first(trades)
    assert (fill["price"], fill["amount"], fill["takerOrMaker"], fill["order"]) == (99.5, 0.4, "maker", opened["id"])
    assert fill["info"]["orderLinkId"] == "w-1"


async def test_positions_and_balance_are_watched(live: LiveVenue, exchange: Any) -> None:
    exchange.options["watchPositions"]["fetchPositionsSnapshot"] = False
    positions = asyncio.ensure_future(exchange.watch_positions())
    balance = asyncio.ensure_future(exchange.watch_balance())
    await subscribed(live, "position", private=True)
    await subscribed(live, "wallet", private=True)
    await exchange.create_order(CANONICAL, "market", "sell", 1)
    (position,) = await first(positions)
    assert (position["side"], position["contracts"]) == ("short", 1.0)
    assert (await first(balance))["USDT"]["total"] == pytest.approx(100_000 - 0.055)


async def test_a_position_snapshot_is_loaded_before_watching(live: LiveVenue, exchange: Any) -> None:
    await exchange.create_order(CANONICAL, "market", "buy", 1)
    (position,) = await first(exchange.watch_positions())
    assert position["contracts"] == 1.0


async def test_post_only_that_would_take_is_acknowledged_and_then_cancelled(exchange: Any) -> None:
    await exchange.create_order(CANONICAL, "limit", "buy", 1, 101, {"postOnly": True, "clientOrderId": "po"})
    (found,) = await lookup(exchange, "po")
    assert (found["orderStatus"], found["rejectReason"]) == ("Cancelled", "EC_PostOnlyWillTakeLiquidity")


async def test_ioc_and_reduce_only_end_as_they_should(exchange: Any) -> None:
    await exchange.create_order(CANONICAL, "limit", "buy", 3, 101, {"timeInForce": "IOC", "clientOrderId": "ioc"})
    (found,) = await lookup(exchange, "ioc")
    assert (found["orderStatus"], found["cumExecQty"], found["leavesQty"]) == ("Cancelled", "1", "0")
    await exchange.create_order(CANONICAL, "market", "sell", 9, None, {"reduceOnly": True})
    assert await exchange.fetch_positions() == []
    with pytest.raises(ccxt.InvalidOrder, match="110017"):
        await exchange.create_order(CANONICAL, "market", "sell", 1, None, {"reduceOnly": True})


async def test_attached_protection_appears_as_conditional_orders_of_the_entry(live: LiveVenue, exchange: Any) -> None:
    entry = await exchange.create_order(
        CANONICAL,
        "market",
        "buy",
        1,
        None,
        {"clientOrderId": "entry-1", "stopLoss": {"triggerPrice": 95}, "takeProfit": {"triggerPrice": 120}},
    )
    waiting = {o["info"]["stopOrderType"]: o for o in await exchange.fetch_open_orders(CANONICAL)}
    assert set(waiting) == {"StopLoss", "TakeProfit"}
    stop = waiting["StopLoss"]
    assert (stop["info"]["orderStatus"], stop["info"]["parentOrderLinkId"]) == ("Untriggered", "entry-1")
    assert (stop["clientOrderId"], stop["triggerPrice"], stop["reduceOnly"]) == (None, 95.0, True)
    assert stop["id"] != entry["id"]
    (position,) = await exchange.fetch_positions([CANONICAL])
    assert (position["stopLossPrice"], position["takeProfitPrice"]) == (95.0, 120.0)
    live.apply(book(levels((94, 5)), ASKS), trade("94.5", 1, "sell"))
    assert await exchange.fetch_positions() == []
    closed = {o["id"]: o["info"]["orderStatus"] for o in await exchange.fetch_canceled_and_closed_orders(CANONICAL)}
    assert closed[stop["id"]] == "Filled"
    assert closed[waiting["TakeProfit"]["id"]] == "Deactivated"


async def test_a_conditional_stop_order_is_made_found_and_cancelled(exchange: Any) -> None:
    await exchange.create_order(CANONICAL, "market", "buy", 1)
    stop = await exchange.create_order(
        CANONICAL,
        "market",
        "sell",
        1,
        None,
        {"triggerPrice": 95, "triggerDirection": "descending", "reduceOnly": True, "clientOrderId": "stop-1"},
    )
    (found,) = await exchange.fetch_open_orders(CANONICAL, params={"trigger": True})
    assert (found["id"], found["triggerPrice"], found["info"]["stopOrderType"]) == (stop["id"], 95.0, "Stop")
    await exchange.cancel_order(stop["id"], CANONICAL, {"trigger": True})
    (ended,) = await lookup(exchange, "stop-1")
    assert ended["orderStatus"] == "Deactivated"


async def test_an_order_is_found_by_client_id_while_open_and_after(exchange: Any) -> None:
    order = await exchange.create_order(CANONICAL, "limit", "buy", 1, 90, {"clientOrderId": "find-me"})
    (found,) = await lookup(exchange, "find-me")
    assert (found["orderId"], found["orderStatus"]) == (order["id"], "New")
    assert await lookup(exchange, "find-me", "History") == []
    await exchange.cancel_order(None, CANONICAL, {"clientOrderId": "find-me", "orderLinkId": "find-me"})
    assert (await lookup(exchange, "find-me"))[0]["orderStatus"] == "Cancelled"
    assert (await lookup(exchange, "find-me", "History"))[0]["cancelType"] == "CancelByUser"
    assert await lookup(exchange, "never-sent") == []
    assert await lookup(exchange, "never-sent", "History") == []


async def test_a_client_id_is_refused_while_live_and_accepted_again_after_the_fill(exchange: Any) -> None:
    first_order = await exchange.create_order(CANONICAL, "limit", "buy", 1, 90, {"clientOrderId": "twice"})
    with pytest.raises(ccxt.InvalidOrder, match="110072"):
        await exchange.create_order(CANONICAL, "limit", "buy", 1, 90, {"clientOrderId": "twice"})
    await exchange.cancel_order(first_order["id"], CANONICAL)
    await exchange.create_order(CANONICAL, "limit", "buy", 1, 90, {"clientOrderId": "twice"})
    assert [o["orderStatus"] for o in await lookup(exchange, "twice")] == ["New", "Cancelled"]


async def test_cancelling_twice_says_the_order_does_not_exist(exchange: Any) -> None:
    order = await exchange.create_order(CANONICAL, "limit", "buy", 1, 90)
    await exchange.cancel_order(order["id"], CANONICAL)
    with pytest.raises(ccxt.OrderNotFound, match="110001"):
        await exchange.cancel_order(order["id"], CANONICAL)


async def test_open_orders_are_fetched_page_by_page_and_cancelled_at_once(exchange: Any) -> None:
    for n in range(45):
        await exchange.create_order(CANONICAL, "limit", "buy", 1, 90, {"clientOrderId": f"p-{n}"})
    page = await exchange.fetch_open_orders(CANONICAL)
    assert len(page) == 20
    seen = {o["clientOrderId"] for o in page}
    cursor = next(o["info"]["nextPageCursor"] for o in page if "nextPageCursor" in o["info"])
    while cursor:
        answer = await exchange.privateGetV5OrderRealtime(
            {"category": "linear", "symbol": SYMBOL, "limit": 20, "cursor": cursor}
        )
        seen |= {o["orderLinkId"] for o in answer["result"]["list"]}
        cursor = answer["result"]["nextPageCursor"]
    assert seen == {f"p-{n}" for n in range(45)}
    assert len(await exchange.cancel_all_orders(CANONICAL)) == 45
    assert await exchange.fetch_open_orders(CANONICAL) == []


async def test_fetch_order_and_closed_orders_agree(exchange: Any) -> None:
    order = await exchange.create_order(CANONICAL, "market", "buy", 1)
    fetched = await exchange.fetch_order(order["id"], CANONICAL)
    assert (fetched["status"], fetched["filled"], fetched["average"]) == ("closed", 1.0, 101.0)
    (closed,) = await exchange.fetch_closed_orders(CANONICAL)
    assert closed["id"] == order["id"]
    assert (await exchange.fetch_closed_order(order["id"], CANONICAL))["fee"]["cost"] == 0.05555
    with pytest.raises(ccxt.OrderNotFound):
        await exchange.fetch_order("no-such-order", CANONICAL)


async def test_executions_are_paged_by_cursor_to_the_last_one(live: LiveVenue, exchange: Any) -> None:
    deep = levels(*((101 + n, 1) for n in range(50)))
    for _ in range(6):
        live.apply(book(asks=deep))
        await exchange.create_order(CANONICAL, "market", "buy", 45)
    seen: list[str] = []
    cursor = ""
    while True:
        params = {"category": "linear", "execType": "Trade", "limit": 100} | ({"cursor": cursor} if cursor else {})
        answer = (await exchange.privateGetV5ExecutionList(params))["result"]
        seen += [row["execId"] for row in answer["list"]]
        cursor = answer["nextPageCursor"]
        if not cursor:
            break
    recorded = [e.exec_id for e in live.venue.ledger.executions(Filter(), 1000)]
    assert len(recorded) == 270
    assert seen == recorded
    paged = await exchange.fetch_my_trades(CANONICAL, params={"paginate": True, "paginationCalls": 10})
    assert {t["id"] for t in paged} == set(recorded)


async def test_funding_is_an_execution_but_not_a_trade(live: LiveVenue, exchange: Any) -> None:
    await exchange.create_order(CANONICAL, "market", "buy", 1)
    live.apply(trade(100, 1, "buy", live.venue.core.account.positions[SYMBOL].next_funding_ms))
    answer = await exchange.privateGetV5ExecutionList({"category": "linear", "startTime": 1700000000000 - 10})
    assert [row["execType"] for row in answer["result"]["list"]] == ["Funding", "Trade"]
    answer = await exchange.privateGetV5ExecutionList(
        {"category": "linear", "execType": "Trade", "startTime": 1700000000000 - 10}
    )
    assert len(answer["result"]["list"]) == 1


async def test_the_protection_of_a_position_is_moved_by_trading_stop(exchange: Any) -> None:
    await exchange.create_order(CANONICAL, "market", "buy", 1)
    await exchange.privatePostV5PositionTradingStop(
        {"category": "linear", "symbol": SYMBOL, "stopLoss": "95", "tpslMode": "Full", "positionIdx": 0}
    )
    (position,) = await exchange.fetch_positions([CANONICAL])
    assert position["stopLossPrice"] == 95.0


async def test_an_order_is_edited(exchange: Any) -> None:
    order = await exchange.create_order(CANONICAL, "limit", "buy", 1, 90)
    await exchange.edit_order(order["id"], CANONICAL, "limit", "buy", 2, 91)
    fetched = await exchange.fetch_open_order(order["id"], CANONICAL)
    assert (fetched["price"], fetched["amount"]) == (91.0, 2.0)


async def test_batches_judge_each_order_by_itself(exchange: Any) -> None:
    made = await exchange.create_orders(
        [
            {"symbol": CANONICAL, "type": "limit", "side": "buy", "amount": 1, "price": 90, "params": {}},
            {"symbol": CANONICAL, "type": "limit", "side": "buy", "amount": 0.01, "price": 90, "params": {}},
        ]
    )
    assert [o["status"] for o in made] == [None, "rejected"]
    cancelled = await exchange.cancel_orders([made[0]["id"]], CANONICAL)
    assert len(cancelled) == 1
    assert await exchange.fetch_open_orders(CANONICAL) == []


async def test_orders_travel_over_the_trade_socket_too(live: LiveVenue, exchange: Any) -> None:
    order = await first(exchange.create_order_ws(CANONICAL, "limit", "buy", 1, 90, {"clientOrderId": "ws-1"}))
    assert order["clientOrderId"] == "ws-1"
    await first(exchange.edit_order_ws(order["id"], CANONICAL, "limit", "buy", 2, 91))
    assert live.venue.core.open_orders[order["id"]].price == 91
    with pytest.raises(ccxt.InvalidOrder, match="110072"):
        await first(exchange.create_order_ws(CANONICAL, "limit", "buy", 1, 90, {"clientOrderId": "ws-1"}))
    await first(exchange.cancel_order_ws(order["id"], CANONICAL))
    assert not live.venue.core.open_orders


async def test_fees_modes_and_rights_are_answered(exchange: Any) -> None:
    fee = await exchange.fetch_trading_fee(CANONICAL)
    assert (fee["maker"], fee["taker"]) == (0.0002, 0.00055)
    assert len(await exchange.fetch_trading_fees()) == 2
    with pytest.raises(ccxt.NoChange):
        await exchange.set_position_mode(False, CANONICAL)
    await exchange.set_margin_mode("cross", CANONICAL)
    with pytest.raises(ccxt.BadRequest, match="one-way mode only"):
        await exchange.set_position_mode(True, CANONICAL)
    with pytest.raises(ccxt.BadRequest, match="REGULAR_MARGIN"):
        await exchange.set_margin_mode("isolated", CANONICAL)


async def test_unrealised_profit_follows_the_mark(live: LiveVenue, exchange: Any) -> None:
    await exchange.create_order(CANONICAL, "market", "buy", 1)
    live.apply(mark(111))
    (position,) = await exchange.fetch_positions([CANONICAL])
    assert position["unrealizedPnl"] == 10.0
    assert (await exchange.fetch_balance())["info"]["result"]["list"][0]["totalPerpUPL"] == "10"


@pytest.mark.parametrize(
    ("key", "words"),
    [(Credentials("wrong", "test-secret"), "10003"), (Credentials("test-key", "wrong"), "10004")],
)
async def test_a_wrong_key_or_signature_is_refused(live: LiveVenue, key: Credentials, words: str) -> None:
    with pytest.raises(ccxt.AuthenticationError, match=words):
        await live.client(key).privateGetV5AccountInfo()
    with pytest.raises(ccxt.AuthenticationError, match=words):
        await live.client(key).privatePostV5OrderCreate({"category": "linear"})
    watcher = live.client(key)
    watcher.options |= {"enableUnifiedMargin": False, "enableUnifiedAccount": True}
    watcher.set_markets([], None)
    with pytest.raises(ccxt.AuthenticationError):
        await first(watcher.authenticate(watcher.urls["api"]["ws"]["private"]["contract"]))


async def test_an_old_timestamp_is_refused(live: LiveVenue) -> None:
    late = live.client()
    late.options["timeDifference"] = 60_000
    with pytest.raises(ccxt.InvalidNonce, match="10002"):
        await late.privateGetV5AccountInfo()


async def test_a_private_topic_needs_authentication(live: LiveVenue) -> None:
    client = live.client()
    url = client.urls["api"]["ws"]["private"]["contract"]
    with pytest.raises(ccxt.ExchangeError, match="not authorized"):
        await first(client.watch_topics(url, ["order"], ["order"]))


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"category": "spot"}, "linear contracts only"),
        ({"category": "moon"}, "category"),
        ({"positionIdx": 1}, "one-way mode"),
        ({"tpslMode": "Partial"}, "use Full"),
        ({"slOrderType": "Limit"}, "must be Market"),
        ({"triggerPrice": "90"}, "go together"),
        ({"side": "Up"}, "side"),
        ({"qty": ""}, "qty is required"),
        ({"price": ""}, "price is required"),
        ({"symbol": "NOPEUSDT"}, "symbol invalid NOPEUSDT"),
        ({"timeInForce": "GTD"}, "timeInForce"),
    ],
)
async def test_a_wrong_order_gets_10001_and_a_reason(exchange: Any, params: dict[str, object], words: str) -> None:
    order = {"category": "linear", "symbol": SYMBOL, "side": "Buy", "orderType": "Limit", "qty": "1", "price": "90"}
    with pytest.raises(ccxt.ExchangeError, match=f"10001.*{words}"):
        await exchange.privatePostV5OrderCreate(order | params)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda e: e.privatePostV5OrderCancel({"category": "linear", "symbol": SYMBOL}), "orderId or orderLinkId"),
        (lambda e: e.privatePostV5OrderCancelAll({"category": "linear"}), "one of symbol"),
        (lambda e: e.privatePostV5OrderCancelAll({"category": "linear", "symbol": "X"}), "symbol invalid X"),
        (lambda e: e.privateGetV5OrderRealtime({"category": "linear"}), "one of symbol"),
        (lambda e: e.privateGetV5PositionList({"category": "linear"}), "one of symbol or settleCoin"),
        (lambda e: e.privateGetV5OrderHistory({"category": "linear", "startTime": 1, "endTime": 10**12}), "7 days"),
        (lambda e: e.privateGetV5OrderHistory({"category": "linear", "symbol": "X"}), "symbol invalid X"),
        (lambda e: e.privateGetV5ExecutionList({"category": "moon"}), "category"),
        (lambda e: e.privateGetV5AccountWalletBalance({"accountType": "CONTRACT"}), "UNIFIED"),
        (lambda e: e.privatePostV5OrderCreateBatch({"category": "linear", "request": []}), "list of 1 to 10"),
        (
            lambda e: e.privatePostV5PositionSetLeverage(
                {"category": "linear", "symbol": SYMBOL, "buyLeverage": "1", "sellLeverage": "2"}
            ),
            "must be equal",
        ),
        (
            lambda e: e.privatePostV5PositionTradingStop({"category": "linear", "symbol": SYMBOL, "trailingStop": "5"}),
            "trailingStop",
        ),
    ],
)
async def test_wrong_private_questions_get_10001_and_a_reason(exchange: Any, call: Any, words: str) -> None:
    with pytest.raises(ccxt.ExchangeError, match=f"10001.*{words}"):
        await call(exchange)


async def test_recently_closed_orders_can_be_listed(exchange: Any) -> None:
    await exchange.create_order(CANONICAL, "market", "buy", 1)
    answer = await exchange.privateGetV5OrderRealtime({"category": "linear", "openOnly": 1})
    assert [o["orderStatus"] for o in answer["result"]["list"]] == ["Filled"]


async def test_other_categories_hold_nothing(exchange: Any) -> None:
    for ask in (
        exchange.privateGetV5OrderRealtime,
        exchange.privateGetV5OrderHistory,
        exchange.privateGetV5ExecutionList,
        exchange.privateGetV5PositionList,
    ):
        assert (await ask({"category": "inverse"}))["result"]["list"] == []


async def test_history_may_be_asked_by_either_end_of_a_week(live: LiveVenue, exchange: Any) -> None:
    await exchange.create_order(CANONICAL, "market", "buy", 1)
    now = live.venue.market_ms
    for window in (
        {"startTime": now - 60_000},
        {"endTime": now + 60_000},
        {"startTime": now - 9, "endTime": now + 9999},
    ):
        answer = await exchange.privateGetV5ExecutionList({"category": "linear"} | window)
        assert len(answer["result"]["list"]) == 1
    answer = await exchange.privateGetV5ExecutionList({"category": "linear", "endTime": now - 60_000})
    assert answer["result"]["list"] == []


async def test_an_unknown_path_is_answered_in_the_venues_form(live: LiveVenue) -> None:
    client = bybit(live.port)
    try:
        with pytest.raises(ccxt.ExchangeError, match="is not offered by this venue"):
            await client.privateGetV5AssetTransferQueryAccountCoinsBalance()
    finally:
        await client.close()


async def test_a_body_that_is_no_object_is_refused(live: LiveVenue) -> None:
    stamp = str(time.time_ns() // 1_000_000)
    headers = {"X-BAPI-API-KEY": KEY.api_key, "X-BAPI-TIMESTAMP": stamp, "X-BAPI-RECV-WINDOW": "5000"}
    headers["X-BAPI-SIGN"] = KEY.sign(f"{stamp}{KEY.api_key}5000[]")
    url = f"http://127.0.0.1:{live.port}/v5/order/create"
    async with aiohttp.ClientSession() as session, session.post(url, data="[]", headers=headers) as answer:
        assert "must be a JSON object" in (await answer.json())["retMsg"]
