"""order-path-beside: the router's order path, and a published trading engine's own, in one process and one run.

The engine is `nautilus_trader` (extra `reference`, some 600 MB, so no part of what `make run` installs): its strategy makes a
market order and submits it, its risk engine checks it, its execution engine hands it to its own mock client. Ours goes from the
bytes of a signed intent to the venue's request, so it also verifies a signature and decodes; the engine's begins with values in
memory and never writes to a disk. The two are measured in turns: engine, ours, engine.
Guarantees: each of the engine's samples ends with its order at the mock client; then, untimed, the order is refused. Without the
package there is no row but a sentence that says how to get it.
"""

from __future__ import annotations

import gc
import importlib
import time
from typing import Any

from ops.bench import order_path
from ops.bench.result import Options, Report, microseconds, row
from titan.errors import Fatal

PACKAGE = "nautilus_trader"
NEEDS = f"skipped: {PACKAGE} is not installed: pip install --require-hashes -r requirements/reference.lock"
OURS = ("order path, whole", "all but the journal", "verify and decode")
WARM_UP = 200
MOST = 25_000
RATE = "1000000/00:00:01"


def run(options: Options) -> Report:
    """The engine, ours, the engine again; each for a third of the time."""
    try:
        importlib.import_module(PACKAGE)
    except ImportError:
        return Report("order-path-beside", (), (NEEDS,))
    part = options.seconds / 3
    engine = _Engine()
    taken = engine.samples(part)
    ours = order_path.run(Options(part, options.repeat))
    taken += engine.samples(part)
    rows = [each for each in ours.rows if each.metric in OURS]
    name = f"{PACKAGE} {engine.version}: submit, risk, execution, mock client"
    return Report("order-path-beside", (*rows, row(name, "µs", microseconds(taken))))


def _of(module: str, name: str) -> Any:
    return getattr(importlib.import_module(f"{PACKAGE}.{module}"), name)


class _Engine:
    """The engine with one instrument, one funded margin account and its mock client."""

    def __init__(self) -> None:
        self.version = str(importlib.import_module(PACKAGE).__version__)
        self._side = _of("model.enums", "OrderSide").BUY
        self._events = _of("test_kit.stubs.events", "TestEventStubs")
        self._instrument = _of("test_kit.providers", "TestInstrumentProvider").btcusdt_perp_binance()
        venue = self._instrument.id.venue
        self._account_id = _of("model.identifiers", "AccountId")(f"{venue.value}-000")
        self._trader_id = _of("test_kit.stubs.identifiers", "TestIdStubs").trader_id()
        clock = _of("common.component", "LiveClock")()
        bus = _of("common.component", "MessageBus")(trader_id=self._trader_id, clock=clock)
        cache = _of("test_kit.stubs.component", "TestComponentStubs").cache()
        portfolio = _of("portfolio.portfolio", "Portfolio")(msgbus=bus, cache=cache, clock=clock)
        parts = {"msgbus": bus, "cache": cache, "clock": clock}
        self._execution = _of("execution.engine", "ExecutionEngine")(**parts)
        limits = _of("risk.config", "RiskEngineConfig")(
            max_order_submit_rate=RATE, max_notional_per_order={self._instrument.id.value: 1_000_000}
        )
        risk = _of("risk.engine", "RiskEngine")(portfolio=portfolio, config=limits, **parts)
        self._client = _of("test_kit.mocks.exec_clients", "MockExecutionClient")(
            client_id=_of("model.identifiers", "ClientId")(venue.value),
            venue=venue,
            account_type=_of("model.enums", "AccountType").MARGIN,
            base_currency=None,
            **parts,
        )
        portfolio.update_account(self._events.margin_account_state(account_id=self._account_id))
        self._execution.register_client(self._client)
        cache.add_instrument(self._instrument)
        cache.add_quote_tick(_of("test_kit.stubs.data", "TestDataStubs").quote_tick(instrument=self._instrument))
        self._execution.start()
        risk.start()
        self._strategy = _of("trading.strategy", "Strategy")()
        self._strategy.register(trader_id=self._trader_id, portfolio=portfolio, **parts)
        self._strategy.start()
        self._quantity = self._instrument.make_qty("0.020")

    def samples(self, seconds: float) -> list[int]:
        """Nanoseconds of each order, for so long or until there are enough."""
        for _ in range(WARM_UP):
            self._one()
        gc.collect()
        gc.freeze()
        try:
            found: list[int] = []
            deadline = time.monotonic() + seconds
            while len(found) < MOST and (not found or time.monotonic() < deadline):
                found.append(self._one())
            return found
        finally:
            gc.unfreeze()

    def _one(self) -> int:
        strategy, commands = self._strategy, self._client.commands
        began = time.perf_counter_ns()
        order = strategy.order_factory.market(self._instrument.id, self._side, self._quantity)
        strategy.submit_order(order)
        took = time.perf_counter_ns() - began
        if not commands or commands[-1].order is not order:
            raise Fatal(f"{PACKAGE} did not hand its order to the mock client: {order}")
        commands.clear()
        self._client.calls.clear()
        self._execution.process(self._events.order_submitted(order, account_id=self._account_id))
        self._execution.process(self._events.order_rejected(order, account_id=self._account_id))
        return took
