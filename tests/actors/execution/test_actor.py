"""Execution as a whole, against real NATS and PostgreSQL, with a real journal and a scripted venue."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from actors.execution import actor as shell
from actors.execution.actor import Execution
from actors.execution.venue import VenueSource
from actors.gateway.ledger import PostgresLedger
from protos import trading_pb2 as pb
from tests.actors.execution.builders import fill, order
from tests.actors.execution.world import OPENING, FakeRouter, FakeVenue
from tests.waiting import until
from titan import subjects
from titan.actor import ActorContext
from titan.bus import Bus
from titan.errors import Transient
from titan.ledger_access import LOGINS, secret_name, with_login
from titan.model import OrderState, Side
from titan.runtime import Runtime, VenueAddress
from titan.servers import Addresses, Kind, Layout, embedded
from titan.store import set_up
from titan.testing import runtime_for_tests

NOW_MS = time.time_ns() // 1_000_000


class ScriptedExecution(Execution):
    """Execution with a scripted venue instead of a session."""

    venue = FakeVenue()

    async def _open_source(self) -> VenueSource:
        return self.venue


@dataclass
class World:
    """A running Execution and what surrounds it."""

    runtime: Runtime
    bus: Bus
    router: FakeRouter
    venue: FakeVenue

    async def get(self, path: str, port: str = "execution_http") -> tuple[int, Any]:
        async with aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{self.runtime.ports[port]}{path}"
            async with session.get(url) as answer:
                if answer.content_type == "application/json":
                    return answer.status, await answer.json()
                return answer.status, await answer.text()

    async def post(self, path: str, port: str, **headers: str) -> tuple[int, Any]:
        async with aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{self.runtime.ports[port]}{path}"
            async with session.post(url, headers=headers) as answer:
                return answer.status, await answer.json()

    async def trade(self, number: int, side: Side, price: str, *, announce: bool = True) -> None:
        """One order, filled whole, at the venue, in the journal and (when announced) on the bus."""
        name = f"o{number}"
        done = fill(number, side, "2", price, fee="0.11", order=name, ts_ms=NOW_MS + number)
        ended = order(name, OrderState.FILLED, filled="2", ts_ms=NOW_MS + number)
        ended = replace(ended, order=replace(ended.order, side=side))
        self.venue.take(ended)
        message = await self.router.fill(done, announce=announce)
        self.venue.trade(done, Decimal(message.realized_pnl) - done.fee)
        await self.router.order(ended, announce=announce)


async def counted(dsn: str, table: str, number: int) -> bool:
    """Whether a table has so many rows."""
    connection = await asyncpg.connect(dsn)
    try:
        return bool(await connection.fetchval(f"SELECT count(*) FROM {table}") == number)
    finally:
        await connection.close()


@contextlib.asynccontextmanager
async def started(runtime: Runtime) -> AsyncIterator[Execution]:
    """A running Execution; drained and stopped at the end."""
    running = ScriptedExecution(ActorContext(runtime))
    await running.start()
    watch = asyncio.create_task(running.run())
    try:
        yield running
    finally:
        running.request_stop()
        try:
            await watch
        finally:
            await running.shutdown()


@contextlib.asynccontextmanager
async def world_in(home: Path, addresses: Addresses, dsn: str) -> AsyncIterator[World]:
    runtime = runtime_for_tests(
        home,
        nats_url=addresses.nats_url,
        nats_user=addresses.nats_user,
        nats_password=addresses.nats_password,
        postgres_dsn=dsn,
        venues=(VenueAddress(name="bybit"),),
    )
    bus = await Bus.connect(runtime, "router")
    for stream in ("TITAN_EVT",):
        await bus.jetstream.purge_stream(stream)
        for consumer in await bus.jetstream.consumers_info(stream):
            await bus.jetstream.delete_consumer(stream, consumer.name)
    router = FakeRouter(bus, home / "journal.db")
    router.wallet()
    await router.serve()
    ScriptedExecution.venue = FakeVenue()
    try:
        yield World(runtime, bus, router, ScriptedExecution.venue)
    finally:
        router.journal.close()
        await bus.close()


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "TICK_S", 0.05)
    monkeypatch.setattr(shell, "FOLLOW_S", 0.05)
    monkeypatch.setattr(shell, "FIRST_TRUTH_S", 3600.0)
    monkeypatch.setattr("actors.execution.auditor.SETTLE_S", 0.1)


@pytest.fixture
async def world(tmp_path: Path, nats_server: Addresses, pg_dsn: str) -> AsyncIterator[World]:
    async with world_in(tmp_path, nats_server, pg_dsn) as made, started(made.runtime):
        yield made


async def _truth(world: World) -> pb.Truth:
    return await world.bus.request(subjects.RPC_TRUTH, pb.TruthRequest(requested_by="test"), pb.Truth, 20.0)


async def test_what_was_traded_is_booked_and_venue_journal_and_ledger_agree(world: World) -> None:
    for number in range(1, 7):
        await world.trade(number, Side.BUY if number % 2 else Side.SELL, str(100 + number))
    truth = await _truth(world)
    assert list(truth.details) == []
    assert [truth.complete, truth.error, truth.differences, truth.orders_compared, truth.fills_compared] == [
        True,
        "",
        0,
        6,
        6,
    ]

    async def shown() -> bool:
        return "equity" in (await world.get("/api/state/equity"))[1]

    await until(shown)
    _, equity = await world.get("/api/state/equity")
    assert Decimal(equity["wallet"]) == OPENING + 6 - 6 * Decimal("0.11")
    assert equity["source"] == "ledger"
    assert Decimal(equity["daily_pnl"]) == Decimal(equity["equity"]) - Decimal(equity["start_of_day"])
    assert Decimal(equity["drawdown_percent"]) >= 0
    status, trades = await world.get("/api/trades?limit=4")
    assert [status, trades["count"], trades["trades"][0]["price"]] == [200, 4, "106"]


async def test_it_waits_for_its_role_and_then_keeps_the_books_with_it(
    tmp_path: Path, nats_server: Addresses, pg_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shell, "STORE_PATIENCE_S", 0.1)
    layout = Layout.of(tmp_path)
    passwords = {login: layout.secret(secret_name(login))[0] for login in LOGINS}
    async with world_in(tmp_path, nats_server, with_login(pg_dsn, "")) as world, started(world.runtime) as running:
        await world.trade(1, Side.BUY, "100")
        assert (await world.get("/health"))[0] == 503
        await set_up(pg_dsn, passwords, dt.datetime.now(dt.UTC))
        await until(lambda: counted(pg_dsn, "fills", 1))
        await until(lambda: counted(pg_dsn, "orders", 1))
        assert (await _truth(world)).differences == 0
        assert running._books is not None
        assert await running._books.pool.fetchval("SELECT current_user") == "titan_execution"
        assert not await running._books.pool.fetchval("SELECT has_schema_privilege(current_schema(), 'CREATE')")
        reader = PostgresLedger(world.runtime.ledger("gateway"))
        assert len(await reader.trades("", 10)) == 1
        assert (await reader.counters()).fills == 1
        await reader.close()


async def test_what_the_bus_lost_comes_from_the_journal(world: World) -> None:
    await world.trade(1, Side.BUY, "100", announce=False)
    await until(lambda: counted(world.runtime.postgres_dsn, "fills", 1))
    await until(lambda: counted(world.runtime.postgres_dsn, "orders", 1))
    assert (await _truth(world)).differences == 0


async def test_an_order_of_which_the_venue_knows_nothing_is_a_difference(world: World) -> None:
    await world.trade(1, Side.BUY, "100")
    world.venue.orders.clear()
    truth = await _truth(world)
    assert [each.kind for each in truth.details] == ["ORDER_MISSING_AT_VENUE"]
    assert [truth.differences, truth.confidence] == [1, 80]
    await until(lambda: counted(world.runtime.postgres_dsn, "truth_differences", 1))
    _, text = await world.get("/metrics")
    assert 'titan_truth_drift_total{kind="ORDER_MISSING_AT_VENUE"} 1.0' in text


async def test_an_order_that_the_lists_left_out_is_asked_for_by_its_id(world: World) -> None:
    await world.trade(1, Side.BUY, "100")
    hidden = world.venue.orders["v-o1"]

    async def nothing(since_ms: int, until_ms: int) -> list[object]:
        return []

    world.venue.closed_orders = nothing  # type: ignore[assignment,method-assign]
    assert hidden.state.is_terminal
    assert (await _truth(world)).differences == 0


async def test_a_venue_that_does_not_answer_makes_the_pass_incomplete_not_clean(world: World) -> None:
    world.venue.error = Transient("down for maintenance")
    truth = await _truth(world)
    assert [truth.complete, truth.error, truth.confidence] == [False, "down for maintenance", 100]


async def test_a_restarted_execution_goes_on_where_the_books_stand(
    tmp_path: Path, nats_server: Addresses, pg_dsn: str
) -> None:
    async with world_in(tmp_path, nats_server, pg_dsn) as world:
        async with started(world.runtime):
            await world.trade(1, Side.BUY, "100")
            await until(lambda: counted(pg_dsn, "fills", 1))
        await world.trade(2, Side.SELL, "110")
        await world.trade(3, Side.BUY, "100", announce=False)
        async with started(world.runtime) as again:
            assert again.core.holdings
            truth = await _truth(world)
            assert list(truth.details) == []
            assert truth.fills_compared == 3
            assert again.core.cash == OPENING + 20 - 3 * Decimal("0.11")


async def test_the_books_wait_out_a_postgres_restart_and_lose_nothing(
    tmp_path: Path, nats_server: Addresses, open_dir: Path
) -> None:
    home = open_dir / "own-postgres"
    async with contextlib.AsyncExitStack() as stack:
        first = contextlib.AsyncExitStack()
        dsn = (await first.enter_async_context(embedded(home, {Kind.POSTGRES}, durable=True))).postgres_dsn
        world = await stack.enter_async_context(world_in(tmp_path, nats_server, dsn))
        await stack.enter_async_context(started(world.runtime))
        await world.trade(1, Side.BUY, "100")
        await until(lambda: counted(dsn, "fills", 1))
        await first.aclose()
        for number in range(2, 8):
            await world.trade(number, Side.BUY if number % 2 else Side.SELL, "101")

        async def said_so() -> bool:
            status, body = await world.get("/health")
            return status == 503 and body["components"]["database"]["status"] == "unhealthy"

        await until(said_so)
        assert await world.bus.pending("TITAN_EVT", "EXECUTION_FILLS") > 0
        async with embedded(home, {Kind.POSTGRES}, durable=True) as back:
            assert back.postgres_dsn == dsn
            await until(lambda: counted(dsn, "fills", 7))

            async def all_acknowledged() -> bool:
                return await world.bus.pending("TITAN_EVT", "EXECUTION_FILLS") == 0

            await until(all_acknowledged)
            truth = await _truth(world)
            assert list(truth.details) == []
            assert truth.fills_compared == 7
            await stack.aclose()


async def test_without_postgres_it_is_ready_says_so_and_opens_the_books_when_it_can(
    tmp_path: Path, nats_server: Addresses, open_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shell, "STORE_PATIENCE_S", 0.1)
    home = open_dir / "late-postgres"
    async with embedded(home, {Kind.POSTGRES}, durable=False) as first:
        dsn = first.postgres_dsn
    async with world_in(tmp_path, nats_server, dsn) as world, started(world.runtime):
        await world.trade(1, Side.BUY, "100")
        assert (await world.get("/health"))[0] == 503
        assert (await world.get("/api/trades"))[0] == 503
        truth = await _truth(world)
        assert not truth.complete
        assert "the ledger is not open" in truth.error
        async with embedded(home, {Kind.POSTGRES}, durable=False):

            async def agreed() -> bool:
                return (await _truth(world)).complete

            await until(agreed)
            assert (await _truth(world)).differences == 0
            await until(lambda: counted(dsn, "fills", 1))


async def test_a_fill_that_makes_no_sense_is_put_aside_and_the_others_are_booked(world: World) -> None:
    bad = pb.Fill(fill_id="bybit:main:bad", venue_trade_id="bad", venue="bybit", symbol="BTC/USDT:USDT", price="nan")
    await world.bus.publish_durable(subjects.fill("bybit", "main", "BTC/USDT:USDT"), bad, idempotency_key="bad")
    await world.trade(1, Side.BUY, "100")
    await until(lambda: counted(world.runtime.postgres_dsn, "fills", 1))
    _, text = await world.get("/metrics")
    assert 'titan_dlq_total{reason="INVALID"} 1.0' in text


async def test_health_names_the_four_parts_at_the_top(world: World) -> None:
    await world.router.speak()

    async def heard() -> bool:
        return bool((await world.get("/api/health"))[1]["broker"]["status"] == "healthy")

    await until(heard)
    status, body = await world.get("/api/health", "execution_loopback")
    assert body["ipc"] == {
        "status": "healthy",
        "age_ms": body["ipc"]["age_ms"],
        "detail": "off: intents travel on the bus only",
    }
    assert body["database"]["status"] == "healthy"
    assert body["websocket"]["status"] == "degraded"
    assert [status, body["trading_state"], len(body["policy_hash"])] == [200, "ACTIVE", 64]


async def test_positions_are_an_array_with_marks_ages_and_sources(world: World) -> None:
    assert (await world.get("/api/state/positions"))[1] == []
    await world.trade(1, Side.BUY, "100")
    await world.router.speak(mark="103")

    async def marked() -> bool:
        found = (await world.get("/api/state/positions"))[1]
        return bool(found and found[0]["mark_price"] == "103")

    await until(marked)
    (only,) = (await world.get("/api/state/positions"))[1]
    assert [only["side"], only["quantity"], only["unrealized_pnl"], only["stop_price"]] == ["LONG", "2", "6", "90"]
    assert only["age_ms"] >= 0
    assert only["source"]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("limit=0", "limit must be a whole number from 1 to 1000, got '0'"),
        ("limit=ten", "got 'ten'"),
        ("limit=99999", "got '99999'"),
        ("date=yesterday", "date must be a day like 2026-01-31, got 'yesterday'"),
        ("date=2026-02-30", "got '2026-02-30'"),
        ("date=%27;DROP TABLE fills", "date must be a day"),
    ],
)
async def test_a_wrong_query_is_answered_with_what_is_allowed(world: World, query: str, said: str) -> None:
    status, body = await world.get(f"/api/trades?{query}")
    assert status == 400
    assert said in body["error"]


async def test_trades_of_a_day_are_of_that_day_only(world: World) -> None:
    await world.trade(1, Side.BUY, "100")
    await until(lambda: counted(world.runtime.postgres_dsn, "fills", 1))
    day = time.strftime("%Y-%m-%d", time.gmtime((NOW_MS + 1) / 1000))
    assert (await world.get(f"/api/trades?date={day}"))[1]["count"] == 1
    assert (await world.get("/api/trades?date=2020-02-22"))[1]["count"] == 0


async def test_flatten_on_loopback_returns_the_receipt_is_audited_and_limited(world: World) -> None:
    status, receipt = await world.post("/api/emergency/flatten-all", "execution_loopback")
    assert [status, receipt["accepted"], receipt["new_state"]] == [200, True, "DISARMED"]
    assert receipt["effects"] == ["cancelled 0 orders"]
    assert world.router.commands[0].action == "flatten"
    await until(lambda: counted(world.runtime.postgres_dsn, "audit_events", 1))
    answers = [await world.post("/api/emergency/flatten-all", "execution_loopback") for _ in range(3)]
    assert [status for status, _ in answers] == [200, 200, 429]
    assert len(world.router.commands) == 3


async def test_flatten_on_loopback_refuses_what_a_web_page_could_send(world: World) -> None:
    path = "/api/emergency/flatten-all"
    assert (await world.post(path, "execution_loopback", Origin="https://evil.example"))[0] == 403
    assert (await world.post(path, "execution_loopback", Host="evil.example"))[0] == 403
    assert world.router.commands == []


async def test_flatten_on_the_public_listener_needs_an_operator(world: World) -> None:
    path = "/api/emergency/flatten-all"
    tokens = world.runtime.api_tokens
    assert (await world.post(path, "execution_http"))[0] == 401
    assert (await world.post(path, "execution_http", Authorization=f"Bearer {tokens.observer}"))[0] == 403
    assert (await world.post(path, "execution_http", Authorization=f"Bearer {tokens.operator}"))[0] == 200


async def test_metrics_are_those_of_the_execution_group(world: World) -> None:
    from protos import system_pb2

    beat = system_pb2.Heartbeat(service="router", metrics=b"# HELP r_up Up\n# TYPE r_up gauge\nr_up 1.0\n")
    await world.bus.publish(subjects.heartbeat("router"), beat)

    async def merged() -> bool:
        text = (await world.get("/metrics", "execution_loopback"))[1]
        return "r_up 1.0" in text and "titan_truth_confidence 100.0" in text

    await until(merged)
