"""The paper venue as a process: opens feed, ledger and clock, listens, plays the feed, stops on a signal.

Guarantees: nothing listens before the ledger is restored; one JSON line on standard output says it is ready; every
refusal to start is a `StartError` with one sentence. Never: a port other than loopback's.
"""

from __future__ import annotations

import asyncio
import errno
import json
import signal
import socket
import sys
import time
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from aiohttp import web

from titan.clock import ANCHOR_FILE, AnchoredClock, MarketAnchor
from titan.paper.admin import AdminApi
from titan.paper.fault_shell import FaultShell
from titan.paper.feeds import FeedError
from titan.paper.feeds.base import Feed, LiveFeed
from titan.paper.feeds.opening import open_feed
from titan.paper.ledger import Ledger, LedgerError
from titan.paper.protocol.auth import Credentials, load_credentials
from titan.paper.protocol.fault_dialect import BybitDialect
from titan.paper.protocol.rest import RestApi
from titan.paper.protocol.streams import Streams
from titan.paper.pump import Pump, is_live
from titan.paper.tongues import BYBIT, open_tongue
from titan.paper.venue import Venue

HOST = "127.0.0.1"
CREDENTIALS_FILE = "paper_credentials.json"


class StartError(Exception):
    """The venue can't start as asked; the message says what was seen, what is allowed, what to do."""


@dataclass(frozen=True, slots=True)
class VenueOptions:
    """How to run; ports may be 0 for a free one, `balance` is the deposit of a new ledger in USDT."""

    feed: str
    home: Path
    speed: float = 1.0
    port: int = 0
    admin_port: int = 0
    symbols: tuple[str, ...] = ()
    warmup_file: Path | None = None
    anchor: Path | None = None
    credentials: Path | None = None
    balance: Decimal = Decimal(100_000)
    speaks: str = BYBIT


def resume_anchor(path: Path, feed: Feed | LiveFeed, speed: float, last_ms: int) -> tuple[MarketAnchor, bool]:
    """The anchor to run by, on disk afterwards, and whether it continues the market the ledger knows.

    The same feed continues where its anchor is now; at another speed from the same instant; after a reboot, when the
    anchor lies in the future, from `last_ms`. Another feed, or no anchor, starts a new market at the feed's start.
    A live feed is always at wall time. Raises StartError.
    """
    now_ns = time.monotonic_ns()
    try:
        known = MarketAnchor.read(path)
    except (OSError, ValueError, KeyError) as error:
        raise StartError(
            f"cannot read the market clock {path}: {error!r}; delete it to start the market anew"
        ) from error
    same = known is not None and known.feed == feed.name
    if is_live(feed):
        start = time.time_ns() // 1_000_000
    elif known is None or not same:
        start = feed.start_ms
    elif known.monotonic0_ns > now_ns:
        start = max(last_ms, feed.start_ms)
    elif known.speed == speed:
        return known, True
    else:
        start = known.market_ms(now_ns)
    anchor = MarketAnchor(start, now_ns, speed, feed.name)
    try:
        anchor.write(path)
    except OSError as error:
        raise StartError(f"cannot write the market clock {path}: {error}; choose a writable --home") from error
    return anchor, same


def _listen(port: int, what: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((HOST, port))
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise StartError(f"{what} {port} is taken by another process; stop it or choose another port") from error
        raise StartError(f"cannot listen on {what} {port}: {error}; choose another port") from error
    return sock


def _open(options: VenueOptions) -> tuple[Venue, Credentials]:
    if options.speed <= 0:
        raise StartError(f"speed {options.speed} must be above 0")
    try:
        feed = open_feed(options.feed, symbols=options.symbols, warmup_file=options.warmup_file)
        if is_live(feed) and options.speed != 1:
            raise StartError(f"a live feed runs at speed 1, not {options.speed}; leave --speed out")
        run_dir = options.home / "run"
        credentials = load_credentials(options.credentials or run_dir / CREDENTIALS_FILE)
        ledger = Ledger(options.home / "data" / "paper" / "ledger.db", options.balance)
        path = options.anchor or run_dir / ANCHOR_FILE
        anchor, resumed = resume_anchor(path, feed, options.speed, ledger.last_ms())
        return Venue(feed, ledger, AnchoredClock(anchor), resumed=resumed), credentials
    except (FeedError, LedgerError, ValueError, OSError) as error:
        raise StartError(str(error)) from error


def build_apps(venue: Venue, credentials: Credentials, speaks: str = BYBIT) -> tuple[web.Application, web.Application]:
    """The public and the admin application of a venue that also `speaks` like another exchange.

    The fault switches act on the exchange that is spoken. Raises ValueError for one that is not known.
    """
    spoken = open_tongue(speaks, venue, credentials)
    private, dialect = (venue.private, BybitDialect()) if spoken is None else (spoken[0].private, spoken[1])
    faults = FaultShell(dialect, {"private": private, "public": venue.public})
    app = web.Application(client_max_size=1 << 20, middlewares=[faults.middleware])
    rest = RestApi(venue, credentials, faults.wall_ms)
    rest.add_routes(app)
    Streams(venue, credentials, faults).add_routes(app)
    if spoken is not None:
        spoken[0].wall_ms = faults.wall_ms
        spoken[0].add_routes(app)
    rest.add_fallback(app)
    admin = web.Application()
    AdminApi(venue).add_routes(admin)
    faults.add_routes(admin)
    return app, admin


async def serve(options: VenueOptions) -> None:
    """Runs the venue until SIGTERM or SIGINT. Raises StartError, or what ended the feed or the ledger."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    sock, admin_sock = _listen(options.port, "port"), _listen(options.admin_port, "admin port")
    venue, credentials = _open(options)
    venue.on_broken = stop.set
    app, admin = build_apps(venue, credentials, options.speaks)
    runners = [web.AppRunner(a, access_log=None, shutdown_timeout=0.5) for a in (app, admin)]
    pump = asyncio.create_task(Pump(venue).run(), name="pump")
    stopping = asyncio.create_task(stop.wait(), name="stop")
    try:
        for runner, bound in zip(runners, (sock, admin_sock), strict=True):
            await runner.setup()
            await web.SockSite(runner, bound).start()
        ready = {"ready": True, "port": sock.getsockname()[1], "admin_port": admin_sock.getsockname()[1]}
        print(json.dumps(ready), flush=True, file=sys.stdout)
        await asyncio.wait({pump, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if venue.broken is not None:
            raise venue.broken
        if pump.done():
            pump.result()
    finally:
        pump.cancel()
        stopping.cancel()
        for hub in (venue.public, venue.private):
            for connection in list(hub.connections):
                await connection.socket.close(code=1001, message=b"venue stops")
        for runner in runners:
            await runner.cleanup()
        venue.close()
