"""Tells the world about the tree: actors every second, restarts, alerts, the HALT of an escalation; answers questions.

Guarantees: supervision never waits for the bus; what could not be sent waits here, bounded, and is sent when the bus is back.
Never: a decision.
"""

from __future__ import annotations

import asyncio
import os
import resource
import time
from collections import deque
from collections.abc import Awaitable, Callable

import nats.errors
import nats.js.errors
import psutil
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import Message
from nats.js.kv import KeyValue

from protos import system_pb2 as pb
from protos import trading_pb2
from supervisors.control import ask_guardian
from supervisors.events import Effect, Escalate, RecordRestart, RestartKind
from supervisors.spec import Escalation
from titan import subjects
from titan.bus import Bus, Received, open_bus
from titan.effects import RaiseAlert
from titan.errors import TitanError
from titan.halt import write_halt
from titan.ids import new_ulid
from titan.logs import Log
from titan.metrics import Metrics
from titan.runtime import Runtime

SERVICE = "root"
BUCKET = "titan_supervision"
MEMORY_KEY = "memory"
EVERY_S = 1.0
RETRY_S = 0.5
KV_WITHIN_S = 2.0
RECALL_WITHIN_S = 1.0
GUARDIAN_WITHIN_S = 1.0
KEPT = 1_000


def now_ms() -> int:
    """Wall time."""
    return time.time_ns() // 1_000_000


