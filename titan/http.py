"""The HTTP face that every actor shares: health, liveness, readiness, metrics, bearer roles.

Guarantees: a listener binds loopback unless told otherwise; every health answer carries ages; every request is counted and timed.
Never: trading logic, nor an open door to anything that changes state.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

import titan
from protos import system_pb2 as pb
from titan.errors import PortTaken
from titan.metrics import Metrics
from titan.roles import role_of, suffices
from titan.runtime import ApiTokens

HOST = "127.0.0.1"
ROLE = web.RequestKey("role", str)
"""Under which a guarded handler finds the caller's role in its request."""


class ComponentLike(Protocol):
    """One line of a health answer."""

    @property
    def status(self) -> str:
        """healthy, degraded or unhealthy."""
        ...

    @property
    def detail(self) -> str:
        """What was seen."""
        ...

    @property
    def age_ms(self) -> int:
        """How old the knowledge is."""
        ...


class Served(Protocol):
    """What the standard routes need of an actor."""

    metrics: Metrics
    health_details: bool
    state: pb.ActorState.ValueType
    started_wall: float

    def components(self) -> Mapping[str, ComponentLike]:
        """Parts of the health answer."""
        ...

    def health_extra(self) -> Mapping[str, str]:
        """Further fields of the health answer."""
        ...


def health_answer(served: Served, bus_connected: bool) -> tuple[int, dict[str, object]]:
    """HTTP status and body of a health check."""
    parts: dict[str, dict[str, object]] = {
        name: {"status": part.status, "age_ms": part.age_ms, "detail": part.detail}
        for name, part in served.components().items()
    }
    parts["bus"] = {
        "status": "healthy" if bus_connected else "unhealthy",
        "age_ms": 0,
        "detail": "connected" if bus_connected else "disconnected",
    }
    states = {str(part["status"]) for part in parts.values()}
    ready = served.state == pb.ACTOR_STATE_READY
    if "unhealthy" in states or not ready:
        status = "unhealthy"
    elif "degraded" in states:
        status = "degraded"
    else:
        status = "healthy"
    body: dict[str, object] = {
        "status": status,
        "state": pb.ActorState.Name(served.state).removeprefix("ACTOR_STATE_"),
        "components": parts,
        "version": titan.__version__,
        "uptime_s": round(time.time() - served.started_wall, 3),
    }
    body.update(served.health_extra())
    return (503 if status == "unhealthy" else 200), body


def standard_app(actor: Served) -> web.Application:
    """An application with /health, /health/live, /health/ready and /metrics."""

    def connected() -> bool:
        bus = getattr(actor, "bus", None)
        return bool(bus is not None and bus.connected)

    async def health(_: web.Request) -> web.Response:
        status, body = health_answer(actor, connected())
        return web.json_response(body if actor.health_details else {"status": body["status"]}, status=status)

    async def live(_: web.Request) -> web.Response:
        return web.json_response({"status": "healthy"})

    async def ready(_: web.Request) -> web.Response:
        is_ready = actor.state == pb.ACTOR_STATE_READY
        return web.json_response({"status": "healthy" if is_ready else "unhealthy"}, status=200 if is_ready else 503)

    exposition: Callable[[], bytes] = getattr(actor, "exposition", actor.metrics.exposition)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=exposition(), content_type="text/plain", charset="utf-8")

    app = web.Application(middlewares=[_counted(actor.metrics)])
    app.router.add_get("/health", health)
    app.router.add_get("/health/live", live)
    app.router.add_get("/health/ready", ready)
    app.router.add_get("/metrics", metrics)
    return app


def _counted(metrics: Metrics) -> Middleware:
    """Counts and times every request by its route, never by its path: a path is anybody's to choose."""
    requests = metrics.counter("titan_http_requests_total")
    seconds = metrics.histogram("titan_http_request_duration_seconds")

    @web.middleware
    async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
        began = time.perf_counter()
        status = 500
        try:
            response = await handler(request)
            status = response.status
            return response
        except web.HTTPException as refused:
            status = refused.status
            raise
        finally:
            resource = request.match_info.route.resource
            route = "unknown" if resource is None else resource.canonical
            requests.labels(request.method, route, str(status)).inc()
            seconds.labels(route).observe(time.perf_counter() - began)

    return count


async def serve_app(app: web.Application, port: int, host: str = HOST) -> web.AppRunner:
    """Serves an application. Raises PortTaken naming the port."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, reuse_address=True).start()
    except OSError as error:
        await runner.cleanup()
        raise PortTaken(
            f"port {port} on {host} is taken by another process ({error.strerror}); stop it or choose another port"
        ) from error
    return runner


def requires(
    role: str, tokens: ApiTokens
) -> Callable[
    [Callable[[web.Request], Awaitable[web.StreamResponse]]], Callable[[web.Request], Awaitable[web.StreamResponse]]
]:
    """Admits a handler only for a bearer token of `role` or above: 401 without a known token, 403 below the role.

    The handler finds the caller's role as `request[ROLE]`.
    """

    def decorate(
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def guarded(request: web.Request) -> web.StreamResponse:
            held = role_of(request.headers.get("Authorization", ""), tokens)
            if held is None:
                return web.json_response({"error": "a bearer token is needed"}, status=401)
            if not suffices(held, role):
                return web.json_response({"error": f"role {held} may not do this; {role} may"}, status=403)
            request[ROLE] = held
            return await handler(request)

        return guarded

    return decorate
