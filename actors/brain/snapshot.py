"""What the brain keeps over a restart, as JSON text.

Guarantees: what was written restores to equal state; text that can't be read is a ValueError, never half a state.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import TypeAlias

from actors.brain.allocation import Regions
from actors.brain.books import Books, Holding
from actors.brain.breaker import BreakerState, Trip
from actors.brain.calibration import Calibration, Record
from actors.brain.governance import Ladder, Mode
from actors.brain.performance import ClosedTrade, Performance
from actors.brain.state import Approved, BrainState
from titan.model import Phase, Position, Side
from titan.money import text_of

VERSION = 1
KEPT_APPROVALS = 256

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


def dump(state: BrainState) -> str:
    """The state that must survive, as text."""
    breaker = state.breaker.state
    content: dict[str, Json] = {
        "version": VERSION,
        "regions": [state.allocation.regions.hunter, state.allocation.regions.sentinel],
        "breaker": {
            "trip": breaker.trip.value,
            "reason": breaker.reason,
            "tripped_ms": breaker.tripped_ms,
            "resumes_ms": breaker.resumes_ms,
            "losses_ms": list(breaker.losses_ms),
            "baseline": None if breaker.baseline is None else str(breaker.baseline),
            "baseline_day": breaker.baseline_day,
        },
        "trades": [[each.phase.value, each.pnl, each.equity, each.ts_ms] for each in state.performance.trades()],
        "calibration": {trap: [each.wins, each.trials, each.at_ms] for trap, each in state.calibration.records.items()},
        "operator_mode": state.operator_mode.value,
        "ladder": [state.ladder.day, state.ladder.step.value],
        "survival_until_ms": state.survival_until_ms,
        "holdings": [
            [
                *key,
                text_of(held.position.quantity),
                str(held.position.average_price),
                held.phase.value,
                held.trap_type,
                str(held.realized),
            ]
            for key, held in state.books.holdings.items()
        ],
        "fills": list(state.books.seen),
        "approvals": [
            [intent_id, each.trap_type, each.side.value, text_of(each.reference), each.wall_ms, each.takes, each.filled]
            for intent_id, each in list(state.approvals.items())[-KEPT_APPROVALS:]
        ],
    }
    return json.dumps(content, separators=(",", ":"))


def restore(state: BrainState, text: str) -> None:
    """Puts a dumped state back. Raises ValueError when the text is not one of ours; then nothing is changed."""
    try:
        content = json.loads(text)
        if content["version"] != VERSION:
            raise ValueError(f"version {content['version']} is not {VERSION}")
        hunter, sentinel = content["regions"]
        regions = Regions(bool(hunter), bool(sentinel))
        breaker = _breaker(content["breaker"])
        trades = [
            ClosedTrade(Phase(phase), float(pnl), float(equity), int(ts))
            for phase, pnl, equity, ts in content["trades"]
        ]
        records = {
            trap: Record(float(wins), float(trials), int(at_ms))
            for trap, (wins, trials, at_ms) in content["calibration"].items()
        }
        mode = Mode(content["operator_mode"])
        day, step = content["ladder"]
        ladder = Ladder(int(day), Mode(step))
        survival = int(content["survival_until_ms"])
        holdings = {(row[0], row[1], row[2]): _holding(row) for row in content["holdings"]}
        fills = tuple(str(each) for each in content["fills"])
        approvals = {str(row[0]): _approved(row) for row in content["approvals"]}
    except (KeyError, TypeError, ArithmeticError, ValueError) as error:
        raise ValueError(f"the brain's snapshot can't be read: {error!r}") from error
    state.allocation.regions = regions
    state.breaker.state = breaker
    state.performance = Performance(state.config.sharpe_mode, trades)
    state.calibration = Calibration(records)
    state.operator_mode = mode
    state.ladder = ladder
    state.survival_until_ms = survival
    state.books = Books(holdings, fills)
    state.approvals.update(approvals)


def _breaker(raw: Mapping[str, object]) -> BreakerState:
    losses = raw["losses_ms"]
    if not isinstance(losses, list):
        raise TypeError(f"losses_ms is {losses!r}")
    baseline = raw["baseline"]
    return BreakerState(
        trip=Trip(str(raw["trip"])),
        reason=str(raw["reason"]),
        tripped_ms=int(str(raw["tripped_ms"])),
        resumes_ms=int(str(raw["resumes_ms"])),
        losses_ms=tuple(int(each) for each in losses),
        baseline=None if baseline is None else Decimal(str(baseline)),
        baseline_day=int(str(raw["baseline_day"])),
    )


def _holding(row: list[object]) -> Holding:
    venue, account, symbol, quantity, average, phase, trap, realized = (str(each) for each in row)
    position = Position(venue, account, symbol, Decimal(quantity), Decimal(average))
    return Holding(position, Phase(phase), trap, Decimal(realized))


def _approved(row: list[object]) -> Approved:
    _, trap, side, reference, wall_ms, takes, filled = row
    price = Decimal(str(reference)) if reference else None
    return Approved(str(trap), Side(str(side)), price, int(str(wall_ms)), bool(takes), bool(filled))
