"""The shell that every actor shares: start, ready, run, drain, stop, health, heartbeat.

Guarantees: an actor is Ready only after `on_start` returned; its heartbeat comes from its own event loop and carries
a progress counter that stands still while a consumer of the bus does not consume; a background task that raises takes the
whole actor down, so that the supervisor sees it. Never: knowledge of Ray. `titan.process` runs any actor as a plain process.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import os
import resource
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import nats.errors
from aiohttp import web

from protos import system_pb2 as pb
from titan import subjects
from titan.bus import Bus
from titan.clock import Clock, open_clock
from titan.effects import Severity
from titan.errors import ConfigError
from titan.http import serve_app, standard_app
from titan.logs import configure
from titan.metrics import Metrics
from titan.runtime import Runtime
from titan.scheduling import make_ordinary, make_real_time, raise_niceness
from titan.tasks import end_all
from titan.tracing import open_tracer

Status = Literal["healthy", "degraded", "unhealthy"]
METRICS_EVERY_S = 2.0
DRAIN_TIMEOUT_S = 5.0
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Component:
    """One line of a health answer. `age_ms` is how old the knowledge is."""

    status: Status
    detail: str = ""
    age_ms: int = 0


@dataclass(frozen=True, slots=True)
class ActorContext:
    """What an actor is given: the run it belongs to and which start of it this is."""

    runtime: Runtime
    incarnation: int = 0
    node: str = "local"


class Actor:
    """A supervised part of Titan. Subclasses set `name` and override the hooks."""

    name: ClassVar[str]
    # Under which name it speaks on the bus; its own when empty.
    service: ClassVar[str] = ""
    http: ClassVar[str | None] = None
    heartbeat_s: ClassVar[float] = 1.0
    health_details: bool = True
    # Whether its loop goes before others, and before every ordinary process once it is Ready, where the system grants that.
    urgent: ClassVar[bool] = False

    def __init__(self, context: ActorContext) -> None:
        self.context = context
        self.runtime = context.runtime
        self.clock: Clock = open_clock(context.runtime.run_dir)
        self.metrics = Metrics()
        self.tracer = open_tracer(self.name, context.runtime.traces_url)
        self.log = configure(self.name, context.runtime.log_dir, context.runtime.log_level)
        self.bus: Bus
        self.state = pb.ACTOR_STATE_STARTING
        self.started_wall = time.time()
        self._progress = 0
        self._shown = 0
        self._stalled = ""
        self._descriptors = 0
        self._loop_lag_s = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._stopping = asyncio.Event()
        self._failed: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._runner: web.AppRunner | None = None
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._last_metrics = 0.0

    # Hooks. Each runs on the actor's own event loop.

    async def on_start(self) -> None:
        """Recovers and subscribes; the actor is Ready when it returns. Not called again after a crash."""

    async def on_drain(self) -> None:
        """Stops taking new work; called before `on_stop`, not after a crash."""

    async def on_stop(self) -> None:
        """Releases what `on_start` took; not called after a crash."""

    def fast_lane(self) -> Mapping[str, Component]:
        """How the fast lane to this actor stands, as the part `ipc`; nothing for an actor without one."""
        lane = self.bus.lane
        if lane is None:
            return {}
        age_ms = max(0, int(lane.age_s * 1000))
        return {"ipc": Component("healthy" if lane.healthy else "degraded", lane.detail, age_ms)}

    def components(self) -> Mapping[str, Component]:
        """What the health answer says beside the bus and the loop."""
        return {}

    def health_extra(self) -> Mapping[str, str]:
        """Further top-level text fields of the health answer (policy_hash, trading_state, ...)."""
        return {}

    def busy(self) -> bool:
        """Whether something is under way that a planned restart must wait for."""
        return False

    def describe(self, beat: pb.Heartbeat) -> None:
        """Adds to the pulse what only this actor knows."""

    def speaks(self) -> bool:
        """Whether the pulse goes to the bus, beside the supervisor's socket."""
        return True

    def routes(self, app: web.Application) -> None:
        """Adds HTTP routes beside the standard ones."""

    # What subclasses use.

    def advance(self) -> None:
        """Counts one piece of work done; the supervisor sees the counter rise."""
        self._progress += 1

    def spawn(self, work: Coroutine[object, object, None], name: str) -> asyncio.Task[None]:
        """Runs a background task whose failure is the actor's failure."""
        task = asyncio.get_running_loop().create_task(work, name=f"{self.name}-{name}")
        self._tasks.add(task)
        task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self.fail(error)

    def fail(self, error: BaseException) -> None:
        """Makes the actor die with this error."""
        if not self._failed.done():
            self._failed.set_exception(error)

    def after(self, key: str, seconds: float, callback: Callable[[], Awaitable[None]]) -> None:
        """Calls back once after wall seconds; the same key again replaces the timer."""
        self.cancel(key)

        def fire() -> None:
            self._timers.pop(key, None)

            async def run() -> None:
                await callback()

            self.spawn(run(), f"timer-{key}")

        self._timers[key] = asyncio.get_running_loop().call_later(seconds, fire)

    def cancel(self, key: str) -> None:
        """Forgets a timer."""
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()

    async def alert(self, code: str, severity: Severity, message: str, labels: Mapping[str, str] | None = None) -> None:
        """Tells a person, and logs it."""
        self.log.warning("alert", code=code, severity=severity, message=message)
        event = pb.Alert(
            code=code,
            severity=severity,
            source=self.name,
            message=message,
            ts_ms=time.time_ns() // 1_000_000,
            labels=dict(labels or {}),
        )
        with contextlib.suppress(nats.errors.Error):
            await self.bus.publish(subjects.ALERT, event)

    # Life.

    async def start(self) -> None:
        """Connects, starts the heartbeat and the health server, then `on_start`. Ready when it returns."""
        if self.urgent:
            raise_niceness(threading.get_native_id())
        self.spawn(self._heartbeats(), "heartbeat")
        self.bus = await Bus.connect(self.runtime, self.service or self.name, self.metrics)
        self.spawn(self.bus.failed(), "bus")
        if self.http is not None:
            app = standard_app(self)
            self.routes(app)
            self._runner = await serve_app(app, self.runtime.ports[self.http], self.runtime.bind)
        await self._race(self.on_start())
        # What was built for the start stays for the run: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        if self.urgent and not make_real_time(threading.get_native_id()):
            self.log.info("no real-time scheduling", reason="not granted, or not bounded by sched_rt_runtime_us")
        self.state = pb.ACTOR_STATE_READY
        await self._beat(with_metrics=True)
        self.log.info("ready", pid=os.getpid(), incarnation=self.context.incarnation)

    async def _race(self, work: Coroutine[object, object, object]) -> None:
        """Awaits `work`, or raises what kills the actor meanwhile."""
        task: asyncio.Task[object] = asyncio.get_running_loop().create_task(work)
        try:
            watched: set[asyncio.Future[object]] = {task, self._failed}
            await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            if self._failed.done():
                self._failed.result()
            await task
        finally:
            if not task.done():
                task.cancel()

    async def run(self) -> None:
        """Returns after `request_stop`; raises what killed the actor."""
        stopping: asyncio.Task[object] = asyncio.get_running_loop().create_task(self._stopped())
        try:
            watched: set[asyncio.Future[object]] = {stopping, self._failed}
            await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            if self._failed.done():
                self._failed.result()
        finally:
            stopping.cancel()

    async def _stopped(self) -> object:
        return await self._stopping.wait()

    def request_stop(self) -> None:
        """Lets `run` return."""
        self._stopping.set()

    async def shutdown(self, timeout_s: float = DRAIN_TIMEOUT_S) -> None:
        """Drains, stops and disconnects, within `timeout_s` for each hook."""
        self.state = pb.ACTOR_STATE_STOPPING
        make_ordinary(threading.get_native_id())
        for hook in (self.on_drain, self.on_stop):
            try:
                await asyncio.wait_for(hook(), timeout_s)
            except TimeoutError:
                self.log.warning("hook timed out", hook=hook.__name__, timeout_s=timeout_s)
        self.state = pb.ACTOR_STATE_STOPPED
        await self._beat(with_metrics=True)
        for timer in self._timers.values():
            timer.cancel()
        if self._runner is not None:
            await self._runner.cleanup()
        await end_all(self._tasks)
        await self.bus.close()
        if self.tracer is not None:
            await asyncio.to_thread(self.tracer.close)
        self._socket.close()
        self._stopping.set()

    # Pulse.

    async def _heartbeats(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due += self.heartbeat_s
            await asyncio.sleep(max(0.0, due - loop.time()))
            self._loop_lag_s = max(0.0, loop.time() - due)
            due = max(due, loop.time() - self.heartbeat_s)
            await self._beat(with_metrics=time.monotonic() - self._last_metrics >= METRICS_EVERY_S)

    def heartbeat(self, *, with_metrics: bool = False) -> pb.Heartbeat:
        """The present pulse."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        cpu_seconds = usage.ru_utime + usage.ru_stime
        resident = resident_bytes()
        self.metrics.gauge("titan_process_cpu_seconds_total").labels(self.name).set(cpu_seconds)
        self.metrics.gauge("titan_process_resident_memory_bytes").labels(self.name).set(resident)
        self.metrics.gauge("titan_event_loop_lag_seconds").labels(self.name).set(self._loop_lag_s)
        if with_metrics or not self._descriptors:
            self._descriptors = open_descriptors()
            self.metrics.gauge("titan_process_open_descriptors").labels(self.name).set(self._descriptors)
        return pb.Heartbeat(
            service=self.name,
            pid=os.getpid(),
            incarnation=self.context.incarnation,
            progress=self._shown,
            ts_ms=time.time_ns() // 1_000_000,
            state=self.state,
            loop_lag_s=self._loop_lag_s,
            cpu_seconds=cpu_seconds,
            resident_bytes=resident,
            metrics=self.metrics.exposition() if with_metrics else b"",
            node=self.context.node,
            descriptors=self._descriptors,
            descriptor_limit=descriptor_limit(),
            busy=self.busy(),
            stalled=self._stalled,
        )

    def _look_at_consumption(self) -> None:
        """Progress stands still while a consumer has work and does none, whatever else this process still does."""
        bus: Bus | None = getattr(self, "bus", None)
        stalled = "" if bus is None else bus.stalled()
        if stalled and not self._stalled:
            self.log.warning("stalled", consumer=stalled)
        self._stalled = stalled
        if not stalled:
            self._shown = self._progress

    async def _beat(self, *, with_metrics: bool) -> None:
        self._progress += 1
        self._look_at_consumption()
        beat = self.heartbeat(with_metrics=with_metrics)
        self.describe(beat)
        if with_metrics:
            self._last_metrics = time.monotonic()
        bus: Bus | None = getattr(self, "bus", None)
        if bus is not None and bus.connected and self.speaks():
            with contextlib.suppress(nats.errors.Error):
                await bus.publish(subjects.heartbeat(self.service or self.name), beat)
        beat.metrics = b""
        with contextlib.suppress(OSError):  # no supervisor listens, or its queue is full: the next beat will do
            self._socket.sendto(beat.SerializeToString(), str(self.runtime.heartbeat_socket))


def resident_bytes() -> int:
    """Resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


def open_descriptors() -> int:
    """Descriptors this process has open."""
    return len(os.listdir("/proc/self/fd"))


def descriptor_limit() -> int:
    """How many it may have; 0 for no limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 0 if soft == resource.RLIM_INFINITY else soft


def load_actor(path: str) -> type[Actor]:
    """The actor class at `package.module:Class`. Raises ConfigError."""
    module_name, _, class_name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"no actor at {path!r}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Actor)):
        raise ConfigError(f"{path} is not an Actor class")
    return found
