"""The paper venue's other tongues, judged by ccxt's own unified methods and by raw requests.

ccxt's parsers were written against the real exchanges: what they read here, they read there.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.bench import BTC, KEY, Bench, bench, limit, order
from titan.model import Side

TONGUES = ("binance", "mexc")


async def no_markets(_params: object = None) -> list[Any]:
    return []


@pytest.mark.parametrize("name", TONGUES)
async def test_ccxts_unified_methods_read_orders_and_trades(name: str, tmp_path: Path) -> None:
    async with bench(name, tmp_path) as here:
        exchange: Any = here.venue._exchange  # type: ignore[attr-defined]  # an adapter's ccxt object
        # The paper venue lists no spot markets, which ccxt asks MEXC for in any case.
        exchange.fetch_spot_markets = no_markets
        markets = await exchange.load_markets()
        market = markets[BTC]
        assert (market["swap"], market["linear"], market["active"]) == (True, True, True)
        assert float(market["precision"]["price"]) == 0.1
        base = float(market["contractSize"])
        amount = 0.1 / base
        resting = await exchange.create_order(BTC, "limit", "buy", amount, 80)
        shown = await exchange.fetch_open_orders(BTC)
        assert [(one["id"], one["side"], one["price"], one["status"]) for one in shown] == [
            (resting["id"], "buy", 80, "open")
        ]
        await exchange.cancel_order(resting["id"], BTC)
        ended = await exchange.fetch_order(resting["id"], BTC)
        assert (ended["status"], ended["filled"]) == ("canceled", 0)
        await exchange.create_order(BTC, "market", "buy", amount)
        trades = await exchange.fetch_my_trades(BTC)
        assert [(one["side"], one["price"], one["amount"], one["takerOrMaker"]) for one in trades] == [
            ("buy", 101, amount, "taker")
        ]
        assert trades[0]["fee"]["cost"] == pytest.approx(0.005555)


async def raw(b: Bench, method: str, path: str, payload: str = "", **headers: str) -> tuple[int, Any]:
    body = payload if method == "POST" else None
    url = f"{b.url}{path}" + ("" if method == "POST" or not payload else f"?{payload}")
    async with b.http.request(method, url, data=body, headers=headers) as answer:
        return answer.status, await answer.json(content_type=None)


def signed(text: str) -> str:
    return hmac.new(KEY.api_secret.encode(), text.encode(), hashlib.sha256).hexdigest()


async def test_binance_refuses_in_its_own_words(tmp_path: Path) -> None:
    async with bench("binance", tmp_path) as b:

        async def ask(
            query: str, *, method: str = "POST", key: str = KEY.api_key, age_ms: int = 0, secret: str = ""
        ) -> Any:
            text = f"{query}&timestamp={time.time_ns() // 1_000_000 - age_ms}"
            signature = secret or signed(text)
            return await raw(b, method, "/fapi/v1/order", f"{text}&signature={signature}", **{"X-MBX-APIKEY": key})

        wish = "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.1&price=80&newClientOrderId=one"
        assert [
            (status, body["code"])
            for status, body in [
                await ask(wish, key="nobody"),
                await ask(wish, secret="0" * 64),
                await ask(wish, age_ms=6_000),
                await ask(wish, age_ms=-2_000),
                await ask(wish.replace("BTCUSDT", "NOCOIN")),
                await ask(wish.replace("LIMIT", "STOP_MARKET")),
                await ask(wish.replace("price=80", "price=80.05")),
                await ask(wish.replace("0.1&", "0.0001&")),
                await ask(wish.replace("0.1&", "0.01&")),
                await ask(wish.replace("GTC", "GTX").replace("price=80", "price=105")),
                await ask("symbol=BTCUSDT&origClientOrderId=none", method="GET"),
                await ask("symbol=BTCUSDT&origClientOrderId=none", method="DELETE"),
            ]
        ] == [
            (401, -2015),
            (400, -1022),
            (400, -1021),
            (400, -1021),
            (400, -1121),
            (400, -4120),
            (400, -4014),
            (400, -1111),
            (400, -4164),
            (400, -5022),
            (400, -2013),
            (400, -2011),
        ]
        assert b.orders("one") == [] or all(each.cum_qty == 0 and not each.status.is_open for each in b.orders("one"))
        status, body = await ask(wish)
        assert (status, body["status"], body["clientOrderId"]) == (200, "NEW", "one")
        assert (await ask(wish))[1]["code"] == -4116


async def test_mexc_refuses_in_its_own_words(tmp_path: Path) -> None:
    async with bench("mexc", tmp_path) as b:

        async def ask(path: str, given: Any, *, key: str = KEY.api_key, age_ms: int = 0, secret: str = "") -> Any:
            text, stamp = json.dumps(given), str(time.time_ns() // 1_000_000 - age_ms)
            headers = {"ApiKey": key, "Request-Time": stamp, "Signature": secret or signed(f"{key}{stamp}{text}")}
            return (await raw(b, "POST", f"/api/v1/private/{path}", text, **headers))[1]

        wish = {
            "symbol": "BTC_USDT",
            "vol": 100,
            "side": 1,
            "type": 1,
            "price": 80,
            "openType": 2,
            "externalOid": "one",
        }
        create = "order/create"
        refusals = [
            await ask(create, wish, key="nobody"),
            await ask(create, wish, secret="0" * 64),
            await ask(create, wish, age_ms=11_000),
            await ask(create, {**wish, "symbol": "NO_COIN"}),
            await ask(create, {**wish, "price": 80.05}),
            await ask(create, {**wish, "externalOid": "x" * 33}),
            await ask(create, {**wish, "side": 4}),
            await ask("order/cancel_with_external", {"symbol": "BTC_USDT", "externalOid": "none"}),
        ]
        assert [(body["success"], body["code"]) for body in refusals] == [
            (False, code) for code in (402, 602, 513, 1001, 2007, 2030, 2009, 2040)
        ]
        taken = await ask(create, wish)
        assert taken["success"]
        assert (await ask(create, wish))["code"] == 2042
        number = taken["data"]["orderId"]
        assert [each["errorCode"] for each in (await ask("order/cancel", [number, "7"]))["data"]] == [0, 2040]
        assert (await ask("order/cancel", [number]))["data"][0]["errorCode"] == 2041
        assert await b.venue.find_order(BTC, "none") is None


@pytest.mark.parametrize("name", TONGUES)
async def test_a_restarted_venue_names_its_orders_as_before(name: str, tmp_path: Path) -> None:
    async with bench(name, tmp_path) as here:
        resting, filled = limit("80"), order(Side.BUY)
        acks = [await here.venue.submit(one) for one in (resting, filled)]
    async with bench(name, tmp_path) as again:
        for sent, ack in zip((resting, filled), acks, strict=True):
            found = await again.venue.find_order(BTC, sent.client_order_id)
            assert found is not None
            assert found.venue_order_id == ack.venue_order_id
        await again.venue.cancel(BTC, resting.client_order_id, acks[0].venue_order_id)
        assert await again.venue.open_orders() == []
