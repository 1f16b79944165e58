"""The brain as a real process on a real NATS server, with a router and an execution played by the test."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import nats.js.errors
import pytest

from protos import brain_pb2, envelope_pb2, trading_pb2
from tests.actors.brain.world import (
    SYMBOL,
    fill_message,
    position_message,
    router_message,
    signal_message,
    ticker_message,
)
from tests.processes import start_actor
from tests.waiting import until
from titan import subjects
from titan.bus import Bus, Received
from titan.errors import Transient
from titan.policy import load_policy
from titan.runtime import Runtime
from titan.servers import Addresses
from titan.testing import POLICY, runtime_for_tests

ROOT = Path(__file__).resolve().parents[3]
HASH = load_policy(POLICY).hash


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class World:
    """Everything around the brain: reports, tickers, and a router that answers each intent with a refusal."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.policy_hash = HASH
        self.trading_state = trading_pb2.TRADING_STATE_ACTIVE
        self.positions: list[trading_pb2.Position] = []
        self.reporting = True
        self.intents: list[Received[trading_pb2.Intent]] = []
        self.decisions: dict[str, brain_pb2.Decision] = {}
        self.budgets: list[brain_pb2.Budget] = []
        self.letters: list[envelope_pb2.DeadLetter] = []

    async def listen(self) -> None:
        await self.bus.subscribe("titan.cmd.execution.place.v1.>", trading_pb2.Intent, self._on_intent)
        await self.bus.subscribe(subjects.DECISION, brain_pb2.Decision, self._on_decision)
        await self.bus.subscribe(subjects.BUDGET, brain_pb2.Budget, self._on_budget)
        await self.bus.subscribe_raw(subjects.DLQ_ALL, self._on_letter)
        await self.bus.serve(subjects.RPC_POLICY_HASH, brain_pb2.PolicyHashRequest, self._attest)
        await self.bus.serve(subjects.RPC_TRUTH, trading_pb2.TruthRequest, self._truth)

    async def _on_intent(self, received: Received[trading_pb2.Intent]) -> None:
        self.intents.append(received)
        intent = received.message
        refusal = trading_pb2.Reject(
            intent_id=intent.intent_id, signal_id=intent.signal_id, code="BELOW_MINIMUM", symbol=intent.symbol
        )
        await self.bus.publish(subjects.REJECT, refusal)

    async def _on_decision(self, received: Received[brain_pb2.Decision]) -> None:
        self.decisions[received.message.signal_id] = received.message

    async def _on_budget(self, received: Received[brain_pb2.Budget]) -> None:
        self.budgets.append(received.message)

    async def _on_letter(self, subject: str, data: bytes, reply: str) -> None:
        letter = envelope_pb2.DeadLetter()
        letter.ParseFromString(data)
        self.letters.append(letter)

    async def _attest(self, request: Received[brain_pb2.PolicyHashRequest]) -> brain_pb2.PolicyHashReply:
        return brain_pb2.PolicyHashReply(policy_hash=self.policy_hash, ts_ms=now_ms())

    async def _truth(self, request: Received[trading_pb2.TruthRequest]) -> trading_pb2.Truth:
        return trading_pb2.Truth(truth_id="t", confidence=40, complete=True, orders_compared=3)

    async def pulse(self) -> None:
        seq = 0
        while True:
            seq += 1
            await self.bus.publish(subjects.ticker("bybit", SYMBOL), ticker_message(now_ms()))
            if self.reporting:
                await self.bus.publish(subjects.ROUTER_STATE, self.report(seq))
            await asyncio.sleep(0.05)

    def report(self, seq: int) -> trading_pb2.RouterState:
        return router_message(
            now_ms(), seq, self.policy_hash, trading_state=self.trading_state, positions=self.positions
        )

    async def propose(self, **changes: Any) -> trading_pb2.Signal:
        """Publishes a fresh signal."""
        message = signal_message(f"s-{uuid4().hex[:12]}", now_ms(), **changes)
        await self.bus.publish(subjects.SIGNAL_SUBMIT, message)
        return message

    async def decision_on(self, message: trading_pb2.Signal) -> brain_pb2.Decision:
        await until(lambda: message.signal_id in self.decisions, f"decision on {message.signal_id}")
        return self.decisions[message.signal_id]

    async def settle(self, code: str, **changes: Any) -> brain_pb2.Decision:
        """Proposes afresh until the brain answers with a code: what was published takes a moment to arrive."""
        last = ""
        for _ in range(100):
            decision = await self.decision_on(await self.propose(**changes))
            if decision.code == code:
                return decision
            last = decision.reason
            await asyncio.sleep(0.05)
        raise AssertionError(f"the brain never answered {code}, last: {last}")

    def intents_of(self, signal_id: str) -> list[trading_pb2.Intent]:
        return [each.message for each in self.intents if each.message.signal_id == signal_id]


@pytest.fixture
def runtime(nats_server: Addresses, tmp_path: Path) -> Runtime:
    return runtime_for_tests(
        tmp_path,
        nats_url=nats_server.nats_url,
        nats_user=nats_server.nats_user,
        nats_password=nats_server.nats_password,
    )


