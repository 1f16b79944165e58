"""How guardian, root and command talk to each other on one node: JSON lines on a Unix socket, mode 0600.

Guarantees: one request, one answer, one connection; works without NATS and without Ray. Never: trading.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

from titan.errors import NotRunning, TimedOut

ROOT_SOCKET = "root.sock"
GUARDIAN_SOCKET = "guardian.sock"
_LIMIT = 4 * 1024 * 1024

Fields = dict[str, str | float]
Answer = dict[str, object]
Handler = Callable[[str, Fields], Awaitable[Answer]]


class ControlServer:
    """The answering end."""

    def __init__(self, path: Path, handler: Handler) -> None:
        self._path = path
        self._handler = handler
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listens."""
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        self._server = await asyncio.start_unix_server(self._serve, str(self._path), limit=_LIMIT)
        self._path.chmod(0o600)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = json.loads(await reader.readline())
            if not isinstance(request, dict):
                raise TypeError("a request is a JSON object with a verb")
            answer = await self._handler(str(request.pop("verb", "")), request)
        except (ValueError, TypeError) as error:
            answer = {"error": str(error)}
        with contextlib.suppress(ConnectionError):
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        writer.close()

    def close(self) -> None:
        """Stops listening."""
        if self._server is not None:
            self._server.close()


async def ask(run_dir: Path, verb: str, within_s: float, **fields: str | float) -> Answer:
    """Asks the root of a home. Raises NotRunning when none listens, TimedOut when it does not answer."""
    return await _ask(run_dir / ROOT_SOCKET, "the root supervisor", verb, within_s, fields)


async def ask_guardian(run_dir: Path, verb: str, within_s: float) -> Answer:
    """Asks the guardian of a home. Raises NotRunning when none listens, TimedOut when it does not answer."""
    return await _ask(run_dir / GUARDIAN_SOCKET, "the guardian", verb, within_s, {})


async def _ask(path: Path, who: str, verb: str, within_s: float, fields: Fields) -> Answer:
    try:
        async with asyncio.timeout(within_s):
            reader, writer = await asyncio.open_unix_connection(str(path), limit=_LIMIT)
            try:
                writer.write(json.dumps({"verb": verb, **fields}).encode() + b"\n")
                raw = await reader.readline()
            finally:
                writer.close()
    except (FileNotFoundError, ConnectionError) as error:
        raise NotRunning(f"{who} does not listen at {path}: {error}") from error
    except TimeoutError:
        raise TimedOut(f"{who} did not answer {verb!r} within {within_s:g} s") from None
    if not raw:
        raise NotRunning(f"{who} died before it answered")
    answer: Answer = json.loads(raw)
    return answer
