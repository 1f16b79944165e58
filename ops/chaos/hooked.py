"""Titan's own actors with a hook for campaigns: made to raise, to hang, to fail or to wait in their start.

Guarantees: the classes are the production ones, subclassed here and nowhere else; without the environment variable
CHAOS_HOOKS the plain classes are given. Orders are files in `<home>/run/chaos`, each obeyed once. Never: part of a start
by `titan up`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from supervisors.tree import GROUPS as PLAIN
from supervisors.tree import GROUPS_WITH_STANDBY as PLAIN_WITH_STANDBY
from supervisors.tree import Group, actors_of
from titan.actor import Actor, load_actor

ARMED = "CHAOS_HOOKS"
USURP = "CHAOS_USURP"
FOLDER = "chaos"
POLL_S = 0.03
RAISE, BLOCK, START, HOLD = "raise", "block", "start", "hold"


def _with_hooks(groups: tuple[Group, ...]) -> tuple[Group, ...]:
    return tuple(
        replace(group, actors=tuple(replace(actor, path=f"{__name__}:{actor.name}") for actor in group.actors))
        for group in groups
    )


GROUPS = _with_hooks(PLAIN)
GROUPS_WITH_STANDBY = _with_hooks(PLAIN_WITH_STANDBY)
FORGETFUL_GROUP = "money"
FORGETFUL = tuple(replace(group, max_restarts=1_000) if group.name == FORGETFUL_GROUP else group for group in GROUPS)
"""The same with a supervisor that forgets how often it has restarted its child: a defect that a campaign must notice."""


class ChaosError(Exception):
    """Raised on order."""


def order(home: Path, actor: str, what: str, amount: float = 1.0) -> Path:
    """Leaves an order for an actor: raise now, block its loop for `amount` seconds, fail `amount` starts, hold its start."""
    folder = home / "run" / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{actor}.{what}"
    fresh = path.with_suffix(".new")
    fresh.write_text(str(amount))
    fresh.replace(path)
    return path


def _read(path: Path) -> float | None:
    try:
        return float(path.read_text())
    except (FileNotFoundError, ValueError):
        return None


def _hooked(plain: type[Actor]) -> type[Actor]:
    class Hooked(plain):  # type: ignore[valid-type,misc]
        """The production actor, with an ear for orders."""

        def _order_path(self, what: str) -> Path:
            return Path(self.runtime.home) / "run" / FOLDER / f"{self.name}.{what}"

        async def on_start(self) -> None:
            """Fails or waits on order, then starts as always."""
            left = _read(self._order_path(START))
            if left is not None and left >= 1:
                self._order_path(START).write_text(str(left - 1))
                raise ChaosError("an exception in start, on order")
            while self._order_path(HOLD).exists():
                self.advance()
                await asyncio.sleep(POLL_S)
            await super().on_start()
            self.spawn(self._obey(), "chaos")

        async def _obey(self) -> None:
            while True:
                await asyncio.sleep(POLL_S)
                self._spoil()
                if _read(self._order_path(RAISE)) is not None:
                    self._order_path(RAISE).unlink()
                    raise ChaosError("an exception in a handler, on order")
                seconds = _read(self._order_path(BLOCK))
                if seconds is not None:
                    with contextlib.suppress(FileNotFoundError):
                        self._order_path(BLOCK).unlink()
                    time.sleep(seconds)  # noqa: ASYNC251 -- a blocked loop is the fault

        def _spoil(self) -> None:
            if not self.name.startswith("router"):
                return
            from ops.chaos.sabotage import ROUTER_DEFECTS

            for name, defect in ROUTER_DEFECTS.items():
                if _read(self._order_path(name)) is not None:
                    self._order_path(name).unlink()
                    defect(self)

    Hooked.__name__ = plain.__name__
    Hooked.__qualname__ = plain.__qualname__
    return Hooked


def __getattr__(name: str) -> Any:
    """The class of an actor by the actor's name: hooked when armed."""
    found = actors_of(PLAIN_WITH_STANDBY).get(name)
    if found is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    plain = load_actor(found.path)
    if not os.environ.get(ARMED):
        return plain
    if os.environ.get(USURP):
        from ops.chaos.sabotage import usurping

        plain = usurping(plain)
    return _hooked(plain)
