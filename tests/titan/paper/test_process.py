"""The venue as a process: ready line, kill and restart, wrong starts, clean stop."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import socket
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.titan.paper.house import CANONICAL, SYMBOL
from tests.titan.paper.live import bybit, first
from tests.titan.paper.process import RunningVenue, launch, start
from tests.waiting import until


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[RunningVenue]:
    running = start(tmp_path, "--speed", "10")
    yield running
    if running.process.poll() is None:
        running.process.kill()
        running.process.communicate()


async def test_everything_acknowledged_survives_kill_9_and_trading_goes_on(venue: RunningVenue) -> None:
    exchange = bybit(venue.port, venue.key)
    try:
        price = (await exchange.fetch_ticker(CANONICAL))["last"]
        await exchange.set_leverage(7, CANONICAL)
        entry = await exchange.create_order(
            CANONICAL,
            "market",
            "buy",
            0.02,
            None,
            {"clientOrderId": "entry", "stopLoss": {"triggerPrice": round(price * 0.5)}},
        )
        resting = await exchange.create_order(
            CANONICAL, "limit", "buy", 0.01, round(price * 0.6), {"clientOrderId": "resting"}
        )
        before = {path: venue.admin(f"/ledger/{path}") for path in ("orders", "executions", "positions", "balance")}
        assert before["executions"]["count"] >= 1
    finally:
        await exchange.close()
    market_before = venue.admin("/health")["market_ms"]
    venue.stop(signal.SIGKILL)

    again = start(venue.home, "--speed", "10")
    exchange = bybit(again.port, again.key)
    try:
        assert again.key == venue.key
        after = {path: again.admin(f"/ledger/{path}") for path in before}
        assert after["executions"] == before["executions"]
        assert after["balance"] == before["balance"]
        assert after["orders"] == before["orders"]
        assert again.admin("/health")["market_ms"] >= market_before
        found = {
            o["clientOrderId"] or o["info"]["stopOrderType"]: o for o in await exchange.fetch_open_orders(CANONICAL)
        }
        assert set(found) == {"resting", "StopLoss"}
        assert found["resting"]["id"] == resting["id"]
        (position,) = await exchange.fetch_positions([CANONICAL])
        assert (position["contracts"], position["leverage"]) == (0.02, 7.0)
        answer = await exchange.privateGetV5OrderRealtime(
            {"category": "linear", "symbol": SYMBOL, "orderLinkId": "entry"}
        )
        assert answer["result"]["list"][0]["orderId"] == entry["id"]
        await exchange.create_order(CANONICAL, "market", "sell", 0.02, None, {"reduceOnly": True})
        assert await exchange.fetch_positions() == []
        rows = again.admin("/ledger/executions")["rows"]
        assert sorted(r["seq"] for r in rows) == list(range(1, len(rows) + 1))
        assert len({r["exec_id"] for r in rows}) == len(rows)
    finally:
        await exchange.close()
        again.stop()


async def test_a_kill_in_the_middle_of_a_burst_forgets_no_answer_and_no_frame(venue: RunningVenue) -> None:
    """Whatever a client heard, by answer or by stream, is in the ledger afterwards."""
    key = venue.key
    acknowledged: set[str] = set()
    streamed: set[str] = set()

    async def listen(session: aiohttp.ClientSession) -> None:
        async with session.ws_connect(f"http://127.0.0.1:{venue.port}/v5/private") as socket:
            expires = str(time.time_ns() // 1_000_000 + 10_000)
            await socket.send_json({"op": "auth", "args": [key.api_key, expires, key.sign(f"GET/realtime{expires}")]})
            await socket.send_json({"op": "subscribe", "args": ["execution"]})
            async for message in socket:
                frame = json.loads(message.data)
                streamed.update(row["execId"] for row in frame.get("data", ()))

    async def burst(session: aiohttp.ClientSession, name: str) -> None:
        for n in itertools.count():
            order = {"category": "linear", "symbol": SYMBOL, "side": "Buy" if n % 2 else "Sell", "orderType": "Market"}
            body = json.dumps(order | {"qty": "0.001", "orderLinkId": f"{name}-{n}"})
            stamp = str(time.time_ns() // 1_000_000)
            headers = {"X-BAPI-API-KEY": key.api_key, "X-BAPI-TIMESTAMP": stamp, "X-BAPI-RECV-WINDOW": "5000"}
            headers["X-BAPI-SIGN"] = key.sign(f"{stamp}{key.api_key}5000{body}")
            url = f"http://127.0.0.1:{venue.port}/v5/order/create"
            async with session.post(url, data=body, headers=headers) as answer:
                acknowledged.add((await answer.json())["result"]["orderId"])

    async with aiohttp.ClientSession() as session:
        tasks = [asyncio.create_task(listen(session)), *(asyncio.create_task(burst(session, n)) for n in "abc")]
        await until(lambda: len(acknowledged) >= 150 and len(streamed) >= 100, timeout_s=30)
        venue.process.kill()
        await asyncio.gather(*tasks, return_exceptions=True)
    venue.process.wait()
    again = start(venue.home, "--speed", "10")
    try:
        orders = {row["order_id"] for row in again.admin("/ledger/orders")["rows"]}
        executions = again.admin("/ledger/executions")["rows"]
        balance = again.admin("/ledger/balance")
    finally:
        again.stop()
    assert acknowledged <= orders
    assert streamed <= {row["exec_id"] for row in executions}
    assert sorted(row["seq"] for row in executions) == list(range(1, len(executions) + 1))
    moved = sum((Decimal(row["change"]) for row in balance["rows"]), Decimal(0))
    assert Decimal(balance["initial"]) + moved == Decimal(balance["wallet"])


async def test_market_data_flows_from_the_feed(venue: RunningVenue) -> None:
    exchange = bybit(venue.port, venue.key)
    try:
        await exchange.load_markets()
        trades, watched, ticker = await asyncio.gather(
            first(exchange.watch_trades(CANONICAL), 30),
            first(exchange.watch_order_book(CANONICAL), 30),
            first(exchange.watch_ticker(CANONICAL), 30),
        )
        assert trades
        assert watched["bids"][0][0] < watched["asks"][0][0]
        assert ticker["last"] > 0
    finally:
        await exchange.close()


def test_the_health_names_feed_speed_clock_and_warm_up(venue: RunningVenue) -> None:
    health = venue.admin("/health")
    assert (health["status"], health["feed"], health["speed"]) == ("healthy", "synthetic:7", 10.0)
    assert health["warmup"]
    anchor = json.loads((venue.home / "run" / "market_clock.json").read_text())
    assert set(anchor) == {"market0_ms", "monotonic0_ns", "speed", "feed"}
    assert health["market_ms"] >= anchor["market0_ms"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly_with_nothing_more_to_say(venue: RunningVenue, number: signal.Signals) -> None:
    assert venue.stop(number) == (0, "", "")


def _refusal(home: Path, *arguments: str, feed: str = "synthetic:7") -> str:
    process = launch(home, *arguments, feed=feed)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 4, (out, err)
    assert out == ""
    assert err.count("\n") == 1, err
    return err


@pytest.mark.parametrize(
    ("arguments", "feed", "words"),
    [
        ([], "replay:/no/such/file.parquet", "/no/such/file.parquet"),
        ([], "moon:1", "moon:1"),
        (["--port", "99999"], "synthetic:7", "'99999' is not a port"),
        (["--speed", "0"], "synthetic:7", "speed 0.0 must be above 0"),
        (["--balance", "-5"], "synthetic:7", "'-5' is not a positive amount"),
        (["--colour", "red"], "synthetic:7", "unrecognized arguments"),
    ],
)
def test_a_wrong_start_is_one_sentence_and_code_4(tmp_path: Path, arguments: list[str], feed: str, words: str) -> None:
    assert words in _refusal(tmp_path, *arguments, feed=feed)


@pytest.mark.parametrize("option", ["--port", "--admin-port"])
def test_a_taken_port_is_one_sentence_and_code_4(tmp_path: Path, option: str) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        assert f"{port} is taken by another process" in _refusal(tmp_path, option, str(port))


def test_a_home_that_is_a_file_is_one_sentence_and_code_4(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    assert "home" in _refusal(tmp_path / "home")


def test_a_torn_market_clock_is_one_sentence_and_code_4(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "market_clock.json").write_text("{")
    assert "delete it to start the market anew" in _refusal(tmp_path)


async def test_another_feed_closes_what_the_old_market_left(venue: RunningVenue) -> None:
    exchange = bybit(venue.port, venue.key)
    try:
        await exchange.create_order(CANONICAL, "market", "buy", 0.02)
        await exchange.create_order(CANONICAL, "limit", "buy", 0.01, 1000)
    finally:
        await exchange.close()
    venue.stop()
    other = start(venue.home, feed="synthetic:8")
    try:
        rows: list[dict[str, Any]] = other.admin("/ledger/orders")["rows"]
        assert {r["status"] for r in rows} == {"Filled", "Cancelled"}
        assert [p["size"].rstrip("0").rstrip(".") for p in other.admin("/ledger/positions")["rows"]] == ["0"]
    finally:
        other.stop()


def test_the_same_feed_at_another_speed_goes_on_from_the_same_instant(venue: RunningVenue) -> None:
    before = venue.admin("/health")["market_ms"]
    venue.stop()
    slower = start(venue.home, "--speed", "1")
    try:
        health = slower.admin("/health")
        assert before <= health["market_ms"] < before + 600_000
        assert health["speed"] == 1.0
    finally:
        slower.stop()
