"""Each phrase that runbooks search for is said, by the event that it is about, and in the documents as it is in the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from google.protobuf.message import Message

from protos import system_pb2
from protos import trading_pb2 as pb
from titan.phrases import Phrase, lines_of, system_line

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("message", "phrases"),
    [
        (pb.TradingStateChanged(current=pb.TRADING_STATE_ACTIVE, reason="r"), [Phrase.EXECUTION_ARMED]),
        (pb.TradingStateChanged(current=pb.TRADING_STATE_DISARMED), [Phrase.EXECUTION_DISARMED]),
        (pb.TradingStateChanged(current=pb.TRADING_STATE_HALTED), [Phrase.EXECUTION_HALTED]),
        (pb.TradingStateChanged(current=pb.TRADING_STATE_REDUCING), []),
        (pb.Reject(code="MAX_POSITION", detail="too large"), [Phrase.ORDER_REJECTED]),
        (pb.Reject(code="VENUE", detail="Too many visits, rate limit"), [Phrase.ORDER_REJECTED, Phrase.RATE_LIMIT]),
        (pb.Reject(code="RATE_LIMIT"), [Phrase.ORDER_REJECTED, Phrase.RATE_LIMIT]),
        (system_pb2.Alert(code="CIRCUIT_BREAKER_HARD", message="m"), [Phrase.CIRCUIT_BREAKER]),
        (system_pb2.Alert(code="JOURNAL_TORN"), []),
        (pb.Truth(complete=True, confidence=40), [Phrase.TRUTH_LOW]),
        (pb.Truth(complete=False, confidence=40), []),
        (pb.Truth(complete=True, confidence=60), []),
        (pb.Fill(), []),
    ],
)
def test_an_event_is_told_in_the_words_of_the_runbooks(message: Message, phrases: list[Phrase]) -> None:
    assert [line.phrase for line in lines_of(message)] == phrases


def test_the_brain_tells_the_state_of_the_system() -> None:
    said = [system_line(state, "why") for state in ("ACTIVE", "DISARMED", "HALTED", "REDUCING")]
    assert [None if line is None else line.phrase for line in said] == [
        Phrase.SYSTEM_ARMED, Phrase.SYSTEM_DISARMED, Phrase.SYSTEM_HALTED, None,
    ]  # fmt: skip
    assert said[0] is not None
    assert said[0].fields == {"reason": "why"}


def test_every_phrase_is_said_by_somebody() -> None:
    text = "\n".join(path.read_text() for path in (ROOT / "actors").rglob("*.py"))
    text += (ROOT / "titan" / "phrases.py").read_text().split("_EXECUTION = {", 1)[1]
    assert [each.name for each in Phrase if not re.search(rf"\bPhrase\.{each.name}\b", text)] == []
