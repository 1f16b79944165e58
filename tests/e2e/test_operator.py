"""What an operator does to a running Titan, and what an intruder can't."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from decimal import Decimal
from typing import Any

import nats
import pytest

from protos import envelope_pb2, trading_pb2
from tests.e2e.running import Running, titan
from tests.waiting import eventually
from titan import subjects
from titan.bus import open_bus
from titan.codec import intent_to_pb
from titan.envelope import Head, SigningKey, seal
from titan.ids import IntentId, SignalId, new_ulid
from titan.model import Action, Intent, OrderType, Phase, Side
from titan.runtime import Runtime

pytestmark = pytest.mark.e2e
SYMBOL = "BTC/USDT:USDT"


async def plain(runtime: Runtime, subject: str, text: str) -> None:
    """What `nats pub SUBJECT TEXT` does."""
    user, password = runtime.nats_login("command")
    client = await nats.connect(runtime.nats_url, user=user, password=password)
    await client.publish(subject, text.encode())
    await client.flush()
    await client.close()


def state_is(running: Running, wanted: str) -> bool:
    return bool(running.status()["trading_state"] == wanted)


@pytest.mark.timeout(180)
def test_plain_text_disarms_at_once_and_arms_again(running: Running) -> None:
    eventually(lambda: state_is(running, "ACTIVE"), "armed on paper", 60)
    asyncio.run(plain(running.runtime, "titan.cmd.operator.disarm.v1", "Policy Update"))
    eventually(lambda: state_is(running, "DISARMED"), "disarmed", 10)
    assert "Policy Update" in running.status()["trading_reason"]
    asyncio.run(plain(running.runtime, "titan.cmd.operator.arm.v1", "Policy checked"))
    eventually(lambda: state_is(running, "ACTIVE"), "armed", 10)


@pytest.mark.timeout(180)
def test_while_disarmed_an_opening_is_refused_and_a_close_goes_through(running: Running) -> None:
    eventually(lambda: state_is(running, "ACTIVE"), "armed on paper", 60)
    eventually(lambda: running.json("positions")["positions"], "a position", 120)
    running.json("disarm", "test")
    held = running.json("positions")["positions"]
    opened = manual(running, SYMBOL, "SIDE_BUY", "SIGNAL_ACTION_OPEN", "200")
    assert (opened["approved"], opened["code"]) == (False, "DISARMED")
    if held:
        side = "SIDE_SELL" if Decimal(held[0]["quantity"]) > 0 else "SIDE_BUY"
        closed = manual(running, held[0]["symbol"], side, "SIGNAL_ACTION_CLOSE", "0")
        assert closed["approved"] or closed["code"] == "NOTHING_TO_CLOSE", closed
    running.json("arm", "test")


def manual(running: Running, symbol: str, side: str, action: str, size: str) -> dict[str, Any]:
    """One manual intent over gRPC; returns the decision."""
    import grpc
    from google.protobuf.json_format import MessageToDict

    from ops.cli.client import connect
    from protos import control_pb2 as pb

    with connect(running.home) as client:
        mark = next(
            (row.mark_price for row in client.status().positions if row.symbol == symbol and row.mark_price), "60000"
        )
        stop = Decimal(mark) * (Decimal("0.97") if side == "SIDE_BUY" else Decimal("1.03"))
        request = pb.SubmitManualIntentRequest(
            symbol=symbol,
            side=trading_pb2.Side.Value(side),
            action=trading_pb2.SignalAction.Value(action),
            size_usd=size,
            stop_price=f"{stop:.0f}",
            reason="test",
        )
        try:
            reply = client.call(client.stub.SubmitManualIntent, request)
        except grpc.RpcError as error:
            raise AssertionError(error) from error
    decision: dict[str, Any] = MessageToDict(
        reply.decision, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return decision


@pytest.mark.timeout(120)
def test_halt_and_resume_say_what_they_did(running: Running) -> None:
    receipt = running.json("halt", "drill")
    assert receipt["new_state"] == "TRADING_STATE_HALTED"
    assert receipt["effects"]
    refused = titan(running.home, "arm", "too early")
    assert refused.returncode == 6
    assert "HALT" in refused.stderr
    assert running.json("resume", "drill over")["new_state"] == "TRADING_STATE_DISARMED"
    eventually(lambda: state_is(running, "DISARMED"), "disarmed", 10)
    running.json("arm", "go on")


@pytest.mark.timeout(180)
def test_flatten_leaves_no_position(running: Running) -> None:
    receipt = running.json("flatten", "drill", timeout_s=90)
    assert receipt["accepted"]
    running.json("disarm", "stay flat")
    eventually(lambda: not running.json("positions")["positions"], "flat", 60)
    running.json("arm", "go on")


def an_intent(runtime: Runtime, policy_hash: str) -> Intent:
    now_ms = 0
    return Intent(
        intent_id=IntentId(new_ulid()),
        signal_id=SignalId(f"forged-{new_ulid()}"),
        phase=Phase.SCAVENGER,
        action=Action.OPEN,
        venue=runtime.venue.name,
        account=runtime.venue.account,
        symbol=SYMBOL,
        side=Side.BUY,
        size_usd=Decimal(100),
        quantity=None,
        order_type=OrderType.MARKET,
        limit_price=None,
        reference_price=Decimal(60000),
        stop_price=Decimal(58000),
        target_price=None,
        max_slippage_bps=100,
        leverage=Decimal(1),
        policy_hash=policy_hash,
        t_signal_ms=now_ms,
        t_decision_ms=now_ms,
        ttl_ms=5000,
    )


def sealed(
    runtime: Runtime, intent: Intent, subject: str, *, ts_ms: int | None = None, secret: str | None = None
) -> bytes:
    key = SigningKey(runtime.hmac_key.key_id, (secret or runtime.hmac_key.secret).encode())
    head = Head(
        subject=subject,
        type="titan.v1.Intent",
        producer="intruder",
        ts_ms=ts_ms or time.time_ns() // 1_000_000,
        idempotency_key=intent.signal_id,
    )
    import os

    return seal(key, head, intent_to_pb(intent).SerializeToString(), os.urandom(26))[1]


@pytest.mark.timeout(120)
def test_a_forged_intent_never_becomes_an_order_and_is_counted_by_reason(running: Running) -> None:
    runtime = running.runtime
    subject = subjects.intent_place(runtime.venue.name, runtime.venue.account, SYMBOL)
    policy_hash = str(running.status()["policy_hash"])
    base = an_intent(runtime, policy_hash)
    good = sealed(runtime, base, subject)
    signed = envelope_pb2.Signed.FromString(good)
    tampered = envelope_pb2.Signed(
        body=signed.body.replace(b"100", b"900", 1), key_id=signed.key_id, signature=signed.signature
    ).SerializeToString()
    attacks = {
        "BAD_SIGNATURE": tampered,
        "UNSIGNED": envelope_pb2.Signed(body=signed.body, key_id=signed.key_id).SerializeToString(),
        "UNKNOWN_KEY": envelope_pb2.Signed(
            body=signed.body, key_id="nobody", signature=signed.signature
        ).SerializeToString(),
        "EXPIRED": sealed(runtime, replace(base, intent_id=IntentId(new_ulid())), subject, ts_ms=1_600_000_000_000),
        "WRONG_SUBJECT": sealed(runtime, base, subjects.SIGNAL_SUBMIT),
        "UNDECODABLE": b"BUY BUY BUY",
    }
    seen = asyncio.run(attack(runtime, subject, attacks))
    for reason in attacks:
        assert reason in seen, f"{reason} is missing in {seen}"
    orders = running.json("orders", "-n", "1000")["orders"]
    assert not [row for row in orders if row["signal_id"] == base.signal_id]


async def attack(runtime: Runtime, subject: str, attacks: dict[str, bytes]) -> list[str]:
    """Publishes each attack and collects the router's dead letters."""
    letters: list[str] = []
    async with open_bus(runtime.as_owner(), "e2e") as bus:

        async def on_letter(_: str, data: bytes, __: str) -> None:
            letters.append(envelope_pb2.DeadLetter.FromString(data).reason)

        await bus.subscribe_raw(subjects.dead_letter("router"), on_letter)
        for wire in attacks.values():
            await bus.client.publish(subject, wire)
        await bus.flush()
        for _ in range(500):
            if set(attacks) <= set(letters):
                break
            await asyncio.sleep(0.02)
    return letters


