"""The control service over a real gRPC socket, with real NATS and PostgreSQL behind it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import grpc
import grpc.aio
import pytest
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from protos import brain_pb2, system_pb2, trading_pb2
from protos import control_pb2 as pb
from protos.control_pb2_grpc import ControlStub
from tests.processes import running_actor
from titan import subjects
from titan.bus import Bus, Received
from titan.runtime import Runtime
from titan.servers import Addresses
from titan.store import Migrator, connect, load_migrations
from titan.testing import runtime_for_tests

if TYPE_CHECKING:
    from protos.control_pb2_grpc import ControlAsyncStub

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
async def runtime(nats_server: Addresses, pg_dsn: str, tmp_path: Path) -> Runtime:
    pool = await connect(pg_dsn)
    await Migrator(pool, load_migrations(ROOT / "ops" / "migrations")).run()
    await pool.close()
    return runtime_for_tests(
        tmp_path,
        nats_url=nats_server.nats_url,
        nats_user=nats_server.nats_user,
        nats_password=nats_server.nats_password,
        postgres_dsn=pg_dsn,
        feed="synthetic:1",
    )


@pytest.fixture
async def bus(runtime: Runtime) -> AsyncIterator[Bus]:
    connected = await Bus.connect(runtime, "tester")
    yield connected
    await connected.close()


@pytest.fixture
async def gateway(runtime: Runtime, bus: Bus) -> AsyncIterator[asyncio.subprocess.Process]:
    async with running_actor("actors.gateway.actor:Gateway", runtime.home) as process:
        yield process


@pytest.fixture
async def channel(runtime: Runtime, gateway: asyncio.subprocess.Process) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{runtime.ports['gateway_grpc']}") as opened:
        yield opened


def control(channel: grpc.aio.Channel) -> ControlAsyncStub:
    return ControlStub(channel)


def token(role: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {role}-token"),)


def reason(error: grpc.aio.AioRpcError) -> str:
    trailers: Any = error.trailing_metadata()
    for name, value in trailers:
        if name == "grpc-status-details-bin":
            info = ErrorInfo()
            assert Status.FromString(value).details[0].Unpack(info)
            return str(info.reason)
    return ""


async def until_status(stub: ControlAsyncStub, wanted: int) -> pb.GetStatusResponse:
    for _ in range(500):
        status = await stub.GetStatus(pb.GetStatusRequest(), metadata=token("observer"))
        if status.trading_state == wanted:
            return status
        await asyncio.sleep(0.02)
    raise AssertionError("the status never showed the router's word")


async def test_status_shows_what_the_router_said(channel: grpc.aio.Channel, bus: Bus) -> None:
    word = trading_pb2.RouterState(trading_state=trading_pb2.TRADING_STATE_ACTIVE, policy_hash="abc")
    await bus.publish(subjects.ROUTER_STATE, word)
    status = await until_status(control(channel), trading_pb2.TRADING_STATE_ACTIVE)
    assert status.feed == "synthetic:1"
    assert status.policy_hash == "abc"
    assert 0 <= status.router_state_age_s < 60


@pytest.mark.parametrize(
    ("metadata", "status", "code"),
    [
        ((), grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED"),
        ((("authorization", "Bearer wrong"),), grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED"),
        (token("observer"), grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED"),
    ],
)
async def test_a_command_needs_a_role(
    channel: grpc.aio.Channel, metadata: tuple[tuple[str, str], ...], status: grpc.StatusCode, code: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await control(channel).Disarm(pb.DisarmRequest(reason="x"), metadata=metadata)
    assert caught.value.code() is status
    assert reason(caught.value) == code


async def test_a_command_returns_the_routers_own_receipt(channel: grpc.aio.Channel, bus: Bus) -> None:
    async def answer(received: Received[trading_pb2.OperatorCommand]) -> Message:
        return trading_pb2.OperatorReceipt(
            command_id=received.message.command_id, accepted=True, effects=[f"because {received.message.reason}"]
        )

    await bus.serve(subjects.operator("disarm"), trading_pb2.OperatorCommand, answer)
    reply = await control(channel).Disarm(pb.DisarmRequest(reason="policy"), metadata=token("operator"))
    assert list(reply.receipt.effects) == ["because policy"]


async def test_a_refused_command_carries_the_routers_code(channel: grpc.aio.Channel, bus: Bus) -> None:
    async def answer(_: Received[trading_pb2.OperatorCommand]) -> Message:
        return trading_pb2.OperatorReceipt(accepted=False, code="HALT_STANDS", detail="resume first")

    await bus.serve(subjects.operator("arm"), trading_pb2.OperatorCommand, answer)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await control(channel).Arm(pb.ArmRequest(reason="go"), metadata=token("operator"))
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert reason(caught.value) == "HALT_STANDS"


async def test_a_command_without_a_reason_is_refused(channel: grpc.aio.Channel) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await control(channel).Halt(pb.HaltRequest(reason=" "), metadata=token("operator"))
    assert reason(caught.value) == "REASON_MISSING"


async def test_empty_books_are_empty_lists_not_errors(channel: grpc.aio.Channel) -> None:
    stub = control(channel)
    assert not (await stub.ListOrders(pb.ListOrdersRequest(), metadata=token("observer"))).orders
    assert not (await stub.ListTrades(pb.ListTradesRequest(), metadata=token("observer"))).fills
    assert not (await stub.ListDecisions(pb.ListDecisionsRequest(), metadata=token("observer"))).decisions


@pytest.mark.parametrize("date", ["yesterday", "2026-13-45"])
async def test_a_date_that_is_none_is_named(channel: grpc.aio.Channel, date: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await control(channel).ListTrades(pb.ListTradesRequest(date=date), metadata=token("observer"))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_positions_are_unavailable_until_the_router_spoke(channel: grpc.aio.Channel) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await control(channel).ListPositions(pb.ListPositionsRequest(), metadata=token("observer"))
    assert reason(caught.value) == "NO_ROUTER_STATE"


async def test_a_manual_intent_goes_through_the_brain_and_returns_its_decision(
    channel: grpc.aio.Channel, bus: Bus
) -> None:
    async def decide(received: Received[trading_pb2.Signal]) -> None:
        decision = brain_pb2.Decision(signal_id=received.message.signal_id, code="DISARMED", reason="not armed")
        await bus.publish(subjects.DECISION, decision)

    await bus.subscribe(subjects.SIGNAL_SUBMIT, trading_pb2.Signal, decide)
    request = pb.SubmitManualIntentRequest(
        symbol="BTC/USDT:USDT",
        side=trading_pb2.SIDE_BUY,
        action=trading_pb2.SIGNAL_ACTION_OPEN,
        size_usd="100",
        reason="test",
    )
    reply = await control(channel).SubmitManualIntent(request, metadata=token("operator"))
    assert reply.decision.code == "DISARMED"


async def test_a_manual_intent_carries_its_type_and_terms_to_the_brain(channel: grpc.aio.Channel, bus: Bus) -> None:
    heard: list[trading_pb2.Signal] = []

    async def decide(received: Received[trading_pb2.Signal]) -> None:
        heard.append(received.message)
        await bus.publish(subjects.DECISION, brain_pb2.Decision(signal_id=received.message.signal_id, code="DISARMED"))

    await bus.subscribe(subjects.SIGNAL_SUBMIT, trading_pb2.Signal, decide)
    terms = trading_pb2.Terms(trigger_price="50100", targets=[trading_pb2.Target(price="52000", share="1")])
    request = pb.SubmitManualIntentRequest(
        symbol="BTC/USDT:USDT",
        side=trading_pb2.SIDE_BUY,
        action=trading_pb2.SIGNAL_ACTION_OPEN,
        size_usd="100",
        reason="test",
        order_type=trading_pb2.ORDER_TYPE_STOP_LIMIT,
        limit_price="50150",
        terms=terms,
    )
    await control(channel).SubmitManualIntent(request, metadata=token("operator"))
    [signal] = heard
    assert (signal.order_type, signal.entry_price, signal.terms) == (request.order_type, "50150", terms)


async def test_a_change_and_a_cancel_of_one_order_reach_the_router(channel: grpc.aio.Channel, bus: Bus) -> None:
    heard: list[trading_pb2.OperatorCommand] = []

    async def answer(received: Received[trading_pb2.OperatorCommand]) -> trading_pb2.OperatorReceipt:
        heard.append(received.message)
        return trading_pb2.OperatorReceipt(command_id=received.message.command_id, accepted=True, code="DONE")

    for verb in ("amend_order", "cancel_order"):
        await bus.serve(subjects.operator(verb), trading_pb2.OperatorCommand, answer)
    stub = control(channel)
    amend = pb.AmendOrderRequest(client_order_id="tt1", price="9", trigger_price="8", reason="test")
    assert (await stub.AmendOrder(amend, metadata=token("operator"))).receipt.accepted
    cancel = pb.CancelOrderRequest(client_order_id="tt1", reason="test")
    assert (await stub.CancelOrder(cancel, metadata=token("operator"))).receipt.accepted
    assert [(one.action, one.client_order_id, one.price, one.quantity, one.trigger_price) for one in heard] == [
        ("amend_order", "tt1", "9", "", "8"),
        ("cancel_order", "tt1", "", "", ""),
    ]
    with pytest.raises(grpc.aio.AioRpcError):
        await stub.CancelOrder(cancel, metadata=token("observer"))


async def test_events_are_streamed_as_they_happen(channel: grpc.aio.Channel, bus: Bus) -> None:
    stream = control(channel).WatchEvents(pb.WatchEventsRequest(subjects=[subjects.ALERT]), metadata=token("observer"))
    first = asyncio.ensure_future(stream.read())
    while not first.done():
        await bus.publish(subjects.REJECT, trading_pb2.Reject(code="NO"))
        await bus.publish(subjects.ALERT, system_pb2.Alert(code="HELLO"))
        await asyncio.sleep(0.05)
    event = first.result()
    assert isinstance(event, pb.WatchEventsResponse)
    assert json.loads(event.json)["code"] == "HELLO"
    stream.cancel()


async def test_actors_and_servers_are_streamed_on_each_change(channel: grpc.aio.Channel, bus: Bus) -> None:
    stream = control(channel).WatchActors(pb.WatchActorsRequest(), metadata=token("observer"))
    seen = []
    for number in (1, 2):
        read = asyncio.ensure_future(stream.read())
        while not read.done():
            actor = system_pb2.ActorStatus(name="router", restarts=number, heartbeat_age_s=0.1)
            await bus.publish(subjects.ACTORS, system_pb2.ActorsSnapshot(actors=[actor], ts_ms=number))
            await asyncio.sleep(0.05)
        answer = read.result()
        assert isinstance(answer, pb.WatchActorsResponse)
        seen.append((answer.ts_ms, answer.actors[0].restarts))
    assert seen == [(1, 1), (2, 2)]
    stream.cancel()


async def test_equity_is_streamed_on_each_change(channel: grpc.aio.Channel, bus: Bus) -> None:
    stream = control(channel).WatchEquity(pb.WatchEquityRequest(), metadata=token("observer"))
    seen = []
    for number in (1, 2):
        read = asyncio.ensure_future(stream.read())
        while not read.done():
            equity = trading_pb2.Equity(equity=f"{number}00", ts_ms=number)
            await bus.publish(subjects.ROUTER_STATE, trading_pb2.RouterState(equity=equity))
            await asyncio.sleep(0.05)
        answer = read.result()
        assert isinstance(answer, pb.WatchEquityResponse)
        seen.append(answer.equity.equity)
    assert seen == ["100", "200"]
    stream.cancel()


async def test_a_stream_needs_a_token(channel: grpc.aio.Channel) -> None:
    for verb in ("WatchActors", "WatchEquity", "WatchEvents"):
        request = getattr(pb, f"{verb}Request")()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await getattr(control(channel), verb)(request).read()
        assert reason(caught.value) == "UNAUTHENTICATED", verb


async def test_a_command_is_told_to_the_audit_log_refused_or_not(channel: grpc.aio.Channel, bus: Bus) -> None:
    told: asyncio.Queue[trading_pb2.OperatorActed] = asyncio.Queue()

    async def on_acted(received: Received[trading_pb2.OperatorActed]) -> None:
        told.put_nowait(received.message)

    async def refuse(_: Received[trading_pb2.OperatorCommand]) -> Message:
        return trading_pb2.OperatorReceipt(accepted=False, code="HALT_STANDS")

    async def restart(_: Received[system_pb2.RestartActorRequest]) -> Message:
        return system_pb2.RestartActorReply(accepted=True, code="DONE", recovery_s=0.5, pid=7)

    await bus.subscribe(subjects.OPERATOR_ACTED, trading_pb2.OperatorActed, on_acted)
    await bus.serve(subjects.operator("arm"), trading_pb2.OperatorCommand, refuse)
    await bus.serve(subjects.RPC_RESTART, system_pb2.RestartActorRequest, restart)
    with pytest.raises(grpc.aio.AioRpcError):
        await control(channel).Arm(pb.ArmRequest(reason="go"), metadata=token("operator"))
    reply = await control(channel).RestartActor(
        pb.RestartActorRequest(name="brain", reason="leak"), metadata=token("operator")
    )
    assert (reply.reply.recovery_s, reply.reply.pid) == (0.5, 7)
    async with asyncio.timeout(20):
        acted = [await told.get(), await told.get()]
    assert [(each.verb, each.reason, each.operator_id, each.receipt.accepted) for each in acted] == [
        ("arm", "go", "grpc:operator", False),
        ("restart brain", "leak", "grpc:operator", True),
    ]


async def test_a_restart_that_did_not_work_says_why(channel: grpc.aio.Channel, bus: Bus) -> None:
    async def answer(received: Received[system_pb2.RestartActorRequest]) -> Message:
        return system_pb2.RestartActorReply(accepted=False, code=received.message.name, detail="brain is quarantined")

    await bus.serve(subjects.RPC_RESTART, system_pb2.RestartActorRequest, answer)
    for code, status in (
        ("NOT_FOUND", grpc.StatusCode.NOT_FOUND),
        ("NOT_READY", grpc.StatusCode.ABORTED),
        ("NOT_RUNNING", grpc.StatusCode.FAILED_PRECONDITION),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await control(channel).RestartActor(pb.RestartActorRequest(name=code), metadata=token("operator"))
        assert (caught.value.code(), reason(caught.value)) == (status, code)
        assert caught.value.details() == "brain is quarantined"


async def test_health_and_reflection_answer_without_a_token(channel: grpc.aio.Channel) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    answer = await health.Check(health_pb2.HealthCheckRequest(service="titan.control.v1.Control"))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(
        iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    )
    listed = await call.read()
    assert "titan.control.v1.Control" in [found.name for found in listed.list_services_response.service]


async def test_the_public_health_is_aggregated_without_details(
    runtime: Runtime, gateway: asyncio.subprocess.Process
) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{runtime.ports['gateway_http']}/health") as answer,
    ):
        assert answer.status == 200
        assert await answer.json() == {"status": "degraded"}
