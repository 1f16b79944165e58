"""top: the status on a screen that refreshes.

Guarantees: a gateway that is away for a while ends nothing, the screen says so and goes on; without a terminal one frame is
printed, as `--once` does. Never: a colour code or a cleared screen in a pipe.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from ops.cli.client import Client, connect
from ops.cli.control import Home
from ops.cli.output import console, show
from ops.cli.view import render, restart_line
from protos import control_pb2 as pb
from titan.errors import NotRunning, TimedOut

KEPT = 8
ASK_WITHIN_S = 2.0


class Screen:
    """What is shown: the last status, the restarts heard of, and what is wrong with asking."""

    def __init__(self) -> None:
        self.status: pb.GetStatusResponse | None = None
        self.trouble = ""
        self.restarts: deque[str] = deque(maxlen=KEPT)
        self._counts: dict[str, int] = {}

    def take(self, status: pb.GetStatusResponse) -> None:
        """A new status; the restarts since the last one become lines."""
        self.status, self.trouble = status, ""
        for actor in status.actors:
            count = actor.restarts + actor.graceful_restarts + actor.recycles
            if count > self._counts.get(actor.name, count):
                self.restarts.append(restart_line(actor, status.ts_ms))
            self._counts[actor.name] = count

    def frame(self) -> RenderableType:
        """One frame."""
        parts: list[RenderableType] = []
        if self.trouble:
            parts.append(Text(self.trouble, style="bold yellow"))
        if self.status is not None:
            parts.append(render(self.status))
        parts += [Text(line, style="dim") for line in self.restarts]
        return Group(*parts)


def look(client: Client, screen: Screen) -> None:
    """One look; what keeps it from an answer is shown beside the last one."""
    try:
        screen.take(client.status(ASK_WITHIN_S))
    except (NotRunning, TimedOut) as error:
        screen.trouble = f"{error}; what is shown is old"


def top(
    every: Annotated[float, typer.Option("--every", min=0.2, max=60, help="seconds between looks")] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="print one frame and end")] = False,
    home: Home = None,
) -> None:
    """The status, refreshed until Ctrl-C; without a terminal one frame. Example: titan top --every 2."""
    with connect(home) as client:
        screen = Screen()
        screen.take(client.status())
        if once or not console.is_terminal:
            show(screen.frame())
            return
        with Live(screen.frame(), console=console, screen=True, auto_refresh=False) as live:
            try:
                while True:
                    time.sleep(every)
                    look(client, screen)
                    live.update(screen.frame(), refresh=True)
            except KeyboardInterrupt:
                return
