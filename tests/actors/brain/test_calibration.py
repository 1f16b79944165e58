"""What a trap's record does to its stated confidence, and how it fades."""

from __future__ import annotations

import pytest

from actors.brain.calibration import HALF_LIFE_MS, Calibration, Record


def losing_streak(trials: int) -> Calibration:
    learned = Calibration()
    for _ in range(trials):
        learned.record("LIQUIDATION", 0, won=False)
    return learned


def test_a_trap_without_a_record_keeps_its_stated_confidence() -> None:
    assert Calibration().of("LIQUIDATION", 95.0, 0) == pytest.approx(0.95)


def test_a_losing_streak_takes_the_confidence_below_the_floor() -> None:
    assert losing_streak(8).of("LIQUIDATION", 95.0, 0) < 0.7


def test_a_streak_fades_so_that_a_vetoed_trap_gets_another_chance() -> None:
    learned = losing_streak(8)
    assert learned.of("LIQUIDATION", 95.0, 2 * HALF_LIFE_MS) > 0.7
    assert learned.of("LIQUIDATION", 95.0, 60 * HALF_LIFE_MS) == pytest.approx(0.95)


def test_a_record_halves_with_its_half_life_and_never_grows_backwards_in_time() -> None:
    held = Record(2.0, 4.0, 1_000)
    assert held.faded(1_000 + HALF_LIFE_MS) == Record(1.0, 2.0, 1_000 + HALF_LIFE_MS)
    assert held.faded(0).trials == 4.0


def test_old_outcomes_weigh_less_than_new_ones() -> None:
    learned = Calibration()
    learned.record("BREAKOUT", 0, won=False)
    learned.record("BREAKOUT", HALF_LIFE_MS, won=True)
    record = learned.records["BREAKOUT"]
    assert (record.wins, record.trials) == (1.0, 1.5)
