"""What may command the router."""

from __future__ import annotations

import os

import pytest

from actors.router.events import Command
from actors.router.operator_door import read_command
from protos import trading_pb2 as pb
from titan import subjects
from titan.codes import DeadLetterReason
from titan.envelope import Head, KeyRing, SigningKey, Verifier, seal
from titan.errors import Rejected

KEY = SigningKey("k", b"secret")
NOW = 1_700_000_000_000
TYPE = pb.OperatorCommand.DESCRIPTOR.full_name


def signed(
    verb: str, *, key: SigningKey = KEY, subject: str = "", kind: str = TYPE, ts_ms: int = NOW, action: str = ""
) -> bytes:
    command = pb.OperatorCommand(command_id="c1", reason="because", operator_id="alice", action=action)
    head = Head(subject or subjects.operator(verb), kind, "gateway", ts_ms)
    return seal(key, head, command.SerializeToString(), os.urandom(26))[1]


def read(subject: str, data: bytes, verifier: Verifier | None = None) -> Command | None:
    return read_command(verifier or Verifier(KeyRing(KEY)), subject, data, "inbox", NOW, "n")


def refused(subject: str, data: bytes) -> str:
    with pytest.raises(Rejected) as caught:
        read(subject, data)
    return caught.value.code


@pytest.mark.parametrize("verb", subjects.OPERATOR_VERBS)
def test_every_signed_verb_is_taken(verb: str) -> None:
    command = read(subjects.operator(verb), signed(verb, action=verb))
    assert command == Command(verb, "because", "alice", "c1", plain=False, reply="inbox")


@pytest.mark.parametrize("verb", ["arm", "disarm"])
def test_plain_arm_and_disarm_are_taken_with_their_reason(verb: str) -> None:
    command = read(subjects.operator(verb), b" Policy Update ")
    assert command is not None
    assert (command.verb, command.reason, command.plain) == (verb, "Policy Update", True)


def test_an_empty_plain_disarm_is_taken() -> None:
    assert read(subjects.operator("disarm"), b"") is not None


@pytest.mark.parametrize("verb", ["reduce", "halt", "resume", "flatten"])
def test_other_plain_verbs_are_refused(verb: str) -> None:
    assert refused(subjects.operator(verb), b"please") == DeadLetterReason.UNSIGNED


def test_a_tampered_or_foreign_signature_is_refused_and_not_taken_for_plain_text() -> None:
    wire = signed("disarm")
    assert refused(subjects.operator("disarm"), wire[:-1] + bytes([wire[-1] ^ 1])) == DeadLetterReason.BAD_SIGNATURE
    other = signed("arm", key=SigningKey("other", b"x"))
    assert refused(subjects.operator("arm"), other) == DeadLetterReason.UNKNOWN_KEY


def test_a_command_for_another_verb_is_refused() -> None:
    assert refused(subjects.operator("arm"), signed("disarm")) == DeadLetterReason.WRONG_SUBJECT
    assert refused(subjects.operator("arm"), signed("arm", action="halt")) == DeadLetterReason.INVALID


def test_an_old_command_is_refused() -> None:
    assert refused(subjects.operator("arm"), signed("arm", ts_ms=NOW - 300_001)) == DeadLetterReason.EXPIRED


def test_another_message_type_is_refused() -> None:
    assert refused(subjects.operator("arm"), signed("arm", kind="titan.v1.Intent")) == DeadLetterReason.WRONG_TYPE


def test_an_identical_copy_is_passed_over() -> None:
    verifier, wire = Verifier(KeyRing(KEY)), signed("arm")
    assert read(subjects.operator("arm"), wire, verifier) is not None
    assert read(subjects.operator("arm"), wire, verifier) is None


def test_bytes_that_are_no_text_are_refused() -> None:
    assert refused(subjects.operator("disarm"), b"\xff\xfe\x00") == DeadLetterReason.UNDECODABLE


@pytest.mark.parametrize("subject", ["titan.cmd.operator.explode.v1", "titan.cmd.operator.arm", "x"])
def test_a_subject_that_names_no_verb_is_refused(subject: str) -> None:
    assert refused(subject, b"hm") == DeadLetterReason.WRONG_SUBJECT
