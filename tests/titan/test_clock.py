"""Two times from one anchor."""

from __future__ import annotations

from pathlib import Path

from titan.clock import ANCHOR_FILE, AnchoredClock, ManualClock, MarketAnchor, WallClock, market_limit_ms, open_clock


def test_market_time_runs_at_the_speed_of_its_anchor() -> None:
    anchor = MarketAnchor(market0_ms=1_000_000, monotonic0_ns=5_000_000_000, speed=60.0)
    assert anchor.market_ms(5_000_000_000) == 1_000_000
    assert anchor.market_ms(6_000_000_000) == 1_060_000


def test_an_anchor_survives_on_disk_and_opens_the_same_clock_everywhere(tmp_path: Path) -> None:
    anchor = MarketAnchor(1_000_000, 5, 2.0, "synthetic:1")
    anchor.write(tmp_path / ANCHOR_FILE)
    clock = open_clock(tmp_path)
    assert isinstance(clock, AnchoredClock)
    assert clock.anchor == anchor


def test_without_an_anchor_market_time_is_wall_time(tmp_path: Path) -> None:
    clock = open_clock(tmp_path)
    assert isinstance(clock, WallClock)
    now = clock.now()
    assert now.market_ms == now.wall_ms


def test_a_limit_is_never_under_two_seconds_of_wall_time() -> None:
    assert market_limit_ms(5000, speed=1.0) == 5000
    assert market_limit_ms(5000, speed=60.0) == 120_000


def test_a_manual_clock_moves_both_times_by_its_speed() -> None:
    clock = ManualClock(1000, speed=10.0)
    assert clock.advance(500).wall_ms == 1050
    assert clock.now().market_ms == 1500
