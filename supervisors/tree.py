"""Titan's own tree: who is supervised, by whom, how patiently, and what each child needs.

Guarantees: one table holds every number; names are unique. Never: behaviour.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, replace

from supervisors.spec import ChildSpec, Escalation, Intensity, SupervisorSpec
from titan.errors import ConfigError

ROOT = "titan"
NAMESPACE = "titan"
TITAN_GROUPS = "supervisors.tree:GROUPS"
STANDBY_GROUPS = "supervisors.tree:GROUPS_WITH_STANDBY"
ROOT_ACTOR = "titan.root"
CORE_ROLE = "core"
NODE_ROLES = ("brain", "execution", "scavenger")
"""Roles that may run on Ray nodes of their own; the head has the core's, and every role that no other node has."""
SHARE = 0.001
"""What an actor takes of its role's resource: enough to be placed, never enough to fill a node."""
SHUTDOWN_MS = 5_000
STABLE_MS = 30_000


@dataclass(frozen=True, slots=True)
class ActorSpec:
    """What a child is, beside its supervision: the class that runs, and how long it may be silent once Ready."""

    name: str
    path: str
    silence_ms: int = 3_000
    start_timeout_ms: int = 30_000
    role: str = CORE_ROLE
    # Modules that it loads only while it starts: what a spare imports beforehand.
    needs: tuple[str, ...] = ()

    @property
    def ray_name(self) -> str:
        """Its name in Ray."""
        return f"{NAMESPACE}.{self.name}"


@dataclass(frozen=True, slots=True)
class Group:
    """One row of the table: a supervisor, its intensity and its actors in start order."""

    name: str
    escalation: Escalation
    max_restarts: int
    period_s: int
    actors: tuple[ActorSpec, ...]


# One after the other: whoever needs none of it waits for a part of it at most.
CCXT = ("ccxt", "ccxt.async_support", "ccxt.pro")
ROUTER_STANDBY = ActorSpec(
    "router_standby",
    "actors.router.actor:RouterStandby",
    silence_ms=1_000,
    start_timeout_ms=60_000,
    role="execution",
    needs=CCXT,
)

# money waits longest before it halts: a router that comes back five times a minute still trades safely from its journal.
GROUPS: tuple[Group, ...] = (
    Group(
        "money",
        Escalation.HALT,
        max_restarts=5,
        period_s=60,
        actors=(
            ActorSpec(
                "router",
                "actors.router.actor:Router",
                silence_ms=1_000,
                start_timeout_ms=60_000,
                role="execution",
                needs=CCXT,
            ),
            ActorSpec("execution", "actors.execution.actor:Execution", role="execution", needs=CCXT),
            ActorSpec("brain", "actors.brain.actor:Brain", role="brain"),
        ),
    ),
    Group(
        "phases",
        Escalation.QUARANTINE,
        max_restarts=5,
        period_s=60,
        actors=(
            ActorSpec(
                "market_data",
                "actors.market_data.actor:MarketData",
                start_timeout_ms=60_000,
                role="scavenger",
                needs=CCXT,
            ),
            ActorSpec("scavenger", "actors.scavenger.actor:Scavenger", start_timeout_ms=60_000, role="scavenger"),
        ),
    ),
    Group(
        "edge",
        Escalation.DEGRADE,
        max_restarts=5,
        period_s=60,
        actors=(ActorSpec("gateway", "actors.gateway.actor:Gateway"),),
    ),
)


def resource_of(role: str) -> str:
    """The custom resource of Ray that a role's nodes have."""
    return f"titan_{role}"


def _with_standby(group: Group) -> Group:
    at = next((index for index, actor in enumerate(group.actors) if actor.name == "router"), None)
    if at is None:
        return group
    return replace(group, actors=(*group.actors[: at + 1], ROUTER_STANDBY, *group.actors[at + 1 :]))


GROUPS_WITH_STANDBY = tuple(_with_standby(group) for group in GROUPS)
"""The same table with a second router, which follows the first."""


def tree_of(groups: tuple[Group, ...] = GROUPS) -> SupervisorSpec:
    """The supervision tree of a table. The root itself restarts a group that gives up, which no group of Titan does."""
    return SupervisorSpec(ROOT, tuple(_supervisor(group) for group in groups), intensity=Intensity(5, 60_000))


def _supervisor(group: Group) -> SupervisorSpec:
    children = tuple(
        ChildSpec(actor.name, start_timeout_ms=actor.start_timeout_ms, shutdown_timeout_ms=SHUTDOWN_MS)
        for actor in group.actors
    )
    intensity = Intensity(group.max_restarts, group.period_s * 1000)
    return SupervisorSpec(group.name, children, intensity=intensity, escalation=group.escalation, stable_ms=STABLE_MS)


def load_groups(path: str) -> tuple[Group, ...]:
    """The table at `package.module:NAME`. Raises ConfigError."""
    module, _, name = path.partition(":")
    try:
        groups: tuple[Group, ...] = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"no table of groups at {path!r}: {error}") from error
    return groups


def needed_of(groups: tuple[Group, ...] = GROUPS) -> tuple[str, ...]:
    """The actors without which nothing trades: those whose failure halts. A standby is none of them."""
    halting = (group for group in groups if group.escalation is Escalation.HALT)
    return tuple(actor.name for group in halting for actor in group.actors if actor.name != ROUTER_STANDBY.name)


def actors_of(groups: tuple[Group, ...] = GROUPS) -> dict[str, ActorSpec]:
    """Every actor of a table by name."""
    return {actor.name: actor for group in groups for actor in group.actors}
