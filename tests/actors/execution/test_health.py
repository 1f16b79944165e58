"""What the health answer says of each part."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from actors.execution import health
from actors.execution.core import Account, ExecutionCore, RouterSpoke, TruthPassed
from actors.execution.health import Knowledge, components
from actors.execution.truth import Comparison
from protos import market_pb2
from protos import trading_pb2 as pb
from titan.clock import Now


def _parts(knowledge: Knowledge, core: ExecutionCore, wall_ms: int = 1000) -> dict[str, str]:
    return {name: part.status for name, part in components(knowledge, core, Now(0, wall_ms)).items()}


def _core(*, reconciled: bool = True) -> ExecutionCore:
    core = ExecutionCore(Account("bybit", "main"), "hash")
    core.handle(RouterSpoke(pb.RouterState(reconciled=reconciled, journal_seq=9)), Now(0, 1000))
    return core


def _knowledge(**scribe: Any) -> Knowledge:
    known = Knowledge()
    known.scribe = SimpleNamespace(error="", answered_at=0.0, **scribe)  # type: ignore[assignment]
    known.follower = SimpleNamespace(booked_seq=7, fault="")  # type: ignore[assignment]
    known.auditor = SimpleNamespace(venue_error="")  # type: ignore[assignment]
    known.followed()
    return known


def test_before_anything_is_known_nothing_is_called_healthy_but_truth() -> None:
    assert _parts(Knowledge(), ExecutionCore(Account("bybit", "main"), "hash")) == {
        "websocket": "degraded",
        "database": "unhealthy",
        "broker": "unhealthy",
        "ipc": "degraded",
        "journal": "degraded",
        "truth": "healthy",
    }


def test_when_all_is_well_all_is_healthy() -> None:
    known = _knowledge()
    known.heard_stream(market_pb2.VenueStatus(state=market_pb2.VENUE_LINK_STATE_CONNECTED))
    assert set(_parts(known, _core()).values()) == {"healthy"}


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (market_pb2.VENUE_LINK_STATE_CONNECTED, "healthy"),
        (market_pb2.VENUE_LINK_STATE_DEGRADED, "degraded"),
        (market_pb2.VENUE_LINK_STATE_DISCONNECTED, "unhealthy"),
    ],
)
def test_the_stream_is_as_market_data_tells(state: market_pb2.VenueLinkState.ValueType, status: str) -> None:
    known = _knowledge()
    known.heard_stream(market_pb2.VenueStatus(state=state))
    assert known.stream().status == status


def test_silence_of_market_data_is_unhealthy(monkeypatch: pytest.MonkeyPatch) -> None:
    known = _knowledge()
    known.heard_stream(market_pb2.VenueStatus(state=market_pb2.VENUE_LINK_STATE_CONNECTED))
    monkeypatch.setattr(health, "STREAM_LATE_S", -1.0)
    assert known.stream().status == "unhealthy"


def test_the_broker_is_the_routers_session_and_ours_beside_it() -> None:
    assert _parts(_knowledge(), _core(), wall_ms=7000)["broker"] == "unhealthy"
    assert _parts(_knowledge(), _core(reconciled=False))["broker"] == "degraded"
    deaf = _knowledge()
    deaf.auditor = SimpleNamespace(venue_error="401")  # type: ignore[assignment]
    assert _parts(deaf, _core())["broker"] == "degraded"


def test_a_journal_that_is_not_followed_is_degraded_and_says_how_far_it_is_booked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = _knowledge()
    assert components(known, _core(), Now(0, 0))["journal"].detail == "booked up to row 7, 2 behind"
    monkeypatch.setattr(health, "JOURNAL_LATE_S", -1.0)
    assert _parts(known, _core())["journal"] == "degraded"


def test_an_incomplete_pass_and_low_confidence_are_degraded() -> None:
    core = _core()
    core.handle(TruthPassed("test", Comparison(0, 0, ()), "", 1, "venue away"), Now(0, 1000))
    assert _parts(_knowledge(), core)["truth"] == "degraded"
    core.confidence = 10
    core.handle(TruthPassed("test", Comparison(0, 0, ()), "", 1), Now(0, 1000))
    assert _parts(_knowledge(), core)["truth"] == "degraded"
