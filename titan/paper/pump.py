"""Plays a feed into the venue in market time.

Guarantees: events enter in the feed's order, never before their time; clients are served between slices; public
frames leave at most every few milliseconds. Never: skipping an event because the machine is slow.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import TypeGuard

from titan.paper.feeds.base import Feed, FeedEvent, LiveFeed
from titan.paper.venue import Venue

SLICE_NS = 2_000_000
MIN_WAIT_S = 0.002
IDLE_WAIT_S = 1.0
TICKER_WAIT_S = 0.02
PRIME_MS = 15_000


def is_played(feed: Feed | LiveFeed) -> TypeGuard[Feed]:
    """Whether a feed can be read from any point in market time."""
    return hasattr(feed, "events")


def is_live(feed: Feed | LiveFeed) -> TypeGuard[LiveFeed]:
    """Whether a feed only arrives."""
    return hasattr(feed, "run")


class Pump:
    """Drives one venue from one feed."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue

    async def run(self) -> None:
        """Plays until cancelled. Raises FeedError or LedgerError when it can't go on."""
        feed = self._venue.feed
        if is_live(feed):
            await self._mirror(feed)
        elif is_played(feed):
            await self._play(feed)

    async def _play(self, feed: Feed) -> None:
        venue = self._venue
        start = venue.market_ms
        events: Iterator[FeedEvent] = feed.events(max(feed.start_ms, start - PRIME_MS))
        event = next(events, None)
        while event is not None and event.ts_ms < start - 1000:
            venue.prime(event)
            event = next(events, None)
        while True:
            now = venue.market_ms
            deadline = time.monotonic_ns() + SLICE_NS
            while event is not None and event.ts_ms <= now and time.monotonic_ns() < deadline:
                venue.apply(event)
                event = next(events, None)
            venue.flush()
            if event is None:
                venue.feed_ended = True
                wait = IDLE_WAIT_S
            else:
                wait = (event.ts_ms - venue.market_ms) / 1000 / venue.clock.speed
            if wait <= 0:
                await asyncio.sleep(0)
                continue
            second = (1000 - venue.market_ms % 1000) / 1000 / venue.clock.speed
            await asyncio.sleep(max(min(wait, max(second, TICKER_WAIT_S)), MIN_WAIT_S))

    async def _mirror(self, feed: LiveFeed) -> None:
        flushing = asyncio.create_task(self._flush_forever(), name="flush")
        try:
            await feed.run(self._venue.apply)
        finally:
            flushing.cancel()

    async def _flush_forever(self) -> None:
        while True:
            self._venue.flush()
            await asyncio.sleep(0.01)
