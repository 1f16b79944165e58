"""The root's work without Ray: a tree of supervisors, its liveness, its memory and its news.

Guarantees: silence is judged by this process's own timer, never for a time in which it did not look; a child that lives is
adopted, never restarted; neither the bus nor a disk that is away delays a restart. All methods belong to one event loop.
Never: a placement or a process of its own; those are the launcher's.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from protos import system_pb2 as pb
from supervisors.appetite import Appetite, Limits, Usage
from supervisors.child import ChildView, Status
from supervisors.events import (
    Adopted,
    Command,
    Effect,
    Event,
    Exited,
    KillChild,
    Lost,
    Ready,
    RecordRestart,
    StopChild,
    SupervisorReady,
    Tick,
    Verb,
)
from supervisors.host_order import HostReport
from supervisors.liveness import Liveness
from supervisors.nested import TreeMachine
from supervisors.processes import cpus_of
from supervisors.runner import Launcher, Life, Runner
from supervisors.spec import SupervisorSpec
from supervisors.store import Memory, Store
from supervisors.tree import ActorSpec
from titan.logs import Log

LOOK_EVERY_S = 0.1
LIMITS = Limits()
SETTLED = frozenset({Status.READY, Status.STOPPED, Status.QUARANTINED, Status.FAILED})
SETTLE_POLL_S = 0.02
# Errors that no restart mends: a person has to change something.
HOPELESS = ("ConfigError:", "MissingServer:", "PortTaken:", f"OSError: [Errno {errno.EADDRINUSE}]")
_STATES = {
    Status.STOPPED: pb.ACTOR_STATE_STOPPED,
    Status.STARTING: pb.ACTOR_STATE_STARTING,
    Status.READY: pb.ACTOR_STATE_READY,
    Status.STOPPING: pb.ACTOR_STATE_STOPPING,
    Status.KILLING: pb.ACTOR_STATE_STOPPING,
    Status.BACKOFF: pb.ACTOR_STATE_BACKOFF,
    Status.QUARANTINED: pb.ACTOR_STATE_QUARANTINED,
    Status.FAILED: pb.ACTOR_STATE_FAILED,
}


class AdoptedLife(Life, Protocol):
    """A life that was found."""

    @property
    def report(self) -> HostReport:
        """Who it is."""
        ...


class Adopter(Launcher, Protocol):
    """A launcher that can also find what lives already."""

    async def adopt(self, child: str) -> AdoptedLife | None:
        """The verified living process of a child, or None."""
        ...

    async def bury(self, child: str, pid: int) -> None:
        """Ends the process that an earlier supervisor knew as this child; returns when it is gone, or never was ours."""
        ...


class News(Protocol):
    """Where the world hears of it. Must not block."""

    def effects(self, effects: list[Effect]) -> None:
        """What was decided just now."""
        ...

    def memory(self, raw: bytes) -> None:
        """What a supervisor elsewhere would have to know."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a start ended: `problems` has one sentence for each child that is not Ready."""

    ready: bool
    problems: dict[str, str]


