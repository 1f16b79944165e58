"""The gate on market impact."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from titan.algos import Impact, ImpactGate, impact_bps

SIZES = st.floats(0, 1e12, allow_nan=False)


def test_impact_follows_the_square_root_law() -> None:
    assert impact_bps(1e6, 1e8, 0.03) == pytest.approx(0.7 * 0.03 * 0.1 * 1e4)
    assert impact_bps(1e6) == impact_bps(1e6, 1e8, 0.03)
    assert impact_bps(0) == 0


@pytest.mark.parametrize(
    ("bps", "verdict"),
    [
        (0.0, Impact.FREE),
        (4.999, Impact.FREE),
        (5.0, Impact.POST_ONLY),
        (19.999, Impact.POST_ONLY),
        (20.0, Impact.IOC),
        (49.999, Impact.IOC),
        (50.0, Impact.REFUSE),
        (1e9, Impact.REFUSE),
    ],
)
def test_the_steps_are_at_5_20_and_50_bps(bps: float, verdict: Impact) -> None:
    assert ImpactGate().judge(bps) is verdict


@settings(deadline=None)
@given(SIZES, SIZES)
def test_more_is_never_treated_more_freely(left: float, right: float) -> None:
    order = list(Impact)
    gate = ImpactGate()
    small, large = sorted((left, right))
    assert order.index(gate.judge(impact_bps(small))) <= order.index(gate.judge(impact_bps(large)))


@pytest.mark.parametrize(("notional", "adv", "sigma"), [(-1, 1, 1), (1, 0, 1), (1, 1, 0), (float("nan"), 1, 1)])
def test_what_can_not_be_computed_is_an_error(notional: float, adv: float, sigma: float) -> None:
    with pytest.raises(ValueError, match="can't be computed"):
        impact_bps(notional, adv, sigma)
