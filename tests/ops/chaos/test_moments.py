"""The moments in which a campaign strikes, and what its trader takes back, against an arena of cardboard."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from ops.chaos import arena as arenas
from ops.chaos.arena import CANCEL, FAR, PARTLY_USD, PHASES, Arena
from ops.chaos.trader import Trader
from titan.journal import StoredRow


def row(kind: str, **payload: str) -> StoredRow:
    return StoredRow(1, 1, kind, orjson.dumps(payload), b"", 0)


ROWS = {
    "sent, no ack": row("order", event="NEW", state="PENDING", order_type="MARKET"),
    "acked": row("order", event="ACK", state="OPEN", order_type="MARKET"),
    "partly filled": row("order", event="FILL", state="PARTIALLY_FILLED", order_type="LIMIT"),
    "filled": row("fill"),
    CANCEL: row("order", event="ACK", state="OPEN", order_type="LIMIT"),
}


class Stage:
    """An arena whose draw is fixed and whose journal says one row for ever."""

    def __init__(self, phase: str, said: StoredRow) -> None:
        self.signals: list[dict[str, Any]] = []
        self.commands: list[str] = []
        self.switches: list[dict[str, Any]] = []
        self.drawn: list[tuple[str, ...]] = []
        self.arena = Arena(cast("Any", SimpleNamespace()), 1)
        self.arena.draw = cast("Any", SimpleNamespace(choice=self._choose(phase)))
        self.arena.trader = cast("Any", SimpleNamespace(signal=self._signal, command=self._command))
        venue = SimpleNamespace(switch=self._switch)
        self.arena.eyes = cast("Any", SimpleNamespace(follow=lambda: [said], venue=venue))

    def _choose(self, phase: str) -> Callable[[tuple[str, ...]], str]:
        def choose(phases: tuple[str, ...]) -> str:
            self.drawn.append(phases)
            return phase

        return choose

    async def _signal(self, **how: Any) -> str:
        self.signals.append(how)
        return "s1"

    async def _command(self, verb: str, _reason: str) -> None:
        self.commands.append(verb)

    async def _switch(self, kind: str, **fields: Any) -> None:
        self.switches.append({"kind": kind, **fields})


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arenas, "MOMENT_WITHIN_S", 0.02)


@pytest.mark.parametrize("phase", [*ROWS])
async def test_a_moment_is_the_drawn_one_when_its_row_is_written(phase: str) -> None:
    stage = Stage(phase, ROWS[phase])
    assert await stage.arena.moment(cancels=True) == phase
    assert stage.drawn == [(*PHASES, CANCEL)]


@pytest.mark.parametrize("phase", [*ROWS])
async def test_a_moment_that_does_not_come_is_any(phase: str) -> None:
    stage = Stage(phase, row("wallet"))
    assert await stage.arena.moment(cancels=True) == "any"
    assert stage.commands == []


async def test_before_the_journal_nothing_is_waited_for() -> None:
    assert await Stage("before the journal", row("wallet")).arena.moment() == "before the journal"


async def test_a_partly_filled_order_is_a_large_one_at_the_price() -> None:
    stage = Stage("partly filled", ROWS["partly filled"])
    await stage.arena.moment()
    assert stage.drawn == [PHASES]
    assert stage.signals == [{"limit": Decimal(1), "size_usd": PARTLY_USD}]


async def test_a_cancel_in_flight_is_a_disarm_that_the_venue_answers_late() -> None:
    stage = Stage(CANCEL, ROWS[CANCEL])
    await stage.arena.moment(cancels=True)
    assert stage.signals == [{"limit": FAR}]
    assert [(each["kind"], each["on"]) for each in stage.switches] == [("delay", "cancel")]
    assert stage.commands == ["disarm"]


async def test_what_small_losses_tripped_is_reset_as_the_risk_owner_does_and_not_all_the_time() -> None:
    asked: list[tuple[str, str]] = []

    async def reset(request: web.Request) -> web.Response:
        asked.append((request.path, request.headers["Authorization"]))
        return web.json_response({})

    app = web.Application()
    app.router.add_post("/{rest:.*}", reset)
    async with TestServer(app) as server:
        runtime = SimpleNamespace(api_tokens=SimpleNamespace(risk_owner="token"), ports={"brain_http": server.port})
        eyes: Any = SimpleNamespace(runtime=runtime, veto="")
        trader = Trader.__new__(Trader)
        trader._eyes, trader._reset_s = eyes, -1e9
        await trader.reset()
        for veto in ("SIZE_ZERO", "BREAKER_ACTIVE", "BREAKER_ACTIVE"):
            eyes.veto = veto
            await trader.reset()
    assert asked == [("/admin/system/reset-circuit-breaker", "Bearer token")]


def test_restarts_that_are_told_as_one_are_counted_by_the_supervisors_own_word() -> None:
    arena = Stage("acked", row("wallet")).arena
    assert arena.budget("money") == 5
    arena.memory.left["money"] = 1
    assert arena.budget("money") == 1
    assert arena.budget("nobody's") == 100
