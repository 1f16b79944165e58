"""Receives the heartbeats of this node's actors on a Unix datagram socket.

Guarantees: a datagram that is no Heartbeat is counted and dropped; reading never blocks. Never: a judgement about silence.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from pathlib import Path

from google.protobuf.message import DecodeError

from protos import system_pb2 as pb
from titan.errors import ConfigError

MAX_BEAT_BYTES = 65_536
LONGEST_UNIX_PATH = 100
_AT_ONCE = 256


def check_socket_path(path: Path) -> None:
    """Raises ConfigError when the kernel could not bind a Unix socket there."""
    if len(str(path).encode()) > LONGEST_UNIX_PATH:
        raise ConfigError(
            f"TITAN_HOME is too long: {path} has {len(str(path).encode())} bytes, "
            f"Unix sockets take {LONGEST_UNIX_PATH}; choose a shorter TITAN_HOME"
        )


class PulseSocket:
    """The listening end. `on_beat` is called on the loop that created it."""

    def __init__(self, path: Path, on_beat: Callable[[pb.Heartbeat], None]) -> None:
        check_socket_path(path)
        self._path = path
        self._on_beat = on_beat
        self.undecodable = 0
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(str(path))
        path.chmod(0o600)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.fileno(), self.drain)

    def drain(self) -> None:
        """Takes what has arrived."""
        for _ in range(_AT_ONCE):
            try:
                raw = self._socket.recv(MAX_BEAT_BYTES)
            except BlockingIOError:
                return
            beat = pb.Heartbeat()
            try:
                beat.ParseFromString(raw)
            except DecodeError:
                self.undecodable += 1
                continue
            self._on_beat(beat)

    def close(self) -> None:
        """Stops listening."""
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
