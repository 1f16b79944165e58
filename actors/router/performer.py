"""Carries out what the core asks for, and tells the world of its state.

Guarantees: effects happen in the core's order; an event fed while another's effects are carried out waits its turn; an opening
whose row could not be written, or for which the lease has run out at the moment of the send, is not sent; what lowers risk is
held back only when another place may lead by now. Never: a decision.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable, Iterable
from typing import Literal, assert_never

from actors.router import gauges, view
from actors.router.affinity import Affinity
from actors.router.core import RouterCore
from actors.router.effects import (
    AmendOrder,
    Append,
    CancelOrder,
    Effect,
    FetchExecutions,
    FetchReport,
    LookUp,
    Receipt,
    SendOrder,
    StateChanged,
)
from actors.router.events import AmendFailed, CancelFailed, Event, LinkChanged, SendFailed, TimerFired
from actors.router.outbox import Outbox
from actors.router.session import VenueSession
from actors.router.tenure import Tenure, now_ms
from actors.router.writer import JournalWriter
from protos import trading_pb2 as pb
from titan import subjects
from titan.actor import Actor
from titan.codec import TRADING_STATE_TO_PB
from titan.codes import TradingState
from titan.effects import CancelTimer, RaiseAlert, SetTimer
from titan.halt import clear_halt, write_halt
from titan.journal import JournalFailed
from titan.model import Order

CONFLATE_S = 0.05
_FENCED = "the lease has run out"


class Performer:
    """The hands of a leading router's core. Timers, tasks and alerts are the actor's."""

    def __init__(
        self,
        actor: Actor,
        core: RouterCore,
        session: VenueSession,
        outbox: Outbox,
        tenure: Tenure,
        affinity: Affinity,
    ) -> None:
        self._actor = actor
        self._core = core
        self._session = session
        self._outbox = outbox
        self._lease = tenure.lease
        self._affinity = affinity
        self._writer: JournalWriter
        self._events: deque[Event] = deque()
        self._performing = False
        self._telling = False
        self._state_due = False

    def begin(self, writer: JournalWriter) -> None:
        """Writes the row that opens this leader's term. To be called once, before any event."""
        self._writer = writer
        self._perform(self._core.start(self._actor.clock.now(), os.getpid()))
        self.tell()

    @property
    def journal_healthy(self) -> bool:
        """Whether everything asked for is in the journal."""
        return self._writer.healthy

    def feed(self, event: Event) -> None:
        """Hands an event to the core and performs what it asks for; an event fed meanwhile waits its turn."""
        self._events.append(event)
        if self._performing:
            return
        self._performing = True
        try:
            while self._events:
                self._perform(self._core.handle(self._events.popleft(), self._actor.clock.now()))
                self._actor.advance()
        finally:
            self._performing = False
            self._tell_later()

    def _tell_later(self) -> None:
        # What an order's send has begun goes first on the loop: telling of its row costs as much as writing it.
        if self._writer.untold and not self._telling:
            self._telling = True
            asyncio.get_running_loop().call_soon(self.tell)

    def tell(self) -> None:
        """Tells the bus and the followers of the rows that were written."""
        self._telling = False
        self._writer.tell()

    async def told(self, timeout_s: float) -> None:
        """Tells of everything written, and waits until the bus has it, or for so long."""
        self.tell()
        await self._outbox.drained(timeout_s)

    def link_of(self, name: Literal["bus", "journal", "lease"]) -> Callable[[bool, str], None]:
        """What tells the core whether a link it depends on stands."""

        def changed(up: bool, detail: str) -> None:
            self.feed(LinkChanged(name, up, detail))

        return changed

    def _perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Append():
                    self._writer.append(effect.rows)
                case SendOrder():
                    self._send(effect)
                case StateChanged():
                    self._state_changed()
                case CancelOrder():
                    self._cancel(effect.order)
                case AmendOrder():
                    self._amend(effect)
                case LookUp():
                    self._session.look_up(effect.order)
                case FetchExecutions():
                    self._session.fetch_executions()
                case FetchReport():
                    self._session.fetch_report()
                case SetTimer():
                    self._set_timer(effect)
                case CancelTimer():
                    self._actor.cancel(effect.key)
                case RaiseAlert():
                    told = self._actor.alert(effect.code, effect.severity, effect.message, effect.labels)
                    self._actor.spawn(told, "alert")
                case Receipt():
                    self._actor.spawn(self._answer(effect), "receipt")
                case _:
                    assert_never(effect)

    def _send(self, effect: SendOrder) -> None:
        order = effect.order
        if order.reduce_only:
            if not self._lease.may_lower(now_ms()):
                self.feed(SendFailed(order.client_order_id, "never_left", _FENCED))
                return
        elif not self._writer.healthy:
            self.feed(SendFailed(order.client_order_id, "unjournalled", "its row could not be written first"))
            return
        elif not self._lease.may_raise(now_ms()):
            self.feed(SendFailed(order.client_order_id, "fenced", _FENCED))
            return
        self._session.send(order, effect.t_wall_ns)

    def _cancel(self, order: Order) -> None:
        if self._lease.may_lower(now_ms()):
            self._session.cancel(order)
        else:
            self.feed(CancelFailed(order.client_order_id, "never_left", _FENCED))

    def _amend(self, effect: AmendOrder) -> None:
        order, now = effect.order, now_ms()
        lease = self._lease.may_lower(now) if order.reduce_only else self._lease.may_raise(now)
        if not lease or not (order.reduce_only or self._writer.healthy):
            detail = "its row could not be written first" if lease else _FENCED
            self.feed(AmendFailed(order.client_order_id, effect.number, "never_left", detail))
            return
        self._session.amend(effect)

    def _set_timer(self, timer: SetTimer) -> None:
        async def fire() -> None:
            self.feed(TimerFired(timer.key))

        seconds = timer.after_ms / 1000 / (self._actor.clock.speed if timer.clock == "market" else 1.0)
        self._actor.after(timer.key, seconds, fire)

    # telling

    async def _answer(self, receipt: Receipt) -> None:
        self._actor.log.info(
            "operator receipt",
            verb=receipt.verb,
            command_id=receipt.command_id,
            accepted=receipt.accepted,
            code=receipt.code.value,
            state=receipt.current.value,
            detail=receipt.detail,
            effects=list(receipt.effects),
        )
        if receipt.accepted and receipt.verb == "resume" and receipt.current is not TradingState.HALTED:
            clear_halt(self._actor.runtime.home)
        promise = await self._keep(receipt) if receipt.accepted else ""
        if not receipt.reply:
            return
        # Before the answer, on the same connection: whoever acts on the answer meets a brain that knows the new state.
        await self.publish_state()
        message = pb.OperatorReceipt(
            command_id=receipt.command_id,
            accepted=receipt.accepted,
            prior_state=TRADING_STATE_TO_PB[receipt.prior],
            new_state=TRADING_STATE_TO_PB[receipt.current],
            code=receipt.code.value,
            detail=receipt.detail,
            effects=[*receipt.effects, promise] if promise else receipt.effects,
        )
        await self._actor.bus.reply(receipt.reply, subjects.operator(receipt.verb), message)

    async def _keep(self, receipt: Receipt) -> str:
        """Makes what was promised outlive a power loss before it is promised; says so when that can't be had."""
        if self._writer.healthy:
            try:
                await asyncio.to_thread(self._writer.sync)
            except JournalFailed as error:
                self._actor.log.warning("journal not synced", error=str(error))
            else:
                return ""
        if receipt.current is TradingState.HALTED:
            try:
                path = await asyncio.to_thread(write_halt, self._actor.runtime.home, receipt.detail)
            except OSError as error:
                self._actor.log.warning("halt not kept", error=str(error))
            else:
                return f"the journal can't be written: the halt is kept in {path.name}"
        return "NOT KEPT: the journal can't be written, a router that starts anew does not know of this"

    def _state_changed(self) -> None:
        if self._state_due:
            return
        self._state_due = True
        self._actor.after("state", CONFLATE_S, self.publish_state)

    async def publish_state(self) -> None:
        """Publishes the router's account of itself now."""
        actor, core = self._actor, self._core
        actor.cancel("state")
        self._state_due = False
        if not actor.bus.connected:
            return
        gauges.show(actor.metrics, core.state, core.config, len(self._outbox))
        message = view.router_state(core.state, core.config, actor.clock.now(), self._affinity.last)
        for lane in actor.fast_lane().values():
            message.ipc_status, message.ipc_detail = lane.status, lane.detail
        await actor.bus.publish(subjects.ROUTER_STATE, message)
