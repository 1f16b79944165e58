"""order-path: what one intent costs inside the router, from received bytes to the venue's request.

The real parts in the real order: envelope and payload verified, the core's guard and client order id, the row appended to
a journal on disk (synced now and then between two intents, untimed), the order encoded for the venue. Between two intents,
untimed, the order is refused, so that the books stay as large as they are in a run. Intents are sealed 64 at a time: in a
run another process seals them. The journal's share is the row, encoded once more to be timed alone, and its write. ccxt's
share is measured apart, after the others; the wire is not touched.
"""

from __future__ import annotations

import gc
import os
import tempfile
import time
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from actors.router import rows
from actors.router.core import RouterCore
from actors.router.effects import Append, Effect, SendOrder
from actors.router.events import BrainBeat, IntentArrived, QuoteSeen, RecoveryReport, SendFailed, VenueReport
from actors.router.intake import read_intent
from actors.router.state import Quote, RouterConfig
from ops.bench.result import Options, Report, Target, microseconds, row
from protos import trading_pb2
from titan import subjects
from titan.clock import WallClock
from titan.codec import intent_to_pb
from titan.envelope import Head, KeyRing, SigningKey, Verifier, seal
from titan.errors import Fatal
from titan.ids import IntentId, SignalId, new_ulid
from titan.instruments import Instrument, Instruments
from titan.journal import Journal
from titan.model import Action, Intent, Order, OrderType, Phase, Side
from titan.policy import load_policy
from titan.runtime import VenueAddress
from titan.venues import bybit_shapes
from titan.venues.base import VenueWallet
from titan.venues.exchange import make_exchange

POLICY = Path(__file__).resolve().parents[1] / "config" / "risk_policy.json"
SYMBOL = "BTC/USDT:USDT"
VENUE, ACCOUNT = "bybit", "main"
PRICE = Decimal(50_000)
MOST = 50_000
WARM_UP = 200
SIGNED = 2_000
REFRESH_EVERY = 64
SYNC_EVERY = 20 * REFRESH_EVERY

ALL_TARGET = Target(p50=60.0)
PURE_TARGET = Target(p50=25.0)


@dataclass(slots=True)
class _Times:
    """Nanoseconds of each part, one entry an intent."""

    verify: list[int] = field(default_factory=list)
    core: list[int] = field(default_factory=list)
    row: list[int] = field(default_factory=list)
    journal: list[int] = field(default_factory=list)
    encode: list[int] = field(default_factory=list)
    sign: list[int] = field(default_factory=list)


