"""Chooses ports on the loopback address and remembers them.

Guarantees: a name keeps its port from one start to the next while that port is free; a port is never chosen twice in one book.
Chosen ports lie in 20000-31999: below the range from which Linux takes the ports of outgoing connections (a stopped server's
port is not given away) and above Ray's worker ports. Never: an address other than loopback.
"""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Callable
from pathlib import Path

import psutil

from titan.errors import PortTaken
from titan.files import write_private

LOOPBACK = "127.0.0.1"
PORTS_FILE = "ports.json"
_RANGE = range(20000, 32000)
_TRIES = 200


def is_free(port: int) -> bool:
    """Whether a server could listen on that loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Servers set this themselves: connections that linger after a close are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port(exclude: frozenset[int] = frozenset(), choose: Callable[[range], int] = random.choice) -> int:
    """A loopback port that nobody listens on and that is not in `exclude`."""
    for _ in range(_TRIES):
        port = choose(_RANGE)
        if port not in exclude and is_free(port):
            return port
    raise PortTaken(
        f"no free port found in {_RANGE.start}-{_RANGE.stop - 1} after {_TRIES} tries: stop some of the servers on this machine"
    )


def holder(port: int) -> str | None:
    """The process that listens on a port, as `name (pid N)`, or None when the system does not tell."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.Error:
        return None
    for connection in connections:
        address = connection.laddr
        if connection.status == psutil.CONN_LISTEN and address and address.port == port and connection.pid:
            try:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
            except psutil.Error:
                return f"pid {connection.pid}"
    return None


def taken(port: int, what: str) -> PortTaken:
    """The error for a port that `what` needs and another process holds."""
    who = holder(port) or "another process (the system does not say which)"
    return PortTaken(f"port {port} for {what} is held by {who}: stop it, or choose another port")


class PortBook:
    """The ports of one TITAN_HOME, kept in `<run>/ports.json`."""

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / PORTS_FILE
        self._ports = self._read()

    def _read(self) -> dict[str, int]:
        try:
            raw = json.loads(self._path.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            # The book is a convenience: an unreadable one only costs the memory of the last ports.
            return {}
        if not isinstance(raw, dict):
            return {}
        return {str(name): port for name, port in raw.items() if isinstance(port, int) and 0 < port < 65536}

    @property
    def ports(self) -> dict[str, int]:
        """Every recorded port by name."""
        return dict(self._ports)

    def claim(self, name: str, wanted: int | None = None) -> int:
        """The port for `name`, recorded: `wanted` when given (`PortTaken` when it is not free), else the last one, else a new one."""
        if wanted is not None:
            if not is_free(wanted):
                raise taken(wanted, name)
            port = wanted
        else:
            others = frozenset(port for other, port in self._ports.items() if other != name)
            last = self._ports.get(name)
            port = last if last is not None and last not in others and is_free(last) else free_port(others)
        self._ports[name] = port
        write_private(self._path, json.dumps(self._ports, indent=1, sort_keys=True) + "\n")
        return port