@pytest.fixture
async def world(runtime: Runtime) -> AsyncIterator[World]:
    bus = await Bus.connect(runtime, "router")
    with contextlib.suppress(nats.js.errors.NotFoundError):
        await bus.jetstream.delete_key_value("titan_brain")
    with contextlib.suppress(nats.js.errors.NotFoundError):
        await bus.jetstream.delete_consumer("TITAN_EVT", "BRAIN_RISK")
    await bus.jetstream.purge_stream("TITAN_EVT")
    made = World(bus)
    await made.listen()
    pulse = asyncio.create_task(made.pulse())
    yield made
    pulse.cancel()
    await bus.close()


async def start_brain(runtime: Runtime) -> asyncio.subprocess.Process:
    return (await start_actor("actors.brain.actor:Brain", runtime.home)).process


@pytest.fixture
async def brain(runtime: Runtime, world: World) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await start_brain(runtime)
    yield process
    if process.returncode is None:
        process.kill()
        await process.wait()


def url(runtime: Runtime, path: str) -> str:
    return f"http://127.0.0.1:{runtime.ports['brain_http']}{path}"


async def get(runtime: Runtime, path: str) -> tuple[int, dict[str, Any]]:
    async with aiohttp.ClientSession() as session, session.get(url(runtime, path)) as answer:
        return answer.status, await answer.json()


async def post(runtime: Runtime, path: str, token: str = "") -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with aiohttp.ClientSession() as session, session.post(url(runtime, path), headers=headers) as answer:
        return answer.status, await answer.json()


async def test_a_signal_becomes_one_signed_intent(world: World, brain: asyncio.subprocess.Process) -> None:
    decision = await world.settle("APPROVED")
    await until(lambda: bool(world.intents_of(decision.signal_id)), "the intent")
    (intent,) = world.intents_of(decision.signal_id)
    received = next(each for each in world.intents if each.message.signal_id == decision.signal_id)
    assert received.envelope.idempotency_key == decision.signal_id
    assert received.envelope.correlation_id == decision.signal_id
    assert received.envelope.producer == "brain"
    assert received.subject == "titan.cmd.execution.place.v1.bybit.main.BTC_USDT_USDT"
    assert intent.policy_hash == HASH
    assert intent.size_usd == "1000"
    assert intent.stop_price == "49500"
    assert intent.decision_id == decision.decision_id
    assert decision.decision_ms > 0


async def test_a_tampered_signal_is_a_dead_letter_and_no_intent(
    world: World, brain: asyncio.subprocess.Process
) -> None:
    await world.settle("APPROVED")
    message = signal_message("tampered", now_ms())
    _, wire = world.bus.seal(subjects.SIGNAL_SUBMIT, message)
    forged = envelope_pb2.Signed()
    forged.ParseFromString(wire)
    forged.body = forged.body.replace(b"49500", b"40500")
    await world.bus.client.publish(subjects.SIGNAL_SUBMIT, forged.SerializeToString())
    await until(lambda: any(each.reason == "BAD_SIGNATURE" for each in world.letters), "the dead letter")
    await world.settle("APPROVED")
    assert "tampered" not in world.decisions
    assert not world.intents_of("tampered")


async def test_a_disarmed_system_opens_nothing_and_still_closes(
    world: World, brain: asyncio.subprocess.Process
) -> None:
    world.trading_state = trading_pb2.TRADING_STATE_DISARMED
    world.positions = [position_message("0.1")]
    decision = await world.settle("DISARMED")
    assert decision.reason == "System Disarmed (Operator Action)"
    assert not world.intents_of(decision.signal_id)
    closed = await world.settle(
        "APPROVED",
        action=trading_pb2.SIGNAL_ACTION_CLOSE,
        side=trading_pb2.SIDE_SELL,
        requested_size_usd="0",
        stop_price="",
        target_price="",
    )
    await until(lambda: bool(world.intents_of(closed.signal_id)), "the closing intent")
    (intent,) = world.intents_of(closed.signal_id)
    assert intent.action == trading_pb2.SIGNAL_ACTION_CLOSE
    assert intent.quantity == ""


async def test_a_disarm_stops_openings_before_the_next_report(world: World, brain: asyncio.subprocess.Process) -> None:
    await world.settle("APPROVED")
    world.reporting = False
    world.trading_state = trading_pb2.TRADING_STATE_DISARMED
    change = trading_pb2.TradingStateChanged(
        previous=trading_pb2.TRADING_STATE_ACTIVE,
        current=trading_pb2.TRADING_STATE_DISARMED,
        reason="Policy Update",
        ts_ms=now_ms() + 1,
        journal_seq=10_000,
    )
    await world.bus.publish(subjects.TRADING_STATE, change)
    await world.settle("DISARMED")


async def test_a_silent_router_stops_openings(world: World, brain: asyncio.subprocess.Process) -> None:
    await world.settle("APPROVED")
    world.reporting = False
    decision = await world.settle("ROUTER_STATE_STALE")
    assert "limit 3000 ms" in decision.reason
    world.reporting = True
    await world.settle("APPROVED")


