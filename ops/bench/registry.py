"""Every bench by name. A bench's module is imported when it runs: the command must not pay for what it does not measure."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from ops.bench.result import Options, Report


@dataclass(frozen=True, slots=True)
class Bench:
    """One bench: what it measures in a sentence, and the module of this package whose `run` measures it."""

    measures: str
    module: str

    def run(self, options: Options) -> Report:
        """Measures. Raises what the parts under measure raise."""
        found = importlib.import_module(f"ops.bench.{self.module}")
        return cast("Callable[[Options], Report]", found.run)(options)


BENCHES: dict[str, Bench] = {
    "order-path": Bench("what one intent costs inside the router, without the wire", "order_path"),
    "order-path-beside": Bench("the order path beside that of another engine, in one run", "beside"),
    "signal-to-socket": Bench("a signal published until its order is at the venue, across processes", "signal_path"),
    "lane": Bench("a signal published until its order is handed to the venue session, over the fast lane", "lane"),
    "matching": Bench("orders a second in the paper venue's matching core", "matching"),
    "absorb": Bench("trades a second that one phase takes, injected behind ccxt", "absorb"),
    "cancel-under-flood": Bench("a disarm until its cancel is at the venue, while trades flood", "cancel"),
    "recovery": Bench("kill -9 to Ready, for every actor of the whole system", "recovery"),
    "quarantine": Bench("a phase that raises in its start, and what the others feel of it", "quarantine"),
    "memory": Bench("what the whole system holds while it trades", "memory"),
    "memory-full": Bench("what each container of the full profile holds while it trades", "containers"),
}
