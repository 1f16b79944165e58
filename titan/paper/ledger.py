"""The venue's durable record in SQLite (WAL): orders, executions, balance rows and positions.

Guarantees: `commit` returns after one transaction holds all effects of one input, so what was acknowledged survives
kill -9; executions and balance rows are numbered without a gap. Never: a decision; it writes what the core did and gives it back.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from titan.paper.desk import RECENT_CLOSED, Remembered
from titan.paper.orders import (
    BalanceRow,
    Effect,
    Executed,
    Execution,
    Order,
    OrderChanged,
    PositionChanged,
    PositionView,
    StopOrderType,
    WalletChanged,
)
from titan.paper.rows import from_text, to_text

SCHEMA = """
CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS orders(
    order_id TEXT PRIMARY KEY, seq INTEGER NOT NULL, link_id TEXT NOT NULL, symbol TEXT NOT NULL,
    is_open INTEGER NOT NULL, conditional INTEGER NOT NULL, created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS orders_by_seq ON orders(seq);
CREATE INDEX IF NOT EXISTS orders_by_link ON orders(link_id) WHERE link_id <> '';
CREATE INDEX IF NOT EXISTS orders_open ON orders(is_open) WHERE is_open = 1;
CREATE TABLE IF NOT EXISTS executions(
    seq INTEGER PRIMARY KEY, exec_id TEXT NOT NULL UNIQUE, order_id TEXT NOT NULL, link_id TEXT NOT NULL,
    symbol TEXT NOT NULL, exec_type TEXT NOT NULL, time_ms INTEGER NOT NULL, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS executions_by_order ON executions(order_id);
CREATE TABLE IF NOT EXISTS positions(symbol TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS balance(seq INTEGER PRIMARY KEY, time_ms INTEGER NOT NULL, body TEXT NOT NULL);
"""

UPSERT_ORDER = """
INSERT INTO orders VALUES(?,?,?,?,?,?,?,?,?) ON CONFLICT(order_id) DO UPDATE SET
seq=excluded.seq, is_open=excluded.is_open, updated_ms=excluded.updated_ms, body=excluded.body
"""


class LedgerError(Exception):
    """The record cannot be opened or written; the message says which file and why."""


@dataclass(frozen=True, slots=True)
class Filter:
    """What a history query wants; empty and None mean no restriction. Times are inclusive market milliseconds."""

    symbol: str = ""
    order_id: str = ""
    link_id: str = ""
    exec_type: str = ""
    start_ms: int | None = None
    end_ms: int | None = None
    before_seq: int | None = None
    from_seq: int | None = None
    closed_only: bool = False
    conditional: bool | None = None


class Ledger:
    """One file, one writer."""

    def __init__(self, path: Path, initial_wallet: Decimal) -> None:
        """Opens or makes the record. Raises LedgerError."""
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.executescript(SCHEMA)
            self._db.execute("INSERT OR IGNORE INTO meta VALUES('initial_wallet', ?)", (str(initial_wallet),))
            self._db.execute("INSERT OR IGNORE INTO meta VALUES('salt', ?)", (secrets.token_hex(8),))
        except (OSError, sqlite3.Error) as error:
            raise LedgerError(f"cannot open the venue ledger {path}: {error}; choose a writable --home") from error
        self.initial_wallet = Decimal(self.meta("initial_wallet"))
        self.salt = self.meta("salt")

    def meta(self, key: str) -> str:
        """A stored setting; empty when absent."""
        row = self._db.execute("SELECT value FROM meta WHERE key=?", (key,)).fetchone()
        return str(row[0]) if row else ""

    def commit(self, effects: Iterable[Effect]) -> None:
        """Makes the effects durable against process death, all or none. Raises LedgerError when the disk refuses."""
        execute = self._db.execute
        try:
            execute("BEGIN IMMEDIATE")
            for effect in effects:
                if isinstance(effect, OrderChanged):
                    order = effect.order
                    execute(
                        UPSERT_ORDER,
                        (
                            order.order_id,
                            order.seq,
                            order.link_id,
                            order.symbol,
                            int(order.status.is_open),
                            int(order.stop_type is not StopOrderType.NONE),
                            order.created_ms,
                            order.updated_ms,
                            to_text(order).decode(),
                        ),
                    )
                elif isinstance(effect, Executed):
                    done = effect.execution
                    execute(
                        "INSERT INTO executions VALUES(?,?,?,?,?,?,?,?)",
                        (
                            done.seq,
                            done.exec_id,
                            done.order_id,
                            done.link_id,
                            done.symbol,
                            done.exec_type,
                            done.time_ms,
                            to_text(done).decode(),
                        ),
                    )
                elif isinstance(effect, PositionChanged):
                    execute(
                        "INSERT OR REPLACE INTO positions VALUES(?,?)",
                        (effect.position.symbol, to_text(effect.position).decode()),
                    )
                elif isinstance(effect, WalletChanged):
                    row = effect.row
                    execute("INSERT INTO balance VALUES(?,?,?)", (row.seq, row.time_ms, to_text(row).decode()))
            execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                execute("ROLLBACK")
            raise LedgerError(f"cannot write the venue ledger: {error}") from error

    def remember(self) -> Remembered:
        """Everything the core needs to go on."""
        wallet = self._db.execute("SELECT body FROM balance ORDER BY seq DESC LIMIT 1").fetchone()
        balance = from_text(BalanceRow, wallet[0]) if wallet else None
        closed = self._db.execute("SELECT body FROM orders WHERE is_open=0 ORDER BY seq DESC LIMIT ?", (RECENT_CLOSED,))
        return Remembered(
            wallet=balance.wallet if balance else self.initial_wallet,
            orders=tuple(self._orders("SELECT body FROM orders WHERE is_open=1 ORDER BY seq")),
            recent_closed=tuple(from_text(Order, body) for (body,) in reversed(closed.fetchall())),
            positions=tuple(self.positions()),
            next_order_seq=self._next("orders"),
            next_exec_seq=self._next("executions"),
            next_balance_seq=self._next("balance"),
        )

    def last_ms(self) -> int:
        """Market time of the last change recorded; zero for a new ledger."""
        return int(self._db.execute("SELECT COALESCE(MAX(updated_ms), 0) FROM orders").fetchone()[0])

    def _next(self, table: str) -> int:
        return int(self._db.execute(f"SELECT COALESCE(MAX(seq), 0) + 1 FROM {table}").fetchone()[0])

    def _orders(self, sql: str) -> list[Order]:
        return [from_text(Order, body) for (body,) in self._db.execute(sql)]

    def orders(self, wanted: Filter, limit: int, *, oldest_first: bool = False) -> list[Order]:
        """Orders by their place in time, newest first unless told otherwise."""
        where, values = _where(wanted, "created_ms")
        if wanted.closed_only:
            where.append("is_open = 0")
        if wanted.conditional is not None:
            where.append("conditional = ?")
            values.append(int(wanted.conditional))
        found = self._select("orders", where, values, limit, oldest_first=oldest_first)
        return [from_text(Order, body) for (body,) in found]

    def executions(self, wanted: Filter, limit: int, *, oldest_first: bool = False) -> list[Execution]:
        """Executions by number, newest first unless told otherwise."""
        where, values = _where(wanted, "time_ms")
        if wanted.exec_type:
            where.append("exec_type = ?")
            values.append(wanted.exec_type)
        found = self._select("executions", where, values, limit, oldest_first=oldest_first)
        return [from_text(Execution, body) for (body,) in found]

    def balance_rows(self, limit: int, start_ms: int = 0, end_ms: int | None = None) -> list[BalanceRow]:
        """Changes of the wallet in [start, end] of market time, newest first."""
        where, values = _where(Filter(start_ms=start_ms, end_ms=end_ms), "time_ms")
        return [from_text(BalanceRow, body) for (body,) in self._select("balance", where, values, limit)]

    def positions(self) -> list[PositionView]:
        """Last written state of every position that ever changed."""
        found = self._db.execute("SELECT body FROM positions ORDER BY symbol")
        return [from_text(PositionView, body) for (body,) in found]

    def _select(
        self, table: str, where: list[str], values: list[str | int], limit: int, *, oldest_first: bool = False
    ) -> sqlite3.Cursor:
        clause = f"WHERE {' AND '.join(where)}" if where else ""
        way = "ASC" if oldest_first else "DESC"
        return self._db.execute(f"SELECT body FROM {table} {clause} ORDER BY seq {way} LIMIT ?", [*values, limit])

    def close(self) -> None:
        """Closes the file; the record is complete at any time."""
        self._db.close()


def _where(wanted: Filter, time_column: str) -> tuple[list[str], list[str | int]]:
    where: list[str] = []
    values: list[str | int] = []
    for column, text in (("symbol", wanted.symbol), ("order_id", wanted.order_id), ("link_id", wanted.link_id)):
        if text:
            where.append(f"{column} = ?")
            values.append(text)
    for clause, number in (
        (f"{time_column} >= ?", wanted.start_ms),
        (f"{time_column} <= ?", wanted.end_ms),
        ("seq < ?", wanted.before_seq),
        ("seq >= ?", wanted.from_seq),
    ):
        if number is not None:
            where.append(clause)
            values.append(number)
    return where, values
