"""The bus as the router hears it: intents, quotes, the brain's pulse, operators, questions.

Guarantees: only verified messages become events, but for the two plain operator words; an intent that makes no sense
is a dead letter; copies of an intent reach the core, which knows them by id. Never: a decision.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable
from functools import lru_cache

import nats.js.errors

from actors.router.events import BrainBeat, Command, Event, IntentArrived, QuoteSeen
from actors.router.operator_door import read_command
from actors.router.state import Quote, RouterConfig
from protos import brain_pb2, market_pb2, system_pb2, trading_pb2
from titan import subjects
from titan.bus import Bus, Received
from titan.bus.consumption import HELD_S
from titan.clock import Clock
from titan.codec import intent_from_pb
from titan.codes import DeadLetterReason
from titan.envelope import Verifier
from titan.errors import Rejected, Transient
from titan.journal import JournalFailed, read_rows
from titan.logs import Log
from titan.model import Intent
from titan.money import ZERO, dec
from titan.runtime import Runtime

STREAM = "TITAN_CMD"
DURABLE = "EXECUTION_CORE"
FOLLOW_ROWS = 500
FOLLOW_BYTES = 600_000

Feed = Callable[[Event], None]

_place = lru_cache(maxsize=256)(subjects.intent_place)


class Intake:
    """Subscriptions of one router."""

    def __init__(
        self, bus: Bus, runtime: Runtime, config: RouterConfig, clock: Clock, verifier: Verifier, log: Log, feed: Feed
    ) -> None:
        self._bus = bus
        self._runtime = runtime
        self._config = config
        self._clock = clock
        self._verifier = verifier
        self._log = log
        self._feed = feed
        self.draining = False
        self.last_seq: Callable[[], int] = lambda: 0
        self.followed: Callable[[], None] = lambda: None

    async def watch(self) -> None:
        """Subscribes to what a router knows of the world, leading or not: quotes and the brain's pulse."""
        await self._bus.subscribe(subjects.heartbeat("brain"), system_pb2.Heartbeat, self._on_brain)
        for symbol in self._runtime.symbols:
            await self._bus.subscribe(subjects.ticker(self._config.venue, symbol), market_pb2.Ticker, self._on_ticker)

    async def prepare(self) -> None:
        """Answers what a leader answers before it trades: operators, questions; and lets its predecessor's intents go."""
        bus = self._bus
        await bus.subscribe_raw(subjects.OPERATOR_ALL, self._on_operator)
        await bus.serve(subjects.RPC_POLICY_HASH, brain_pb2.PolicyHashRequest, self._on_policy_hash)
        await bus.serve(subjects.RPC_JOURNAL, trading_pb2.JournalFollowRequest, self._on_follow)
        # What was given to a router that died is given to us now, not when its acknowledgement is overdue; copies are known.
        with contextlib.suppress(nats.js.errors.NotFoundError):
            await bus.jetstream.delete_consumer(STREAM, DURABLE)

    async def open(self) -> None:
        """Takes intents. To be called after `watch` and `prepare`, once the router is ready."""
        bus = self._bus
        await bus.subscribe(subjects.INTENT_PLACE_ALL, trading_pb2.Intent, self._on_intent)
        await bus.consume(
            STREAM, DURABLE, subjects.INTENT_PLACE_ALL, trading_pb2.Intent, self._on_kept_intent, patience_s=HELD_S
        )

    async def _on_intent(self, received: Received[trading_pb2.Intent]) -> None:
        try:
            intent = read_intent(received.message, received.subject)
        except ValueError:
            # Its copy in the stream becomes the dead letter, so that it is counted once.
            return
        if not self.draining:
            self._feed(IntentArrived(intent))

    async def _on_kept_intent(self, received: Received[trading_pb2.Intent]) -> None:
        if self.draining:
            raise Transient("the router is draining; the next one takes it")
        self._feed(IntentArrived(read_intent(received.message, received.subject)))

    async def _on_brain(self, received: Received[system_pb2.Heartbeat]) -> None:
        if received.message.state == system_pb2.ACTOR_STATE_READY:
            self._feed(BrainBeat())

    async def _on_ticker(self, received: Received[market_pb2.Ticker]) -> None:
        message = received.message
        try:
            quote = quote_of(message)
        except ValueError as error:
            self._log.warning("ticker refused", symbol=message.symbol, error=str(error))
            return
        self._feed(QuoteSeen(message.symbol, quote))

    async def _on_operator(self, subject: str, data: bytes, reply: str) -> None:
        try:
            command = read_command(
                self._verifier, subject, data, reply, self._clock.now().wall_ms, secrets.token_hex(8)
            )
        except Rejected as refusal:
            await self._bus.dead_letter(subject, data, DeadLetterReason(refusal.code), refusal.detail)
            return
        if command is not None:
            self._audit(command)
            self._feed(command)

    def _audit(self, command: Command) -> None:
        self._log.info(
            "operator command",
            verb=command.verb,
            reason=command.reason,
            operator=command.operator_id,
            command_id=command.command_id,
            plain=command.plain,
        )

    async def _on_policy_hash(self, received: Received[brain_pb2.PolicyHashRequest]) -> brain_pb2.PolicyHashReply:
        return brain_pb2.PolicyHashReply(policy_hash=self._config.policy_hash, ts_ms=self._clock.now().wall_ms)

    async def _on_follow(self, received: Received[trading_pb2.JournalFollowRequest]) -> trading_pb2.JournalFollowReply:
        asked = received.message
        limit = min(asked.limit or FOLLOW_ROWS, FOLLOW_ROWS)
        if asked.follower:
            self.followed()
        path = self._runtime.journal_path
        try:
            found = await asyncio.to_thread(read_rows, path, asked.from_seq, limit)
        except JournalFailed as error:
            return trading_pb2.JournalFollowReply(last_seq=self.last_seq(), error=str(error))
        reply = trading_pb2.JournalFollowReply(last_seq=self.last_seq())
        size = 0
        for row in found:
            size += len(row.payload) + 128
            if size > FOLLOW_BYTES:
                break
            reply.rows.add(
                term=row.term, seq=row.seq, kind=row.kind, payload=row.payload, hash=row.hash, ts_ms=row.ts_ms
            )
        return reply


def read_intent(message: trading_pb2.Intent, subject: str) -> Intent:
    """The intent of a message that came on its own subject. Raises ValueError."""
    intent = intent_from_pb(message)
    expected = _place(intent.venue, intent.account, intent.symbol)
    if subject != expected:
        raise ValueError(f"an intent for {expected} came on {subject}")
    return intent


def quote_of(message: market_pb2.Ticker) -> Quote:
    """The prices of a ticker. Raises ValueError when it names no price at all."""
    last, mark = dec(message.last), dec(message.mark)
    if last <= 0 and mark <= 0:
        raise ValueError("a ticker needs a last or a mark price")
    return Quote(
        last=last if last > ZERO else mark,
        mark=mark if mark > ZERO else last,
        bid=dec(message.bid),
        ask=dec(message.ask),
        ts_ms=message.ts_ms,
    )
