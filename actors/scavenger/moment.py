"""The traps of the present moment: what open interest, a lonely crash and funding say about one symbol now.

Guarantees: reads the states it is given and changes only the basis figure of the symbol. Without Bitcoin's tape, and for
Bitcoin itself, nothing falls alone. Never: clocks, I/O.
"""

from __future__ import annotations

from actors.scavenger.config import ScavengerConfig
from actors.scavenger.detectors import (
    CRASH_CLOSES,
    FUNDING_BARS,
    basis_gap,
    crash_threshold,
    drop,
    funding_squeeze,
    lonely_crash,
    oi_before,
    oi_wipeout,
)
from actors.scavenger.symbol import SymbolState
from actors.scavenger.traps import Trap


def flow_traps(state: SymbolState, btc: SymbolState | None, at_ms: int, config: ScavengerConfig) -> list[Trap]:
    """Traps of a symbol at an exchange time; `btc` is Bitcoin's state, when there is one."""
    price = state.last_price
    if price is None:
        return []
    state.basis = basis_gap(state.index or 0.0, price, state.volume_24h * price, config)
    traps: list[Trap] = []
    samples = list(state.open_interest)
    closes = [bar.close for bar in state.bars.last(60, CRASH_CLOSES)]
    if samples:
        wipeout = oi_wipeout(
            state.symbol,
            oi_before(samples, at_ms),
            samples[-1].open_interest,
            closes,
            price,
            state.cvd.over(60_000, at_ms),
            config,
        )
        threshold = crash_threshold(config, state.alpha, state.clustered)
        fallen = drop(closes, price)
        alone = lonely_crash(wipeout, fallen, _btc_drop(state, btc), threshold, list(state.bbo), config)
        traps += [trap for trap in (alone or wipeout,) if trap is not None]
    squeeze = funding_squeeze(
        state.symbol,
        state.funding,
        state.bars.last(300, FUNDING_BARS),
        state.cvd.over(300_000, at_ms),
        state.cvd.over(300_000, at_ms, 300_000),
        config,
    )
    if squeeze is not None:
        traps.append(squeeze)
    return traps


def _btc_drop(state: SymbolState, btc: SymbolState | None) -> float:
    if btc is None or btc is state or btc.last_price is None:
        return 1.0
    return drop([bar.close for bar in btc.bars.last(60, CRASH_CLOSES)], btc.last_price)
