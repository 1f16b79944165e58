"""Execution in a simulated process: the real translation, holdings and double entries over tables in memory.

What PostgreSQL's constraints do is one dictionary each here: a fill, a payment, an adoption is inserted once by its key.
Guarantees: the tables outlive the process; a commit is whole or not at all. Never: a second way of booking.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from actors.execution.core import Account, Committed, ExecutionCore, Remembered
from actors.execution.core import Tick as ExecutionTick
from actors.execution.holdings import Holding, Instrument, Step, book, is_late, order_of, rebuild
from actors.execution.journal import news_of
from actors.execution.ledger import (
    Transaction,
    adoption_transaction,
    balances,
    cash,
    fill_transaction,
    funding_transaction,
    plus,
)
from actors.execution.news import Adoption, FundingNews, News, fill_news, plan
from protos import trading_pb2
from simulation.bus import Delivery
from simulation.process import Conversation, Process, Sleep
from simulation.venue import ACCOUNT, VENUE
from titan.effects import RaiseAlert
from titan.journal.rows import StoredRow
from titan.model import Fill

if TYPE_CHECKING:
    from simulation.world import World

FILLS = "EXECUTION_FILLS"
FOLLOW_MS = 2_000
TICK_MS = 1_000


@dataclass(slots=True)
class Tables:
    """What PostgreSQL would hold."""

    steps: dict[str, Step] = field(default_factory=dict)
    payments: dict[str, FundingNews] = field(default_factory=dict)
    transactions: dict[str, Transaction] = field(default_factory=dict)
    holdings: dict[Instrument, Holding] = field(default_factory=dict)
    booked_seq: int = 0

    def write(self, news: Iterable[News], cursor: int = 0) -> Committed:
        """One transaction, as `actors.execution.books` has it."""
        batch = plan(news, cursor)
        steps: list[Step] = []
        for fill in batch.fills:
            if fill.fill_id not in self.steps:
                self._add(fill.fill_id, fill, fill_transaction(fill))
                steps.append(fill)
        for adoption in batch.adoptions:
            key = f"{adoption.term}:{adoption.seq}"
            if key not in self.steps:
                self._add(key, adoption, adoption_transaction(adoption))
                steps.append(adoption)
        for paid in batch.funding:
            self._pay(paid)
        changed: dict[Instrument, Holding] = {}
        late: list[Instrument] = []
        by_instrument: dict[Instrument, list[Step]] = {}
        for step in sorted(steps, key=order_of):
            by_instrument.setdefault(Instrument.of(step), []).append(step)
        for instrument, own in by_instrument.items():
            holding = self.holdings.get(instrument) or Holding(instrument)
            if any(is_late(holding, step) for step in own):
                late.append(instrument)
                every = [step for step in self.steps.values() if Instrument.of(step) == instrument]
                holding, _ = rebuild(instrument, every, holding.funding)
            else:
                for step in own:
                    holding = book(holding, step).holding
            changed[instrument] = self.holdings[instrument] = holding
        self.booked_seq = max(self.booked_seq, batch.cursor)
        fills = tuple(step for step in steps if isinstance(step, Fill))
        return Committed(fills, tuple(changed.values()), late=tuple(late))

    def _add(self, key: str, step: Step, transaction: Transaction) -> None:
        self.steps[key] = step
        self.transactions[transaction.correlation_id] = transaction

    def _pay(self, paid: FundingNews) -> None:
        made = funding_transaction(paid.venue, paid.account, paid.symbol, paid.paid, paid.payment_id, paid.ts_ms)
        if made.correlation_id in self.transactions:
            return
        self.transactions[made.correlation_id] = made
        self.payments[paid.payment_id] = paid
        instrument = Instrument(paid.venue, paid.account, paid.symbol)
        held = self.holdings.get(instrument) or Holding(instrument)
        self.holdings[instrument] = replace(held, funding=plus(held.funding, paid.paid))

    def fills(self) -> list[Fill]:
        """Every fill in the books."""
        return [step for step in self.steps.values() if isinstance(step, Fill)]

    def adoptions(self) -> list[Adoption]:
        """Every adoption in the books."""
        return [step for step in self.steps.values() if isinstance(step, Adoption)]

    def earned(self) -> object:
        """Debits less credits of the wallet's account: profit less fees and funding."""
        return balances(self.transactions.values()).get(cash(VENUE, ACCOUNT, "USDT"))


class SimExecution(Process):
    """One incarnation of execution."""

    def __init__(self, world: World, incarnation: int) -> None:
        super().__init__(world.engine, "execution", incarnation, world.ended)
        self.world = world
        self.core = ExecutionCore(Account(VENUE, ACCOUNT), world.policy.hash)

    def start(self) -> Conversation:
        """Remembers, then takes fills from the stream and rows from the journal."""
        yield Sleep(self.world.engine.chance("start").randint(50, 300))
        tables = self.world.tables
        self.core.remember(Remembered(holdings=tuple(tables.holdings.values())))
        self.world.bus.consume(self, FILLS, trading_pb2.Fill, self._on_fill)
        self._tick()
        self.ready = True
        self.world.process_ready(self)
        while True:
            self.follow()
            yield Sleep(FOLLOW_MS)

    def _on_fill(self, told: Delivery) -> bool:
        assert isinstance(told.message, trading_pb2.Fill)
        self._book([fill_news(told.message)])
        return True

    def follow(self) -> None:
        """Takes every journal row that is not in the books yet, when a router lives to be asked."""
        world = self.world
        router = world.router
        if router is None or not router.leads or router.paused or not world.bus.reaches(router):
            return
        if world.journal.last_seq < world.tables.booked_seq:
            world.tables.booked_seq = 0
        rows = list(world.journal.rows(world.tables.booked_seq))
        if rows:
            self._book([each for each in map(_news, rows) if each is not None], rows[-1].seq)

    def _book(self, news: list[News], cursor: int = 0) -> None:
        self.boundary()
        committed = self.world.tables.write(news, cursor)
        self.boundary()
        self._tell(committed)

    def _tell(self, committed: Committed) -> None:
        for effect in self.core.handle(committed, self.engine.now()):
            if isinstance(effect, RaiseAlert):
                self.world.alerted(effect)

    def _tick(self) -> None:
        self.core.handle(ExecutionTick(), self.engine.now())
        self.after("tick", TICK_MS, self._tick)

    def on_death(self) -> None:
        """Connections go back."""
        self.world.bus.leave(self)


def _news(row: StoredRow) -> News | None:
    message = trading_pb2.JournalRow(
        term=row.term, seq=row.seq, kind=row.kind, payload=row.payload, hash=row.hash, ts_ms=row.ts_ms
    )
    return news_of(message)
