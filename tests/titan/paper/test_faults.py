"""The fault switches' pure core: bounds, draws, targets and refusals."""

from __future__ import annotations

import pytest

from titan.paper.faults import (
    MEANING,
    Fault,
    FaultBoard,
    FaultError,
    FaultKind,
    FrameKind,
    RequestKind,
    Verdict,
    parse_fault,
)


def drops(board: FaultBoard, times: int, kind: RequestKind = RequestKind.PLACE) -> list[bool]:
    return [board.on_request(kind, 0).fault is not None for _ in range(times)]


def test_without_a_switch_nothing_happens() -> None:
    board = FaultBoard()
    assert board.on_request(RequestKind.PLACE, 0) == Verdict()
    assert board.on_frame(FrameKind.FILLS, 0).copies == 1
    assert (board.skew_ms(0), board.closing("private", 0), board.stalled("public", 0)) == (0, None, False)


def test_a_count_bounds_a_switch() -> None:
    board = FaultBoard()
    board.set(Fault(FaultKind.DROP, ("place",), count=2), 0)
    assert drops(board, 1, RequestKind.READ) == [False]
    assert drops(board, 4) == [True, True, False, False]
    board.sweep(0)
    assert board.standing == []
    assert board.injected == {"drop": 2}


def test_a_duration_bounds_a_switch() -> None:
    board = FaultBoard()
    board.set(Fault(FaultKind.CLOCK_SKEW, seconds=2, skew_ms=-5000), 1_000)
    assert (board.skew_ms(2_999), board.skew_ms(3_000)) == (-5000, 0)


def test_chance_is_a_function_of_the_seed() -> None:
    def pattern(seed: int) -> list[bool]:
        board = FaultBoard()
        board.set(Fault(FaultKind.DROP, count=100, chance=0.5, seed=seed), 0)
        return drops(board, 64)

    assert pattern(1) == pattern(1) != pattern(2)
    assert 16 < sum(pattern(1)) < 48


def test_waits_add_up_and_the_first_other_fault_decides() -> None:
    board = FaultBoard()
    board.set(Fault(FaultKind.DELAY, count=9, delay_ms=30), 0)
    board.set(Fault(FaultKind.DELAY, count=9, delay_ms=20), 0)
    reject = board.set(Fault(FaultKind.REJECT, count=9), 0)
    board.set(Fault(FaultKind.DROP, count=9), 0)
    assert board.on_request(RequestKind.PLACE, 0) == Verdict(50, reject.fault)


def test_not_found_meets_look_ups_only() -> None:
    board = FaultBoard()
    board.set(Fault(FaultKind.NOT_FOUND, count=1), 0)
    assert drops(board, 1, RequestKind.READ) == [False]
    assert drops(board, 2, RequestKind.LOOKUP) == [True, False]


def test_maintenance_meets_everything_and_closes_streams() -> None:
    board = FaultBoard()
    board.set(Fault(FaultKind.MAINTENANCE, seconds=1), 0)
    assert all(board.on_request(kind, 0).fault for kind in RequestKind)
    assert board.closing("public", 0) == 1012
    assert board.on_request(RequestKind.READ, 1_000).fault is None


def test_frames_come_twice_later_shifted_or_never() -> None:
    board = FaultBoard()
    for kind, more in (("duplicate", {}), ("reorder", {}), ("stale", {"skew_ms": -9})):
        board.set(parse_fault({"kind": kind, "on": ["fills"], "count": 1, **more}), 0)
    tampered = board.on_frame(FrameKind.FILLS, 0)
    assert (tampered.copies, tampered.hold, tampered.shift_ms) == (2, True, -9)
    board.set(Fault(FaultKind.MISSING, ("fills",), count=1), 0)
    assert board.on_frame(FrameKind.ORDERS, 0).copies == 1
    assert board.on_frame(FrameKind.FILLS, 0).copies == 0


def test_a_stall_is_of_one_channel() -> None:
    board = FaultBoard()
    board.set(Fault(FaultKind.STALL, ("private",), seconds=1), 0)
    assert board.on_frame(FrameKind.FILLS, 0).copies == 0
    assert board.on_frame(FrameKind.TICKER, 0).copies == 1
    assert (board.stalled("private", 0), board.stalled("public", 0)) == (True, False)


def test_a_close_happens_once_and_a_storm_again_and_again() -> None:
    board = FaultBoard()
    board.set(Fault(FaultKind.CLOSE, ("private",), count=1, code=1000), 0)
    assert [board.closing("private", 0) for _ in range(2)] == [1000, None]
    board.set(Fault(FaultKind.STORM, seconds=1, delay_ms=100), 0)
    assert [board.closing("public", at) for at in (0, 999, 1_000)] == [1006, 1006, None]


def test_switches_are_cleared_by_number_or_all_at_once() -> None:
    board = FaultBoard()
    first = board.set(Fault(FaultKind.DROP, count=1), 0)
    board.set(Fault(FaultKind.REJECT, count=1), 0)
    assert board.clear(first.number) == 1
    assert board.clear(first.number) == 0
    assert board.clear() == 1


def test_every_kind_has_its_sentence() -> None:
    assert set(MEANING) == set(FaultKind)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "unknown kind None; known: delay"),
        ({"kind": "fire"}, "unknown kind 'fire'"),
        ({"kind": "drop"}, "no bound; send count"),
        ({"kind": "drop", "count": 0}, "count 0 must be a number from 1"),
        ({"kind": "drop", "count": 1.5}, "count 1.5 must be a whole number"),
        ({"kind": "drop", "count": True}, "count True must be a number"),
        ({"kind": "drop", "count": 1, "colour": 1}, "unknown field 'colour'"),
        ({"kind": "drop", "count": 1, "on": ["fills"]}, "on 'fills' does not fit drop; it must be one of place"),
        ({"kind": "missing", "count": 1, "on": "place"}, "does not fit missing"),
        ({"kind": "maintenance", "count": 1}, "bound it with seconds"),
        ({"kind": "maintenance", "seconds": 1, "on": "place"}, "left out"),
        ({"kind": "delay", "count": 1}, "delay needs delay_ms"),
        ({"kind": "clock_skew", "seconds": 1}, "clock_skew needs skew_ms"),
        ({"kind": "stall", "seconds": 1e9}, "seconds 1000000000.0 must be a number from 0.01 to 600"),
        ({"kind": "close", "count": 1, "code": 1001}, "code 1001 is not one of 1000, 1006"),
        ({"kind": "server_error", "count": 1, "status": 200}, "status 200 must be a number from 500 to 599"),
    ],
)
def test_a_bad_switch_is_refused_with_what_is_allowed(given: dict[str, object], says: str) -> None:
    with pytest.raises(FaultError) as refused:
        parse_fault(given)
    assert says in str(refused.value)


def test_a_good_switch_is_read_as_given() -> None:
    given = {
        "kind": "rate_limit",
        "on": "place",
        "count": 3,
        "seconds": 1.5,
        "retry_after_s": 2,
        "chance": 0.25,
        "seed": 9,
    }
    assert parse_fault(given) == Fault(
        FaultKind.RATE_LIMIT, ("place",), count=3, seconds=1.5, retry_after_s=2, chance=0.25, seed=9
    )
