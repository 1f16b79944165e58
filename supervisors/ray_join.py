"""One more Ray node of a home, for the actors of some roles: joins the head that the guardian started, and ends with it.

    python -m supervisors.ray_join --home DIR --roles brain,execution

Guarantees: it ends when its raylet or the head is gone, so that an init system or a container engine starts it anew; what it
started ends with it; every socket is loopback and every call needs the home's token. It must see the home, the process ids
and the shared memory of the head (the same machine, or containers that share all three). Never: a decision about an actor.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from supervisors.processes import adopt_orphans, kill_all
from supervisors.ray_node import HEAD_FILE, OBJECT_STORE_BYTES, ray_environment, resources_of
from supervisors.tree import NODE_ROLES
from titan.errors import ConfigError, ExitCode, TimedOut, TitanError
from titan.servers.identity import ProcessId
from titan.servers.ports import LOOPBACK

if TYPE_CHECKING:
    from ray._private.node import Node

LOCK_FILE = "ray_join.lock"
HEAD_WITHIN_S = 300.0
LOOK_EVERY_S = 0.2
HEAD_AWAY_S = 3.0
END_WITHIN_S = 5.0
_PORT_TIMEOUT_S = 1.0


def read_head(home: Path) -> tuple[str, str] | None:
    """(GCS address, session) of the living head of a home, None when there is none."""
    try:
        raw = json.loads((home / "run" / HEAD_FILE).read_text())
        address, session = str(raw["address"]), str(raw["session"])
        host, _, port = address.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=_PORT_TIMEOUT_S):
            return address, session
    except (OSError, ValueError, KeyError, TypeError):
        return None


def wait_for_head(home: Path, within_s: float = HEAD_WITHIN_S) -> tuple[str, str]:
    """The head, as soon as it is there. Raises TimedOut."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        head = read_head(home)
        if head is not None:
            return head
        time.sleep(LOOK_EVERY_S)
    raise TimedOut(f"no Ray head of {home} within {within_s:.0f} s: is `titan up` running for this home?")


@contextmanager
def one_at_a_time(home: Path) -> Iterator[None]:
    """Ray names a node's sockets by what is not there yet: two nodes that join at once would take the same names."""
    with (home / "run" / LOCK_FILE).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def join(home: Path, roles: tuple[str, ...], address: str, session: str) -> Node:
    """Starts the raylet. Raises what Ray raises."""
    os.environ.update(ray_environment(home, home / "run" / "secrets" / "ray_token", session))
    # Ray reads its environment when it is imported.
    from ray._private.node import Node
    from ray._private.parameter import RayParams

    params = RayParams(
        gcs_address=address,
        node_ip_address=LOOPBACK,
        node_name=f"titan-{'-'.join(roles)}-{os.getpid()}",
        object_store_memory=OBJECT_STORE_BYTES,
        num_cpus=1,
        resources=resources_of(roles),
        include_log_monitor=False,  # type: ignore[arg-type]  # Ray's own annotation is wrong
    )
    return Node(params, head=False, shutdown_at_exit=False, spawn_reaper=False)


def serve(home: Path, roles: tuple[str, ...]) -> ExitCode:
    """Joins and stays: OK after a signal, FAILED when the raylet or the head is gone."""
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda got, _: stopping.append(got))
    address, session = wait_for_head(home)
    with one_at_a_time(home):
        node = join(home, roles, address, session)
    raylet = node.all_processes["raylet"][0].process
    print(json.dumps({"joined": True, "roles": list(roles), "raylet_pid": raylet.pid}), flush=True)
    away_since: float | None = None
    code, why = ExitCode.OK, ""
    while not stopping:
        time.sleep(LOOK_EVERY_S)
        if raylet.poll() is not None:
            code, why = ExitCode.FAILED, "its raylet died"
            break
        if read_head(home) == (address, session):
            away_since = None
            continue
        away_since = away_since or time.monotonic()
        if time.monotonic() - away_since > HEAD_AWAY_S:
            code, why = ExitCode.FAILED, "the head is gone"
            break
    end_family()
    if why:
        print(f"node {','.join(roles)}: {why}", file=sys.stderr)
    return code


def end_family() -> None:
    """Kills raylet, agents and workers: orphans of a dead raylet are this process's own children by now."""
    mine = [ProcessId.of(child.pid) for child in psutil.Process().children(recursive=True)]
    kill_all((child for child in mine if child is not None), END_WITHIN_S)


def roles_of(text: str) -> tuple[str, ...]:
    """Roles from their comma-separated names. Raises ConfigError."""
    roles = tuple(part.strip() for part in text.split(",") if part.strip())
    unknown = [role for role in roles if role not in NODE_ROLES]
    if unknown or not roles:
        raise ConfigError(f"{text!r} names no roles of a node; known: {', '.join(NODE_ROLES)}")
    return roles


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(prog="supervisors.ray_join", description="Joins a home's Ray with one more node.")
    parser.add_argument("--home", type=Path, required=True, help="the TITAN_HOME of the head")
    parser.add_argument("--roles", required=True, help=f"comma-separated, of {', '.join(NODE_ROLES)}")
    given = parser.parse_args(arguments)
    adopt_orphans()
    try:
        return int(serve(given.home.expanduser().absolute(), roles_of(given.roles)))
    except TitanError as error:
        print(error, file=sys.stderr)
        return int(error.exit_code)


if __name__ == "__main__":
    sys.exit(main())
