"""Runs one server as a child process, from its start to its clean end.

Guarantees: `start` returns when the server does its real work, or nothing of it is left; `stop` leaves no process; a server
whose owner dies is told to stop by the kernel (Linux), unless it was asked to outlive its owner; what a killed owner left behind
is stopped at the next start. At most one server runs in a data directory: the server and all its children hold a file lock.
Never: a signal to a process that is not proven to be ours.

Call `start` from a thread that lives as long as the owner (the main thread): the kernel's notice is bound to that thread.
"""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from titan.errors import ConfigError, TimedOut, TitanError
from titan.servers.identity import ProcessId, ServerRecord, argv_hash, own_id
from titan.servers.ports import is_free, taken
from titan.servers.spec import ServerSpec

_PR_SET_PDEATHSIG = 1
_POLL_S = 0.01
_READY_ANSWER_S = 2.0
_LOCK_WAIT_S = 15.0
_LOG_TAIL_BYTES = 4096
_LOG_TAIL_LINES = 8


class ServerFailed(TitanError):
    """A server did not come up: its last words are in the message, the rest in its log."""


class AlreadyRunning(ConfigError):
    """The server of this home belongs to another living Titan: use that one, or stop it first."""


def before_exec(owner: int, death_signal: int | None) -> Callable[[], None] | None:
    """What the child does between fork and exec, after it has changed its user (which would forget the death signal)."""
    if death_signal is None or not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl

    def bind_to_owner() -> None:
        prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
        if os.getppid() != owner:
            os._exit(1)

    return bind_to_owner


def log_tail(path: Path) -> str:
    """The last lines of a log, on one line."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _LOG_TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return "(no log)"
    return " | ".join(line.strip() for line in lines[-_LOG_TAIL_LINES:] if line.strip()) or "(empty log)"


class ServerProcess:
    """One running server. Made by `start`; all methods belong to the event loop that called it."""

    def __init__(self, spec: ServerSpec, popen: subprocess.Popen[bytes], record_path: Path) -> None:
        self.spec = spec
        self._popen = popen
        self._record_path = record_path
        self._exited = asyncio.Event()
        self._pidfd: int | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._stopping = False
        self._watch()

    @classmethod
    async def start(cls, spec: ServerSpec, *, outlive_owner: bool = False) -> ServerProcess:
        """Starts the server and waits until it is ready.

        Errors: `AlreadyRunning` (another living Titan owns it), `PortTaken`, `TimedOut` (not ready in time), `ServerFailed`.
        On any error, also on cancellation, nothing of the server is left running.
        """
        record_path = spec.run_dir / f"{spec.name}.pid.json"
        lock = await _acquire(spec, record_path)
        try:
            # Every process of a server holds the lock: who has it now knows that none of the one before lives.
            for mark in spec.stale:
                mark.unlink(missing_ok=True)
            process = cls(spec, _spawn(spec, lock, outlive_owner), record_path)
        finally:
            os.close(lock)
        try:
            # At the moment of exec the system may show an empty command line: what was asked for is recorded first.
            process._record(argv_hash(spec.argv))
            await process._until_ready()
            process._record()
        except BaseException:
            # Also a cancellation (Ctrl-C during start) must leave no server behind.
            process._end_now()
            raise
        return process

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._popen.pid

    @property
    def running(self) -> bool:
        """Whether the server process lives."""
        return self._popen.poll() is None

    @property
    def stopping(self) -> bool:
        """Whether its end was asked for: tells a stop from a crash."""
        return self._stopping

    async def wait(self) -> int:
        """Waits for the server's end, asked for or not; the exit code (negative: the signal that killed it)."""
        await self._exited.wait()
        return self._popen.wait()

    async def stop(self) -> int:
        """Stops the server in its own orderly way, kills it when it takes longer than `stop_timeout_s`; its exit code."""
        self._stopping = True
        if self.running:
            self._popen.send_signal(self.spec.stop_signal)
            try:
                async with asyncio.timeout(self.spec.stop_timeout_s):
                    await self._exited.wait()
            except TimeoutError:
                self._kill_group()
        code = await self.wait()
        # PostgreSQL's children go a moment after their parent was killed; the lock tells when the last is gone.
        os.close(await _lock(self.spec, _LOCK_WAIT_S))
        self._forget()
        return code

    def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        if hasattr(os, "pidfd_open"):
            self._pidfd = os.pidfd_open(self.pid)
            loop.add_reader(self._pidfd, self._on_exit)
        else:
            self._watcher = loop.create_task(self._poll_exit())

    async def _poll_exit(self) -> None:
        while self.running:
            await asyncio.sleep(_POLL_S)
        self._exited.set()

    def _on_exit(self) -> None:
        self._popen.poll()
        self._unwatch()
        self._exited.set()

    def _unwatch(self) -> None:
        if self._pidfd is not None:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None
        if self._watcher is not None and not self._exited.is_set():
            self._watcher.cancel()

    def _record(self, argv_sha256: str = "") -> None:
        server = ProcessId.of(self.pid)
        if server is not None:
            server = replace(server, argv_sha256=argv_sha256 or server.argv_sha256)
            ServerRecord(server, own_id()).write(self._record_path)

    async def _until_ready(self) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.spec.start_timeout_s
        while not await _answers(self.spec):
            if not self.running:
                raise self._why_it_ended()
            if loop.time() > deadline:
                raise TimedOut(
                    f"{self.spec.name} is not ready after {self.spec.start_timeout_s:g} s; "
                    f"{self.spec.log_file} ends with: {log_tail(self.spec.log_file)}"
                )
            await asyncio.sleep(_POLL_S)
        if not self.running:
            # Something else answered on the port.
            raise self._why_it_ended()

    def _why_it_ended(self) -> TitanError:
        tail = log_tail(self.spec.log_file)
        for port in self.spec.ports:
            if not is_free(port):
                return taken(port, self.spec.name)
        if "No space left on device" in tail:
            return ServerFailed(
                f"{self.spec.name} found no space left on the disk of {self.spec.data_dir}: free some, or set TITAN_HOME to another disk"
            )
        return ServerFailed(
            f"{self.spec.name} ended during its start with exit code {self._popen.poll()}; {self.spec.log_file} ends with: {tail}"
        )

    def _end_now(self) -> None:
        self._stopping = True
        if self.running:
            self._popen.send_signal(self.spec.stop_signal)
            try:
                self._popen.wait(self.spec.stop_timeout_s)
            except subprocess.TimeoutExpired:
                self._kill_group()
                self._popen.wait()
        self._unwatch()
        self._exited.set()
        self._forget()

    def _kill_group(self) -> None:
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            return

    def _forget(self) -> None:
        self._record_path.unlink(missing_ok=True)


