"""Where the stops of a seeded market rest: beyond the levels every chart reader sees.

Guarantees: a pure function of closed hourly bars and the price; prices are floats in ticks (signal
mathematics). The levels are those that the Scavenger's traps watch (reference phases, §2.4): extremes
of 50 hours, extremes of the day before the last, volume-profile nodes, Bollinger bands in a squeeze;
round numbers beside them.
Never does: I/O, randomness.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

WINDOW_BARS = 50
PROFILE_BINS = 50
PROFILE_NODES = 3
BAND_BARS = 20
SQUEEZE_BARS = 92
SQUEEZE_SHARE = 0.15
ROUND_STEP = 0.01


class LevelKind(Enum):
    """What made a level visible."""

    EXTREME = "extreme"
    DAY = "day"
    NODE = "node"
    BAND = "band"
    ROUND = "round"


@dataclass(frozen=True, slots=True)
class Cluster:
    """Stops that trade at `trigger` (ticks): buy stops above the price (side +1) or sell stops below (-1)."""

    trigger: float
    side: int
    kind: LevelKind


@dataclass(frozen=True, slots=True)
class Levels:
    """What a chart of closed hourly bars shows; zero where the history is too short."""

    high: float = 0.0
    low: float = 0.0
    day_high: float = 0.0
    day_low: float = 0.0
    nodes: tuple[float, ...] = ()
    middle: float = 0.0
    band: float = 0.0
    squeezed: bool = False
    rounds: tuple[float, ...] = ()


def visible_levels(high: FloatArray, low: FloatArray, close: FloatArray, volume: FloatArray) -> Levels:
    """The levels after the last closed hourly bar; arrays are oldest first and equally long."""
    count = len(close)
    if not count:
        return Levels()
    window = count >= WINDOW_BARS
    recent = close[-BAND_BARS:]
    return Levels(
        high=float(high[-WINDOW_BARS:].max()) if window else 0.0,
        low=float(low[-WINDOW_BARS:].min()) if window else 0.0,
        day_high=float(high[-48:-24].max()) if window else 0.0,
        day_low=float(low[-48:-24].min()) if window else 0.0,
        nodes=volume_nodes(high, low, close, volume) if window else (),
        middle=float(recent.mean()),
        band=2 * float(recent.std()),
        squeezed=_squeezed(close),
        rounds=_round_numbers(float(close[-1])),
    )


def clusters_near(levels: Levels, price: float) -> list[Cluster]:
    """The stop clusters that a price (ticks) can run into: buy stops above it, sell stops below it."""
    found: list[Cluster] = []
    above = next((node for node in levels.nodes if node > price), None)
    below = next((node for node in levels.nodes if node < price), None)
    if above is not None and (below is None or levels.nodes.index(above) < levels.nodes.index(below)):
        found.append(Cluster(above * 1.002, 1, LevelKind.NODE))
    elif below is not None:
        found.append(Cluster(below * 0.998, -1, LevelKind.NODE))
    if levels.day_high:
        up, down = abs(price - levels.day_high), abs(price - levels.day_low)
        if up < down and up < 0.02 * price:
            found.append(Cluster(levels.day_high * 1.001, 1, LevelKind.DAY))
        elif down < 0.02 * price:
            found.append(Cluster(levels.day_low * 0.999, -1, LevelKind.DAY))
        found.append(Cluster(levels.high, 1, LevelKind.EXTREME))
        found.append(Cluster(levels.low, -1, LevelKind.EXTREME))
    if levels.squeezed:
        if price > levels.middle:
            found.append(Cluster((levels.middle + levels.band) * 1.001, 1, LevelKind.BAND))
        else:
            found.append(Cluster((levels.middle - levels.band) * 0.999, -1, LevelKind.BAND))
    found.extend(Cluster(level, 1 if level > price else -1, LevelKind.ROUND) for level in levels.rounds)
    return [cluster for cluster in found if (cluster.trigger - price) * cluster.side > 0]


def volume_nodes(high: FloatArray, low: FloatArray, close: FloatArray, volume: FloatArray) -> tuple[float, ...]:
    """Centres of the heaviest bins of the close-volume profile over the last 50 bars, heaviest first."""
    top = float(high[-WINDOW_BARS:].max())
    bottom = float(low[-WINDOW_BARS:].min())
    step = (top - bottom) / PROFILE_BINS
    if step <= 0:
        return (bottom,)
    bins = ((close[-WINDOW_BARS:] - bottom) / step).astype(np.int64).clip(0, PROFILE_BINS - 1)
    profile = np.bincount(bins, weights=volume[-WINDOW_BARS:], minlength=PROFILE_BINS)
    heaviest = np.argsort(-profile, kind="stable")[:PROFILE_NODES]
    return tuple(bottom + (int(index) + 0.5) * step for index in heaviest if profile[index] > 0)


def _squeezed(close: FloatArray) -> bool:
    if len(close) < SQUEEZE_BARS:
        return False
    windows = np.lib.stride_tricks.sliding_window_view(close[-SQUEEZE_BARS:], BAND_BARS)
    widths = windows.std(axis=1) / windows.mean(axis=1)
    return bool(widths[-1] <= np.quantile(widths[:-1], SQUEEZE_SHARE))


def _round_numbers(price: float) -> tuple[float, ...]:
    magnitude = 10.0 ** np.floor(np.log10(price * ROUND_STEP))
    step = float(magnitude * (1, 2, 5)[int(np.searchsorted([2.0, 5.0], price * ROUND_STEP / magnitude))])
    nearest = round(price / step)
    return tuple((nearest + offset) * step for offset in range(-3, 4))
