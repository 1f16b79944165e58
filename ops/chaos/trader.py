"""Keeps orders flowing while faults come, and gives an operator's commands.

Guarantees: everything goes the production way, signed, through brain and router. Never: an order of its own at the venue.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from decimal import Decimal

import aiohttp
import nats.errors

from ops.chaos.eyes import Eyes, wall_ms
from protos import trading_pb2 as pb
from titan import subjects
from titan.clock import open_clock
from titan.errors import Rejected, Transient
from titan.ids import new_ulid
from titan.money import text_of

EVERY_S = 1.2
SIZE_USD = 900
STOP = Decimal("0.012")
RECEIPT_WITHIN_S = 2.0
RESET_EVERY_S = 3.0
RESET_WITHIN = aiohttp.ClientTimeout(total=2.0)
# Small losses trip the breaker all the time: then nothing would be under way when a fault strikes.
RESETS = {"BREAKER_ACTIVE": "reset-circuit-breaker", "GOVERNANCE_LOCKDOWN": "mode/normal"}


class Trader:
    """Manual signals of small size, both ways in turn; commands."""

    def __init__(self, eyes: Eyes) -> None:
        self._eyes = eyes
        self._clock = open_clock(eyes.runtime.run_dir)
        self._turns = itertools.count()
        self._reset_s = -RESET_EVERY_S
        self.sent = 0

    async def signal(self, limit: Decimal | None = None, size_usd: int = SIZE_USD) -> str:
        """Proposes one small trade; gives its signal id, empty when there is no price or no bus.

        `limit`: buys with a limit of so many times the price, instead of at the market.
        """
        eyes = self._eyes
        symbol = eyes.runtime.symbols[0]
        price = eyes.price(symbol)
        if not price or not eyes.bus.connected:
            return ""
        buying = limit is not None or next(self._turns) % 2 == 0
        stop = (limit or 1) * price * (1 - STOP if buying else 1 + STOP)
        now = self._clock.now()
        signal = pb.Signal(
            signal_id=f"manual-{new_ulid()}",
            phase=pb.PHASE_MANUAL,
            action=pb.SIGNAL_ACTION_OPEN,
            venue="auto",
            symbol=symbol,
            side=pb.SIDE_BUY if buying else pb.SIDE_SELL,
            requested_size_usd=str(size_usd),
            stop_price=text_of(stop.quantize(Decimal("0.1"))),
            confidence=100.0,
            trap_type="MANUAL",
            order_type=pb.ORDER_TYPE_MARKET if limit is None else pb.ORDER_TYPE_LIMIT,
            entry_price="" if limit is None else text_of((price * limit).quantize(Decimal("0.1"))),
            t_signal_ms=now.market_ms,
            t_exchange_ms=now.market_ms,
            ttl_ms=5000,
            metadata={"reason": "chaos", "operator_id": "chaos"},
            t_wall_ns=time.time_ns(),
        )
        try:
            await eyes.bus.publish(subjects.SIGNAL_SUBMIT, signal, correlation_id=signal.signal_id)
        except (Transient, nats.errors.Error):
            return ""
        self.sent += 1
        return signal.signal_id

    async def run(self) -> None:
        """Proposes for ever; as risk owner takes back what its own losses tripped."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self.signal()
            await self.reset()

    async def reset(self) -> None:
        """Resets what vetoed the last proposal, as its owner would over HTTP; not more often than every few seconds."""
        path = RESETS.get(self._eyes.veto)
        now = time.monotonic()
        if path is None or now - self._reset_s < RESET_EVERY_S:
            return
        self._reset_s, self._eyes.veto = now, ""
        runtime = self._eyes.runtime
        headers = {"Authorization": f"Bearer {runtime.api_tokens.risk_owner}"}
        url = f"http://127.0.0.1:{runtime.ports['brain_http']}/admin/system/{path}"
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with (
                aiohttp.ClientSession(timeout=RESET_WITHIN) as session,
                session.post(url, json={"reason": "chaos"}, headers=headers) as answer,
            ):
                await answer.read()

    async def command(self, verb: str, reason: str) -> pb.OperatorReceipt | None:
        """One operator command; None when no router answers in time."""
        command = pb.OperatorCommand(
            command_id=new_ulid(), action=verb, reason=reason, operator_id="chaos", ts_ms=wall_ms()
        )
        try:
            return await self._eyes.bus.request(subjects.operator(verb), command, pb.OperatorReceipt, RECEIPT_WITHIN_S)
        except (Transient, Rejected, nats.errors.Error):
            return None
