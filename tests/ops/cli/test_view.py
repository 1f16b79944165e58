"""The look for people: what the trading state alone would hide."""

from __future__ import annotations

import io

from rich.console import Console

from ops.cli.view import render, status_dict
from protos import control_pb2 as pb
from protos import trading_pb2


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
