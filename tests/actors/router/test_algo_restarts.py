"""Intents that are worked by several orders: gone on with after a restart."""

from __future__ import annotations

from actors.router.books import replay
from actors.router.compaction import encoded, snapshot_of
from actors.router.core import RouterCore
from actors.router.events import Command, Tick
from actors.router.state import RouterState
from tests.actors.router.support import (
    T0,
    Bottle,
    d,
    execution,
    held,
    sends,
    shown,
    stored,
)
from tests.actors.router.worked import PEG, TWAP, bottle, later, parents, worked
from titan.codes import AlgoEnd
from titan.journal.rows import SEAL_BYTES, SNAPSHOT, StoredRow
from titan.model import OrderState
from titan.venues.base import VenuePosition


def reborn(made: Bottle) -> Bottle:
    """A router that only has the rows."""
    again = Bottle(config=made.config)
    again.clock.advance(made.now.wall_ms - T0)
    again.core = RouterCore(made.config, 2)
    again.rows = list(made.rows)
    again.core.replay(stored(made.rows))
    return again


def test_a_parent_goes_on_from_its_rows_once_the_venue_agreed() -> None:
    made = bottle()
    first = made.send(worked(TWAP))
    made.acknowledge(first)
    made.fill(first, "0.01", "50001", "t1")
    again = reborn(made)
    assert {each: item.row for each, item in again.state.parents.items()} == {
        each: item.row for each, item in made.state.parents.items()
    }
    again.clock.advance(60_000)
    assert sends(again.tell(Tick())) == []
    current = again.state.orders[first.client_order_id]
    ended = shown(current, OrderState.CANCELED, "0.01", updated_ms=again.now.market_ms)
    again.refresh()
    again.quote("50000", spread="2")
    effects = again.tell(
        again.recovery(
            positions=(held_btc("0.01"),), closed_orders=(ended,), executions=(execution(first, "0.01", "50001", "t1"),)
        )
    )
    assert sends(effects) == []
    assert parents(again)[-1].end is AlgoEnd.DEADLINE


def held_btc(quantity: str) -> VenuePosition:
    return held(quantity, average="50001")


def test_a_restart_in_the_middle_sends_the_next_slice_and_never_more_than_the_whole() -> None:
    made = bottle()
    total, sent, bottles = d(0), 0, made
    order = made.send(worked(TWAP))
    for number in range(12):
        bottles.acknowledge(order)
        bottles.fill(order, order.quantity, "50001", f"t{number}")
        total += order.quantity
        sent += 1
        bottles = reborn(bottles)
        bottles.clock.advance(11_000)
        bottles.refresh()
        bottles.quote("50000", spread="2")
        found = sends(bottles.tell(bottles.recovery(positions=(held_btc(str(total)),))))
        if not found:
            break
        [order] = found
    assert (total, sent) == (d("0.1"), 4)
    assert bottles.state.parents == {}


def test_a_stop_survives_a_restart() -> None:
    made = bottle()
    first = made.send(worked(PEG))
    made.acknowledge(first)
    made.tell(Command("disarm", "test", "op", "c1"))
    again = reborn(made)
    current = again.state.orders[first.client_order_id]
    gone = shown(current, OrderState.CANCELED, updated_ms=again.now.market_ms)
    again.tell(again.recovery(closed_orders=(gone,)))
    assert parents(again)[-1].end is AlgoEnd.STOPPED


def test_a_compaction_keeps_a_parent_with_its_children() -> None:
    made = bottle()
    first = made.send(worked(TWAP))
    made.acknowledge(first)
    made.fill(first, first.quantity, "50001", "t1")
    later(made, 11_000)
    content = encoded(snapshot_of(made.state, made.config))
    short = RouterState()
    replay(short, made.config, [StoredRow(made.state.seq, 0, SNAPSHOT, bytes(SEAL_BYTES) + content, b"", 0)])
    assert {name: (each.row, each.children) for name, each in short.parents.items()} == {
        name: (each.row, each.children) for name, each in made.state.parents.items()
    }
    assert snapshot_of(short, made.config) == snapshot_of(made.state, made.config)