@pytest.mark.timeout(120)
def test_a_correctly_signed_intent_with_another_policy_hash_is_rejected_with_both_hashes(running: Running) -> None:
    runtime = running.runtime
    subject = subjects.intent_place(runtime.venue.name, runtime.venue.account, SYMBOL)
    intent = an_intent(runtime, "0" * 64)

    async def run() -> trading_pb2.Reject | None:
        found: list[trading_pb2.Reject] = []
        async with open_bus(runtime.as_owner(), "e2e") as bus:

            async def on_reject(received: Any) -> None:
                if received.message.intent_id == intent.intent_id:
                    found.append(received.message)

            await bus.subscribe(subjects.REJECT, trading_pb2.Reject, on_reject)
            state = await wait_for_market_time(bus)
            fresh = replace(intent, t_signal_ms=state, t_decision_ms=state)
            await bus.publish(subject, intent_to_pb(fresh), idempotency_key=fresh.signal_id)
            for _ in range(500):
                if found:
                    return found[0]
                await asyncio.sleep(0.02)
        return None

    reject = asyncio.run(run())
    assert reject is not None
    assert reject.code == "POLICY_HASH_MISMATCH"
    assert reject.got_policy_hash == "0" * 64
    assert reject.expected_policy_hash == running.status()["policy_hash"]


async def wait_for_market_time(bus: Any) -> int:
    """The router's present market time."""
    found: list[int] = []

    async def on_state(received: Any) -> None:
        found.append(received.message.market_ts_ms)

    subscription = await bus.subscribe(subjects.ROUTER_STATE, trading_pb2.RouterState, on_state)
    for _ in range(500):
        if found:
            await subscription.unsubscribe()
            return found[-1]
        await asyncio.sleep(0.02)
    raise AssertionError("the router says nothing")


@pytest.mark.timeout(60)
def test_the_execution_ports_answer_as_the_runbooks_expect(running: Running) -> None:
    import urllib.request

    port = running.runtime.ports["execution_loopback"]

    def get(path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return json.load(answer)

    health = get("/api/health")
    assert {"websocket", "database", "broker", "ipc"} <= set(health)
    assert isinstance(get("/api/state/positions"), list)
    assert "equity" in json.dumps(get("/api/state/equity"))
    assert isinstance(get("/api/trades?limit=5"), (list, dict))


def test_the_bus_refused_nothing_to_any_service(running: Running) -> None:
    log = (running.home / "logs" / "nats.log").read_text()
    assert [line for line in log.splitlines() if "Violation" in line] == []
