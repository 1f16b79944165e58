"""A new run on a journal whose last rows a machine's end took: what the venue may not show yet is not asked for again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from actors.router.core import RouterCore
from actors.router.events import Tick
from actors.router.state import TORN_MS
from tests.actors.router.support import T0, Bottle, config, d, held, intent, sends, shown, stored
from tests.actors.router.worked import TWAP, worked
from titan.model import OrderState, Target, Terms


def lived(run_ms: int) -> Bottle:
    made = Bottle(config=config(started_ms=run_ms)).begin()
    made.quote("50000", spread="2")
    return made


def again(made: Bottle, kept: int, run_ms: int) -> Bottle:
    """A run on the first `kept` rows, a second later."""
    after = Bottle(config=replace(made.config, started_ms=run_ms))
    after.clock.advance(made.now.wall_ms - T0 + 1_000)
    after.core = RouterCore(after.config, 2)
    after.rows = made.rows[:kept]
    after.core.replay(stored(after.rows))
    after._take(after.core.start(after.now, 2))
    return after


@pytest.mark.parametrize(("run_ms", "waits"), [(7, False), (8, True)])
def test_a_target_without_a_row_is_sent_after_a_machines_end_only_once_the_venue_had_time(
    run_ms: int, waits: bool
) -> None:
    made = lived(7)
    entry = made.send(intent(terms=Terms(targets=(Target(d(51000), d(1)),))))
    made.acknowledge(entry)
    made.fill(entry, "0.1", "50000", "t1")
    [cut] = [at for at, row in enumerate(made.rows) if b'"TARGET"' in row.payload and b'"NEW"' in row.payload]
    after = again(made, cut, run_ms)
    current = replace(made.state.orders[entry.client_order_id], filled=d("0.1"))
    seen = shown(current, OrderState.FILLED, "0.1")
    first = sends(after.tell(after.recovery((held("0.1"),), closed_orders=(seen,))))
    first += sends(after.tell(Tick()))
    assert (first == []) is waits
    after.clock.advance(TORN_MS)
    later = sends(after.tell(Tick()))
    assert len([*first, *later]) == 1


def test_a_worked_intent_waits_likewise_and_a_new_one_does_not() -> None:
    made = lived(7)
    made.send(worked(TWAP))
    kept = next(at for at, row in enumerate(made.rows) if row.kind == "parent") + 1
    after = again(made, kept, 8)
    after.tell(after.recovery())
    after.refresh()
    after.quote("50000", spread="2")
    assert sends(after.effects) == []
    assert after.send(worked(TWAP, "i-2")).intent_id == "i-2"
    after.clock.advance(TORN_MS)
    after.refresh()
    assert [order.intent_id for order in sends(after.tell(Tick()))] == ["i-1"]
