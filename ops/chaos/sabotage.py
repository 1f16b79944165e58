"""Defects on order, for a router that runs: each breaks one promise, so that a campaign can show that it would notice.

Guarantees: reachable only through the hooks of `hooked`, which no start of `titan up` can reach; a process that is started
anew has none of them. Never: a defect that a restart would not end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from actors.router.lease import Standing

if TYPE_CHECKING:
    from titan.journal import Row
    from titan.model import Order
    from titan.venues.base import VenueAck, VenueExecution

DUPLICATE, LOSE, SKIP, UNFENCE = "duplicate-send", "lost-fill", "skipped-row", "unfenced"


def duplicate_send(router: Any) -> None:
    """Every market order is sent twice."""
    venue = router._venue
    plain = venue.submit

    async def twice(order: Order) -> VenueAck:
        ack: VenueAck = await plain(order)
        if order.order_type.value == "MARKET":
            await plain(order)
        return ack

    venue.submit = twice


def lost_fill(router: Any) -> None:
    """The next execution that the stream tells of is never heard of, neither there nor by REST."""
    venue = router._venue
    stream, rest = venue.watch_executions, venue.executions
    lost: set[str] = set()

    def kept(found: Sequence[VenueExecution]) -> list[VenueExecution]:
        return [each for each in found if each.venue_trade_id not in lost]

    async def watched() -> Sequence[VenueExecution]:
        found = await stream()
        if not lost and found:
            lost.add(found[0].venue_trade_id)
        return kept(found)

    async def asked(since_ms: int, until_ms: int) -> Sequence[VenueExecution]:
        return kept(await rest(since_ms, until_ms))

    venue.watch_executions, venue.executions = watched, asked


def skipped_row(router: Any) -> None:
    """The row that begins the next order is not written, and nobody is told."""
    journal = router._journal
    plain = journal.append
    done: list[int] = []

    def append(rows: Sequence[Row]) -> None:
        if not done and any(row.kind == "order" and orjson.loads(row.payload).get("event") == "NEW" for row in rows):
            done.extend(row.seq for row in rows)
            return
        plain(rows)

    journal.append = append


def unfenced(router: Any) -> None:
    """The lease's word counts for nothing, nor does a journal that somebody else writes: it leads on whatever happens."""
    tenure = router._tenure
    tenure.check = lambda: None
    tenure.lease.standing = lambda _now_ms: Standing.HELD
    journal = router._journal
    plain = journal.append

    def append(rows: Sequence[Row]) -> None:
        try:
            plain(rows)
        except Exception:  # noqa: BLE001 -- a defect that hides whatever goes wrong is what is wanted here
            journal.last_seq = rows[-1].seq

    journal.append = append


def usurping(router: type[Any]) -> type[Any]:
    """The class of a router that leads beside one that lives."""
    from actors.router import succession
    from titan.journal import Journal

    async def at_once(self: Any) -> bool:
        await self._tenure.look()
        return True

    succession.Succession.is_open = at_once  # type: ignore[method-assign]

    def unlocked(self: Any) -> None:
        import os

        self._lock = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    Journal._take_lock = unlocked  # type: ignore[method-assign]
    return router


ROUTER_DEFECTS: dict[str, Callable[[Any], None]] = {
    DUPLICATE: duplicate_send,
    LOSE: lost_fill,
    SKIP: skipped_row,
    UNFENCE: unfenced,
}
