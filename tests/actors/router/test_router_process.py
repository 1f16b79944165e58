"""The router as a process, between a real NATS server and the paper venue, killed where it hurts.

The venue's own ledger is the oracle.
"""

from __future__ import annotations

import asyncio
import re
import resource
import sqlite3
from dataclasses import replace
from decimal import ROUND_DOWN, Decimal
from pathlib import Path
from typing import Any

from protos import trading_pb2 as pb
from tests.actors.router.live import BTC, World, world
from tests.processes import Process
from tests.waiting import until
from titan import subjects
from titan.codec import intent_to_pb
from titan.halt import halt_path
from titan.journal import Journal
from titan.model import Action, Execution, OrderType, Side, Style


async def agree(here: World) -> None:
    """Every order and execution of the venue is in the journal once, and equal."""

    async def compared() -> bool:
        rows = await here.journal()
        orders = {row["venue_order_id"]: row for row in rows if row["kind"] == "order" and row["venue_order_id"]}
        fills = {row["venue_trade_id"]: row for row in rows if row["kind"] == "fill"}
        assert len(fills) == sum(row["kind"] == "fill" for row in rows), "a fill was booked twice"
        venue_orders = await here.ledger("orders")
        trades = [each for each in await here.ledger("executions") if each["exec_type"] == "Trade"]
        ended = {"Filled": "FILLED", "Cancelled": "CANCELED", "Deactivated": "CANCELED", "Rejected": "REJECTED"}
        return (
            all(
                each["order_id"] in orders
                and orders[each["order_id"]]["state"] == ended.get(each["status"], orders[each["order_id"]]["state"])
                and Decimal(orders[each["order_id"]]["filled"]) == Decimal(each["cum_qty"])
                for each in venue_orders
            )
            and len(orders) == len(venue_orders)
            and {each["exec_id"] for each in trades} == set(fills)
            and all(Decimal(fills[each["exec_id"]]["price"]) == Decimal(each["price"]) for each in trades)
        )

    await until(compared, "journal and venue in agreement")


async def sent_entries(here: World) -> list[dict[str, Any]]:
    return [each for each in await here.ledger("orders") if each["link_id"]]


def rows_on_disk(here: World) -> list[tuple[int, str]]:
    database = sqlite3.connect(f"file:{here.runtime.journal_path}?mode=ro", uri=True)
    try:
        return database.execute("SELECT seq, kind FROM journal ORDER BY seq").fetchall()
    finally:
        database.close()


async def test_an_intent_becomes_a_protected_position_and_a_close_ends_it(open_dir: Path) -> None:
    async with world(open_dir) as here:
        await here.start_router()
        entry = await here.intent()
        await here.order(entry)
        assert (await here.settled(entry.intent_id)).state == pb.ORDER_STATE_FILLED

        async def protected() -> bool:
            state = here.state
            return state is not None and any(each.stop_price for each in state.positions)

        await until(protected, "a stop at the venue")
        out = await here.intent(Side.SELL, action=Action.CLOSE, stop_price=None)
        await here.order(out)
        assert (await here.settled(out.intent_id)).state == pb.ORDER_STATE_FILLED
        await agree(here)
        assert await here.venue_position() == 0
        assert {each.role for each in here.fills} == {pb.ORDER_ROLE_ENTRY, pb.ORDER_ROLE_CLOSE}
        assert all(each.phase == pb.PHASE_SCAVENGER for each in here.fills)
        port = here.runtime.ports["router_http"]
        async with here.http.get(f"http://127.0.0.1:{port}/health") as answer:
            health = await answer.json()
        assert (health["status"], health["trading_state"], health["policy_hash"]) == (
            "healthy",
            "ACTIVE",
            here.policy_hash,
        )
        assert "loop_cpus" in health["components"]["affinity"]["detail"]
        assert health["components"]["ipc"]["status"] == "healthy"
        assert here.state is not None
        assert here.state.ipc_status == "healthy"
        async with here.http.get(f"http://127.0.0.1:{port}/metrics") as answer:
            metrics = await answer.text()
        assert "titan_order_latency_seconds_count 2.0" in metrics
        assert 'titan_trading_state{state="ACTIVE"} 1.0' in metrics
        assert re.search(r'titan_ipc_messages_total\{first="lane",lane="intents"\} [1-9]', metrics)
        assert await here.router.stop() == 0  # type: ignore[union-attr]  # it runs
        journal = Journal.open(here.runtime.journal_path)
        assert journal.verify().error == ""
        assert journal.published_seq == journal.last_seq
        journal.close()


