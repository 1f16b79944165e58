"""up and down: start the whole tree, watch it, end it without leaving a process behind."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import grpc
import typer
from rich.live import Live
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from ops.cli.client import Client, connect, home_of
from ops.cli.control import Home, Json
from ops.cli.output import console, emit, fail, money
from ops.cli.plan import Flags, make_plan, parse_duration
from ops.cli.session import STOP_TIMEOUT_S, Session, settle, wait_for_gateway
from ops.cli.summary import print_summary, summary_of
from ops.cli.view import render, trading_state
from ops.cli.world import mark_ended, prepare
from protos import control_pb2 as pb
from supervisors.state import Stage, read_state, stop
from titan import subjects
from titan.errors import ConfigError, ExitCode, NotRunning, TitanError
from titan.halt import write_halt
from titan.runtime import Runtime
from titan.settings import load_settings

WATCHED = (
    subjects.DECISION,
    subjects.FILL_ALL,
    subjects.REJECT,
    subjects.TRADING_STATE,
    subjects.ACTOR_RESTARTED,
    subjects.ALERT,
)
RAY_TOKEN = Path("run/secrets/ray_token")
REFRESH_S = 0.5
LOG_EVERY_S = 10.0


class Interrupted(Exception):
    """Ctrl-C or SIGTERM: end the run in order."""


@contextmanager
def _signals() -> Iterator[None]:
    """Turns the first Ctrl-C or SIGTERM into Interrupted; later ones are ignored while the run ends."""

    def on_signal(_: int, __: object) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Interrupted

    held = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in held.items():
            signal.signal(number, handler)


def line_of(event: pb.WatchEventsResponse) -> str:
    """One event in one line."""
    at = time.strftime("%H:%M:%S", time.gmtime(event.ts_ms / 1000))
    body = json.loads(event.json)
    match event.type.rpartition(".")[2]:
        case "Decision":
            what = "approved" if body.get("approved") else f"vetoed {body.get('code', '')}"
            size = body.get("authorized_size_usd") if body.get("approved") else body.get("requested_size_usd")
            side = str(body.get("side", "")).removeprefix("SIDE_")
            text = f"decision {what}: {side} {body.get('symbol', '')} {money(str(size or ''))} USD {body.get('trap_type', '')}"
        case "Fill":
            side = str(body.get("side", "")).removeprefix("SIDE_")
            role = str(body.get("role", "")).removeprefix("ORDER_ROLE_").lower()
            text = (
                f"fill     {side} {body.get('quantity')} {body.get('symbol')} at {money(str(body.get('price')))} "
                f"({role}) realised {money(str(body.get('realized_pnl', '0')))}"
            )
        case "Reject":
            text = f"reject   {body.get('symbol', '')} {body.get('code')}: {body.get('detail')}"
        case "TradingStateChanged":
            now = str(body.get("current", "")).removeprefix("TRADING_STATE_")
            text = f"state    {now}: {body.get('reason', '')}"
        case "ActorRestarted":
            text = f"restart  {body.get('name')}: {body.get('reason')} (back after {body.get('recovery_s', 0):.2f} s)"
        case _:
            text = f"alert    {body.get('severity', '')} {body.get('code', '')}: {body.get('message', '')}"
    return f"{at} {text}"


def fill_order(event: pb.WatchEventsResponse) -> str:
    """The client order id of a fill event, empty for every other event."""
    if event.type.rpartition(".")[2] != "Fill":
        return ""
    return str(json.loads(event.json).get("client_order_id", ""))


class Watcher(threading.Thread):
    """Collects event lines from the gateway until the run ends; reconnects when the gateway was restarted."""

    def __init__(self, home: Path, lines: deque[str], echo: bool) -> None:
        super().__init__(name="events", daemon=True)
        self._home = home
        self._lines = lines
        self._echo = echo
        self._ended = threading.Event()
        self._call: grpc.Call | None = None
        self._order = ""
        self._more = 0

    def run(self) -> None:
        """Runs until `end`."""
        while not self._ended.is_set():
            try:
                with connect(self._home) as client:
                    request = pb.WatchEventsRequest(subjects=WATCHED)
                    self._call = stream = client.stub.WatchEvents(request, metadata=client.metadata)
                    for event in stream:
                        self._take(event)
            except (grpc.RpcError, TitanError):
                self._ended.wait(0.5)

    def _take(self, event: pb.WatchEventsResponse) -> None:
        order = fill_order(event)
        line = line_of(event)
        if order and order == self._order and self._lines and not self._echo:
            self._more += 1
            line = f"{line}  (+{self._more} fills of this order)"
            self._lines.pop()
        else:
            self._order, self._more = order, 0
        self._lines.append(line)
        if self._echo:
            console.print(line, markup=False, soft_wrap=True)

    def end(self) -> None:
        """Stops listening."""
        self._ended.set()
        if self._call is not None:
            self._call.cancel()  # type: ignore[no-untyped-call]


def _start(session: Session, *, quiet: bool) -> None:
    if quiet or not console.is_terminal:
        last = ""

        def on_step(step: str) -> None:
            nonlocal last
            if step != last and not quiet:
                console.print(f"{time.monotonic() - session.started:5.1f} s  {step}", markup=False)
            last = step

        session.wait_until_up(on_step)
        return
    with Progress(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), transient=True) as progress:
        task = progress.add_task("starting")
        session.wait_until_up(lambda step: progress.update(task, description=step))


def _watch(session: Session, until: float | None, lines: deque[str], *, quiet: bool) -> str:
    """Shows the run until it ends; returns why."""
    draw = console.is_terminal and not quiet
    with connect(session.home) as client:
        if not draw:
            return _watch_plain(session, client, until, quiet=quiet)
        first = wait_for_gateway(client)
        with Live(render(first, tuple(lines)), console=console, screen=True, auto_refresh=False) as live:
            while session.alive:
                if until is not None and time.monotonic() >= until:
                    return "duration"
                time.sleep(REFRESH_S)
                try:
                    live.update(render(client.status(2.0), tuple(lines)[-12:]), refresh=True)
                except TitanError:
                    lines.append("the gateway is away; the supervisor brings it back")
    return "guardian ended"


def _watch_plain(session: Session, client: Client, until: float | None, *, quiet: bool) -> str:
    due = 0.0
    while session.alive:
        now = time.monotonic()
        if until is not None and now >= until:
            return "duration"
        if not quiet and now >= due:
            due = now + LOG_EVERY_S
            try:
                status = client.status(2.0)
                console.print(
                    f"{trading_state(status)} equity {money(status.equity.equity)} {status.equity.currency}, "
                    f"{status.counters.events_in:,} events, {status.counters.signals} signals, "
                    f"{status.counters.fills} fills, {status.counters.round_trips} round trips",
                    markup=False,
                    soft_wrap=True,
                )
            except TitanError as error:
                console.print(str(error), markup=False, soft_wrap=True)
        time.sleep(0.1)
    return "guardian ended"


def _halt_only(home: Path, as_json: bool) -> None:
    path = write_halt(home, "titan up --halt")
    effects = [f"HARD HALT recorded in {path}: no start of this home sends an opening order until `titan resume`"]
    try:
        with connect(home) as client:
            receipt = client.call(client.stub.Halt, pb.HaltRequest(reason="titan up --halt")).receipt
            effects.extend(receipt.effects)
    except NotRunning:
        effects.append("nothing was started, nothing was running")
    if as_json:
        emit({"halted": True, "effects": effects})
        return
    for effect in effects:
        console.print(effect, markup=False, soft_wrap=True)


def up(
    profile: Annotated[str | None, typer.Option("--profile", help="paper or live")] = None,
    feed: Annotated[str | None, typer.Option("--feed", help="auto, replay:PATH, synthetic:SEED or live")] = None,
    speed: Annotated[float | None, typer.Option("--speed", help="market seconds per second; 0 chooses by feed")] = None,
    for_: Annotated[str | None, typer.Option("--for", help="end after this long, like 120s or 5m")] = None,
    symbols: Annotated[str | None, typer.Option("--symbols", help="comma-separated, like BTC/USDT:USDT")] = None,
    warmup: Annotated[Path | None, typer.Option("--warmup", help="Parquet candles before a replay")] = None,
    dashboard: Annotated[bool | None, typer.Option("--dashboard/--no-dashboard", help="Ray's dashboard")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="start, then give the terminal back")] = False,
    halt: Annotated[bool, typer.Option("--halt", help="start nothing and put a persistent HARD HALT")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="go on with the last paper account")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Start Titan and watch it; Ctrl-C ends it in order. Example: titan up --feed synthetic:42 --speed 60 --for 5m."""
    where = home_of(home)
    if halt:
        _halt_only(where, as_json)
        return
    if detach and for_ is not None:
        raise ConfigError("--detach and --for exclude each other: a detached run is ended by titan down")
    duration_s = None if for_ is None else parse_duration(for_)
    running = read_state(where)
    if running is not None and running.alive and running.state != Stage.SERVERS:
        raise ConfigError(f"Titan already runs under {where} (guardian pid {running.pid}); end it with: titan down")
    flags = Flags(where, profile, feed, speed, symbols, warmup, dashboard)
    lines: deque[str] = deque(maxlen=200)
    with _signals():
        try:
            plan = make_plan(load_settings(), flags)
            sentence = prepare(plan, resume=resume)
            session = Session(plan)
        except Interrupted:
            raise TitanError("interrupted before anything was started") from None
        watcher: Watcher | None = None
        try:
            _start(session, quiet=as_json)
            _greet(session, sentence, as_json)
            if detach:
                return
            watcher = Watcher(where, lines, echo=not console.is_terminal and not as_json)
            watcher.start()
            until = None if duration_s is None else time.monotonic() + duration_s
            reason = _watch(session, until, lines, quiet=as_json)
        except Interrupted:
            reason = "interrupted"
        except BaseException:
            session.stop()
            raise
        if watcher is not None:
            watcher.end()
        code = _end(session, reason, as_json)
    raise typer.Exit(code)


