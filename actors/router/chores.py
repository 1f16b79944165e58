"""What a leading router does for ever beside trading: ticks, watches, syncs, renewals. Each is a task of the actor."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from actors.router.affinity import Affinity
from actors.router.events import Event, Tick
from actors.router.outbox import Outbox
from actors.router.tenure import Tenure
from actors.router.writer import JournalWriter
from titan.bus import Bus
from titan.journal import Journal, JournalFailed
from titan.logs import Log
from titan.metrics import Metrics

TICK_S = 1.0
BUS_WATCH_S = 0.1
SYNC_S = 1.0
AFFINITY_S = 2.0
UNCONFIRMED = "the bus has not confirmed that this router leads; protection stands"

Changed = Callable[[bool, str], None]


async def tick(writer: JournalWriter, outbox: Outbox, feed: Callable[[Event], None]) -> None:
    """Once a second: rows that could not be written, how far the bus is, the core's own clock."""
    while True:
        await asyncio.sleep(TICK_S)
        writer.retry()
        outbox.note()
        feed(Tick())


async def watch_bus(bus: Bus, changed: Changed) -> None:
    """Tells when the connection comes and goes."""
    up = True
    while True:
        await asyncio.sleep(BUS_WATCH_S)
        if bus.connected is not up:
            up = not up
            changed(up, "" if up else "the connection to NATS is away")


async def keep_lease(tenure: Tenure, held: bool, changed: Changed) -> None:
    """Renews the lease; tells when it lapses and when it is held again. Raises Superseded."""
    await tenure.keep(held, lambda up: changed(up, "" if up else UNCONFIRMED))


async def sync(journal: Journal, log: Log) -> None:
    """Makes the journal durable once a second, on a thread: power loss then takes a second of rows at most."""
    synced_seq = 0
    while True:
        await asyncio.sleep(SYNC_S)
        seq = journal.last_seq
        if seq == synced_seq:
            continue
        try:
            await asyncio.to_thread(journal.fold if journal.wants_fold else journal.sync)
        except JournalFailed as error:
            log.warning("journal not synced", error=str(error))
        else:
            synced_seq = seq


async def keep_affinity(affinity: Affinity, metrics: Metrics) -> None:
    """Moves threads that came later; libraries start theirs when first used."""
    while True:
        affinity.apply()
        report = affinity.report()
        for core in range(os.cpu_count() or 1):
            granted = str(core) in report["loop_cpus"].split(",")
            metrics.gauge("titan_router_cpu").labels(str(core)).set(granted)
        await asyncio.sleep(AFFINITY_S)
