"""Compacts a journal that has grown old: what rows of more than 30 days ago made becomes one snapshot row.

Kept whole: 30 days of rows, so every intent id and fill id of that time. An intent's signature is good for 300 s and the
bus forgets a command after a week, so no older intent can come again; the venue is asked for no older fills.
Guarantees: nothing goes before a checked copy of the whole journal is in its archive, before its events are on the bus,
and before replaying what stays was seen to give the same state. Never: while trading (it runs before the first event).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import chain

import orjson

from actors.router import books, children, rows
from actors.router.state import RouterConfig, RouterState
from titan.journal import Journal, JournalCorrupt, JournalFailed, StoredRow
from titan.journal.archive import archive
from titan.journal.format import parse
from titan.journal.rows import SEAL_BYTES, SNAPSHOT
from titan.journal.values import FillRow, OrderRow, SnapshotRow
from titan.model import Position
from titan.money import text_of

KEEP_MS = 30 * 86_400_000
MIN_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class Compacted:
    """What a compaction did: the row up to which a snapshot stands now, and how many rows are in the archive alone.

    `refused` says why nothing was done though it was due.
    """

    base_seq: int
    rows: int
    refused: str = ""


def compact_if_due(
    journal: Journal, config: RouterConfig, now_wall_ms: int, keep_ms: int = KEEP_MS, min_rows: int = MIN_ROWS
) -> Compacted | None:
    """Compacts when at least `min_rows` rows are older than `keep_ms`; None when it was not due. Blocks.

    What keeps it from doing so (no room for the copy, another state) is said in the answer: trading goes on with a long
    journal.
    """
    base = min(journal.last_before(now_wall_ms - keep_ms), journal.published_seq)
    first = next(journal.rows(0, 1), None)
    if first is None or base - first.seq < min_rows:
        return None
    whole = RouterState()
    books.replay(whole, config, _until(journal, base))
    content = encoded(snapshot_of(whole, config, _named_after(journal, base)))
    books.replay(whole, config, journal.rows(base))
    refused = _difference(journal, config, base, content, whole)
    if refused:
        return Compacted(base, 0, refused)
    try:
        archive(journal.path, journal.last_seq)
        return Compacted(base, journal.compact(base, content))
    except (JournalFailed, JournalCorrupt) as error:
        return Compacted(base, 0, str(error))


def snapshot_of(state: RouterState, config: RouterConfig, named: frozenset[str] = frozenset()) -> SnapshotRow:
    """What must survive of a state when the rows that made it go; `named` are ended orders that later rows speak of."""
    kept = {*state.live, *state.last_entry.values(), *named}
    kept.update(cid for parent in state.parents.values() for cid in parent.children)
    # The numbers of an intent's children go on where they were, so its family stays together.
    families = {state.orders[cid].intent_id for cid in kept if cid in state.orders} & state.children.keys()
    kept.update(child.client_order_id for intent_id in families for child in children.of(state, intent_id))
    money = state.money
    return SnapshotRow(
        venue=config.venue,
        account=config.account,
        currency=money.currency,
        cash=money.cash,
        day=money.day,
        start_of_day=money.start_of_day,
        high_watermark=money.high_watermark,
        trading=state.trading,
        trading_reason=state.trading_reason,
        trading_by=state.trading_by,
        resume_to=state.resume_to,
        run_started_ms=state.run_started_ms,
        cursor_ms=state.cursor_ms,
        finished=state.finished,
        filled=state.filled,
        positions=tuple(state.positions[symbol] for symbol in sorted(state.positions)),
        orders=tuple(order for cid, order in state.orders.items() if cid in kept),
        traded={cid: state.traded[cid] for cid in state.orders if cid in kept and cid in state.traded},
        last_entry=dict(state.last_entry),
        parents=tuple(parent.row for parent in state.parents.values()),
    )


def encoded(snapshot: SnapshotRow) -> bytes:
    """A snapshot row's content in canonical JSON."""
    return orjson.dumps(
        {
            "account": snapshot.account,
            "cash": text_of(snapshot.cash),
            "currency": snapshot.currency,
            "cursor_ms": snapshot.cursor_ms,
            "day": snapshot.day,
            "filled": snapshot.filled,
            "finished": snapshot.finished,
            "high_watermark": text_of(snapshot.high_watermark),
            "last_entry": dict(snapshot.last_entry),
            "orders": [rows.order_payload(order, "SNAPSHOT", order.updated_ms) for order in snapshot.orders],
            "parents": [rows.parent_payload(row) for row in snapshot.parents],
            "positions": [_held(position) for position in snapshot.positions],
            "resume_to": snapshot.resume_to.value,
            "run_started_ms": snapshot.run_started_ms,
            "start_of_day": text_of(snapshot.start_of_day),
            "traded": {cid: text_of(value) for cid, value in snapshot.traded.items()},
            "trading": snapshot.trading.value,
            "trading_by": snapshot.trading_by,
            "trading_reason": snapshot.trading_reason,
            "venue": snapshot.venue,
        },
        option=orjson.OPT_SORT_KEYS,
    )


def _held(position: Position) -> dict[str, rows.Scalar]:
    return {
        "account": position.account,
        "average_price": text_of(position.average_price),
        "fees": text_of(position.fees),
        "funding": text_of(position.funding),
        "quantity": text_of(position.quantity),
        "realized_pnl": text_of(position.realized_pnl),
        "stop_price": text_of(position.stop_price),
        "symbol": position.symbol,
        "target_price": text_of(position.target_price),
        "updated_ms": position.updated_ms,
        "venue": position.venue,
    }


def _until(journal: Journal, base: int) -> Iterator[StoredRow]:
    for row in journal.rows():
        if row.seq > base:
            return
        yield row


def _named_after(journal: Journal, base: int) -> frozenset[str]:
    said = map(parse, journal.rows(base))
    return frozenset(
        each.order.client_order_id if isinstance(each, OrderRow) else each.fill.client_order_id
        for each in said
        if isinstance(each, OrderRow | FillRow)
    )


def _difference(journal: Journal, config: RouterConfig, base: int, content: bytes, whole: RouterState) -> str:
    """Why the snapshot and the rows after it don't give the state that all rows gave; empty when they do."""
    short = RouterState()
    instead = StoredRow(base, 0, SNAPSHOT, bytes(SEAL_BYTES) + content, b"", 0)
    books.replay(short, config, chain((instead,), journal.rows(base)))
    wanted, got = snapshot_of(whole, config), snapshot_of(short, config)
    differing = [each.name for each in fields(wanted) if getattr(wanted, each.name) != getattr(got, each.name)]
    if differing:
        return f"the snapshot at row {base} would give another state ({', '.join(differing)}): nothing was compacted"
    return ""