class Supervision:
    """One tree, from `up` to `down`. Create it in a running loop."""

    def __init__(
        self,
        spec: SupervisorSpec,
        actors: dict[str, ActorSpec],
        launcher: Adopter,
        store: Store,
        news: News,
        log: Log,
        session: str,
        limits: Limits = LIMITS,
        elsewhere: Callable[[], Awaitable[bytes | None]] | None = None,
    ) -> None:
        self._actors = actors
        self._launcher = launcher
        self._store = store
        self._news = news
        self._log = log
        self._session = session
        self._tree = TreeMachine(spec)
        self._live = Liveness()
        self._appetite = Appetite(limits)
        self._elsewhere = elsewhere
        self._up = False
        self._ready = False
        self._adopting = asyncio.Lock()
        self._found = False
        self._hopeless: dict[str, str] = {}
        # What each child said of its role: mode, term, and how far behind it follows.
        self._modes: dict[str, tuple[str, int, float]] = {}
        self.restarts: deque[RecordRestart] = deque(maxlen=200)
        self.runner = Runner(self._tree, launcher, self)
        self._past = Memory()
        self._take_up(store.load())
        self._watch = asyncio.get_running_loop().create_task(self._look(), name="liveness")

    @property
    def resumes(self) -> bool:
        """Whether the tree was up when its last supervisor ended, in this very session of Ray."""
        return self._past.up and self._past.session == self._session

    async def recall(self) -> bool:
        """Takes up the memory that is kept elsewhere when it is newer than the file; whether the tree was up."""
        async with self._adopting:
            if self._elsewhere is not None and not self._found:
                elsewhere, self._elsewhere = self._elsewhere, None
                raw = await elsewhere()
                with contextlib.suppress(ValueError):
                    kept = Memory() if raw is None else Memory.decode(raw)
                    if kept.seq > self._past.seq:
                        self._log.info("newer memory found elsewhere", seq=kept.seq, file=self._past.seq)
                        self._take_up(kept)
        return self.resumes

    def _take_up(self, past: Memory) -> None:
        self._past = past
        self._store.follow(past)
        same = past.session == self._session
        history = past.tree if same else {name: each.of_a_new_run() for name, each in past.tree.items()}
        self._tree.remember(history, self.runner.now_ms())

    async def up(self, timeout_s: float) -> Outcome:
        """Adopts what lives, starts the rest in order; returns when all are Ready, or when that can't be hoped for soon."""
        await self.recall()
        async with self._adopting:
            if not self._found:
                await self._adopt()
                self._found = True
        if not self._up:
            self._up, self._ready = True, False
            self._hopeless.clear()
            self.runner.post(Command(Verb.START))
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while not (self._ready or self._hopeless or self._tree.escalated()) and loop.time() < deadline:
            await asyncio.sleep(SETTLE_POLL_S)
        problems = {
            view.name: self._hopeless.get(view.name) or view.last_exit or f"{view.status.value} after {timeout_s:g} s"
            for view in self.runner.views()
            if view.status is not Status.READY
        }
        return Outcome(self._ready, problems)

    async def down(self, timeout_s: float) -> bool:
        """Stops all children in reverse order, kills those that need longer than `timeout_s` in all; whether none was killed."""
        self._up = self._ready = False
        try:
            async with asyncio.timeout(timeout_s):
                await self.runner.stop("down")
            clean = True
        except TimeoutError:
            self.runner.hurry()
            await self.runner.stop("down")
            clean = False
        self._remember()
        return clean

    def restart(self, name: str, reason: str) -> str:
        """Restarts a child gracefully, or starts one that is down; a sentence. Raises ValueError for an unknown name."""
        if name not in self._actors:
            raise ValueError(f"there is no actor {name!r}; there are: {', '.join(self._actors)}")
        if not self._up:
            return "the tree is down: start it with `titan up`"
        self.runner.post(Command(Verb.RESTART, name, reason))
        return ""

    async def restart_and_wait(self, name: str, reason: str, within_s: float) -> pb.RestartActorReply:
        """Restarts a child and answers when it is Ready again, or why it is not."""
        began_ms = self.runner.now_ms()
        try:
            before = self._view(name).incarnation
            refused = self.restart(name, reason)
        except ValueError as error:
            return pb.RestartActorReply(accepted=False, code="NOT_FOUND", detail=str(error))
        if refused:
            return pb.RestartActorReply(accepted=False, code="NOT_RUNNING", detail=refused)
        while True:
            now = self._view(name)
            took_s = (self.runner.now_ms() - began_ms) / 1000
            if now.incarnation > before and now.status is Status.READY:
                detail = f"{name} was drained, stopped and started: Ready again after {took_s:.2f} s"
                return pb.RestartActorReply(accepted=True, code="DONE", detail=detail, recovery_s=took_s, pid=now.pid)
            if now.status in {Status.QUARANTINED, Status.FAILED} or took_s > within_s:
                why = f"{name} is {now.status.value} {took_s:.1f} s after the restart"
                detail = f"{why}, its last exit: {now.last_exit}" if now.last_exit else why
                return pb.RestartActorReply(accepted=False, code="NOT_READY", detail=detail)
            await asyncio.sleep(SETTLE_POLL_S)

    def _view(self, name: str) -> ChildView:
        for view in self.runner.views():
            if view.name == name:
                return view
        raise ValueError(f"there is no actor {name!r}; there are: {', '.join(self._actors)}")

    def beat(self, beat: pb.Heartbeat) -> None:
        """Takes a heartbeat, from whichever way it came."""
        now_ms = self.runner.now_ms()
        self._live.beat(beat.service, beat.incarnation, beat.progress, now_ms, beat.stalled)
        if self._live.watches(beat.service, beat.incarnation):
            self._modes[beat.service] = beat.mode, beat.term, beat.follow_lag_s
            usage = Usage(beat.resident_bytes, beat.descriptors, beat.descriptor_limit, beat.busy)
            alerts = self._appetite.seen(beat.service, beat.incarnation, usage, now_ms)
            if alerts:
                self._news.effects(list(alerts))

    def escalated(self) -> list[str]:
        """The supervisors whose children keep failing."""
        return self._tree.escalated()

    @property
    def is_ready(self) -> bool:
        """Whether the whole tree has been Ready since its start."""
        return self._ready

    def status(self) -> list[pb.ActorStatus]:
        """Every child in start order, as shown to the world."""
        now_ms = self.runner.now_ms()
        return [self._status(view, now_ms) for view in self.runner.views()]

    def _status(self, view: ChildView, now_ms: int) -> pb.ActorStatus:
        age_ms = self._live.age_ms(view.name, now_ms)
        life = self.runner.life(view.name)
        report = getattr(life, "report", None)
        usage = self._appetite.usage(view.name)
        mode, term, follow_lag_s = self._modes.get(view.name, ("", 0, 0.0)) if view.pid else ("", 0, 0.0)
        return pb.ActorStatus(
            name=view.name,
            supervisor=view.supervisor,
            pid=view.pid,
            node=report.node if isinstance(report, HostReport) else "",
            state=_STATES[view.status],
            restarts=view.restarts,
            graceful_restarts=view.graceful_restarts,
            intensity_left=view.intensity_left,
            heartbeat_age_s=-1.0 if age_ms is None else age_ms / 1000,
            cpus=cpus_of(view.pid) if view.pid else [],
            last_exit=view.last_exit,
            last_recovery_s=max(0, view.last_recovery_ms) / 1000,
            incarnation=view.incarnation,
            started_ms=0 if view.started_ms < 0 else time.time_ns() // 1_000_000 - (now_ms - view.started_ms),
            progress=self._live.progress(view.name),
            recycles=view.recycles,
            resident_bytes=usage.resident_bytes,
            descriptors=usage.descriptors,
            descriptor_limit=usage.descriptor_limit,
            busy=usage.busy,
            mode=mode,
            term=term,
            follow_lag_s=follow_lag_s,
        )

    def heard(self, event: Event, effects: list[Effect]) -> None:
        """The runner's news."""
        if isinstance(event, Tick) and not effects:
            return
        match event:
            case Ready(child, incarnation) if self._is_ready(child, incarnation):
                self._log.info("child ready", child=child, incarnation=incarnation)
                self._expect(child, incarnation)
            case Exited(child, incarnation, normal, reason):
                self._live.forget(child)
                self._appetite.forget(child)
                self._modes.pop(child, None)
                self._log.info("child ended", child=child, incarnation=incarnation, normal=normal, reason=reason)
                if self._up and not self._ready and not normal and reason.startswith(HOPELESS):
                    self._hopeless[child] = reason
            case _:
                pass
        for effect in effects:
            match effect:
                case StopChild(child) | KillChild(child):
                    self._live.forget(child)
                case RecordRestart():
                    self.restarts.append(effect)
                case SupervisorReady(supervisor) if supervisor == self._tree.root.name:
                    self._ready = True
                case _:
                    pass
            self._log.info("decided", effect=repr(effect))
        self._news.effects(effects)
        self._remember()

    async def failed(self) -> None:
        """Waits for ever, or raises the defect that broke supervision itself."""
        await asyncio.gather(self._watch, self.runner.failed())

    def close(self) -> None:
        """Lets go of everything without touching a child."""
        self._watch.cancel()
        self.runner.abandon()

    def _remember(self) -> None:
        memory = self._store.number(Memory(self._session, self._up, self._tree.history()))
        if memory is None:
            return
        raw = memory.encode()
        try:
            self._store.write(raw)
        except OSError as error:
            # A full disk must not end supervision itself; the bucket still gets it, and the next change is written again.
            self._log.error("memory not written", error=str(error))
        self._news.memory(raw)

    def _is_ready(self, child: str, incarnation: int) -> bool:
        return any(
            view.name == child and view.status is Status.READY and view.incarnation == incarnation
            for view in self.runner.views()
        )

    def _expect(self, child: str, incarnation: int) -> None:
        self._live.watch(child, incarnation, self._actors[child].silence_ms, self.runner.now_ms())

    async def _adopt(self) -> None:
        names = list(self._actors)
        found = await asyncio.gather(*(self._launcher.adopt(name) for name in names))
        await self._bury({name for name, life in zip(names, found, strict=True) if life is None})
        for name, life in zip(names, found, strict=True):
            if life is None:
                if self.resumes:
                    self.runner.post(Lost(name))
                continue
            report = life.report
            self._log.info("adopted", child=name, pid=report.pid, incarnation=report.incarnation, ready=report.ready)
            self.runner.hold(name, report.incarnation, life, ready=report.ready)
            self.runner.post(Adopted(name, report.incarnation, report.pid, report.ready))
            if report.ready:
                self._expect(name, report.incarnation)

    async def _bury(self, missing: set[str]) -> None:
        """One that is stopped does not answer and could wake beside its successor: it must be dead first."""
        if self.resumes:
            known = {name: child for each in self._past.tree.values() for name, child in each.children.items()}
            late = [(name, known[name].pid) for name in missing if name in known and known[name].pid]
            await asyncio.gather(*(self._launcher.bury(name, pid) for name, pid in late))

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            now_ms = self.runner.now_ms()
            for silent in self._live.silent(now_ms):
                self.runner.post(silent)
            self._recycle(now_ms)

    def _recycle(self, now_ms: int) -> None:
        """One child at a time, and only while nobody else is on the way: a planned restart can wait."""
        views = self.runner.views()
        if not self._ready or any(view.status not in SETTLED for view in views):
            return
        due = self._appetite.due({view.name for view in views if view.status is Status.READY}, now_ms)
        if due is not None:
            self.runner.post(Command(Verb.RECYCLE, due.child, due.reason))
