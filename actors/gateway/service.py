"""The control service: each call checked for its role, answered from the read model, the ledger or the right actor.

Guarantees: a command's answer is the router's own receipt; what can't be answered is a gRPC status with a reason,
never an invented value. Never: a decision of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

import grpc
import grpc.aio
import nats.errors
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message

from actors.gateway.auth import admit, refuse
from actors.gateway.core import ReadModel
from actors.gateway.order_calls import NO_ORDER, Context, OrderCalls, OrderFields
from protos import brain_pb2, system_pb2, trading_pb2
from protos import control_pb2 as pb
from titan import subjects
from titan.bus import Bus, Received
from titan.clock import Clock
from titan.errors import Rejected, Transient
from titan.ids import new_ulid
from titan.runtime import ApiTokens

MAX_ROWS = 1000
COMMAND_TIMEOUT_S = 10.0
FLATTEN_TIMEOUT_S = 30.0
RECONCILE_TIMEOUT_S = 60.0
# The supervisor waits a minute for Ready.
RESTART_TIMEOUT_S = 65.0
RESTART_REFUSALS = {"NOT_FOUND": grpc.StatusCode.NOT_FOUND, "NOT_READY": grpc.StatusCode.ABORTED}
_DATE = re.compile(r"^\d{4}-\d{2}-\d{2}$")


class LedgerReader(Protocol):
    """What the service reads from the ledger."""

    async def orders(self, limit: int, *, open_only: bool) -> list[trading_pb2.OrderEvent]:
        """Newest first."""
        ...

    async def trades(self, date: str, limit: int) -> list[trading_pb2.Fill]:
        """Newest first; `date` is YYYY-MM-DD in UTC or empty."""
        ...

    async def decisions(self, limit: int) -> list[brain_pb2.Decision]:
        """Newest first."""
        ...


class Feed:
    """Hands events on to every stream that watches; a slow watcher loses the oldest, never blocks the others."""

    def __init__(self, size: int = 1000) -> None:
        self._size = size
        self._watchers: set[asyncio.Queue[Received[Message]]] = set()

    def put(self, received: Received[Message]) -> None:
        """Offers one event to all watchers."""
        for queue in self._watchers:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(received)

    async def watch(self) -> AsyncIterator[Received[Message]]:
        """Events from now on."""
        queue: asyncio.Queue[Received[Message]] = asyncio.Queue(self._size)
        self._watchers.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._watchers.discard(queue)


class ControlService(OrderCalls):
    """titan.control.v1.Control."""

    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        tokens: ApiTokens,
        model: ReadModel,
        ledger: LedgerReader,
        feed: Feed,
        frame: Callable[[], pb.GetStatusResponse],
        policy_json: Callable[[], str],
        advance: Callable[[], None],
        proposed: Callable[[trading_pb2.Signal], None],
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._tokens = tokens
        self._model = model
        self._ledger = ledger
        self._feed = feed
        self._frame = frame
        self._policy_json = policy_json
        self._advance = advance
        self._proposed = proposed

    async def _enter(self, context: Context, method: str) -> str:
        self._advance()
        return await admit(context, method, self._tokens)

    async def _ask(self, context: Context, work: Awaitable[Message]) -> Message:
        try:
            return await work
        except Transient as error:
            await refuse(context, grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE", str(error))
        except Rejected as error:
            await refuse(context, grpc.StatusCode.FAILED_PRECONDITION, error.code, error.detail)

    async def _command(
        self, context: Context, method: str, verb: str, reason: str, order: OrderFields | None = None
    ) -> trading_pb2.OperatorReceipt:
        role = await self._enter(context, method)
        if verb != "flatten" and not reason.strip():
            await refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "REASON_MISSING", f"{verb} needs a reason")
        command = trading_pb2.OperatorCommand(
            command_id=new_ulid(),
            action=verb,
            reason=reason.strip() or verb,
            operator_id=f"grpc:{role}",
            ts_ms=time.time_ns() // 1_000_000,
            **(order or NO_ORDER),
        )
        timeout_s = FLATTEN_TIMEOUT_S if verb == "flatten" else COMMAND_TIMEOUT_S
        receipt = await self._ask(
            context,
            self._bus.request(subjects.operator(verb), command, trading_pb2.OperatorReceipt, timeout_s),
        )
        assert isinstance(receipt, trading_pb2.OperatorReceipt)
        await self._account(verb, command.reason, command.operator_id, receipt)
        if not receipt.accepted:
            await refuse(context, grpc.StatusCode.FAILED_PRECONDITION, receipt.code, receipt.detail)
        return receipt

    async def _account(self, verb: str, reason: str, operator: str, receipt: trading_pb2.OperatorReceipt) -> None:
        """Has a command and what it did written to the audit log, refused ones too."""
        acted = trading_pb2.OperatorActed(
            verb=verb, reason=reason, operator_id=operator, ts_ms=time.time_ns() // 1_000_000, receipt=receipt
        )
        with contextlib.suppress(nats.errors.Error):  # what was done is done; its receipt is the caller's
            await self._bus.publish(subjects.OPERATOR_ACTED, acted)

    async def GetStatus(self, request: pb.GetStatusRequest, context: Context) -> pb.GetStatusResponse:  # noqa: N802
        """The whole status, from the read model."""
        await self._enter(context, "GetStatus")
        return self._model.status(self._clock.now(), self._frame())

    async def Arm(self, request: pb.ArmRequest, context: Context) -> pb.ArmResponse:  # noqa: N802
        """Lets phases open positions."""
        return pb.ArmResponse(receipt=await self._command(context, "Arm", "arm", request.reason))

    async def Disarm(self, request: pb.DisarmRequest, context: Context) -> pb.DisarmResponse:  # noqa: N802
        """Stops openings at once."""
        return pb.DisarmResponse(receipt=await self._command(context, "Disarm", "disarm", request.reason))

    async def Reduce(self, request: pb.ReduceRequest, context: Context) -> pb.ReduceResponse:  # noqa: N802
        """Allows only what lowers risk."""
        return pb.ReduceResponse(receipt=await self._command(context, "Reduce", "reduce", request.reason))

    async def Halt(self, request: pb.HaltRequest, context: Context) -> pb.HaltResponse:  # noqa: N802
        """Cancels what could raise risk; protection stays."""
        return pb.HaltResponse(receipt=await self._command(context, "Halt", "halt", request.reason))

    async def Resume(self, request: pb.ResumeRequest, context: Context) -> pb.ResumeResponse:  # noqa: N802
        """Lifts a halt into DISARMED."""
        return pb.ResumeResponse(receipt=await self._command(context, "Resume", "resume", request.reason))

    async def FlattenAll(self, request: pb.FlattenAllRequest, context: Context) -> pb.FlattenAllResponse:  # noqa: N802
        """Closes every position."""
        return pb.FlattenAllResponse(receipt=await self._command(context, "FlattenAll", "flatten", request.reason))

    async def ListPositions(  # noqa: N802
        self, request: pb.ListPositionsRequest, context: Context
    ) -> pb.ListPositionsResponse:
        """The router's positions."""
        await self._enter(context, "ListPositions")
        router = await self._router(context)
        return pb.ListPositionsResponse(positions=router.positions, ts_ms=router.ts_ms)

    async def GetEquity(self, request: pb.GetEquityRequest, context: Context) -> pb.GetEquityResponse:  # noqa: N802
        """The router's equity."""
        await self._enter(context, "GetEquity")
        return pb.GetEquityResponse(equity=(await self._router(context)).equity)

    async def _router(self, context: Context) -> trading_pb2.RouterState:
        if self._model.router is None:
            await refuse(context, grpc.StatusCode.UNAVAILABLE, "NO_ROUTER_STATE", "the router has not spoken yet")
        return self._model.router

    async def _rows(self, context: Context, limit: int) -> int:
        if limit > MAX_ROWS:
            await refuse(
                context, grpc.StatusCode.INVALID_ARGUMENT, "LIMIT", f"limit {limit} is above the maximum {MAX_ROWS}"
            )
        return limit or 50

    async def ListOrders(self, request: pb.ListOrdersRequest, context: Context) -> pb.ListOrdersResponse:  # noqa: N802
        """Orders of the ledger, newest first."""
        await self._enter(context, "ListOrders")
        limit = await self._rows(context, request.limit)
        try:
            orders = await self._ledger.orders(limit, open_only=request.open_only)
        except Transient as error:
            await refuse(context, grpc.StatusCode.UNAVAILABLE, "LEDGER_UNAVAILABLE", str(error))
        return pb.ListOrdersResponse(orders=orders, ts_ms=self._clock.now().wall_ms)

    async def ListTrades(self, request: pb.ListTradesRequest, context: Context) -> pb.ListTradesResponse:  # noqa: N802
        """Fills of the ledger, newest first."""
        await self._enter(context, "ListTrades")
        limit = await self._rows(context, request.limit)
        if request.date and not _DATE.match(request.date):
            await refuse(
                context, grpc.StatusCode.INVALID_ARGUMENT, "DATE", f"{request.date!r} is not a date like 2026-01-31"
            )
        try:
            fills = await self._ledger.trades(request.date, limit)
        except Transient as error:
            await refuse(context, grpc.StatusCode.UNAVAILABLE, "LEDGER_UNAVAILABLE", str(error))
        except ValueError as error:
            await refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "DATE", str(error))
        return pb.ListTradesResponse(fills=fills, ts_ms=self._clock.now().wall_ms)

    async def ListDecisions(  # noqa: N802
        self, request: pb.ListDecisionsRequest, context: Context
    ) -> pb.ListDecisionsResponse:
        """Decisions of the ledger, newest first."""
        await self._enter(context, "ListDecisions")
        limit = await self._rows(context, request.limit)
        try:
            decisions = await self._ledger.decisions(limit)
        except Transient as error:
            await refuse(context, grpc.StatusCode.UNAVAILABLE, "LEDGER_UNAVAILABLE", str(error))
        return pb.ListDecisionsResponse(decisions=decisions, ts_ms=self._clock.now().wall_ms)

    async def ListActors(self, request: pb.ListActorsRequest, context: Context) -> pb.ListActorsResponse:  # noqa: N802
        """Every supervised actor, asked of the root supervisor."""
        await self._enter(context, "ListActors")
        question = system_pb2.ActorsRequest(requested_by="gateway")
        found = await self._ask(context, self._bus.request(subjects.RPC_ACTORS, question, system_pb2.ActorsSnapshot))
        assert isinstance(found, system_pb2.ActorsSnapshot)
        return pb.ListActorsResponse(actors=found.actors, ts_ms=found.ts_ms)

    async def RestartActor(  # noqa: N802
        self, request: pb.RestartActorRequest, context: Context
    ) -> pb.RestartActorResponse:
        """Drains, stops and starts one actor; the answer comes when it is Ready again."""
        role = await self._enter(context, "RestartActor")
        question = system_pb2.RestartActorRequest(
            name=request.name, reason=request.reason or "operator", operator_id=f"grpc:{role}"
        )
        reply = await self._ask(
            context, self._bus.request(subjects.RPC_RESTART, question, system_pb2.RestartActorReply, RESTART_TIMEOUT_S)
        )
        assert isinstance(reply, system_pb2.RestartActorReply)
        receipt = trading_pb2.OperatorReceipt(accepted=reply.accepted, code=reply.code, detail=reply.detail)
        await self._account(f"restart {request.name}", question.reason, question.operator_id, receipt)
        if not reply.accepted:
            await refuse(
                context, RESTART_REFUSALS.get(reply.code, grpc.StatusCode.FAILED_PRECONDITION), reply.code, reply.detail
            )
        return pb.RestartActorResponse(reply=reply)

    async def Reconcile(self, request: pb.ReconcileRequest, context: Context) -> pb.ReconcileResponse:  # noqa: N802
        """Runs a truth pass and returns it."""
        role = await self._enter(context, "Reconcile")
        question = trading_pb2.TruthRequest(requested_by=f"grpc:{role}")
        truth = await self._ask(
            context, self._bus.request(subjects.RPC_TRUTH, question, trading_pb2.Truth, RECONCILE_TIMEOUT_S)
        )
        assert isinstance(truth, trading_pb2.Truth)
        return pb.ReconcileResponse(truth=truth)

    async def GetPolicy(self, request: pb.GetPolicyRequest, context: Context) -> pb.GetPolicyResponse:  # noqa: N802
        """The policy file and the hashes in force."""
        await self._enter(context, "GetPolicy")
        question = brain_pb2.PolicyHashRequest(requested_by="gateway")
        reply = await self._ask(
            context, self._bus.request(subjects.RPC_POLICY_HASH, question, brain_pb2.PolicyHashReply)
        )
        assert isinstance(reply, brain_pb2.PolicyHashReply)
        return pb.GetPolicyResponse(
            policy_json=self._policy_json(),
            policy_hash=reply.policy_hash,
            router_policy_hash=reply.policy_hash,
            brain_policy_hash=self._model.brain_policy_hash,
        )

    async def WatchEvents(  # noqa: N802
        self, request: pb.WatchEventsRequest, context: Context
    ) -> AsyncIterator[pb.WatchEventsResponse]:
        """Every event from now on."""
        await self._enter(context, "WatchEvents")
        wanted = list(request.subjects)
        async for received in self._feed.watch():
            if wanted and not any(subjects.matches(pattern, received.subject) for pattern in wanted):
                continue
            yield pb.WatchEventsResponse(
                subject=received.subject,
                type=received.envelope.type,
                json=MessageToJson(received.message, indent=None, preserving_proto_field_name=True),
                ts_ms=received.envelope.ts_ms,
                correlation_id=received.envelope.correlation_id,
            )

    async def WatchActors(  # noqa: N802
        self, request: pb.WatchActorsRequest, context: Context
    ) -> AsyncIterator[pb.WatchActorsResponse]:
        """The actors, on each change."""
        await self._enter(context, "WatchActors")
        last = 0
        while True:
            snapshot = self._model.actors
            if snapshot is not None and snapshot.ts_ms != last:
                last = snapshot.ts_ms
                yield pb.WatchActorsResponse(actors=snapshot.actors, ts_ms=snapshot.ts_ms)
            await asyncio.sleep(0.2)

    async def WatchEquity(  # noqa: N802
        self, request: pb.WatchEquityRequest, context: Context
    ) -> AsyncIterator[pb.WatchEquityResponse]:
        """The equity, on each change."""
        await self._enter(context, "WatchEquity")
        last = 0
        while True:
            router = self._model.router
            if router is not None and router.equity.ts_ms != last:
                last = router.equity.ts_ms
                yield pb.WatchEquityResponse(equity=router.equity)
            await asyncio.sleep(0.2)
