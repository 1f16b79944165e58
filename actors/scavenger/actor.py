"""The Scavenger's shell: bus in, core, bus out; timers, history, metrics, health.

Guarantees: Ready does not wait for history, which is asked for until it comes; nothing is proposed before the core is
warm and has a budget. A signal that can't be put on the bus is told to the core. Never: a decision of its own.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, TypeVar

import nats.errors
from google.protobuf.message import Message

from actors.scavenger import translate
from actors.scavenger.config import config_from_environment
from actors.scavenger.core import ScavengerCore
from actors.scavenger.events import (
    DispatchFailed,
    Effect,
    EmitSignal,
    Event,
    MapUpdated,
    NeedHistory,
    SymbolBlacklisted,
    TimerFired,
    TradeColumns,
    TrapSettled,
    TrapSprung,
)
from actors.scavenger.fire import Outcome
from actors.scavenger.traps import Direction, TrapType
from protos import brain_pb2, market_pb2, phase_pb2, trading_pb2
from titan import subjects, tracing
from titan.actor import Actor, ActorContext, Component, Status
from titan.bus import Received
from titan.codec import signal_to_pb
from titan.codes import DeadLetterReason
from titan.effects import CancelTimer, SetTimer
from titan.errors import Rejected, Transient
from titan.model import Action

POSTURE_EVERY_S = 5.0
HISTORY_TIMEOUT_S = 2.0
HISTORY_RETRY_S = 1.0
STALE_WALL_S = 10.0
GENERATED = (Outcome.SUBMITTED, Outcome.GHOST)

M = TypeVar("M", bound=Message)


class Scavenger(Actor):
    """Phase 1 as a supervised part of Titan."""

    name: ClassVar[str] = "scavenger"
    http: ClassVar[str | None] = "scavenger_http"

    def __init__(self, context: ActorContext) -> None:
        super().__init__(context)
        self.core = ScavengerCore(self.runtime.symbols, config_from_environment(os.environ), self.clock.speed)
        self._loading: set[tuple[str, int]] = set()
        self._last_data = time.monotonic()
        self._ticks = 0
        self._tick_rate = 0.0
        self._zero()

    async def on_start(self) -> None:
        """Subscribes to the market, to the brain's and the router's answers, and asks for history."""
        await self._listen(subjects.TRADES_ALL, market_pb2.TradeBatch, translate.columns)
        await self._listen(subjects.TICKER_ALL, market_pb2.Ticker, translate.ticker)
        await self._listen(subjects.CANDLE_ALL, market_pb2.Candle, translate.bar_closed)
        await self._listen(subjects.BUDGET, brain_pb2.Budget, translate.budget)
        await self._listen(subjects.DECISION, brain_pb2.Decision, translate.decision)
        await self._listen(subjects.REJECT, trading_pb2.Reject, translate.reject)
        await self._listen(subjects.FILL_ALL, trading_pb2.Fill, translate.fill)
        await self._listen(subjects.ROUTER_STATE, trading_pb2.RouterState, translate.positions)
        await self._listen(subjects.POWERLAW_ALL, brain_pb2.PowerLawMetrics, translate.tail)
        await self._carry_out(self.core.start())
        self.spawn(self._report(), "report")

    async def _listen(self, subject: str, kind: type[M], read: Callable[[M], Event | None]) -> None:
        async def on_message(received: Received[M]) -> None:
            try:
                event = read(received.message)
            except ValueError as error:
                await self.bus.dead_letter(received.subject, received.raw, DeadLetterReason.INVALID, str(error))
                return
            if event is not None:
                await self._feed(event)

        await self.bus.subscribe(subject, kind, on_message)

    async def _feed(self, event: Event) -> None:
        if isinstance(event, TradeColumns):
            self._count_trades(event)
        started = time.perf_counter()
        effects = self.core.handle(event, self.clock.now())
        self.advance()
        if effects:
            if any(isinstance(effect, MapUpdated) for effect in effects):
                took_ms = (time.perf_counter() - started) * 1000
                duration = self.metrics.histogram("titan_scavenger_trap_calculation_duration_ms")
                duration.labels("map").observe(took_ms)
            await self._carry_out(effects)

    def _count_trades(self, trades: TradeColumns) -> None:
        self._last_data = time.monotonic()
        count = len(trades.ts_ms)
        self._ticks += count
        self.metrics.counter("titan_scavenger_binance_ticks_total").labels(trades.symbol).inc(count)

    async def _carry_out(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case EmitSignal():
                    await self._emit(effect)
                case SetTimer():
                    self._set_timer(effect)
                case CancelTimer():
                    self.cancel(effect.key)
                case NeedHistory():
                    self._load(effect)
                case TrapSprung():
                    trap = effect.trap
                    detected = self.metrics.counter("titan_scavenger_traps_detected_total")
                    detected.labels(trap.trap_type.value, trap.symbol).inc()
                case TrapSettled():
                    self._settled(effect)
                case SymbolBlacklisted():
                    await self.alert(
                        "SCAVENGER_BLACKLIST",
                        "WARNING",
                        f"{effect.symbol} rests until market time {effect.until_market_ms} ms after repeated failures",
                        {"symbol": effect.symbol},
                    )
                case MapUpdated():
                    self._map_updated()

    def _map_updated(self) -> None:
        gauge = self.metrics.gauge("titan_scavenger_active_traps_count")
        for trap_type, count in self.core.active_traps().items():
            gauge.labels(trap_type.value).set(count)

    def _settled(self, effect: TrapSettled) -> None:
        trap = effect.trap
        results = self.metrics.counter("titan_scavenger_validation_results_total")
        results.labels(trap.symbol, effect.outcome.value).inc()
        if effect.outcome in GENERATED:
            generated = self.metrics.counter("titan_scavenger_signals_generated_total")
            generated.labels(trap.symbol, trap.direction.value, effect.outcome.value.lower()).inc()
        self.log.info(
            "trap settled",
            symbol=trap.symbol,
            trap=trap.trap_type.value,
            direction=trap.direction.value,
            trigger=trap.trigger,
            outcome=effect.outcome.value,
            signal_id=effect.signal_id or "",
            **effect.figures,
        )

    async def _emit(self, effect: EmitSignal) -> None:
        signal = replace(effect.signal, t_wall_ns=time.time_ns())
        sent = self.metrics.counter("titan_scavenger_ipc_messages_total")
        try:
            await self.bus.publish(
                subjects.SIGNAL_SUBMIT,
                signal_to_pb(signal),
                correlation_id=signal.signal_id,
                idempotency_key=signal.signal_id,
            )
        except nats.errors.Error as error:
            sent.labels("out", "failed").inc()
            self.log.warning("signal not sent", signal_id=signal.signal_id, error=repr(error))
            await self._feed(DispatchFailed(signal.signal_id))
            return
        sent.labels("out", "sent").inc()
        if self.tracer is not None:
            told = {"symbol": signal.symbol, "side": signal.side.value, "trap": signal.trap_type}
            self.tracer.span(tracing.SIGNAL, signal.signal_id, signal.t_wall_ns, time.time_ns(), told=told)
        outcome = "submitted" if signal.action is Action.OPEN else "close"
        self.metrics.counter("titan_signals_total").labels(self.name, outcome).inc()
        self.log.info(
            "signal",
            signal_id=signal.signal_id,
            action=signal.action.value,
            symbol=signal.symbol,
            side=signal.side.value,
            trap=signal.trap_type,
            size_usd=str(signal.requested_size),
            entry=str(signal.entry_price),
        )

    def _zero(self) -> None:
        symbols, traps = self.runtime.symbols, [trap.value for trap in TrapType]
        generated = [outcome.value.lower() for outcome in GENERATED]
        self.metrics.zero("titan_scavenger_traps_detected_total", traps, symbols)
        self.metrics.zero("titan_scavenger_validation_results_total", symbols, [outcome.value for outcome in Outcome])
        self.metrics.zero(
            "titan_scavenger_signals_generated_total", symbols, [each.value for each in Direction], generated
        )
        self.metrics.zero("titan_scavenger_ipc_messages_total", ("out",), ("sent", "failed"))
        self.metrics.zero("titan_signals_total", (self.name,), ("submitted", "close"))

    def _set_timer(self, timer: SetTimer) -> None:
        seconds = timer.after_ms / 1000
        if timer.clock == "market":
            seconds /= self.clock.speed
        key = timer.key

        async def fire() -> None:
            await self._feed(TimerFired(key))

        self.after(key, seconds, fire)

    def _load(self, need: NeedHistory) -> None:
        key = (need.symbol, need.interval_s)
        if key not in self._loading:
            self._loading.add(key)
            self.spawn(self._fetch(need), f"history-{need.symbol}-{need.interval_s}")

    async def _fetch(self, need: NeedHistory) -> None:
        request = market_pb2.CandlesRequest(symbol=need.symbol, interval_s=need.interval_s, limit=need.limit)
        loaded: Event | None = None
        while loaded is None:
            try:
                reply = await self.bus.request(
                    subjects.RPC_CANDLES, request, market_pb2.CandlesReply, timeout_s=HISTORY_TIMEOUT_S
                )
                loaded = translate.history(need.symbol, need.interval_s, reply)
            except (Transient, Rejected, ValueError) as error:
                self.log.info("history not there yet", symbol=need.symbol, interval_s=need.interval_s, error=str(error))
                await asyncio.sleep(HISTORY_RETRY_S)
        self._loading.discard((need.symbol, need.interval_s))
        await self._feed(loaded)

    async def _report(self) -> None:
        before, ticks = time.monotonic(), self._ticks
        while True:
            await asyncio.sleep(POSTURE_EVERY_S)
            now = time.monotonic()
            self._tick_rate = (self._ticks - ticks) / (now - before)
            before, ticks = now, self._ticks
            self.metrics.gauge("titan_scavenger_tick_processing_rate").set(self._tick_rate)
            health = self.metrics.gauge("titan_scavenger_health_status")
            for name, component in self.components().items():
                health.labels(name).set(0 if component.status == "unhealthy" else 1)
            await self._publish(subjects.posture(self.name), self._posture())
            await self._publish(subjects.diagnostics(self.name), self._diagnostics())

    async def _publish(self, subject: str, message: Message) -> None:
        try:
            await self.bus.publish(subject, message)
        except nats.errors.Error as error:
            self.log.warning("not published", subject=subject, error=repr(error))

    def _posture(self) -> phase_pb2.PhasePosture:
        now = self.clock.now()
        traps = self.core.active_traps()
        budget = self.core.usable_budget(now.wall_ms)
        if not any(traps.values()):
            status = phase_pb2.PHASE_STATUS_STARTING
        else:
            status = phase_pb2.PHASE_STATUS_PAUSED if budget is None else phase_pb2.PHASE_STATUS_RUNNING
        return phase_pb2.PhasePosture(
            phase=trading_pb2.PHASE_SCAVENGER,
            status=status,
            regime="MULTI",
            metrics={
                "activeTraps": str(sum(traps.values())),
                "topSymbols": str(len(self.core.states)),
                "equity": "0" if budget is None else str(budget.max_notional),
                "signals": str(self.core.signals),
                "basisGaps": str(sum(state.basis is not None for state in self.core.states.values())),
                "ghostMode": str(self.core.config.ghost_mode).lower(),
            },
            ts_ms=now.wall_ms,
        )

    def _diagnostics(self) -> phase_pb2.PhaseDiagnostics:
        parts = self.components()
        alerts = [f"{name}: {part.detail}" for name, part in parts.items() if part.status != "healthy"]
        states = {part.status for part in parts.values()}
        health = "CRITICAL" if "unhealthy" in states else "DEGRADED" if "degraded" in states else "HEALTHY"
        return phase_pb2.PhaseDiagnostics(
            phase=trading_pb2.PHASE_SCAVENGER,
            health=health,
            alerts=alerts,
            system={"ticksPerSecond": self._tick_rate, "signals": float(self.core.signals)},
            ts_ms=self.clock.now().wall_ms,
        )

    def components(self) -> Mapping[str, Component]:
        """Market data (age), warmth (what is missing) and budget."""
        age_s = time.monotonic() - self._last_data
        data: Status = "degraded" if age_s > STALE_WALL_S else "healthy"
        missing = self.core.missing()
        sentences = [f"{symbol}: {'; '.join(lacking)}" for symbol, lacking in missing.items()]
        budget = self.core.usable_budget(self.clock.now().wall_ms)
        return {
            "market_data": Component(data, f"{self._ticks} trades seen, {self._tick_rate:.0f}/s", int(age_s * 1000)),
            "warmth": Component("degraded" if missing else "healthy", " | ".join(sentences) or "every rule is warm"),
            "budget": Component(
                "degraded" if budget is None else "healthy",
                "no usable budget: nothing is opened" if budget is None else f"{budget.max_notional} USD",
            ),
        }
