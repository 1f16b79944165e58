"""The look for people: what the trading state alone would hide."""

from __future__ import annotations

import io

from rich.console import Console

from ops.cli.view import render, restarts_cell, status_dict
from protos import control_pb2 as pb
from protos import system_pb2, trading_pb2


def drawn(status: pb.GetStatusResponse) -> str:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(render(status))
    return console.export_text()


def active(**values: object) -> pb.GetStatusResponse:
    return pb.GetStatusResponse(trading_state=trading_pb2.TRADING_STATE_ACTIVE, **values)  # type: ignore[arg-type]


def test_an_active_titan_that_may_not_open_says_why() -> None:
    status = active(openings_held="policy hash mismatch")
    assert "openings held: policy hash mismatch" in drawn(status)
    assert status_dict(status)["openings_held"] == "policy hash mismatch"


def test_a_silent_router_is_named_beside_its_old_state() -> None:
    assert "the router has been silent for 27.0 s" in drawn(active(router_state_age_s=27.0))
    assert "silent" not in drawn(active(router_state_age_s=0.2))


def test_one_look_without_events_claims_nothing_about_them() -> None:
    assert "Signals" not in drawn(active())


def test_servers_are_shown_with_the_age_of_their_last_answer_and_what_they_complain_of() -> None:
    rows = [
        system_pb2.ServerStatus(
            name="nats", pid=7, state=system_pb2.ACTOR_STATE_READY, answer_age_s=0.5, trouble="write error: disk"
        ),
        system_pb2.ServerStatus(
            name="redis", state=system_pb2.ACTOR_STATE_BACKOFF, restarts=2, last_exit="silent for 4 s"
        ),
    ]
    status = active(servers=rows)
    text = drawn(status)
    assert "500 ms" in text
    assert "write error: disk" in text
    assert "silent for 4 s" in text
    shown = status_dict(status)["servers"]
    assert isinstance(shown, list)
    assert [(row["name"], row["state"], row["restarts"]) for row in shown] == [
        ("nats", "ready", 0),
        ("redis", "backoff", 2),
    ]


def test_crashes_are_shown_apart_from_planned_restarts() -> None:
    row = system_pb2.ActorStatus(name="brain", restarts=2, graceful_restarts=1, recycles=1, resident_bytes=123_000_000)
    assert restarts_cell(row) == "2+2"
    assert restarts_cell(system_pb2.ActorStatus(restarts=3)) == "3"
    assert "123 MB" in drawn(active(actors=[row]))