async def test_a_kill_between_journal_and_send_leaves_one_journalled_order_that_is_never_sent(open_dir: Path) -> None:
    async with world(open_dir) as here:
        await here.start_router("tests.actors.router.crashing:DiesBeforeSend")
        entry = await here.intent()
        await here.order(entry)
        assert here.router is not None
        await asyncio.wait_for(here.router.process.wait(), 10)
        assert "order" in [kind for _, kind in rows_on_disk(here)]
        assert await sent_entries(here) == []
        await here.start_router()
        ended = await here.settled(entry.intent_id)
        assert ended.state == pb.ORDER_STATE_REJECTED
        assert "no such order" in ended.detail
        await here.order(entry)
        assert await sent_entries(here) == []
        assert here.proxy.creates == 0


async def test_a_kill_between_accept_and_acknowledgement_is_found_and_booked_once(open_dir: Path) -> None:
    async with world(open_dir) as here:
        await here.start_router("tests.actors.router.crashing:DiesBeforeAck")
        entry = await here.intent()
        await here.order(entry)
        assert here.router is not None
        await asyncio.wait_for(here.router.process.wait(), 10)
        assert len(await sent_entries(here)) == 1
        await here.start_router()
        assert (await here.settled(entry.intent_id)).state == pb.ORDER_STATE_FILLED
        await agree(here)
        assert len(await sent_entries(here)) == 1
        assert here.proxy.creates == 1


async def test_a_timeout_after_accept_is_looked_up_and_never_resent(open_dir: Path) -> None:
    async with world(open_dir) as here:
        await here.start_router()
        here.proxy.mode = "drop"
        entry = await here.intent()
        await here.order(entry)
        assert (await here.settled(entry.intent_id)).state == pb.ORDER_STATE_FILLED
        here.proxy.mode = "deny"
        denied = await here.intent(usd="500")
        await here.order(denied)
        assert (await here.settled(denied.intent_id)).state == pb.ORDER_STATE_REJECTED
        await agree(here)
        assert here.proxy.creates == 2
        assert len(await sent_entries(here)) == 1


async def test_kills_at_any_time_lose_and_double_nothing(open_dir: Path) -> None:
    async with world(open_dir) as here:
        await here.start_router()
        intents = []
        for number in range(4):
            side = Side.BUY if number % 2 == 0 else Side.SELL
            closing: dict[str, Any] = {"action": Action.CLOSE, "stop_price": None} if number % 2 else {}
            wanted = await here.intent(side, **closing)
            intents.append(wanted)
            await here.order(wanted)
            if number in (1, 2):
                await asyncio.sleep(0.002 * number)
                await here.kill_router()
                await here.start_router()
            await here.settled(wanted.intent_id)
        await agree(here)
        assert await here.venue_position() == 0
        rows = await here.journal()
        assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
        assert len({row["client_order_id"] for row in rows if row.get("event") == "NEW"}) == sum(
            row.get("event") == "NEW" for row in rows
        )