async def test_a_router_with_another_policy_stops_openings_and_both_hashes_are_shown(
    runtime: Runtime, world: World, brain: asyncio.subprocess.Process
) -> None:
    await world.settle("APPROVED")
    world.policy_hash = "0" * 64
    decision = await world.settle("POLICY_HASH_MISMATCH")
    assert HASH in decision.reason
    assert "0" * 64 in decision.reason
    status, body = await get(runtime, "/health")
    assert status == 200
    assert body["status"] == "degraded"
    assert (body["policy_hash"], body["router_policy_hash"]) == (HASH, "0" * 64)
    world.policy_hash = HASH
    await world.settle("APPROVED")


async def test_a_signal_without_sense_is_refused_by_name(world: World, brain: asyncio.subprocess.Process) -> None:
    decision = await world.decision_on(await world.propose(phase=trading_pb2.PHASE_UNSPECIFIED))
    assert decision.code == "INVALID_SIGNAL"
    assert "phase is missing or unknown" in decision.reason


async def test_every_phase_gets_a_budget(world: World, brain: asyncio.subprocess.Process) -> None:
    await world.settle("APPROVED")
    await until(lambda: any(each.state == brain_pb2.BUDGET_STATE_ACTIVE for each in world.budgets), "an active budget")
    budget = next(each for each in world.budgets if each.state == brain_pb2.BUDGET_STATE_ACTIVE)
    assert budget.phase == trading_pb2.PHASE_SCAVENGER
    assert budget.max_notional_usd == "10000"
    assert budget.expires_at_ms == budget.ts_ms + 10_000


async def test_administration_needs_the_right_role(
    runtime: Runtime, world: World, brain: asyncio.subprocess.Process
) -> None:
    tokens = runtime.api_tokens
    assert (await post(runtime, "/admin/system/mode/cautious"))[0] == 401
    assert (await post(runtime, "/admin/system/mode/cautious", tokens.observer))[0] == 403
    assert (await post(runtime, "/admin/system/reset-circuit-breaker", tokens.operator))[0] == 403
    assert (await post(runtime, "/admin/system/mode/frantic", tokens.operator))[0] == 404
    assert await post(runtime, "/admin/system/mode/cautious", tokens.operator) == (
        200,
        {"prior": "NORMAL", "mode": "CAUTIOUS"},
    )
    decision = await world.settle("APPROVED")
    assert decision.authorized_size_usd == "500"
    _, status = await get(runtime, "/status")
    assert status["mode"] == "CAUTIOUS"
    assert await post(runtime, "/admin/system/reset-circuit-breaker", tokens.risk_owner) == (
        200,
        {"prior": "CLOSED", "prior_reason": "", "breaker": "CLOSED"},
    )


async def test_an_accounting_sync_brings_a_collapse_of_truth_into_the_mode(
    runtime: Runtime, world: World, brain: asyncio.subprocess.Process
) -> None:
    await world.settle("APPROVED")
    status, body = await post(runtime, "/admin/accounting/sync", runtime.api_tokens.operator)
    assert (status, body["confidence"], body["orders_compared"]) == (200, 40, 3)
    _, answer = await get(runtime, "/status")
    assert answer["mode"] == "DEFENSIVE"
    decision = await world.settle("GOVERNANCE_LOCKDOWN")
    assert decision.reason == "GOVERNANCE_LOCKDOWN: DEFENSIVE rejects phase1"


async def test_what_was_learnt_survives_kill_9(
    runtime: Runtime, world: World, brain: asyncio.subprocess.Process
) -> None:
    await post(runtime, "/admin/system/mode/cautious", runtime.api_tokens.operator)
    decision = await world.settle("APPROVED")
    await until(lambda: bool(world.intents_of(decision.signal_id)), "the intent")
    (intent,) = world.intents_of(decision.signal_id)
    subject = subjects.fill("bybit", "main", SYMBOL)
    bought = fill_message("f1", intent.intent_id, trading_pb2.SIDE_BUY, "0.01", "50000", now_ms())
    sold = fill_message(
        "f2", intent.intent_id, trading_pb2.SIDE_SELL, "0.01", "51000", now_ms(), role=trading_pb2.ORDER_ROLE_TARGET
    )
    for fill in (bought, sold):
        await world.bus.publish_durable(subject, fill, idempotency_key=fill.fill_id)
    for _ in range(500):
        if await settled(world.bus):
            break
        await asyncio.sleep(0.02)
    brain.kill()
    await brain.wait()
    again = await start_brain(runtime)
    try:
        _, status = await get(runtime, "/status")
        details = status["details"]
        assert isinstance(details, dict)
        assert details["operatorMode"] == "CAUTIOUS"
        bucket = await world.bus.kv("titan_brain")
        entry = await bucket.get("snapshot")
        assert entry.value is not None
        kept = json.loads(entry.value)
        assert kept["calibration"]["BREAKOUT"][:2] == [1, 1]
        assert kept["holdings"] == []
    finally:
        again.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(again.wait(), 10) == 0


async def settled(bus: Bus) -> bool:
    with contextlib.suppress(Transient):
        return await bus.pending("TITAN_EVT", "BRAIN_RISK") == 0
    return False
