"""The registry's durable consumers and buckets are those of the code: the server's permissions are generated from them."""

from __future__ import annotations

import ast

from actors.brain import actor as brain
from actors.execution.intake import EVENTS, FEEDS
from actors.router import intake as router
from actors.router import tenure
from supervisors import report, tree
from tests.house.test_rooms import ROOT, modules
from titan.access import SERVICES
from titan.subjects import BACKLOG_READERS, BUCKETS, CONSUMERS, FILL_ALL, INTENT_PLACE_ALL

CALLERS = {
    "consume": {"actors/brain/actor.py", "actors/execution/intake.py", "actors/router/intake.py"},
    "kv": {"actors/brain/actor.py", "actors/router/tenure.py", "supervisors/report.py"},
    "backlog": {"actors/gateway/actor.py"},
}


def callers_of(method: str) -> set[str]:
    """The modules that call `bus.METHOD(...)`."""
    found = set()
    for path in modules("actors", "supervisors", "titan", "ops"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == method:
                whose = node.func.value
                if (whose.id if isinstance(whose, ast.Name) else getattr(whose, "attr", "")) in {"bus", "_bus"}:
                    found.add(str(path.relative_to(ROOT)))
    return found


def test_durable_consumers_are_as_the_registry_says() -> None:
    used = {("router", router.STREAM, router.DURABLE, INTENT_PLACE_ALL)}
    used |= {("brain", "TITAN_EVT", brain.FILL_CONSUMER, FILL_ALL)}
    used |= {("execution", EVENTS, feed.durable, feed.subject) for feed in FEEDS}
    assert {(spec.service, spec.stream, spec.durable, spec.filter) for spec in CONSUMERS} == used
    assert callers_of("consume") == CALLERS["consume"], "a new consumer needs a row in titan.subjects.CONSUMERS"


def test_buckets_are_as_the_registry_says() -> None:
    used = {brain.BUCKET: ("brain",), report.BUCKET: (report.SERVICE,), tenure.BUCKET: ("router",)}
    assert {spec.name: spec.services for spec in BUCKETS} == used
    assert callers_of("kv") == CALLERS["kv"], "a new bucket needs a row in titan.subjects.BUCKETS"


def test_who_reads_the_backlog_is_in_the_registry() -> None:
    assert callers_of("backlog") == CALLERS["backlog"]
    assert BACKLOG_READERS == ("gateway",)


def test_every_supervised_actor_has_a_login() -> None:
    assert set(tree.actors_of()) <= set(SERVICES)
