"""Clock, pump, hub and admin of a running venue."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.titan.paper.house import CANONICAL, SYMBOL, T0, Desktop, ScriptedFeed, book, mark, trade
from tests.titan.paper.live import KEY, LiveVenue, bybit, first, live_venue, subscribed
from tests.waiting import until
from titan.clock import AnchoredClock, MarketAnchor
from titan.paper import __main__ as command
from titan.paper.commands import PlaceOrder
from titan.paper.feeds import FeedError
from titan.paper.feeds.base import FeedEvent
from titan.paper.ledger import Ledger, LedgerError
from titan.paper.orders import NewOrder, OrderStatus, OrderType, Side
from titan.paper.protocol import hub as hubs
from titan.paper.protocol.hub import Connection, Hub
from titan.paper.pump import Pump
from titan.paper.server import StartError, resume_anchor
from titan.paper.venue import Venue

BUY = PlaceOrder(NewOrder(SYMBOL, Side.BUY, OrderType.MARKET, Decimal(1)))


class ArrivingFeed(ScriptedFeed):
    """A live feed: it only pushes, then breaks."""

    events = None  # type: ignore[assignment]

    async def run(self, emit: Any) -> None:
        for event in self.script:
            emit(event)
        await asyncio.sleep(0.02)
        raise FeedError("the exchange went away")


def venue_of(tmp_path: Path, feed: Any, speed: float = 1.0) -> Venue:
    ledger = Ledger(tmp_path / "ledger.db", Decimal(100_000))
    return Venue(feed, ledger, AnchoredClock(MarketAnchor(T0, time.monotonic_ns(), speed, feed.name)))


class TestAnchor:
    """Where a market begins or goes on."""

    def test_a_new_market_starts_at_the_feeds_start(self, tmp_path: Path) -> None:
        path = tmp_path / "clock.json"
        anchor, resumed = resume_anchor(path, ScriptedFeed(), 5.0, 0)
        assert (anchor.market0_ms, anchor.speed, anchor.feed, resumed) == (T0, 5.0, "scripted:1", False)
        assert MarketAnchor.read(path) == anchor

    def test_the_same_feed_and_speed_resume(self, tmp_path: Path) -> None:
        path = tmp_path / "clock.json"
        made, _ = resume_anchor(path, ScriptedFeed(), 5.0, 0)
        assert resume_anchor(path, ScriptedFeed(), 5.0, 0) == (made, True)

    def test_another_feed_starts_anew(self, tmp_path: Path) -> None:
        path = tmp_path / "clock.json"
        resume_anchor(path, ScriptedFeed(), 1.0, 0)
        anchor, resumed = resume_anchor(path, ScriptedFeed(name="scripted:2", start_ms=5), 1.0, 0)
        assert (anchor.market0_ms, resumed) == (5, False)

    def test_after_a_reboot_the_market_goes_on_from_the_last_record(self, tmp_path: Path) -> None:
        path = tmp_path / "clock.json"
        MarketAnchor(T0, time.monotonic_ns() + 10**15, 1.0, "scripted:1").write(path)
        anchor, resumed = resume_anchor(path, ScriptedFeed(), 1.0, T0 + 777)
        assert (anchor.market0_ms, resumed) == (T0 + 777, True)

    def test_a_live_feed_is_at_wall_time(self, tmp_path: Path) -> None:
        path = tmp_path / "clock.json"
        feed = ArrivingFeed()
        anchor, resumed = resume_anchor(path, feed, 1.0, 0)
        assert abs(anchor.market0_ms - time.time() * 1000) < 5000
        assert not resumed
        assert resume_anchor(path, feed, 1.0, 0)[1]

    def test_a_path_that_cannot_be_written_is_one_error(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(StartError, match="market clock"):
            resume_anchor(tmp_path / "file" / "clock.json", ScriptedFeed(), 1.0, 0)


class TestPump:
    """Playing a feed."""

    async def test_events_enter_in_order_and_the_end_of_the_feed_is_told(self, tmp_path: Path) -> None:
        script: list[FeedEvent] = [
            book(ts=T0),
            mark(100, ts=T0),
            *(trade(100 + n, 1, "buy", T0 + 10 * n) for n in range(5)),
        ]
        venue = venue_of(tmp_path, ScriptedFeed(script))
        pump = asyncio.create_task(Pump(venue).run())
        await until(lambda: venue.feed_ended)
        assert venue.core.symbols[SYMBOL].last == 104
        assert [t.price for t in venue.publishers[SYMBOL].recent] == [100, 101, 102, 103, 104]
        pump.cancel()
        venue.close()

    async def test_a_restart_learns_the_recent_past_without_matching_it(self, tmp_path: Path) -> None:
        past: list[FeedEvent] = [book(ts=T0 - 5000), trade(50, 99, "sell", T0 - 4000), mark(51, ts=T0 - 4000)]
        old: list[FeedEvent] = [trade(1, 1, "sell", T0 - 60_000)]
        venue = venue_of(tmp_path, ScriptedFeed(old + past, start_ms=T0 - 100_000))
        venue.execute(PlaceOrder(NewOrder(SYMBOL, Side.BUY, OrderType.LIMIT, Decimal(1), Decimal(60))))
        pump = asyncio.create_task(Pump(venue).run())
        await until(lambda: venue.feed_ended)
        assert venue.core.symbols[SYMBOL].last == 50
        assert venue.core.account.positions[SYMBOL].size == 0
        assert venue.best(SYMBOL, Side.BUY) == 100
        pump.cancel()
        venue.close()

    async def test_a_live_feed_pushes_and_its_failure_ends_the_pump(self, tmp_path: Path) -> None:
        feed = ArrivingFeed([book(), trade(123, 1)])
        venue = venue_of(tmp_path, feed)
        with pytest.raises(FeedError, match="went away"):
            await Pump(venue).run()
        assert venue.core.symbols[SYMBOL].last == 123
        assert not venue.publishers[SYMBOL].trades
        venue.close()


class TestBrokenLedger:
    """A record that cannot be written."""

    async def test_nothing_is_acknowledged_and_the_venue_asks_to_be_stopped(
        self, live: LiveVenue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(_effects: object) -> None:
            raise LedgerError("cannot write the venue ledger: disk full")

        stopped: list[bool] = []
        live.venue.on_broken = lambda: stopped.append(True)
        monkeypatch.setattr(live.venue.ledger, "commit", full)
        with pytest.raises(LedgerError):
            live.venue.execute(BUY)
        assert stopped == [True]
        monkeypatch.undo()
        with pytest.raises(LedgerError):
            live.venue.execute(BUY)
        assert live.venue.ledger.executions(_all(), 10) == []


def _all() -> Any:
    from titan.paper.ledger import Filter

    return Filter()


class TestHub:
    """Connections and topics."""

    async def test_a_slow_reader_is_closed_and_others_go_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hubs, "MAX_PENDING_FRAMES", 3)
        socket = web.WebSocketResponse()
        closed: list[int] = []

        async def close(*, code: int, message: bytes) -> bool:
            closed.append(code)
            return True

        monkeypatch.setattr(socket, "close", close)
        slow = Connection(socket, "slow")
        hub = Hub()
        hub.join(slow, "t")
        for _ in range(5):
            hub.publish("t", b"{}")
        await slow.run_writer()
        assert closed == [1008]

    def test_leaving_twice_and_dropping_are_harmless(self) -> None:
        hub = Hub()
        connection = Connection(web.WebSocketResponse(), "c")
        hub.connections.add(connection)
        hub.join(connection, "a")
        hub.join(connection, "b.1")
        assert hub.topics("b.") == ["b.1"]
        hub.leave(connection, "a")
        hub.leave(connection, "a")
        hub.drop(connection)
        assert not hub.connections
        assert not hub.wants("b.1")

    async def test_messages_that_are_not_operations_are_answered(self, live: LiveVenue) -> None:
        async with aiohttp.ClientSession() as session:
            for path, sent, words in (
                ("public/linear", "no json", "must be a JSON object"),
                ("public/linear", '{"op": "dance"}', "invalid op dance"),
                ("public/linear", '{"op": "subscribe", "args": []}', "handler not found"),
                ("public/linear", '{"op": "ping", "req_id": "7"}', "pong"),
                ("private", '{"op": "dance"}', "invalid op dance"),
                ("private", '{"op": "ping", "req_id": "7"}', "pong"),
                ("private", '{"op": "auth", "args": []}', "Params Error"),
                ("trade", '{"op": "ping"}', "pong"),
                ("trade", '{"op": "dance"}', "not one of auth, ping, order.create"),
                ("trade", '{"op": "order.create", "args": [{}]}', "not authorized"),
            ):
                async with session.ws_connect(f"http://127.0.0.1:{live.port}/v5/{path}") as socket:
                    await socket.send_bytes(b"ignored")
                    await socket.send_str(sent)
                    assert words in await asyncio.wait_for(socket.receive_str(), 10)

    async def test_the_trade_socket_judges_form_and_time(self, live: LiveVenue) -> None:
        expires = str(time.time_ns() // 1_000_000 + 5000)
        order = {"category": "linear", "symbol": SYMBOL, "side": "Buy", "orderType": "Market", "qty": "x"}
        now = str(time.time_ns() // 1_000_000)
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"http://127.0.0.1:{live.port}/v5/trade") as socket,
        ):
            await socket.send_json({"op": "auth", "args": [KEY.api_key, expires, KEY.sign(f"GET/realtime{expires}")]})
            assert (await socket.receive_json())["retCode"] == 0
            for message, code in (
                ({"args": []}, 10001),
                ({"args": [order], "header": {"X-BAPI-TIMESTAMP": "5"}}, 10002),
                ({"args": [order]}, 10002),
                ({"args": [order], "header": {"X-BAPI-TIMESTAMP": now}}, 10001),
            ):
                await socket.send_json({"op": "order.create", "reqId": "9"} | message)
                answer = await socket.receive_json()
                assert (answer["retCode"], answer["reqId"]) == (code, "9")

    async def test_private_topics_can_be_left(self, live: LiveVenue) -> None:
        client = live.client()
        watching = asyncio.ensure_future(client.watch_orders())
        await subscribed(live, "order", private=True)
        await first(client.un_watch_orders())
        assert not live.venue.private.wants("order")
        watching.cancel()


class TestAdmin:
    """The admin port."""

    async def test_the_ledger_is_shown_as_recorded(self, live: LiveVenue) -> None:
        live.venue.execute(BUY)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{live.admin_port}") as session:
            shown = {}
            for path in ("orders", "executions", "positions", "balance"):
                async with session.get(f"/ledger/{path}") as answer:
                    shown[path] = await answer.json()
        assert [o["status"] for o in shown["orders"]["rows"]] == ["Filled"]
        assert shown["executions"]["rows"][0]["price"] == "101"
        assert shown["positions"]["rows"][0]["size"] == "1"
        assert (shown["balance"]["initial"], shown["balance"]["wallet"]) == ("100000", "99999.94445")

    async def test_injected_trades_reach_watchers_in_full_frames(self, live: LiveVenue) -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"http://127.0.0.1:{live.port}/v5/public/linear") as socket,
        ):
            await socket.send_json({"op": "subscribe", "args": ["publicTrade.BTCUSDT"]})
            await socket.receive()
            body = {"symbol": CANONICAL, "count": 3000, "rate": 1_000_000}
            async with session.post(f"http://127.0.0.1:{live.admin_port}/ledger/trade-injection", json=body) as answer:
                done = await answer.json()
            got = 0
            while got < 3000:
                frame = await asyncio.wait_for(socket.receive_json(), 10)
                assert len(frame["data"]) <= 1024
                got += len(frame["data"])
        assert (got, done["injected"]) == (3000, 3000)
        assert live.venue.core.symbols[SYMBOL].last == 100

    async def test_injection_paces_itself(self, live: LiveVenue) -> None:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{live.admin_port}") as session:
            body = {"symbol": SYMBOL, "count": 30, "rate": 1000}
            async with session.post("/ledger/trade-injection", json=body) as answer:
                assert (await answer.json())["elapsed_s"] >= 0.028

    async def test_after_a_jump_the_market_trades_elsewhere(self, live: LiveVenue) -> None:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{live.admin_port}") as session:
            body = {"symbol": CANONICAL, "factor": 1.5}
            async with session.post("/market/jump", json=body) as answer:
                assert await answer.json() == {"symbol": CANONICAL, "factor": "1.5"}
            live.apply(trade("100", 1, "sell"))
            assert live.venue.core.symbols[SYMBOL].last == 150
            for wrong in (
                '{"symbol": "X", "factor": 2}',
                '{"symbol": "BTCUSDT", "factor": 99}',
                "[",
                '{"symbol": "BTCUSDT"}',
            ):
                async with session.post("/market/jump", data=wrong) as answer:
                    assert answer.status == 400
                    assert "BTCUSDT" in (await answer.json())["error"]

    @pytest.mark.parametrize(
        "body", ["{", '{"symbol": "X", "count": 1, "rate": 1}', '{"symbol": "BTCUSDT", "count": 0}']
    )
    async def test_a_wrong_injection_says_what_to_send(self, live: LiveVenue, body: str) -> None:
        async with (
            aiohttp.ClientSession(f"http://127.0.0.1:{live.admin_port}") as session,
            session.post("/ledger/trade-injection", data=body) as answer,
        ):
            assert answer.status == 400
            assert "BTCUSDT" in (await answer.json())["error"]


async def test_a_venue_reopened_from_its_ledger_serves_the_same_account(tmp_path: Path) -> None:
    async with live_venue(tmp_path) as one:
        client = one.client()
        await client.create_order(CANONICAL, "limit", "buy", 2, 99.5, {"clientOrderId": "a"})
        one.apply(trade("99.5", 1, "sell"))
        balance = (await client.fetch_balance())["USDT"]
    async with live_venue(tmp_path) as two:
        client = bybit(two.port)
        two.clients.append(client)
        assert (await client.fetch_balance())["USDT"] == balance
        (order,) = await client.fetch_open_orders(CANONICAL)
        assert (order["clientOrderId"], order["filled"]) == ("a", 1.0)
        two.apply(trade("99.5", 5, "sell"))
        assert await client.fetch_open_orders(CANONICAL) == []


def test_a_held_positions_last_mark_is_written_at_the_end(tmp_path: Path) -> None:
    venue = venue_of(tmp_path, ScriptedFeed())
    venue.apply(book())
    venue.execute(BUY)
    venue.apply(mark(117))
    venue.close()
    (position,) = Ledger(tmp_path / "ledger.db", Decimal(1)).positions()
    assert position.mark == 117


def test_a_replaced_market_is_closed_at_the_last_mark(tmp_path: Path) -> None:
    venue = venue_of(tmp_path, ScriptedFeed())
    venue.apply(book())
    venue.apply(mark(110))
    venue.execute(BUY)
    venue.close()
    ledger = Ledger(tmp_path / "ledger.db", Decimal(1))
    clock = AnchoredClock(MarketAnchor(T0, time.monotonic_ns(), 1.0, "scripted:2"))
    again = Venue(ScriptedFeed(name="scripted:2"), ledger, clock, resumed=False)
    assert again.core.account.positions[SYMBOL].size == 0
    assert ledger.executions(_all(), 1)[0].price == 110
    again.close()


def test_a_feed_that_lags_changes_no_order_before_its_beginning(tmp_path: Path) -> None:
    venue = venue_of(tmp_path, ScriptedFeed())
    venue.apply(book())
    venue.execute(PlaceOrder(NewOrder(SYMBOL, Side.BUY, OrderType.LIMIT, Decimal(1), price=Decimal(100))))
    venue.apply(trade(99, 50, "sell", ts=T0 - 5_000))
    (order,) = venue.ledger.orders(_all(), 1)
    (filled,) = venue.ledger.executions(_all(), 1)
    assert order.status is OrderStatus.FILLED
    assert T0 <= order.created_ms <= order.updated_ms == filled.time_ms
    venue.close()


def test_unknown_symbols_of_a_feed_are_ignored(tmp_path: Path) -> None:
    venue = venue_of(tmp_path, ScriptedFeed())
    venue.apply(trade(1, 1, symbol="X/USDT:USDT"))
    assert venue.events == 0
    venue.close()


def test_options_are_parsed_and_wrong_ones_end_with_code_4(capsys: pytest.CaptureFixture[str]) -> None:
    options = command.parse(["--feed", "synthetic:1", "--home", "/h", "--symbols", "BTC/USDT:USDT", "--balance", "5"])
    assert (options.feed, options.symbols, options.balance) == ("synthetic:1", ("BTC/USDT:USDT",), Decimal(5))
    with pytest.raises(SystemExit) as ended:
        command.parse(["--feed", "x", "--home", "/h", "--balance", "many"])
    assert ended.value.code == 4
    assert "'many' is not a positive amount" in capsys.readouterr().err


def test_core_time_is_the_callers_time() -> None:
    desk = Desktop()
    placed = desk.buy("1")
    assert placed.order.created_ms == desk.now
    assert desk.executions[0].time_ms == desk.now
