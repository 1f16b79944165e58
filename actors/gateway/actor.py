"""The gateway's shell: listens to the bus, serves gRPC with health and reflection, counts the backlog."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

import grpc.aio
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection

import titan
from actors.gateway.core import ReadModel, events_total
from actors.gateway.ledger import PostgresLedger
from actors.gateway.service import ControlService, Feed
from protos import control_pb2, market_pb2, system_pb2, trading_pb2
from protos.control_pb2_grpc import add_ControlServicer_to_server
from titan import subjects, tracing
from titan.actor import Actor, ActorContext, Component
from titan.bus import Received
from titan.codec import TRADING_STATE_FROM_PB
from titan.errors import PortTaken, Transient
from titan.exposition import merged
from titan.http import HOST

SERVICE = "titan.control.v1.Control"
HEALTH_SERVICE = "grpc.health.v1.Health"
BACKLOG_EVERY_S = 2.0
COUNTERS_EVERY_S = 1.0
STALE_S = 3.0


class Gateway(Actor):
    """Lets operators in. Losing it stops nothing."""

    name = "gateway"
    http = "gateway_http"
    health_details = False

    def __init__(self, context: ActorContext) -> None:
        super().__init__(context)
        self.model = ReadModel()
        self.feed = Feed()
        self.ledger = PostgresLedger(context.runtime.ledger("gateway"))
        self._server: grpc.aio.Server | None = None
        self._grpc_health = HealthServicer()
        self._supervision = b""

    async def on_start(self) -> None:
        """Subscribes, then opens the gRPC port. Raises PortTaken."""
        await self.bus.subscribe_any(subjects.EVENTS_ALL, self._on_event)
        await self.bus.subscribe(subjects.ACTORS, system_pb2.ActorsSnapshot, self._on_message)
        await self.bus.subscribe(subjects.VENUE_STATUS, market_pb2.VenueStatus, self._on_message)
        await self.bus.subscribe(subjects.heartbeat("market_data"), system_pb2.Heartbeat, self._on_heartbeat)
        await self.bus.subscribe(subjects.heartbeat("root"), system_pb2.Heartbeat, self._on_root_beat)
        self.spawn(self._watch_backlog(), "backlog")
        self.spawn(self._watch_counters(), "counters")
        await self._serve()

    async def _serve(self) -> None:
        service = ControlService(
            self.bus,
            self.clock,
            self.runtime.api_tokens,
            self.model,
            self.ledger,
            self.feed,
            self._frame,
            self.runtime.policy_path.read_text,
            self.advance,
            self._proposed,
        )
        server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
        add_ControlServicer_to_server(service, server)
        health_pb2_grpc.add_HealthServicer_to_server(self._grpc_health, server)
        reflection.enable_server_reflection((SERVICE, HEALTH_SERVICE, reflection.SERVICE_NAME), server)
        port = self.runtime.ports["gateway_grpc"]
        try:
            bound = server.add_insecure_port(f"{HOST}:{port}")
        except RuntimeError as error:
            raise PortTaken(f"port {port} on {HOST} is taken by another process; stop it or choose another") from error
        if bound != port:
            raise PortTaken(f"port {port} on {HOST} is taken by another process; stop it or choose another")
        await server.start()
        await self._grpc_health.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
        self._server = server

    def _proposed(self, signal: trading_pb2.Signal) -> None:
        if self.tracer is not None:
            told = {"symbol": signal.symbol, "phase": "manual"}
            self.tracer.span(tracing.SIGNAL, signal.signal_id, signal.t_wall_ns, time.time_ns(), told=told)

    def _frame(self) -> control_pb2.GetStatusResponse:
        return control_pb2.GetStatusResponse(
            profile=self.runtime.profile,
            feed=self.runtime.feed,
            speed=self.runtime.speed,
            version=titan.__version__,
            uptime_s=max(0.0, time.time() - self.runtime.started_ms / 1000),
        )

    async def _on_event(self, received: Received[Message]) -> None:
        self.advance()
        self.model.apply(received.subject, received.message, self.clock.now())
        self.feed.put(received)

    async def _on_message(
        self, received: Received[system_pb2.ActorsSnapshot] | Received[market_pb2.VenueStatus]
    ) -> None:
        self.model.apply(received.subject, received.message, self.clock.now())

    async def _on_heartbeat(self, received: Received[system_pb2.Heartbeat]) -> None:
        if not received.message.metrics:
            return
        self.model.apply_events_in(events_total(received.message.metrics.decode()))

    async def _on_root_beat(self, received: Received[system_pb2.Heartbeat]) -> None:
        if received.message.metrics:
            self._supervision = received.message.metrics

    def exposition(self) -> bytes:
        """This process's metrics and the supervisor's last ones, which has no listener."""
        return merged((self.metrics.exposition(), self._supervision))

    async def _watch_backlog(self) -> None:
        while True:
            for stream in subjects.STREAMS:
                try:
                    self.model.backlog.update(await self.bus.backlog(stream.name))
                except Transient as error:
                    self.log.info("backlog unknown", stream=stream.name, error=str(error))
            await asyncio.sleep(BACKLOG_EVERY_S)

    async def _watch_counters(self) -> None:
        while True:
            try:
                self.model.counters = await self.ledger.counters()
            except Transient as error:
                self.log.info("ledger away", error=str(error))
            await asyncio.sleep(COUNTERS_EVERY_S)

    def components(self) -> Mapping[str, Component]:
        """The router's last word and the ledger."""
        age_s = self.model.router_age_s(self.clock.now())
        known = 0 <= age_s <= STALE_S
        detail = "the router has not spoken yet" if age_s < 0 else f"router state {age_s:.1f} s old"
        return {
            "router": Component("healthy" if known else "degraded", detail, int(max(0.0, age_s) * 1000)),
            "database": self.ledger.component(),
            "actors": self._actors(),
        }

    def _actors(self) -> Component:
        snapshot = self.model.actors
        if snapshot is None:
            return Component("degraded", "the supervisor has not spoken yet")
        late = [actor.name for actor in snapshot.actors if actor.state != system_pb2.ACTOR_STATE_READY]
        age_ms = max(0, self.clock.now().wall_ms - snapshot.ts_ms)
        return Component("degraded" if late else "healthy", ", ".join(late) or "all ready", age_ms)

    def health_extra(self) -> Mapping[str, str]:
        """Trading state and policy hash as the router last said."""
        router: trading_pb2.RouterState | None = self.model.router
        if router is None:
            return {}
        state = TRADING_STATE_FROM_PB.get(router.trading_state)
        return {"trading_state": "" if state is None else state.value, "policy_hash": router.policy_hash}

    async def on_drain(self) -> None:
        """Tells health watchers, then lets calls under way end."""
        await self._grpc_health.set(SERVICE, health_pb2.HealthCheckResponse.NOT_SERVING)
        if self._server is not None:
            await self._server.stop(grace=0.5)

    async def on_stop(self) -> None:
        """Closes the ledger's connections."""
        await self.ledger.close()
