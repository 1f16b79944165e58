"""Measures what the books stand on: the age of backups, the disk, the database, the bus's store.

Guarantees: what can't be asked keeps its last value and the rest is measured all the same; nothing here delays the books.
Never: a change of anything.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable
from typing import Protocol

import asyncpg

from titan.actor import Actor
from titan.backups import read_status
from titan.bus.storage import storage
from titan.codes import DifferenceKind
from titan.errors import Transient
from titan.store import database_errors

EVERY_S = 5.0
_ARCHIVE = (
    "SELECT coalesce(last_failed_time > last_archived_time OR (last_archived_time IS NULL AND failed_count > 0), false) "
    "FROM pg_stat_archiver"
)
_CAPITAL = "SELECT sum(e.direction * e.amount) FROM ledger_entries e JOIN ledger_accounts a USING (account_id) WHERE a.name = $1"


class Holder(Protocol):
    """Who holds a pool of connections to the ledger."""

    @property
    def pool(self) -> asyncpg.Pool:
        """The connections."""
        ...


class Storage:
    """Sets the gauges of an actor; `books` gives the open books, None before."""

    def __init__(self, actor: Actor, books: Callable[[], Holder | None]) -> None:
        venue = actor.runtime.venue
        self._actor = actor
        self._books = books
        self._capital = f"capital:{venue.name}:{venue.account}"
        self._home = actor.runtime.home
        self._metrics = actor.metrics
        actor.metrics.zero("titan_truth_drift_total", DifferenceKind)

    async def watch(self) -> None:
        """Measures again and again, until it is cancelled."""
        while True:
            books = self._books()
            await self.measure(None if books is None else books.pool, self._actor.clock.now().wall_ms)
            await asyncio.sleep(EVERY_S)

    async def measure(self, pool: asyncpg.Pool | None, now_ms: int) -> None:
        """Sets everything that can be measured now."""
        gauge = self._metrics.gauge
        ages = read_status(self._home).ages_s(now_ms)
        gauge("titan_backup_age_seconds").set(min(ages["journal"], ages["dump"], ages["base"]))
        for kind, age_s in ages.items():
            gauge("titan_backup_kind_age_seconds").labels(kind).set(age_s)
        disk = shutil.disk_usage(self._home)
        gauge("titan_disk_free_percent").set(100 * disk.free / disk.total)
        try:
            held, limit = await storage(self._actor.bus)
            if limit:
                gauge("titan_nats_storage_percent").set(100 * held / limit)
        except Transient:
            pass
        if pool is not None:
            await self._database(pool)

    async def _database(self, pool: asyncpg.Pool) -> None:
        gauge = self._metrics.gauge
        try:
            with database_errors("be measured"):
                async with pool.acquire() as connection:
                    began = time.perf_counter()
                    size = await connection.fetchval("SELECT pg_database_size(current_database())")
                    took_ms = (time.perf_counter() - began) * 1000
                    failing = await connection.fetchval(_ARCHIVE)
                    began = time.perf_counter()
                    paid_in = await connection.fetchval(_CAPITAL, self._capital)
                    summed_ms = (time.perf_counter() - began) * 1000
        except Transient:
            return
        duration = self._metrics.histogram("titan_database_query_duration_ms")
        duration.labels("size").observe(took_ms)
        duration.labels("balance").observe(summed_ms)
        gauge("titan_database_size_bytes").set(size)
        gauge("titan_wal_archive_failing").set(float(failing))
        if paid_in is not None:
            gauge("titan_initial_capital_usd").set(float(paid_in))
