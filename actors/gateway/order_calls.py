"""The control service's calls about orders: a manual trade, a cancel, a change.

Guarantees: a manual trade goes through the brain's own pipeline; a cancel or change is answered by the router.
Never: a decision of its own.
"""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, TypedDict

import grpc
import grpc.aio
from google.protobuf.message import Message

from actors.gateway.auth import refuse
from protos import brain_pb2, trading_pb2
from protos import control_pb2 as pb
from protos.control_pb2_grpc import ControlServicer
from titan import subjects
from titan.bus import Bus, Received
from titan.clock import Clock
from titan.ids import new_ulid
from titan.money import dec

if TYPE_CHECKING:
    from actors.gateway.service import Feed

Context = grpc.aio.ServicerContext[object, object]
DECISION_TIMEOUT_S = 5.0


class OrderFields(TypedDict):
    """What a command says of one order; empty keeps a value."""

    client_order_id: str
    price: str
    quantity: str
    trigger_price: str


NO_ORDER = OrderFields(client_order_id="", price="", quantity="", trigger_price="")


class OrderCalls(ControlServicer):
    """The part of titan.control.v1.Control that is about orders."""

    _bus: Bus
    _clock: Clock
    _feed: Feed
    _proposed: Callable[[trading_pb2.Signal], None]

    @abstractmethod
    async def _enter(self, context: Context, method: str) -> str: ...

    @abstractmethod
    async def _command(
        self, context: Context, method: str, verb: str, reason: str, order: OrderFields | None = None
    ) -> trading_pb2.OperatorReceipt: ...

    async def CancelOrder(self, request: pb.CancelOrderRequest, context: Context) -> pb.CancelOrderResponse:  # noqa: N802
        """Has the router cancel one live order; a protective stop is refused."""
        asked = OrderFields(client_order_id=request.client_order_id, price="", quantity="", trigger_price="")
        receipt = await self._command(context, "CancelOrder", "cancel_order", request.reason, asked)
        return pb.CancelOrderResponse(receipt=receipt)

    async def AmendOrder(self, request: pb.AmendOrderRequest, context: Context) -> pb.AmendOrderResponse:  # noqa: N802
        """Has the router change one live order, in place or by cancel and replacement."""
        asked = OrderFields(
            client_order_id=request.client_order_id,
            price=request.price,
            quantity=request.quantity,
            trigger_price=request.trigger_price,
        )
        receipt = await self._command(context, "AmendOrder", "amend_order", request.reason, asked)
        return pb.AmendOrderResponse(receipt=receipt)

    async def SubmitManualIntent(  # noqa: N802
        self, request: pb.SubmitManualIntentRequest, context: Context
    ) -> pb.SubmitManualIntentResponse:
        """Sends a manual signal through the brain's own pipeline and returns its decision."""
        role = await self._enter(context, "SubmitManualIntent")
        if not request.reason.strip():
            await refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "REASON_MISSING", "a manual trade needs a reason")
        try:
            size = dec(request.size_usd)
        except ValueError as error:
            await refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_SIZE", f"size_usd: {error}")
        if request.action == trading_pb2.SIGNAL_ACTION_OPEN and size <= 0:
            await refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_SIZE", "size_usd must be above zero")
        now = self._clock.now()
        signal = trading_pb2.Signal(
            signal_id=f"manual-{new_ulid()}",
            phase=trading_pb2.PHASE_MANUAL,
            action=request.action,
            venue="auto",
            symbol=request.symbol,
            side=request.side,
            requested_size_usd=request.size_usd,
            stop_price=request.stop_price,
            target_price=request.target_price,
            confidence=100.0,
            trap_type="MANUAL",
            entry_price=request.limit_price,
            order_type=request.order_type or trading_pb2.ORDER_TYPE_MARKET,
            t_signal_ms=now.market_ms,
            t_exchange_ms=now.market_ms,
            ttl_ms=5000,
            metadata={"reason": request.reason, "operator_id": f"grpc:{role}"},
            t_wall_ns=time.time_ns(),
            terms=request.terms if request.HasField("terms") else None,
        )
        watch = self._feed.watch()
        decided = asyncio.create_task(self._decision(watch, signal.signal_id))
        await asyncio.sleep(0)
        await self._bus.publish(subjects.SIGNAL_SUBMIT, signal, correlation_id=signal.signal_id)
        self._proposed(signal)
        try:
            decision = await asyncio.wait_for(decided, DECISION_TIMEOUT_S)
        except TimeoutError:
            await refuse(
                context,
                grpc.StatusCode.DEADLINE_EXCEEDED,
                "NO_DECISION",
                f"the brain did not decide on {signal.signal_id} within {DECISION_TIMEOUT_S:.0f} s",
            )
        return pb.SubmitManualIntentResponse(signal_id=signal.signal_id, decision=decision)

    @staticmethod
    async def _decision(watch: AsyncIterator[Received[Message]], signal_id: str) -> brain_pb2.Decision:
        async for received in watch:
            message = received.message
            if isinstance(message, brain_pb2.Decision) and message.signal_id == signal_id:
                return message
        raise AssertionError("the feed never ends")