async def test_operators_and_attackers(open_dir: Path) -> None:
    async with world(open_dir) as here:
        await here.start_router()
        entry = await here.intent()
        await here.order(entry)
        await here.settled(entry.intent_id)

        # Plain text, as the `nats` command sends it.
        await here.bus.client.publish(subjects.operator("disarm"), b"Policy Update")
        await until(lambda: _trading(here, pb.TRADING_STATE_DISARMED), "disarmed")
        refused = await here.intent()
        await here.order(refused)
        await until(lambda: _rejected(here, refused.intent_id, "DISARMED"), "a rejection")
        out = await here.intent(Side.SELL, action=Action.CLOSE, stop_price=None)
        await here.order(out)
        assert (await here.settled(out.intent_id)).state == pb.ORDER_STATE_FILLED
        await here.bus.client.publish(subjects.operator("arm"), b"done")
        await until(lambda: _trading(here, pb.TRADING_STATE_ACTIVE), "armed")

        # Signed, with a receipt.
        receipt = await here.command("halt", "drill")
        assert (receipt.accepted, receipt.new_state) == (True, pb.TRADING_STATE_HALTED)
        await here.bus.client.publish(subjects.operator("arm"), b"please")
        assert (await here.command("arm")).code == "HALT_STANDS"
        assert (await here.command("resume")).new_state == pb.TRADING_STATE_DISARMED
        assert (await here.command("arm", "drill over")).new_state == pb.TRADING_STATE_ACTIVE

        # What is not signed, tampered with, on another subject, or under another policy never becomes an order.
        before = len(await sent_entries(here))
        wanted = await here.intent()
        subject = subjects.intent_place("bybit", "main", BTC)
        _, wire = here.bus.seal(subject, intent_to_pb(wanted))
        await here.bus.client.publish(subject, intent_to_pb(wanted).SerializeToString())
        await here.bus.client.publish(subject, wire[:-3] + b"abc")
        await here.bus.client.publish(subjects.intent_place("bybit", "main", "ETH/USDT:USDT"), wire)
        await here.bus.client.publish(subjects.operator("halt"), b"unsigned halt")
        other = replace(await here.intent(), policy_hash="f" * 64)
        await here.order(other)
        mismatch = await until(lambda: _rejected(here, other.intent_id, "POLICY_HASH_MISMATCH"), "a mismatch")
        assert (mismatch.expected_policy_hash, mismatch.got_policy_hash) == (here.policy_hash, "f" * 64)
        late = replace(await here.intent(), t_signal_ms=wanted.t_signal_ms - 3_600_000)
        await here.order(late)
        await until(lambda: _rejected(here, late.intent_id, "INTENT_EXPIRED"), "an expiry")
        assert len(await sent_entries(here)) == before
        assert here.state is not None
        assert here.state.trading_state == pb.TRADING_STATE_ACTIVE
        port = here.runtime.ports["router_http"]
        async with here.http.get(f"http://127.0.0.1:{port}/metrics") as answer:
            metrics = await answer.text()
        for reason in ("BAD_SIGNATURE", "WRONG_SUBJECT", "UNSIGNED"):
            assert re.search(rf'titan_dlq_total\{{reason="{reason}"\}} [1-9]', metrics), reason

        receipt = await here.command("flatten", "the end")
        assert receipt.detail == "the venue is flat, verified"
        await agree(here)


async def test_an_operator_changes_a_resting_order_in_place_and_cancels_it(open_dir: Path) -> None:
    async with world(open_dir) as here:
        await here.start_router()
        wanted = await here.intent()
        assert wanted.reference_price is not None
        price = (wanted.reference_price * Decimal("0.98")).quantize(Decimal("0.1"))
        await here.order(replace(wanted, order_type=OrderType.LIMIT, limit_price=price))

        async def resting() -> dict[str, Any] | None:
            return next((each for each in await sent_entries(here) if each["status"] == "New"), None)

        first = await until(resting, "an order in the venue's book")
        cid, half = first["link_id"], str((Decimal(first["qty"]) / 2).quantize(Decimal("0.001"), ROUND_DOWN))
        lower = str(price - 10)

        async def changed() -> bool:
            receipt = await here.command("amend_order", client_order_id=cid, price=lower, quantity=half)
            return bool(receipt.accepted) and "changed in place" in receipt.detail

        # The router may hear of its order after the venue's own books show it.
        await until(changed, "an accepted change")

        async def stands() -> bool:
            [now] = await sent_entries(here)
            own = [row for row in await here.journal() if row["kind"] == "order" and row["client_order_id"] == cid]
            venue = (Decimal(now["price"]), Decimal(now["qty"]), now["order_id"])
            ours = (Decimal(own[-1]["price"]), Decimal(own[-1]["quantity"]), own[-1]["venue_order_id"])
            return venue == ours == (Decimal(lower), Decimal(half), first["order_id"])

        await until(stands, "the change at the venue and in the journal")
        assert (await here.command("cancel_order", client_order_id=cid)).accepted
        assert (await here.settled(wanted.intent_id)).state == pb.ORDER_STATE_CANCELED
        assert here.proxy.creates == 1
        await agree(here)