class Reporter:
    """The root's mouth and ears on the bus. `run` it as a task."""

    def __init__(
        self,
        runtime: Runtime,
        log: Log,
        status: Callable[[], list[pb.ActorStatus]],
        restart: Callable[[str, str], Awaitable[pb.RestartActorReply]],
        beat: Callable[[pb.Heartbeat], None],
    ) -> None:
        self._runtime = runtime
        self._log = log
        self._status = status
        self._restart = restart
        self._beat = beat
        self._outbox: deque[tuple[str, Message]] = deque(maxlen=KEPT)
        self._memory: bytes | None = None
        self._kept: bytes | None = None
        self._progress = 0
        self._servers: list[pb.ServerStatus] = []
        self.metrics = Metrics()

    def effects(self, effects: list[Effect]) -> None:
        """Queues what the world should know of a decision."""
        for effect in effects:
            match effect:
                case RecordRestart():
                    self._restarted(effect)
                case RaiseAlert(code, severity, message, labels):
                    alert = pb.Alert(
                        code=code,
                        severity=severity,
                        source=SERVICE,
                        message=message,
                        ts_ms=now_ms(),
                        labels=dict(labels),
                    )
                    self._outbox.append((subjects.ALERT, alert))
                case Escalate(_, child, Escalation.HALT, reason):
                    # The command is lost on a router that is down just now: it finds the record when it starts.
                    self._record_halt(f"supervisor: {child}: {reason}")
                    self._outbox.append((subjects.operator("halt"), self._halt(f"{child}: {reason}")))
                case _:
                    continue

    def _record_halt(self, reason: str) -> None:
        try:
            write_halt(self._runtime.home, reason)
        except OSError as error:
            self._log.error("halt not recorded, only sent", reason=reason, error=str(error))

    def memory(self, raw: bytes) -> None:
        """Queues the tree's memory; only the newest is kept."""
        self._memory = raw

    def waiting(self) -> list[tuple[str, Message]]:
        """What has not been sent yet, oldest first, as (subject, message)."""
        return list(self._outbox)

    def snapshot(self) -> pb.ActorsSnapshot:
        """All actors now, and the servers as their guardian last said."""
        return pb.ActorsSnapshot(actors=self._status(), ts_ms=now_ms(), servers=self._servers)

    async def kept(self) -> bytes | None:
        """The tree's memory in the bucket; None when there is none or the bus is away."""
        try:
            async with asyncio.timeout(RECALL_WITHIN_S), open_bus(self._runtime, SERVICE) as bus:
                entry = await (await bus.kv(BUCKET)).get(MEMORY_KEY)
        except (TitanError, OSError, TimeoutError, nats.errors.Error, nats.js.errors.Error) as error:
            self._log.info("no memory in the bucket", error=repr(error))
            return None
        return entry.value

    async def run(self) -> None:
        """Connects, reports and answers until it is cancelled; begins anew whenever the bus fails."""
        while True:
            try:
                await self._session()
            except (TitanError, OSError, TimeoutError, nats.errors.Error, nats.js.errors.Error) as error:
                self._log.warning("the bus is away", error=repr(error))
            await asyncio.sleep(RETRY_S)

    async def _session(self) -> None:
        bus = await Bus.connect(self._runtime, SERVICE, self.metrics)
        try:
            await bus.subscribe(subjects.HEARTBEAT_ALL, pb.Heartbeat, self._on_beat)
            await bus.serve(subjects.RPC_ACTORS, pb.ActorsRequest, self._on_actors)
            await bus.serve(subjects.RPC_RESTART, pb.RestartActorRequest, self._on_restart, concurrent=True)
            async with asyncio.TaskGroup() as group:
                group.create_task(bus.failed())
                group.create_task(self._publish(bus))
                group.create_task(self._ask_guardian())
        except* (TitanError, OSError, nats.errors.Error, nats.js.errors.Error) as errors:
            raise errors.exceptions[0] from None
        finally:
            await bus.close()

    async def _publish(self, bus: Bus) -> None:
        kv: KeyValue | None = None
        due = 0.0
        while True:
            while self._outbox and bus.connected:
                subject, message = self._outbox[0]
                await bus.publish(subject, message)
                self._outbox.popleft()
            if time.monotonic() >= due and bus.connected:
                due = time.monotonic() + EVERY_S
                await bus.publish(subjects.ACTORS, self.snapshot())
                await bus.publish(subjects.heartbeat(SERVICE), self._own_beat())
                kv = await self._keep(bus, kv)
            await asyncio.sleep(0.05)

    async def _ask_guardian(self) -> None:
        """Follows the servers, which are the guardian's; a run without one has none to show."""
        while True:
            try:
                answer = await ask_guardian(self._runtime.run_dir, "servers", GUARDIAN_WITHIN_S)
                rows = answer.get("servers")
                found = rows if isinstance(rows, list) else []
                self._servers = [ParseDict(row, pb.ServerStatus(), ignore_unknown_fields=True) for row in found]
            except (TitanError, ParseError) as error:
                self._log.debug("the guardian does not say how its servers are", error=str(error))
                for server in self._servers:
                    server.answer_age_s += EVERY_S
            for server in self._servers:
                if server.answer_age_s >= 0:
                    gauge = self.metrics.gauge("titan_server_answer_age_seconds")
                    gauge.labels(server.name).set(server.answer_age_s)
            await asyncio.sleep(EVERY_S)

    async def _keep(self, bus: Bus, kv: KeyValue | None) -> KeyValue | None:
        raw = self._memory
        if raw is None or raw is self._kept:
            return kv
        try:
            async with asyncio.timeout(KV_WITHIN_S):
                if kv is None:
                    kv = await bus.kv(BUCKET)
                await kv.put(MEMORY_KEY, raw)
        except (TitanError, TimeoutError, nats.errors.Error, nats.js.errors.Error) as error:
            self._log.warning("the memory can't be kept in the bucket", error=repr(error))
            return None
        self._kept = raw
        return kv

    async def _on_beat(self, received: Received[pb.Heartbeat]) -> None:
        self._beat(received.message)

    async def _on_actors(self, received: Received[pb.ActorsRequest]) -> Message:
        return self.snapshot()

    async def _on_restart(self, received: Received[pb.RestartActorRequest]) -> Message:
        request = received.message
        self._log.info("restart asked", name=request.name, reason=request.reason, operator=request.operator_id)
        return await self._restart(request.name, f"{request.operator_id or 'operator'}: {request.reason}")

    def _restarted(self, record: RecordRestart) -> None:
        reason = record.kind.value
        self.metrics.counter("titan_actor_restarts_total").labels(record.child, reason).inc()
        self.metrics.histogram("titan_actor_recovery_seconds").labels(record.child).observe(record.recovery_ms / 1000)
        event = pb.ActorRestarted(
            name=record.child,
            reason=record.reason,
            recovery_s=record.recovery_ms / 1000,
            intensity_left=record.intensity_left,
            ts_ms=now_ms(),
            graceful=record.kind in {RestartKind.GRACEFUL, RestartKind.MEMORY},
            kind=record.kind.value,
        )
        self._outbox.append((subjects.ACTOR_RESTARTED, event))

    def _zero(self, actor: str) -> None:
        # As in Metrics.zero: an alert sees the first restart, too.
        for kind in RestartKind:
            self.metrics.counter("titan_actor_restarts_total").labels(actor, kind.value)
        self.metrics.histogram("titan_actor_recovery_seconds").labels(actor)

    def _halt(self, reason: str) -> trading_pb2.OperatorCommand:
        return trading_pb2.OperatorCommand(
            command_id=new_ulid(), action="halt", reason=f"supervisor: {reason}", operator_id=SERVICE, ts_ms=now_ms()
        )

    def _own_beat(self) -> pb.Heartbeat:
        self._progress += 1
        usage = resource.getrusage(resource.RUSAGE_SELF)
        cpu_seconds, resident = usage.ru_utime + usage.ru_stime, psutil.Process().memory_info().rss
        self.metrics.gauge("titan_process_cpu_seconds_total").labels(SERVICE).set(cpu_seconds)
        self.metrics.gauge("titan_process_resident_memory_bytes").labels(SERVICE).set(resident)
        for actor in self._status():
            self._zero(actor.name)
            if actor.heartbeat_age_s >= 0:
                self.metrics.gauge("titan_actor_heartbeat_age_seconds").labels(actor.name).set(actor.heartbeat_age_s)
        return pb.Heartbeat(
            service=SERVICE,
            pid=os.getpid(),
            progress=self._progress,
            ts_ms=now_ms(),
            state=pb.ACTOR_STATE_READY,
            cpu_seconds=cpu_seconds,
            resident_bytes=resident,
            metrics=self.metrics.exposition(),
        )
