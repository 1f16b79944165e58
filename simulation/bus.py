"""The bus of a world: core subjects, two streams with durable consumers, and everything a bus may do to a message.

Guarantees: messages of one publisher on one subject reach a subscriber in order; what a stream took is delivered until it
is acknowledged; bytes are sealed and verified by the real envelope, so a poisoned, tampered or replayed message meets the
same checks as in production. Tickers alone go without a seal: nobody attacks them here and they are half of all messages.
Never: a decision.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache, partial

from google.protobuf.message import DecodeError, Message

from protos import envelope_pb2
from simulation.engine import Engine
from simulation.plan import Fault
from simulation.process import Process
from titan import subjects
from titan.envelope import Head, KeyRing, SigningKey, Verifier, seal
from titan.errors import Rejected

KEY = SigningKey("sim", b"the key of a simulated bus")
ACK_WAIT_MS = 30_000
NAK_MS = 500
BUFFER_MS = 20

# A world has a few dozen patterns and subjects, asked for at every message.
_matches = lru_cache(maxsize=4_096)(subjects.matches)

OnMessage = Callable[["Delivery"], bool]
"""Handles a message; False asks for redelivery (streams only)."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A verified message."""

    subject: str
    message: Message
    envelope_id: str
    reply: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class Wire:
    """Bytes on a subject. `kind` is the message they should be."""

    subject: str
    raw: bytes
    kind: type[Message]
    publisher: str
    reply: str = ""
    message_id: str = ""


@dataclass(slots=True)
class Subscription:
    """One subscriber of core subjects."""

    process: Process
    pattern: str
    kind: type[Message]
    handler: OnMessage
    last_ms: dict[tuple[str, str], int] = field(default_factory=dict)


@dataclass(slots=True)
class Consumer:
    """A durable: what waits for it, and who takes it now."""

    pattern: str
    waiting: deque[Wire] = field(default_factory=deque)
    taken: dict[int, Wire] = field(default_factory=dict)
    process: Process | None = None
    kind: type[Message] | None = None
    handler: OnMessage | None = None
    busy: bool = False
    number: int = 0


