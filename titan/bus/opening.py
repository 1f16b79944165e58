"""How received bytes become a message a handler may trust, or a dead letter with its reason.

Guarantees: nothing unverified reaches a handler; every refusal is counted and kept; what a handler logs carries the message's
correlation id. Never: a silent drop.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import Generic, TypedDict, TypeVar

import nats.errors
from google.protobuf import symbol_database
from google.protobuf.message import DecodeError, Message
from nats.aio.client import Client

from protos import brain_pb2, market_pb2, phase_pb2, system_pb2, trading_pb2
from protos import envelope_pb2 as pb
from titan import subjects
from titan.codes import DeadLetterReason
from titan.envelope import Verifier, digest_of
from titan.errors import Rejected
from titan.logs import correlate, get_logger
from titan.metrics import Metrics

M = TypeVar("M", bound=Message)

CONTRACTS = (brain_pb2, market_pb2, phase_pb2, system_pb2, trading_pb2)
"""Imported so that the symbol database knows every message that may travel, whatever else a service imports."""


class Links(TypedDict, total=False):
    """How a message hangs together with others; what is left out is empty, an envelope id is made."""

    correlation_id: str
    causation_id: str
    idempotency_key: str
    envelope_id: str


@dataclass(frozen=True, slots=True)
class Received(Generic[M]):
    """A verified message."""

    message: M
    envelope: pb.Envelope
    subject: str
    raw: bytes


class Opener:
    """Verifies and decodes what one service receives."""

    def __init__(self, client: Client, verifier: Verifier, service: str, metrics: Metrics) -> None:
        self._nc = client
        self._verifier = verifier
        self._service = service
        self._metrics = metrics
        self._log = get_logger(service)
        self._symbols = symbol_database.Default()
        self._in = metrics.counter("titan_bus_messages_total").labels(service, "in")
        self._duplicates = metrics.counter("titan_bus_duplicates_total").labels(service)
        metrics.zero("titan_dlq_total", DeadLetterReason)

    async def open(
        self, subject: str, data: bytes, message_type: type[M], *, from_stream: bool = False
    ) -> Received[M] | None:
        """The message when it may be trusted; None when it became a dead letter or is a copy not `from_stream`."""
        try:
            envelope = self._verified(subject, data, from_stream=from_stream)
            if envelope is None:
                return None
            expected = message_type.DESCRIPTOR.full_name
            if envelope.type != expected:
                raise Rejected(DeadLetterReason.WRONG_TYPE, f"{subject} carries {envelope.type}, not {expected}")
            message = message_type()
            self._parse(message, envelope)
        except Rejected as refusal:
            correlate("")
            await self.dead_letter(subject, data, DeadLetterReason(refusal.code), refusal.detail)
            return None
        correlate(envelope.correlation_id)
        return Received(message, envelope, subject, data)

    async def open_any(self, subject: str, data: bytes) -> Received[Message] | None:
        """Like `open`, for whatever type of this package the envelope names."""
        try:
            envelope = self._verified(subject, data, from_stream=False)
            if envelope is None:
                return None
            try:
                message = self._symbols.GetSymbol(envelope.type)()
            except KeyError:
                raise Rejected(DeadLetterReason.WRONG_TYPE, f"{subject} carries unknown {envelope.type}") from None
            self._parse(message, envelope)
        except Rejected as refusal:
            correlate("")
            await self.dead_letter(subject, data, DeadLetterReason(refusal.code), refusal.detail)
            return None
        correlate(envelope.correlation_id)
        return Received(message, envelope, subject, data)

    def _verified(self, subject: str, data: bytes, *, from_stream: bool) -> pb.Envelope | None:
        self._in.inc()
        opened = self._verifier.open(data, subject, time.time_ns() // 1_000_000, from_stream=from_stream)
        if opened.duplicate and not from_stream:
            self._duplicates.inc()
            return None
        return opened.envelope

    @staticmethod
    def _parse(message: Message, envelope: pb.Envelope) -> None:
        try:
            message.ParseFromString(envelope.payload)
        except DecodeError as error:
            raise Rejected(DeadLetterReason.UNDECODABLE, f"payload is not {envelope.type}: {error}") from None

    def count_raw(self) -> None:
        """Counts a message that is handed on unverified."""
        self._in.inc()

    async def dead_letter(self, subject: str, data: bytes, reason: DeadLetterReason, detail: str) -> None:
        """Puts bytes aside with the reason, and counts them."""
        self._metrics.counter("titan_dlq_total").labels(reason.value).inc()
        self._log.warning("dead letter", subject=subject, reason=reason.value, detail=detail, digest=digest_of(data))
        letter = pb.DeadLetter(
            original_subject=subject,
            original_payload=data,
            reason=reason.value,
            error_message=detail,
            service=self._service,
            ts_ns=time.time_ns(),
        )
        with contextlib.suppress(nats.errors.Error):
            await self._nc.publish(subjects.dead_letter(self._service), letter.SerializeToString())
