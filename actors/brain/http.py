"""The brain's own HTTP routes beside the standard ones: status and administration.

Guarantees: whatever changes state needs a bearer token of the role named here. Never: trading over HTTP.
"""

from __future__ import annotations

import json
from typing import Protocol

from aiohttp import web

import titan
from actors.brain.core import BrainCore
from actors.brain.events import BreakerResetRequested, Event, ModeRequested
from actors.brain.governance import Mode
from actors.brain.status import components_of, status_of
from protos import trading_pb2
from titan.clock import Clock
from titan.errors import Transient
from titan.http import ROLE, requires
from titan.runtime import Runtime

MODES = {"normal": Mode.NORMAL, "cautious": Mode.CAUTIOUS, "defensive": Mode.DEFENSIVE}


class Administered(Protocol):
    """What the routes need of the brain."""

    core: BrainCore
    clock: Clock
    runtime: Runtime
    started_wall: float

    async def feed(self, event: Event) -> None:
        """Gives the core an event."""
        ...

    async def ask_truth(self) -> trading_pb2.Truth:
        """Has a truth pass run."""
        ...


class Administration:
    """/status and /admin/* of the Brain; `add_routes` puts them on a listener."""

    def __init__(self, brain: Administered) -> None:
        self._brain = brain

    def add_routes(self, app: web.Application) -> None:
        """Adds every route."""
        tokens = self._brain.runtime.api_tokens
        app.router.add_get("/status", self.status)
        app.router.add_post("/admin/system/mode/{mode}", requires("operator", tokens)(self.set_mode))
        app.router.add_post("/admin/system/reset-circuit-breaker", requires("risk_owner", tokens)(self.reset_breaker))
        app.router.add_post("/admin/accounting/sync", requires("operator", tokens)(self.sync))

    async def status(self, _: web.Request) -> web.Response:
        """Mode, reasons and components."""
        brain = self._brain
        now = brain.clock.now()
        answer = status_of(brain.core, components_of(brain.core, now), now)
        uptime = round(now.wall_ms / 1000.0 - brain.started_wall, 3)
        return web.json_response({**answer, "version": titan.__version__, "uptime_s": uptime})

    async def set_mode(self, request: web.Request) -> web.Response:
        """The operator's mode: 404 for one that is none."""
        mode = MODES.get(request.match_info["mode"])
        if mode is None:
            text = f"unknown mode {request.match_info['mode']!r}; use one of: {', '.join(MODES)}"
            return web.json_response({"error": text}, status=404)
        prior = self._brain.core.state.operator_mode
        operator, _ = await _who(request)
        await self._brain.feed(ModeRequested(mode, operator))
        return web.json_response({"prior": prior.value, "mode": mode.value})

    async def reset_breaker(self, request: web.Request) -> web.Response:
        """Takes a tripped breaker back, with who and why."""
        prior = self._brain.core.state.breaker.state
        operator, reason = await _who(request)
        await self._brain.feed(BreakerResetRequested(operator, reason))
        now = self._brain.core.state.breaker.state
        return web.json_response({"prior": prior.trip.value, "prior_reason": prior.reason, "breaker": now.trip.value})

    async def sync(self, _: web.Request) -> web.Response:
        """Has the books compared with the venue; 504 when Execution does not answer."""
        try:
            truth = await self._brain.ask_truth()
        except Transient as error:
            return web.json_response({"error": f"Execution did not answer: {error}"}, status=504)
        details = [
            {
                "kind": each.kind,
                "key": each.key,
                "venue": each.venue_value,
                "journal": each.journal_value,
                "ledger": each.ledger_value,
            }
            for each in truth.details
        ]
        body = {
            "orders_compared": truth.orders_compared,
            "fills_compared": truth.fills_compared,
            "differences": truth.differences,
            "confidence": truth.confidence,
            "complete": truth.complete,
            "error": truth.error,
            "details": details,
        }
        return web.json_response(body)


async def _who(request: web.Request) -> tuple[str, str]:
    """Who asks and why; without a name, the role of the token."""
    try:
        body = json.loads(await request.text() or "{}")
    except ValueError:
        raise web.HTTPBadRequest(text="the body must be JSON: {operator_id, reason}") from None
    if not isinstance(body, dict):
        raise web.HTTPBadRequest(text="the body must be one JSON object: {operator_id, reason}")
    return str(body.get("operator_id") or request[ROLE]), str(body.get("reason") or "no reason given")
