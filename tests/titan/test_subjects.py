"""The registry of subjects: grammar, streams that do not overlap, commands that no stream keeps."""

from __future__ import annotations

import re

import pytest

from titan import subjects
from titan.subjects import STREAMS, SUBJECTS, matches

GRAMMAR = re.compile(r"^titan\.(cmd|evt|data|signal|rpc|sys|dlq|ops)(\.[a-z_]+)*(\.v1)?(\.[A-Za-z0-9_*]+)*(\.>)?$")


@pytest.mark.parametrize("spec", SUBJECTS, ids=lambda spec: spec.pattern)
def test_every_subject_follows_the_grammar(spec: subjects.SubjectSpec) -> None:
    assert GRAMMAR.match(spec.pattern)


def test_no_two_streams_overlap() -> None:
    concrete = [subject.replace(">", "x") for stream in STREAMS for subject in stream.subjects]
    for subject in concrete:
        owners = [stream.name for stream in STREAMS for pattern in stream.subjects if matches(pattern, subject)]
        assert len(owners) == 1, (subject, owners)


@pytest.mark.parametrize("verb", subjects.OPERATOR_VERBS)
def test_an_operator_command_is_in_no_stream(verb: str) -> None:
    subject = subjects.operator(verb)
    assert not any(matches(pattern, subject) for stream in STREAMS for pattern in stream.subjects)
    assert matches(subjects.OPERATOR_ALL, subject)


def test_an_unknown_operator_verb_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'explode'.*arm, disarm"):
        subjects.operator("explode")


def test_symbols_are_one_token() -> None:
    assert subjects.token("BTC/USDT:USDT") == "BTC_USDT_USDT"
    assert subjects.trades("bybit", "BTC/USDT") == "titan.data.venues.trades.v1.bybit.BTC_USDT"


@pytest.mark.parametrize(
    ("pattern", "subject", "expected"),
    [
        ("a.b.>", "a.b.c.d", True),
        ("a.b.>", "a.b", False),
        ("a.*.c", "a.b.c", True),
        ("a.*.c", "a.b.d", False),
        ("a.b", "a.b.c", False),
    ],
)
def test_patterns_match_as_the_server_does(pattern: str, subject: str, expected: bool) -> None:
    assert matches(pattern, subject) is expected