def _greet(session: Session, sentence: str, as_json: bool) -> None:
    if as_json:
        return
    plan, took_s = session.plan, time.monotonic() - session.started
    runtime = Runtime.load(session.home)
    console.print(
        f"Titan is up after {took_s:.1f} s: {plan.profile}, feed {plan.feed} at {plan.speed:g}x", markup=False
    )
    console.print(
        f"  control  grpc://127.0.0.1:{plan.ports['gateway_grpc']}   titan status, titan --help", markup=False
    )
    console.print(f"  health   http://127.0.0.1:{plan.ports['gateway_http']}/health", markup=False)
    if runtime.dashboard_url:
        console.print(f"  ray      {runtime.dashboard_url}   token in {session.home / RAY_TOKEN}", markup=False)


def _end(session: Session, reason: str, as_json: bool) -> int:
    """Settles, stops, reports; returns the exit code."""
    state = session.state()
    was_up = state is not None and state.state == Stage.UP
    duration_s = time.monotonic() - session.started
    if not as_json and was_up:
        console.print("ending: disarm, compare the books, stop every actor and server")
    status, truth = settle(session.home) if was_up and session.alive else (None, None)
    stopped = session.stop()
    if stopped == 0:
        mark_ended(session.home)
    if status is None:
        if as_json:
            emit({"feed": session.plan.feed, "duration_s": round(duration_s, 3), "exit_reason": reason})
        fail(
            "the run ended without a last status: titan logs guardian"
            if was_up
            else "interrupted during start: all stopped"
        )
        return ExitCode.FAILED
    if as_json:
        emit(summary_of(status, truth, duration_s, reason))
    else:
        print_summary(status, truth, duration_s)
    clean = truth is not None and truth.complete and truth.differences == 0
    return ExitCode.OK if clean and reason != "guardian ended" and stopped == 0 else ExitCode.FAILED


def down(
    keep_servers: Annotated[
        bool, typer.Option("--keep-servers", help="leave NATS, PostgreSQL, Redis and the paper venue running")
    ] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """End the Titan of this home in order: actors, Ray, servers. Example: titan down."""
    where = home_of(home)
    state = read_state(where)
    if state is None or not state.alive:
        raise NotRunning(f"no Titan runs under {where}")
    started = time.monotonic()
    stop(where, STOP_TIMEOUT_S, keep_servers=keep_servers)
    if not keep_servers:
        # Kept servers hold the account in use: the next start goes on with it and must not put it aside.
        mark_ended(where)
    took_s = time.monotonic() - started
    if as_json:
        emit({"stopped": True, "seconds": round(took_s, 3), "servers_kept": keep_servers})
    else:
        console.print(f"stopped after {took_s:.1f} s", markup=False)
