"""The HTTP face that every actor shares: who is let in, and what a health answer says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

import pytest
from aiohttp import ClientSession, web

from protos import system_pb2 as pb
from titan.errors import PortTaken
from titan.http import ROLE, ComponentLike, health_answer, requires, serve_app, standard_app
from titan.metrics import Metrics
from titan.roles import ROLES, role_of, suffices
from titan.runtime import ApiTokens
from titan.testing import free_ports

TOKENS = ApiTokens(observer="see-only", operator="may-act", risk_owner="may-risk")


@dataclass
class Part:
    status: str
    detail: str = ""
    age_ms: int = 7


@dataclass
class Actor:
    """What the standard routes need of an actor."""

    parts: dict[str, Part] = field(default_factory=dict)
    state: pb.ActorState.ValueType = pb.ACTOR_STATE_READY
    metrics: Metrics = field(default_factory=Metrics)
    health_details: bool = True
    started_wall: float = 0.0

    def components(self) -> Mapping[str, ComponentLike]:
        return self.parts

    def health_extra(self) -> Mapping[str, str]:
        return {"policy_hash": "abc"}


@pytest.mark.parametrize(
    ("header", "role"),
    [
        ("Bearer see-only", "observer"),
        ("bearer may-act", "operator"),
        ("Bearer may-risk", "risk_owner"),
        ("Bearer may-ris", None),
        ("Bearer ", None),
        ("Basic may-act", None),
        ("", None),
    ],
)
def test_a_token_has_exactly_its_role(header: str, role: str | None) -> None:
    assert role_of(header, TOKENS) == role


def test_an_empty_token_admits_nobody() -> None:
    assert role_of("Bearer x", ApiTokens()) is None
    assert role_of("Bearer ", ApiTokens()) is None


def test_a_role_may_do_what_the_roles_below_it_may() -> None:
    assert [[suffices(held, needed) for needed in ROLES] for held in ROLES] == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]


@pytest.mark.parametrize(
    ("parts", "connected", "state", "status", "code"),
    [
        ({"a": Part("healthy")}, True, pb.ACTOR_STATE_READY, "healthy", 200),
        ({"a": Part("degraded")}, True, pb.ACTOR_STATE_READY, "degraded", 200),
        ({"a": Part("degraded"), "b": Part("unhealthy")}, True, pb.ACTOR_STATE_READY, "unhealthy", 503),
        ({}, False, pb.ACTOR_STATE_READY, "unhealthy", 503),
        ({}, True, pb.ACTOR_STATE_STARTING, "unhealthy", 503),
    ],
)
def test_health_is_as_good_as_its_worst_part(
    parts: dict[str, Part], connected: bool, state: pb.ActorState.ValueType, status: str, code: int
) -> None:
    answered, body = health_answer(Actor(parts, state), connected)
    assert (answered, body["status"], body["policy_hash"]) == (code, status, "abc")


@pytest.fixture
async def server() -> AsyncIterator[str]:
    actor = Actor({"venue": Part("healthy", "fresh")}, health_details=False)
    app = standard_app(actor)

    async def act(request: web.Request) -> web.Response:
        return web.json_response({"role": request[ROLE]})

    app.router.add_post("/act", requires("operator", TOKENS)(act))
    (port,) = free_ports(1)
    runner = await serve_app(app, port)
    yield f"http://127.0.0.1:{port}"
    await runner.cleanup()


@pytest.mark.parametrize(
    ("token", "code", "said"),
    [
        ("", 401, {"error": "a bearer token is needed"}),
        ("see-only", 403, {"error": "role observer may not do this; operator may"}),
        ("may-act", 200, {"role": "operator"}),
        ("may-risk", 200, {"role": "risk_owner"}),
    ],
)
async def test_a_guarded_route_lets_in_its_role_and_above(
    server: str, token: str, code: int, said: dict[str, str]
) -> None:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with ClientSession() as session, session.post(f"{server}/act", headers=headers) as answer:
        assert (answer.status, await answer.json()) == (code, said)


async def test_the_standard_routes_answer_and_a_public_one_hides_its_parts(server: str) -> None:
    async with ClientSession() as session:
        async with session.get(f"{server}/health") as answer:
            assert (answer.status, await answer.json()) == (503, {"status": "unhealthy"})
        async with session.get(f"{server}/health/live") as answer:
            assert answer.status == 200
        async with session.get(f"{server}/health/ready") as answer:
            assert answer.status == 200
        async with session.get(f"{server}/metrics") as answer:
            assert (answer.status, answer.content_type) == (200, "text/plain")


async def test_a_taken_port_is_named(server: str) -> None:
    port = int(server.rpartition(":")[2])
    with pytest.raises(PortTaken, match=f"port {port} on 127.0.0.1 is taken"):
        await serve_app(web.Application(), port)


async def test_requests_are_counted_by_route_and_status_never_by_path() -> None:
    actor = Actor()
    (port,) = free_ports(1)
    runner = await serve_app(standard_app(actor), port)
    try:
        async with ClientSession() as client:
            for path in ("/health/live", "/health/live", "/no/such/path", "/another"):
                async with client.get(f"http://127.0.0.1:{port}{path}") as answer:
                    await answer.read()
    finally:
        await runner.cleanup()
    told = actor.metrics.exposition().decode()
    assert 'titan_http_requests_total{method="GET",route="/health/live",status_code="200"} 2.0' in told
    assert 'titan_http_requests_total{method="GET",route="unknown",status_code="404"} 2.0' in told
    assert "/another" not in told
