"""A small actor for the shell's tests."""

from __future__ import annotations

from collections.abc import Mapping

from protos import system_pb2
from titan.actor import Actor, Component
from titan.bus import Received


class Toy(Actor):
    """Answers one request, and dies when told to."""

    name = "toy"
    http = "brain_http"
    heartbeat_s = 0.05

    async def on_start(self) -> None:
        await self.bus.serve("titan.rpc.toy.v1", system_pb2.ActorsRequest, self._answer)

    async def _answer(self, received: Received[system_pb2.ActorsRequest]) -> system_pb2.Alert:
        self.advance()
        if received.message.requested_by == "die":
            self.spawn(self._fail(), "doomed")
        return system_pb2.Alert(message=received.message.requested_by)

    async def _fail(self) -> None:
        raise RuntimeError("told to die")

    async def on_stop(self) -> None:
        (self.runtime.home / "stopped").touch()

    def components(self) -> Mapping[str, Component]:
        return {"toy": Component("degraded", "plays", 3)}


class Stillborn(Actor):
    """Fails in its own start."""

    name = "stillborn"

    async def on_start(self) -> None:
        raise RuntimeError("not today")