class SimBus:
    """One NATS server and everybody's connection to it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._subscriptions: list[Subscription] = []
        self._verifiers: dict[int, Verifier] = {}
        self._held: list[Wire] = []
        self._seen_ids: dict[str, int] = {}
        self.consumers: dict[str, Consumer] = {}
        self.faults: deque[tuple[Fault, int]] = deque()
        self.slow: dict[str, int] = {}
        self.past: deque[Wire] = deque(maxlen=64)
        self.dead_letters: dict[str, int] = {}
        self.up = True
        self.lost_ack = 0
        self.cut: set[Process] = set()
        self.kv: dict[str, str] = {}

    def reaches(self, process: Process) -> bool:
        """Whether this process has a connection to the server."""
        return self.up and process not in self.cut

    # who listens

    def subscribe(self, process: Process, pattern: str, kind: type[Message], handler: OnMessage) -> None:
        """Calls `handler` in `process` with each verified message."""
        self._subscriptions.append(Subscription(process, pattern, kind, handler))

    def durable(self, name: str, pattern: str) -> None:
        """Makes a stream's durable consumer, empty."""
        self.consumers.setdefault(name, Consumer(pattern))

    def consume(
        self, process: Process, name: str, kind: type[Message], handler: OnMessage, *, renew: bool = False
    ) -> None:
        """Feeds `process` from a durable. What its last taker did not acknowledge comes at once with `renew`."""
        consumer = self.consumers[name]
        consumer.process, consumer.kind, consumer.handler = process, kind, handler
        consumer.busy = False
        if renew:
            consumer.waiting.extendleft(reversed(consumer.taken.values()))
            consumer.taken.clear()
        self._pump(consumer)

    def leave(self, process: Process) -> None:
        """A process is gone."""
        self._subscriptions = [each for each in self._subscriptions if each.process is not process]
        self.cut.discard(process)
        self._verifiers.pop(id(process), None)
        for consumer in self.consumers.values():
            if consumer.process is process:
                consumer.process = None
                for number in list(consumer.taken):
                    self._engine.after(ACK_WAIT_MS, partial(self._overdue, consumer, number))

    # publishing

    def seal(
        self,
        publisher: str,
        subject: str,
        message: Message,
        *,
        correlation_id: str = "",
        envelope_id: str = "",
        reply: str = "",
        message_id: str = "",
    ) -> Wire:
        """Signs a message."""
        entropy = self._engine.chance("nonce").randbytes(26)
        head = Head(
            subject=subject,
            type=message.DESCRIPTOR.full_name,
            producer=publisher,
            ts_ms=self._engine.now().wall_ms,
            correlation_id=correlation_id,
            envelope_id=envelope_id,
        )
        sealed, raw = seal(KEY, head, message.SerializeToString(), entropy)
        return Wire(subject, raw, type(message), publisher, reply, message_id and (message_id or sealed))

    def send(self, wire: Wire) -> bool:
        """Puts bytes on the bus; buffered while it is down. True when a stream has them."""
        if not self.up:
            self._held.append(wire)
            return False
        self.past.append(wire)
        self._capture(wire)
        self._spread(wire)
        return True

    def send_durable(self, wire: Wire) -> bool:
        """Puts bytes on the bus and waits for the stream; False when that failed and they must be sent again."""
        return self.up and self.send(wire)

    def say(self, subject: str, message: Message) -> None:
        """Hands a message to everybody without a seal: tickers."""
        if not self.up:
            return
        delay = self._engine.chance("bus").randint(1, 4)
        for each in self._subscriptions:
            if _matches(each.pattern, subject) and each.process not in self.cut:
                told = Delivery(subject, message, "", "", b"")
                self._engine.after(delay, partial(each.process.deliver, partial(_handle, each, told)))

    def _capture(self, wire: Wire) -> None:
        now = self._engine.t_ms
        for consumer in self.consumers.values():
            if not _matches(consumer.pattern, wire.subject):
                continue
            if wire.message_id:
                key = f"{consumer.pattern} {wire.message_id}"
                if now - self._seen_ids.get(key, -(10**9)) < 120_000:
                    continue
                self._seen_ids[key] = now
            consumer.waiting.append(wire)
            self._engine.after(self._engine.chance("bus").randint(1, 6), partial(self._pump, consumer))

    def _spread(self, wire: Wire) -> None:
        for each in self._subscriptions:
            if not _matches(each.pattern, wire.subject) or each.process in self.cut:
                continue
            copies, sent = 1, wire
            if self.faults:
                fault, number = self.faults.popleft()
                if fault is Fault.BUS_DROP:
                    continue
                if fault is Fault.BUS_TAMPERED:
                    sent = tampered(wire, number)
                else:
                    copies = 2
            for _ in range(copies):
                delay = self._engine.chance("bus").randint(1, 6) + self.slow.get(wire.subject, 0)
                key = (wire.publisher, wire.subject)
                at_ms = max(self._engine.t_ms + delay, each.last_ms.get(key, 0))
                each.last_ms[key] = at_ms
                self._engine.after(at_ms - self._engine.t_ms, partial(self._arrive, each, sent))

    def _arrive(self, subscription: Subscription, wire: Wire) -> None:
        def take() -> None:
            opened = self._open(subscription.process, subscription.kind, wire, from_stream=False)
            if opened is not None:
                subscription.handler(opened)

        subscription.process.deliver(take)

    def _open(self, process: Process, kind: type[Message], wire: Wire, *, from_stream: bool) -> Delivery | None:
        verifier = self._verifiers.get(id(process))
        if verifier is None:
            verifier = self._verifiers[id(process)] = Verifier(KeyRing(KEY))
        try:
            opened = verifier.open(wire.raw, wire.subject, self._engine.now().wall_ms, from_stream=from_stream)
            if opened.duplicate and not from_stream:
                return None
            if opened.envelope.type != kind.DESCRIPTOR.full_name:
                self._bury("WRONG_TYPE")
                return None
            message = kind()
            message.ParseFromString(opened.envelope.payload)
        except Rejected as refusal:
            self._bury(str(refusal.code))
            return None
        except DecodeError:
            self._bury("UNDECODABLE")
            return None
        return Delivery(wire.subject, message, opened.envelope.id, wire.reply, wire.raw)

    def _bury(self, reason: str) -> None:
        self.dead_letters[reason] = self.dead_letters.get(reason, 0) + 1

    # streams

    def _pump(self, consumer: Consumer) -> None:
        process, kind = consumer.process, consumer.kind
        if process is None or kind is None or consumer.busy or not consumer.waiting or not process.alive:
            return
        if not self.reaches(process):
            return
        consumer.busy = True
        wire = consumer.waiting.popleft()
        consumer.number += 1
        number = consumer.number
        consumer.taken[number] = wire

        def take() -> None:
            opened = self._open(process, kind, wire, from_stream=True)
            assert consumer.handler is not None
            kept = True if opened is None else consumer.handler(opened)
            if consumer.process is not process:
                return
            consumer.busy = False
            if not kept:
                self._engine.after(NAK_MS, lambda: self._overdue(consumer, number))
            elif self.lost_ack > 0:
                self.lost_ack -= 1
                self._engine.after(ACK_WAIT_MS, lambda: self._overdue(consumer, number))
            else:
                consumer.taken.pop(number, None)
            self._engine.after(1, lambda: self._pump(consumer))

        self._engine.after(1, lambda: process.deliver(take))

    def _overdue(self, consumer: Consumer, number: int) -> None:
        wire = consumer.taken.pop(number, None)
        if wire is not None:
            consumer.waiting.append(wire)
            self._pump(consumer)

    # faults

    def go_down(self) -> None:
        """The server is away; publishers buffer."""
        self.up = False

    def come_up(self) -> None:
        """The server is back; what was buffered is sent, in order."""
        if self.up:
            return
        self.up = True
        held, self._held = self._held, []
        for wire in held:
            self.send(wire)
        self.pump()

    def rejoin(self) -> None:
        """Every process that was cut off has its connection back."""
        self.cut.clear()
        self.pump()

    def pump(self) -> None:
        """Hands on what waits in streams."""
        for consumer in self.consumers.values():
            self._pump(consumer)

    def wipe(self) -> None:
        """The server's data directory is gone."""
        for consumer in self.consumers.values():
            consumer.waiting.clear()
            consumer.taken.clear()
        self._seen_ids.clear()
        self.kv.clear()

    def inject(self, wire: Wire) -> None:
        """Bytes from nobody: straight to the subscribers and streams."""
        if self.up:
            self._capture(wire)
            self._spread(wire)


def tampered(wire: Wire, place: int) -> Wire:
    """The same bytes with one of them changed; of no bytes, one byte."""
    raw = bytearray(wire.raw or b"\0")
    raw[place % len(raw)] ^= 0x40
    return Wire(wire.subject, bytes(raw), wire.kind, "nobody", wire.reply)


def forged(wire: Wire) -> Wire:
    """Another body under the nonce of a message that was seen, signed by somebody who has the key."""
    signed = envelope_pb2.Signed.FromString(wire.raw)
    envelope = envelope_pb2.Envelope.FromString(signed.body)
    nonce = bytes.fromhex(envelope.nonce)
    head = Head(wire.subject, envelope.type, "nobody", envelope.ts_ms, envelope_id=envelope.id + "x")
    _, raw = seal(KEY, head, envelope.payload, nonce + bytes(10))
    return Wire(wire.subject, raw, wire.kind, "nobody", wire.reply)


def _handle(subscription: Subscription, told: Delivery) -> None:
    subscription.handler(told)