async def _answers(spec: ServerSpec) -> bool:
    try:
        async with asyncio.timeout(_READY_ANSWER_S):
            return await spec.ready()
    except (OSError, EOFError, TimeoutError):
        return False


def _spawn(spec: ServerSpec, lock: int, outlive_owner: bool) -> subprocess.Popen[bytes]:
    log = os.open(spec.log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        return subprocess.Popen(
            spec.argv,
            env=dict(spec.env),
            cwd=spec.cwd,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(lock,),
            # Its own session: Ctrl-C in a terminal reaches Titan, and Titan stops its servers in order.
            start_new_session=True,
            user=spec.uid,
            group=spec.gid,
            extra_groups=[] if spec.uid is not None else None,
            preexec_fn=before_exec(os.getpid(), None if outlive_owner else spec.stop_signal),
        )
    except OSError as error:
        raise ServerFailed(f"{spec.name} can't be started: {error}") from error
    finally:
        os.close(log)


def _try_lock(path: Path) -> int | None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


async def _lock(spec: ServerSpec, wait_s: float) -> int:
    path = spec.run_dir / f"{spec.name}.lock"
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait_s
    while (descriptor := _try_lock(path)) is None:
        if loop.time() > deadline:
            raise AlreadyRunning(
                f"a {spec.name} server of {spec.run_dir.parent} still runs (it holds {path}): stop it with `titan down`, or end it by hand"
            )
        await asyncio.sleep(_POLL_S)
    return descriptor


async def _acquire(spec: ServerSpec, record_path: Path) -> int:
    """The lock on the server's place, after a leftover of a dead owner has been stopped."""
    record = ServerRecord.read(record_path)
    if record is not None and record.server.lives():
        if record.owner.lives():
            raise AlreadyRunning(
                f"the {spec.name} server of {spec.run_dir.parent} runs already (pid {record.server.pid}) for pid {record.owner.pid}: "
                "stop that one with `titan down`, or set another TITAN_HOME"
            )
        await _stop_leftover(spec, record.server)
    return await _lock(spec, _LOCK_WAIT_S)


async def _stop_leftover(spec: ServerSpec, leftover: ProcessId) -> None:
    loop = asyncio.get_running_loop()
    for number, patience_s in ((spec.stop_signal, spec.stop_timeout_s), (signal.SIGKILL, spec.stop_timeout_s)):
        if not leftover.lives():
            return
        os.kill(leftover.pid, number)
        deadline = loop.time() + patience_s
        while leftover.lives() and loop.time() < deadline:
            await asyncio.sleep(_POLL_S)
    if leftover.lives():
        raise ServerFailed(
            f"the {spec.name} server left by an earlier run (pid {leftover.pid}) can't be stopped: end it by hand"
        )
