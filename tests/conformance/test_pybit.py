"""The paper venue judged by the exchange's own client: pybit, with nothing changed but its URL."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from pybit import unified_trading
from pybit.exceptions import InvalidRequestError

from tests.titan.paper.process import RunningVenue, start
from tests.waiting import eventually

LINEAR = {"category": "linear", "symbol": "BTCUSDT"}


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningVenue]:
    running = start(tmp_path_factory.mktemp("pybit"), "--symbols", "BTC/USDT:USDT", "--speed", "20")
    yield running
    running.stop()


@pytest.fixture
def session(venue: RunningVenue) -> Any:
    made = unified_trading.HTTP(api_key=venue.key.api_key, api_secret=venue.key.api_secret, recv_window=5000)
    made.endpoint = f"http://127.0.0.1:{venue.port}"
    return made


def last_price(session: Any) -> Decimal:
    return Decimal(session.get_tickers(**LINEAR)["result"]["list"][0]["lastPrice"])


def test_orders_live_and_die_through_pybit(session: Any) -> None:
    price = (last_price(session) * Decimal("0.8")).quantize(Decimal("0.1"))
    placed = session.place_order(
        **LINEAR, side="Buy", orderType="Limit", qty="0.01", price=str(price), orderLinkId="pybit-1"
    )["result"]
    assert placed["orderLinkId"] == "pybit-1"
    with pytest.raises(InvalidRequestError, match="110072"):
        session.place_order(
            **LINEAR, side="Buy", orderType="Limit", qty="0.01", price=str(price), orderLinkId="pybit-1"
        )
    lower = str(price - 10)
    session.amend_order(**LINEAR, orderLinkId="pybit-1", price=lower)
    open_now = session.get_open_orders(**LINEAR)["result"]["list"]
    assert [(row["orderId"], Decimal(row["price"])) for row in open_now] == [(placed["orderId"], Decimal(lower))]
    session.cancel_order(**LINEAR, orderId=placed["orderId"])
    assert session.get_open_orders(**LINEAR)["result"]["list"] == []
    history = session.get_order_history(category="linear", orderId=placed["orderId"])["result"]["list"]
    assert [row["orderStatus"] for row in history] == ["Cancelled"]
    with pytest.raises(InvalidRequestError, match="110001"):
        session.cancel_order(**LINEAR, orderId=placed["orderId"])


def test_positions_and_money_through_pybit(session: Any) -> None:
    before = Decimal(session.get_wallet_balance(accountType="UNIFIED")["result"]["list"][0]["coin"][0]["walletBalance"])
    session.set_leverage(**LINEAR, buyLeverage="5", sellLeverage="5")
    into = session.place_order(**LINEAR, side="Buy", orderType="Market", qty="0.01")["result"]["orderId"]
    held = session.get_positions(**LINEAR)["result"]["list"]
    assert [(row["side"], row["size"], row["leverage"]) for row in held] == [("Buy", "0.01", "5")]
    stop = str((Decimal(held[0]["avgPrice"]) * Decimal("0.9")).quantize(Decimal("0.1")))
    session.set_trading_stop(**LINEAR, stopLoss=stop, positionIdx=0)
    assert Decimal(session.get_positions(**LINEAR)["result"]["list"][0]["stopLoss"]) == Decimal(stop)
    out = session.place_order(**LINEAR, side="Sell", orderType="Market", qty="0.01", reduceOnly=True)["result"][
        "orderId"
    ]
    # A thin book fills an order in parts.
    listed = session.get_executions(category="linear", limit=50)["result"]["list"]
    done = [row for row in listed if row["orderId"] in (into, out)]
    order_ids = [row["orderId"] for row in done]
    assert order_ids == [out] * order_ids.count(out) + [into] * order_ids.count(into), "newest first"
    sold, bought = (
        sum(Decimal(row["execPrice"]) * Decimal(row["execQty"]) for row in done if row["orderId"] == each)
        for each in (out, into)
    )
    paid = sum(Decimal(row["execFee"]) for row in done)
    after = Decimal(session.get_wallet_balance(accountType="UNIFIED")["result"]["list"][0]["coin"][0]["walletBalance"])
    assert after == before + sold - bought - paid
    assert session.get_positions(category="linear", settleCoin="USDT")["result"]["list"] == []


def test_both_channels_of_the_stream_through_pybit(
    venue: RunningVenue, session: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = f"ws://127.0.0.1:{venue.port}/v5"
    monkeypatch.setattr(unified_trading, "PRIVATE_WSS", f"{base}/private")
    monkeypatch.setattr(unified_trading, "PUBLIC_WSS", f"{base}/public/{{CHANNEL_TYPE}}")
    public = unified_trading.WebSocket(testnet=False, channel_type="linear")
    private = unified_trading.WebSocket(
        testnet=False, channel_type="private", api_key=venue.key.api_key, api_secret=venue.key.api_secret
    )
    books: list[Any] = []
    orders: list[Any] = []
    fills: list[Any] = []
    try:
        public.orderbook_stream(50, "BTCUSDT", books.append)
        private.order_stream(lambda frame: orders.extend(frame["data"]))
        private.execution_stream(lambda frame: fills.extend(frame["data"]))
        eventually(lambda: books, "an order book")
        assert books[0]["data"]["b"]
        assert books[0]["data"]["a"]
        sent = 0
        while not (orders and fills):
            assert sent < 20, "the private stream says nothing"
            side = "Buy" if sent % 2 == 0 else "Sell"
            session.place_order(**LINEAR, side=side, orderType="Market", qty="0.01", orderLinkId=f"stream-{sent}")
            sent += 1
            try:
                eventually(lambda: orders and fills, timeout_s=1)
            except AssertionError:
                continue
        assert {row["symbol"] for row in (*orders, *fills)} == {"BTCUSDT"}
        assert all(row["orderLinkId"].startswith("stream-") for row in fills)
    finally:
        public.exit()
        private.exit()
