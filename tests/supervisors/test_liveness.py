"""Progress is life; silence beyond the limit is death."""

from __future__ import annotations

from supervisors.events import Silent
from supervisors.liveness import Liveness


def watching(limit_ms: int = 3_000) -> Liveness:
    live = Liveness()
    live.watch("brain", 2, limit_ms, 0)
    return live


def look(live: Liveness, until_ms: int, start_ms: int = 0) -> list[Silent]:
    found: list[Silent] = []
    for now_ms in range(start_ms, until_ms + 1, 100):
        found += live.silent(now_ms)
    return found


def test_a_child_that_never_beats_is_silent_after_its_limit() -> None:
    assert look(watching(), 3_000) == []
    assert look(watching(), 3_100) == [Silent("brain", 2, 3_100)]


def test_a_silent_child_is_reported_once() -> None:
    assert len(look(watching(), 9_000)) == 1


def test_a_beat_with_progress_keeps_it_alive() -> None:
    live = watching()
    assert look(live, 2_500) == []
    assert live.beat("brain", 2, 1, 2_500)
    assert look(live, 5_500, 2_600) == []
    assert live.age_ms("brain", 5_500) == 3_000


def test_a_beat_without_progress_is_no_sign_of_life() -> None:
    live = watching()
    assert live.beat("brain", 2, 5, 100)
    assert not live.beat("brain", 2, 5, 2_000)
    assert look(live, 3_200) == [Silent("brain", 2, 3_100)]


def test_a_beat_of_another_incarnation_counts_for_nobody() -> None:
    live = watching()
    assert not live.beat("brain", 1, 9, 100)
    assert not live.beat("router", 2, 9, 100)


def test_time_in_which_nobody_looked_is_held_against_nobody() -> None:
    live = watching()
    look(live, 1_000)
    assert live.silent(61_000) == []
    assert look(live, 63_100, 61_100) == [Silent("brain", 2, 3_100)]


def test_a_forgotten_child_is_never_silent() -> None:
    live = watching()
    live.forget("brain")
    assert look(live, 10_000) == []
    assert live.age_ms("brain", 0) is None
    assert live.progress("brain") == 0


def test_progress_is_shown() -> None:
    live = watching()
    live.beat("brain", 2, 41, 10)
    assert live.progress("brain") == 41
