"""Runs truth passes: reads the three sides, compares, waits for what is under way, and says what stays different.

Guarantees: one pass at a time; a difference counts only when three readings a second apart all show it; a side that can't be
read makes the pass incomplete, never clean. Never: a correction.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from actors.execution.core import Account, TruthPassed
from actors.execution.follower import JournalFollower
from actors.execution.records import Records
from actors.execution.sides import OrderView, Snapshot, within
from actors.execution.truth import Comparison, compare, evidence, missing_at_venue, persisting
from actors.execution.venue import VenueSource, read_venue
from titan.clock import Clock
from titan.errors import Ambiguous, Rejected, Transient

CHECKS = 3
SETTLE_S = 1.0
WINDOW_MS = 6 * 86_400_000
AHEAD_WALL_MS = 5_000
NOTHING = Comparison(0, 0, ())


class Auditor:
    """One account's passes. `open_source` connects to the venue on first use."""

    def __init__(
        self,
        account: Account,
        open_source: Callable[[], Awaitable[VenueSource]],
        follower: JournalFollower,
        records: Records,
        clock: Clock,
        opened_ms: int,
    ) -> None:
        self._account = account
        self._open_source = open_source
        self._follower = follower
        self._records = records
        self._clock = clock
        self._opened_ms = opened_ms
        self._lock = asyncio.Lock()
        self.venue_error = ""
        self.venue_answered_at: float | None = None

    async def run(self, requested_by: str, *, venue_only: bool = False) -> TruthPassed:
        """One pass; `venue_only` compares venue and ledger without asking the router."""
        async with self._lock:
            started = time.monotonic()
            found, digest, error = NOTHING, "", ""
            try:
                found, digest = await self._settled(venue_only=venue_only)
            except (Transient, Ambiguous, Rejected) as failure:
                error = str(failure)
            except ValueError as failure:
                error = f"a side makes no sense: {failure}"
            took_ms = int((time.monotonic() - started) * 1000)
            return TruthPassed(requested_by, found, digest, took_ms, error, venue_only)

    async def _settled(self, *, venue_only: bool) -> tuple[Comparison, str]:
        found: Comparison | None = None
        digest = ""
        sought: tuple[OrderView, ...] = ()
        for check in range(CHECKS):
            if check:
                await asyncio.sleep(SETTLE_S)
            venue, journal, ledger = await self._read(sought, venue_only=venue_only)
            seen = compare(venue, journal, ledger)
            found = seen if found is None else persisting(found, seen)
            digest = evidence(venue, journal, ledger)
            if not found.drifts:
                break
            absent = set(missing_at_venue(found))
            sought = tuple(one for one in journal.orders if {one.venue_order_id, one.client_order_id} & absent)
        assert found is not None
        return found, digest

    async def _read(self, sought: tuple[OrderView, ...], *, venue_only: bool) -> tuple[Snapshot, Snapshot, Snapshot]:
        now = self._clock.now()
        until_ms = now.market_ms + int(AHEAD_WALL_MS * self._clock.speed)
        since_ms, since_wall_ms = max(1, now.market_ms - WINDOW_MS), max(1, now.wall_ms - WINDOW_MS)
        self._follower.mirror.forget(since_ms, since_wall_ms)
        account = self._account
        try:
            source = await self._open_source()
            venue = await read_venue(source, account.venue, account.name, since_ms, until_ms, sought)
        except (Transient, Ambiguous, Rejected) as failure:
            self.venue_error = str(failure)
            raise
        self.venue_error, self.venue_answered_at = "", time.monotonic()
        if not venue_only:
            await self._follower.follow()
            if not self._follower.mirror.wallet_known:
                raise Transient("the router has not read the wallet yet")
        ledger = await self._records.snapshot(since_ms, since_wall_ms)
        journal = ledger if venue_only else self._follower.mirror.snapshot()
        seen = within(venue, journal, ledger, self._opened_ms)
        return seen, journal.since(since_ms, since_wall_ms), ledger.since(since_ms, since_wall_ms)