class _Rig:
    """A recovered, armed router core with its verifier and journal."""

    def __init__(self, folder: Path) -> None:
        self.clock = WallClock()
        self.policy = load_policy(POLICY)
        keys = KeyRing(SigningKey("bench", os.urandom(32)))
        self.key = keys.current
        self.verifier = Verifier(keys)
        self.waiting: list[bytes] = []
        self.subject = subjects.intent_place(VENUE, ACCOUNT, SYMBOL)
        lot, tick = Decimal("0.001"), Decimal("0.1")
        self.instrument = Instrument(
            SYMBOL, "BTC", "USDT", "USDT", "perp", tick, lot, lot, Decimal(5), Decimal(100), VENUE, "BTCUSDT"
        )
        self.journal = Journal.open(folder / "titan_execution.db")
        config = RouterConfig(
            venue=VENUE,
            account=ACCOUNT,
            policy=self.policy,
            policy_hash=self.policy.hash,
            instruments=Instruments([self.instrument]),
        )
        self.core = RouterCore(config, self.journal.term)
        self.carry_out(self.core.start(self.clock.now(), os.getpid()))
        cash = Decimal(1_000_000)
        wallet = VenueWallet("USDT", cash, Decimal(0), cash, cash)
        report = VenueReport((), (), wallet, self.clock.now().wall_ms)
        self.carry_out(self.core.handle(RecoveryReport(report, (), (), ()), self.clock.now()))
        self.refresh()
        self.exchange = make_exchange(VenueAddress(name=VENUE, api_key="bench", api_secret="bench"))
        self.request: dict[str, object] = {}

    def carry_out(self, effects: list[Effect]) -> None:
        """Journals what the core wants journalled."""
        for effect in effects:
            if isinstance(effect, Append):
                self.journal.append(effect.rows)

    def refresh(self) -> None:
        """Tells the core of a fresh quote and of a living brain."""
        now = self.clock.now()
        quote = Quote(PRICE, PRICE, PRICE - 1, PRICE + 1, now.market_ms)
        self.core.handle(QuoteSeen(SYMBOL, quote), now)
        self.core.handle(BrainBeat(), now)

    def sealed(self) -> bytes:
        """A fresh opening intent as the brain would put it on the bus."""
        now = self.clock.now()
        name = new_ulid()
        intent = Intent(
            intent_id=IntentId(name),
            signal_id=SignalId(f"bench-{name}"),
            phase=Phase.SCAVENGER,
            action=Action.OPEN,
            venue=VENUE,
            account=ACCOUNT,
            symbol=SYMBOL,
            side=Side.BUY,
            size_usd=Decimal(1_000),
            quantity=None,
            order_type=OrderType.MARKET,
            limit_price=None,
            reference_price=PRICE,
            stop_price=Decimal("49500"),
            target_price=Decimal("51500"),
            max_slippage_bps=50,
            leverage=Decimal(2),
            policy_hash=self.policy.hash,
            t_signal_ms=now.market_ms,
            t_decision_ms=now.market_ms,
            ttl_ms=5_000,
            trap_type="BREAKOUT",
            decision_id=new_ulid(),
            t_wall_ns=time.time_ns(),
        )
        message = intent_to_pb(intent)
        head = Head(self.subject, message.DESCRIPTOR.full_name, "bench", now.wall_ms, idempotency_key=name)
        return seal(self.key, head, message.SerializeToString(), os.urandom(26))[1]

    def one(self, times: _Times) -> None:
        """Takes one intent through every part, each timed; then, untimed, ends its order."""
        if not self.waiting:
            self.refresh()
            self.waiting.extend(self.sealed() for _ in range(REFRESH_EVERY))
        raw, clock, journal = self.waiting.pop(), time.perf_counter_ns, self.journal
        t0 = clock()
        opened = self.verifier.open(raw, self.subject, self.clock.now().wall_ms)
        intent = read_intent(trading_pb2.Intent.FromString(opened.envelope.payload), self.subject)
        t1 = clock()
        effects = self.core.handle(IntentArrived(intent), self.clock.now())
        t2 = clock()
        order: Order | None = None
        for effect in effects:
            if isinstance(effect, Append):
                journal.append(effect.rows)
            elif isinstance(effect, SendOrder):
                order = effect.order
        t3 = clock()
        if order is None:
            raise Fatal(f"the guard refused the bench's own intent: {effects}")
        request = bybit_shapes.order_request(order, self.instrument.venue_symbol)
        t4 = clock()
        rows.encode({**rows.order_payload(order, "NEW", order.created_ms), **rows.approval_fields(intent)})
        t5 = clock()
        times.verify.append(t1 - t0)
        times.core.append(t2 - t1)
        times.journal.append(t3 - t2)
        times.encode.append(t4 - t3)
        times.row.append(t5 - t4)
        self.request = request
        ended = SendFailed(order.client_order_id, "refused", "end of one sample")
        self.carry_out(self.core.handle(ended, self.clock.now()))

    def sign(self, times: _Times) -> None:
        """What ccxt does with the last request before its socket."""
        began = time.perf_counter_ns()
        self.exchange.sign("v5/order/create", ["private"], "POST", self.request)
        times.sign.append(time.perf_counter_ns() - began)


def run(options: Options) -> Report:
    """Intents one after the other until the time is over or 50,000 were taken."""
    with tempfile.TemporaryDirectory(prefix="titan-bench-") as folder:
        rig, times = _Rig(Path(folder)), _Times()
        try:
            for _ in range(WARM_UP):
                rig.one(_Times())
            gc.collect()
            gc.freeze()
            deadline = time.monotonic() + options.seconds
            while len(times.core) < MOST and (not times.core or time.monotonic() < deadline):
                if len(times.core) % SYNC_EVERY == 0:
                    rig.journal.fold() if rig.journal.wants_fold else rig.journal.sync()
                rig.one(times)
            for _ in range(SIGNED):
                rig.sign(times)
        finally:
            gc.unfreeze()
            rig.journal.close()
    whole = [sum(parts) for parts in zip(times.verify, times.core, times.encode, times.journal, strict=True)]
    kept = [sum(parts) for parts in zip(times.row, times.journal, strict=True)]
    pure = [all_of - journal for all_of, journal in zip(whole, kept, strict=True)]
    shown = (
        row("order path, whole", "µs", microseconds(whole), ALL_TARGET),
        row("all but the journal", "µs", microseconds(pure), PURE_TARGET),
        row("verify and decode", "µs", microseconds(times.verify)),
        row("guard, client id, order and its row", "µs", microseconds(times.core)),
        row("journal: row encoded", "µs", microseconds(times.row)),
        row("journal: row written", "µs", microseconds(times.journal)),
        row("venue request", "µs", microseconds(times.encode)),
        row("ccxt: its JSON and signature, apart", "µs", microseconds(times.sign)),
    )
    return Report("order-path", shown)
