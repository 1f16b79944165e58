"""Execution as a process beside the real router, between real NATS, PostgreSQL and the paper venue, killed while it books.

The venue's own ledger is the oracle.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg

from actors.execution.rebuild import check
from protos import trading_pb2 as pb
from tests.actors.router.live import World, world
from tests.processes import Process
from tests.waiting import until
from titan import subjects
from titan.journal.archive import history
from titan.model import Action, Side

EXECUTION = "actors.execution.actor:Execution"


async def _start(here: World) -> Process:
    return await Process.start("titan.process", EXECUTION, "--home", str(here.home))


async def _truth(here: World) -> pb.Truth:
    return await here.bus.request(subjects.RPC_TRUTH, pb.TruthRequest(requested_by="test"), pb.Truth, 30.0)


async def _clean(here: World) -> pb.Truth:
    """A complete pass without differences; fails with what differs."""
    truth = await _truth(here)
    assert truth.complete, truth.error
    assert [
        (each.kind, each.key, each.venue_value, each.journal_value, each.ledger_value) for each in truth.details
    ] == []
    return truth


async def _rows(dsn: str, query: str) -> list[Any]:
    connection = await asyncpg.connect(dsn)
    try:
        found: list[Any] = await connection.fetch(query)
        return found
    finally:
        await connection.close()


async def _round_trip(here: World, side: Side) -> None:
    opening = await here.intent(side, usd="500")
    await here.order(opening)
    await here.settled(opening.intent_id)
    closing = await here.intent(
        side.opposite, action=Action.CLOSE, size_usd=Decimal(0), quantity=None, stop_price=None, usd="1"
    )
    await here.order(closing)
    await here.settled(closing.intent_id)


async def _agrees_with_oracle(here: World, dsn: str, truth: pb.Truth) -> None:
    trades = [each for each in await here.ledger("executions") if each["exec_type"] == "Trade"]
    booked = {row["venue_trade_id"]: row for row in await _rows(dsn, "SELECT * FROM fills")}
    assert set(booked) == {each["exec_id"] for each in trades}
    for each in trades:
        row = booked[each["exec_id"]]
        assert [row["price"], row["quantity"], row["fee"]] == [
            Decimal(each["price"]),
            Decimal(each["qty"]),
            Decimal(each["fee"]),
        ]
    assert truth.fills_compared == len(trades)
    (cash,) = await _rows(
        dsn,
        "SELECT -sum(e.direction * e.amount) AS held FROM ledger_entries e JOIN ledger_accounts a USING (account_id) "
        "WHERE a.name = 'cash:bybit:main' AND a.currency = 'USDT'",
    )
    wallet = here.state.equity.wallet if here.state is not None else "0"
    assert abs(cash["held"] - Decimal(wallet)) < Decimal("0.000001")


async def test_books_venue_and_journal_agree_after_trading_through_kills(open_dir: Path, pg_dsn: str) -> None:
    async with world(open_dir, postgres_dsn=pg_dsn) as here:
        execution = await _start(here)
        await here.start_router()
        assert (await here.command("arm")).accepted or here.runtime.auto_arm
        await _round_trip(here, Side.BUY)
        await _clean(here)
        trading = asyncio.create_task(_round_trip(here, Side.SELL))
        await execution.kill()
        await trading
        execution = await _start(here)
        try:
            await _round_trip(here, Side.BUY)
            await here.kill_router()
            await here.start_router()
            await _round_trip(here, Side.SELL)
            truth = await _clean(here)
            await _agrees_with_oracle(here, pg_dsn, truth)
            again = await check(pg_dsn, "bybit", "main", history(here.runtime.journal_path))
            assert again.unequal == ()
            assert again.rows["fills"] == truth.fills_compared
            trips = await _rows(pg_dsn, "SELECT * FROM round_trips")
            assert len(trips) == 4

            async def flat() -> bool:
                url = f"http://127.0.0.1:{here.runtime.ports['execution_loopback']}/api/state/positions"
                async with here.http.get(url) as answer:
                    return bool(await answer.json() == [])

            await until(flat, "no position left")
        finally:
            assert await execution.stop() == 0


async def test_a_ledger_that_was_lost_is_made_again_from_the_journal(open_dir: Path, pg_dsn: str) -> None:
    async with world(open_dir, postgres_dsn=pg_dsn) as here:
        await here.start_router()
        assert (await here.command("arm")).accepted or here.runtime.auto_arm
        await _round_trip(here, Side.BUY)
        await here.bus.jetstream.purge_stream("TITAN_EVT")
        execution = await _start(here)
        try:
            await _agrees_with_oracle(here, pg_dsn, await _clean(here))
        finally:
            assert await execution.stop() == 0


async def test_funding_is_booked_like_the_venue_charges_it(open_dir: Path, pg_dsn: str) -> None:
    async with world(open_dir, speed=1500.0, postgres_dsn=pg_dsn) as here:
        execution = await _start(here)
        try:
            await here.start_router()
            assert (await here.command("arm")).accepted or here.runtime.auto_arm
            opening = await here.intent(Side.BUY, usd="500")
            await here.order(opening)
            await here.settled(opening.intent_id)

            async def booked() -> bool:
                return bool(await _rows(pg_dsn, "SELECT 1 FROM positions WHERE funding <> 0"))

            await until(booked, "a funding payment in the books", timeout_s=60)
            await _clean(here)
            (held,) = await _rows(pg_dsn, "SELECT funding FROM positions")
            paid = [Decimal(each["fee"]) for each in await here.ledger("executions") if each["exec_type"] == "Funding"]
            assert held["funding"] in {sum(paid[-count:], Decimal(0)) for count in range(1, len(paid) + 1)}
        finally:
            assert await execution.stop() == 0
