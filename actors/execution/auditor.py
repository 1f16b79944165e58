"""Runs truth passes: reads the three sides, compares, waits for what is under way, and says what stays different.

A pass is whole or recent: whole ones compare six days of orders and fills, recent ones what the venue dated since an hour before
the last clean pass; both compare all open orders, positions and money. What agreed once and ended does not change, so a whole
pass each hour is enough, and the others cost the venue's rate limit and this process's memory little.

Guarantees: one pass at a time; a difference counts only when three readings a second apart all show it; a side that can't be
read makes the pass incomplete, never clean; the first pass, one that somebody asked for, and every one after a difference is
whole. Never: a correction.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from actors.execution.core import Account, TruthPassed
from actors.execution.follower import JournalFollower
from actors.execution.records import Records
from actors.execution.sides import OrderView, Snapshot, within
from actors.execution.truth import Comparison, compare, evidence, missing_at_venue, persisting
from actors.execution.venue import VenueSource, read_venue
from titan.clock import Clock, Now
from titan.errors import Ambiguous, Rejected, Transient

CHECKS = 3
SETTLE_S = 1.0
WINDOW_MS = 6 * 86_400_000
RECENT_MS = 3_600_000
WHOLE_EVERY_S = 3_600.0
AHEAD_WALL_MS = 5_000
NOTHING = Comparison(0, 0, ())


@dataclass(frozen=True, slots=True)
class _Span:
    """How far back a pass looks, in the venue's time and in wall time."""

    market_ms: int
    wall_ms: int

    @classmethod
    def since(cls, clean: Now, now: Now) -> _Span:
        """Back to the last clean pass and an hour more; never further than a whole one looks."""
        market_ms, wall_ms = now.market_ms - clean.market_ms, now.wall_ms - clean.wall_ms
        return cls(min(WINDOW_MS, market_ms + RECENT_MS), min(WINDOW_MS, wall_ms + RECENT_MS))


WHOLE = _Span(WINDOW_MS, WINDOW_MS)


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
        # When the last clean pass began, None after a difference; and when (monotonic) the last whole one did.
        self._clean: Now | None = None
        self._whole_at = -WHOLE_EVERY_S
        self.venue_error = ""
        self.venue_answered_at: float | None = None

    async def run(self, requested_by: str, *, venue_only: bool = False, whole: bool = True) -> TruthPassed:
        """One pass; `venue_only` compares venue and ledger without asking the router. Not `whole`: a recent one will do."""
        async with self._lock:
            started, began = time.monotonic(), self._clock.now()
            clean = None if whole or started - self._whole_at >= WHOLE_EVERY_S else self._clean
            span = WHOLE if clean is None else _Span.since(clean, began)
            found, digest, error = NOTHING, "", ""
            try:
                found, digest = await self._settled(span, venue_only=venue_only)
                if found.drifts:
                    self._clean = None
                elif not venue_only:
                    self._clean = began
                    self._whole_at = started if clean is None else self._whole_at
            except (Transient, Ambiguous, Rejected) as failure:
                error = str(failure)
            except ValueError as failure:
                error = f"a side makes no sense: {failure}"
            took_ms = int((time.monotonic() - started) * 1000)
            since_ms = max(1, began.market_ms - span.market_ms)
            return TruthPassed(requested_by, found, digest, took_ms, error, venue_only, since_ms)

    async def _settled(self, span: _Span, *, venue_only: bool) -> tuple[Comparison, str]:
        found: Comparison | None = None
        digest = ""
        sought: tuple[OrderView, ...] = ()
        for check in range(CHECKS):
            if check:
                await asyncio.sleep(SETTLE_S)
            venue, journal, ledger = await self._read(span, sought, venue_only=venue_only)
            seen = compare(venue, journal, ledger)
            found = seen if found is None else persisting(found, seen)
            digest = evidence(venue, journal, ledger)
            if not found.drifts:
                break
            absent = set(missing_at_venue(found))
            sought = tuple(one for one in journal.orders if {one.venue_order_id, one.client_order_id} & absent)
        assert found is not None
        return found, digest

    async def _read(
        self, span: _Span, sought: tuple[OrderView, ...], *, venue_only: bool
    ) -> tuple[Snapshot, Snapshot, Snapshot]:
        # The span moves on with the readings: what the sides date to either side of its edge is out of it by the next one.
        now = self._clock.now()
        until_ms = now.market_ms + int(AHEAD_WALL_MS * self._clock.speed)
        since_ms, since_wall_ms = max(1, now.market_ms - span.market_ms), max(1, now.wall_ms - span.wall_ms)
        self._follower.mirror.forget(max(1, now.market_ms - WINDOW_MS), max(1, now.wall_ms - WINDOW_MS))
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
