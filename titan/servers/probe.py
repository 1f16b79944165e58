"""Small questions that a server answers only when it works. Each returns False or raises OSError/EOFError while it does not."""

from __future__ import annotations

import asyncio
import ssl

from titan.servers.ports import LOOPBACK


async def ask(
    port: int, question: bytes, enough: bytes, limit: int = 65536, tls: ssl.SSLContext | None = None
) -> bytes:
    """Sends `question` to a loopback port and reads until `enough` was seen, the other side closes, or `limit` bytes came."""
    reader, writer = await asyncio.open_connection(LOOPBACK, port, ssl=tls)
    try:
        writer.write(question)
        await writer.drain()
        answer = b""
        while enough not in answer and len(answer) < limit:
            chunk = await reader.read(limit)
            if not chunk:
                break
            answer += chunk
        return answer
    finally:
        writer.close()
