"""Operator commands as they come from the bus: signed messages, or plain text for arm and disarm.

Guarantees: a signed command is verified like every other message; what is neither signed nor plain arm or disarm is
refused with its dead-letter reason. Never: a state.
"""

from __future__ import annotations

import hashlib

from google.protobuf.message import DecodeError

from actors.router.events import Command, OrderAsk
from protos import envelope_pb2, trading_pb2
from titan.codes import DeadLetterReason
from titan.envelope import Verifier
from titan.errors import Rejected
from titan.money import dec_or_none
from titan.subjects import OPERATOR_VERBS

PLAIN_VERBS = frozenset({"arm", "disarm"})
MAX_REASON = 500
_TYPE = trading_pb2.OperatorCommand.DESCRIPTOR.full_name


def verb_of(subject: str) -> str:
    """The verb of `titan.cmd.operator.{verb}.v1`. Raises Rejected for a subject that is none."""
    parts = subject.split(".")
    if len(parts) != 5 or parts[3] not in OPERATOR_VERBS:
        raise Rejected(DeadLetterReason.WRONG_SUBJECT, f"no operator command on {subject}")
    return parts[3]


def read_command(
    verifier: Verifier, subject: str, data: bytes, reply: str, now_wall_ms: int, nonce: str
) -> Command | None:
    """The command in `data`; None for an identical copy. Raises Rejected with a DeadLetterReason.

    `nonce` tells two plain commands with the same words apart.
    """
    verb = verb_of(subject)
    if _looks_signed(data):
        return _signed(verifier, subject, data, reply, now_wall_ms, verb)
    if verb not in PLAIN_VERBS:
        raise Rejected(DeadLetterReason.UNSIGNED, f"{verb} must be signed; plain text is taken for arm and disarm only")
    try:
        reason = data.decode().strip()
    except UnicodeDecodeError:
        raise Rejected(DeadLetterReason.UNDECODABLE, f"a plain {verb} is UTF-8 text, the reason") from None
    identity = hashlib.sha256(f"{verb}\x1f{reason}\x1f{nonce}".encode()).hexdigest()[:26]
    return Command(verb, reason[:MAX_REASON], "bus", f"plain-{identity}", plain=True, reply=reply)


def _looks_signed(data: bytes) -> bool:
    try:
        signed = envelope_pb2.Signed.FromString(data)
    except DecodeError:
        return False
    return bool(signed.body and (signed.signature or signed.key_id))


def _signed(verifier: Verifier, subject: str, data: bytes, reply: str, now_wall_ms: int, verb: str) -> Command | None:
    opened = verifier.open(data, subject, now_wall_ms)
    if opened.duplicate:
        return None
    envelope = opened.envelope
    if envelope.type != _TYPE:
        raise Rejected(DeadLetterReason.WRONG_TYPE, f"{subject} carries {envelope.type}, not {_TYPE}")
    try:
        message = trading_pb2.OperatorCommand.FromString(envelope.payload)
    except DecodeError as error:
        raise Rejected(DeadLetterReason.UNDECODABLE, f"payload is not {_TYPE}: {error}") from None
    if message.action and message.action != verb:
        raise Rejected(DeadLetterReason.INVALID, f"the command says {message.action!r}, its subject {verb!r}")
    return Command(
        verb,
        message.reason[:MAX_REASON],
        message.operator_id or envelope.producer,
        message.command_id or envelope.id,
        reply=reply,
        order=_order_ask(message),
    )


def _order_ask(message: trading_pb2.OperatorCommand) -> OrderAsk | None:
    if not message.client_order_id:
        return None
    try:
        return OrderAsk(
            message.client_order_id,
            dec_or_none(message.price),
            dec_or_none(message.quantity),
            dec_or_none(message.trigger_price),
        )
    except ValueError as error:
        raise Rejected(DeadLetterReason.INVALID, str(error)) from None
