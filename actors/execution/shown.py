"""The actor as the standard routes see it: its metrics are those of the whole execution group.

Guarantees: everything but the metrics is the actor's own, at the time of asking. Never: state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from protos import system_pb2 as pb
from titan.actor import Actor, Component
from titan.bus import Bus
from titan.metrics import Metrics


class _GroupMetrics(Metrics):
    """Metrics whose exposition comes from elsewhere."""

    def __init__(self, exposition: Callable[[], bytes]) -> None:
        super().__init__()
        self._exposition = exposition

    def exposition(self) -> bytes:
        """The whole group's."""
        return self._exposition()


class Shown:
    """An actor with another exposition."""

    def __init__(self, actor: Actor, exposition: Callable[[], bytes]) -> None:
        self._actor = actor
        self.metrics: Metrics = _GroupMetrics(exposition)
        self.started_wall = actor.started_wall
        self.health_details = actor.health_details

    @property
    def bus(self) -> Bus | None:
        """The actor's connection, once there is one."""
        return getattr(self._actor, "bus", None)

    @property
    def state(self) -> pb.ActorState.ValueType:
        """Starting, ready, stopping."""
        return self._actor.state

    @state.setter
    def state(self, state: pb.ActorState.ValueType) -> None:
        self._actor.state = state

    def components(self) -> Mapping[str, Component]:
        """The parts of the health answer."""
        return self._actor.components()

    def health_extra(self) -> Mapping[str, str]:
        """Policy hash and trading state."""
        return self._actor.health_extra()