async def test_the_state_a_receipt_names_is_known_to_everybody_before_the_receipt_is(open_dir: Path) -> None:
    async with world(open_dir) as here:
        await here.start_router()
        for verb in ("disarm", "arm", "reduce", "resume", "halt", "resume", "arm") * 3:
            receipt = await here.command(verb)
            assert here.state is not None
            assert (receipt.accepted, here.state.trading_state) == (True, receipt.new_state), verb


async def test_a_halt_that_the_journal_can_not_keep_outlives_a_kill_all_the_same(open_dir: Path) -> None:
    async with world(open_dir) as here:
        await here.start_router()
        assert here.router is not None
        # A disk without room for the journal's next page, but for a short file.
        resource.prlimit(here.router.process.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        disarmed = await here.command("disarm")
        assert any("NOT KEPT" in each for each in disarmed.effects), disarmed
        halted = await here.command("halt", "no room")
        assert any("kept in HARD_HALT" in each for each in halted.effects), halted
        await here.kill_router()
        await here.start_router()
        await until(lambda: _trading(here, pb.TRADING_STATE_HALTED), "the halt of before")
        assert (await here.command("resume")).new_state == pb.TRADING_STATE_DISARMED
        assert not halt_path(here.runtime.home).exists()


async def test_a_venue_that_goes_away_stops_openings_until_it_is_back(open_dir: Path) -> None:
    async with world(open_dir) as here:
        await here.start_router()
        port, admin = str(here.venue.ready["port"]), str(here.venue.ready["admin_port"])
        entry = await here.intent()
        await here.order(entry)
        await here.settled(entry.intent_id)
        template = await here.intent()
        here.playing.cancel()
        await here.venue.kill()
        await until(lambda: _trading(here, pb.TRADING_STATE_REDUCING), "reducing")
        await here.order(template)
        await until(lambda: _any_reject(here, template.intent_id), "a rejection")
        here.venue = await Process.start(
            "titan.paper",
            "--feed",
            "synthetic:7",
            "--speed",
            str(here.runtime.speed),
            "--home",
            str(here.home),
            "--symbols",
            BTC,
            "--port",
            port,
            "--admin-port",
            admin,
        )
        await until(lambda: _trading(here, pb.TRADING_STATE_ACTIVE), "active again")
        receipt = await here.command("flatten", "the end")
        assert receipt.detail == "the venue is flat, verified"
        await agree(here)
        await here.venue.stop()


async def _trading(here: World, wanted: int) -> bool:
    return here.state is not None and here.state.trading_state == wanted


async def _rejected(here: World, intent_id: str, code: str) -> pb.Reject | None:
    return next((each for each in here.rejects if each.intent_id == intent_id and each.code == code), None)


async def _any_reject(here: World, intent_id: str) -> pb.Reject | None:
    return next((each for each in here.rejects if each.intent_id == intent_id), None)


async def test_a_twap_outlives_its_router_and_never_makes_more_than_the_whole(open_dir: Path) -> None:
    async with world(open_dir) as here:
        await here.start_router()
        work = Execution(Style.TWAP, slices=3, duration_ms=6_000)
        wanted = await here.intent(usd="3000", execution=work)
        await here.order(wanted)

        async def parents() -> list[dict[str, Any]]:
            return [each for each in await here.journal() if each["kind"] == "parent"]

        async def begun() -> bool:
            return any(each["kind"] == "fill" for each in await here.journal())

        await until(begun, "the first slice's fill")
        await here.kill_router()
        await here.start_router()

        async def over() -> bool:
            return bool((await parents())[-1]["event"] == "END")

        await until(over, "the end of the parent", 40.0)
        last = (await parents())[-1]
        orders = await sent_entries(here)
        done = sum(Decimal(each["cum_qty"]) for each in orders)
        # A restart that took longer than the intent may live ends it short; never does it make more than the whole.
        assert last["end"] in ("FILLED", "DEADLINE"), last
        assert (done == Decimal(last["leg_quantity"])) is (last["end"] == "FILLED")
        assert 0 < done <= Decimal(last["leg_quantity"])
        assert len({each["link_id"] for each in orders}) == len(orders)
        await agree(here)
