"""The journal's rows as news, its mirror, and the follower that feeds both."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import pytest

from actors.execution import follower as module
from actors.execution.books import Written
from actors.execution.follower import JournalFollower
from actors.execution.journal import JournalMirror, news_of
from actors.execution.news import Adoption, Batch, FundingNews, OrderNews, WalletNews
from actors.execution.scribe import Scribe
from protos import trading_pb2 as pb
from tests.actors.execution.builders import PERP, fill, order
from tests.actors.execution.world import fill_payload, order_payload, wallet_payload
from titan.errors import Transient
from titan.journal import Journal, Row
from titan.model import Fill, OrderState, Side

ADOPTED: dict[str, str | int | bool] = {
    "account": "main",
    "average_price": "90",
    "previous_average_price": "0",
    "previous_quantity": "1",
    "quantity": "5",
    "reason": "venue truth at start",
    "symbol": PERP,
    "ts_ms": 3,
    "venue": "bybit",
}
FUNDING: dict[str, str | int | bool] = {
    "account": "main",
    "fill_id": "bybit:main:f1",
    "paid": "1.5",
    "price": "100",
    "quantity": "1",
    "symbol": PERP,
    "t_exchange_ms": 4,
    "ts_ms": 4,
    "venue": "bybit",
    "venue_trade_id": "f1",
}


def _row(seq: int, kind: str, payload: dict[str, str | int | bool], term: int = 1) -> pb.JournalRow:
    return pb.JournalRow(term=term, seq=seq, kind=kind, payload=json.dumps(payload).encode(), ts_ms=seq)


def _story() -> list[pb.JournalRow]:
    opened = order("a", OrderState.OPEN)
    ended = order("a", OrderState.FILLED, filled="2", venue_order_id="")
    return [
        _row(1, "start", {}),
        _row(2, "wallet", wallet_payload(Decimal(1000))),
        _row(3, "order", order_payload(opened.order, 3)),
        _row(4, "fill", fill_payload(fill(1, Side.BUY, "2", "100", fee="0.5"))),
        _row(5, "order", order_payload(ended.order, 5)),
        _row(6, "funding", FUNDING),
        _row(7, "wallet", wallet_payload(Decimal(1100), "998")),
        _row(8, "position", ADOPTED),
    ]


def test_every_kind_that_the_books_keep_becomes_news() -> None:
    told = JournalMirror("bybit", "main").take(_story())
    assert [type(each) for each in told] == [
        WalletNews,
        OrderNews,
        Fill,
        OrderNews,
        FundingNews,
        WalletNews,
        Adoption,
    ]
    wallets = [each.change for each in told if isinstance(each, WalletNews)]
    assert wallets == [1000, 1100 - (1000 - Decimal("0.5") - Decimal("1.5"))]


@pytest.mark.parametrize("cut", range(1, 8))
def test_the_mirror_is_the_same_however_the_rows_are_cut(cut: int) -> None:
    whole, parts = JournalMirror("bybit", "main"), JournalMirror("bybit", "main")
    rows = _story()
    whole.take(rows)
    parts.take(rows[:cut])
    parts.take(rows[cut - 1 :])
    assert parts.snapshot() == whole.snapshot()
    seen = whole.snapshot()
    assert [seen.positions, seen.money] == [{PERP: Decimal(5)}, {"USDT": Decimal(1100)}]
    assert [(one.state, one.venue_order_id) for one in seen.orders] == [(OrderState.FILLED, "v-a")]
    assert whole.wallet_known


def test_a_gap_between_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="journal row 3 does not follow 1"):
        JournalMirror("bybit", "main").take([_story()[0], _story()[2]])


@pytest.mark.parametrize("kind", ["order", "fill", "funding", "position", "wallet"])
def test_a_row_that_makes_no_sense_is_named(kind: str) -> None:
    with pytest.raises(ValueError, match=rf"journal row 1 \({kind}\) can't be read"):
        JournalMirror("bybit", "main").take([_row(1, kind, {"wallet": "nan"})])


def test_a_kind_that_the_books_do_not_keep_is_passed_over() -> None:
    assert news_of(_row(1, "trading", {})) is None


class _Paper:
    """Books on paper: remembers batches, and fails when told."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.away = False

    async def write(self, batch: Batch) -> Written:
        if self.away:
            raise Transient("away")
        self.batches.append(batch)
        return Written(rows=batch.rows)


class _Side:
    """A journal on disk, a scribe that commits at once, and the follower between them."""

    def __init__(self, path: Path, booked: int = 0) -> None:
        self.path = path
        self.journal = Journal.open(path)
        self.paper = _Paper()
        self.scribe = _DirectScribe(self.paper)
        self.follower = JournalFollower("bybit", "main", self.ask, self.scribe, booked)

    async def ask(self, request: pb.JournalFollowRequest) -> pb.JournalFollowReply:
        rows = self.journal.follow(request.from_seq, request.limit)
        return pb.JournalFollowReply(
            rows=[
                pb.JournalRow(term=r.term, seq=r.seq, kind=r.kind, payload=r.payload, hash=r.hash, ts_ms=r.ts_ms)
                for r in rows
            ],
            last_seq=self.journal.last_seq,
        )

    def write(self, story: Sequence[pb.JournalRow]) -> None:
        for row in story:
            self.journal.append([Row(self.journal.last_seq + 1, row.kind, row.payload, row.ts_ms)])

    @property
    def fills(self) -> list[str]:
        return [each.fill_id for batch in self.paper.batches for each in batch.fills]


class _DirectScribe(Scribe):
    """Commits in the caller's task."""

    def __init__(self, paper: _Paper) -> None:
        super().__init__(paper, lambda _: None, lambda *_: None)

    async def book(self, news: Sequence[object], cursor: int = 0) -> None:
        from actors.execution.news import plan

        await self._writer.write(plan(news, cursor))  # type: ignore[arg-type]


async def test_the_follower_books_what_is_new_and_mirrors_everything(tmp_path: Path) -> None:
    side = _Side(tmp_path / "j.db", booked=5)
    side.write(_story())
    await side.follower.follow()
    assert side.follower.mirror.seq == 8
    assert side.follower.booked_seq == 8
    assert [batch.cursor for batch in side.paper.batches] == [8]
    await side.follower.follow()
    assert len(side.paper.batches) == 1


async def test_rows_that_could_not_be_booked_are_booked_later(tmp_path: Path) -> None:
    side = _Side(tmp_path / "j.db")
    side.write(_story())
    side.paper.away = True
    with pytest.raises(Transient):
        await side.follower.follow()
    assert side.follower.booked_seq == 0
    side.paper.away = False
    await side.follower.follow()
    assert [side.fills, side.follower.booked_seq] == [["bybit:main:t1"], 8]


async def test_long_journals_come_in_several_replies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REPLY_ROWS", 3)
    side = _Side(tmp_path / "j.db")
    side.write(_story())
    await side.follower.follow()
    assert [batch.cursor for batch in side.paper.batches] == [3, 6, 8]


async def test_a_journal_that_was_replaced_is_read_anew_from_its_first_row(tmp_path: Path) -> None:
    side = _Side(tmp_path / "j.db")
    side.write(_story())
    await side.follower.follow()
    side.journal.close()
    side.journal = Journal.open(tmp_path / "other.db")
    side.write([_story()[0], _row(2, "wallet", wallet_payload(Decimal(7)))])
    await side.follower.follow()
    assert side.follower.restarts == 1
    assert "does not continue row 8" in side.follower.fault
    assert side.follower.mirror.snapshot().money == {"USDT": 7}
    assert side.follower.booked_seq == 2


async def test_a_longer_journal_with_another_past_is_noticed_by_its_hashes(tmp_path: Path) -> None:
    side = _Side(tmp_path / "j.db")
    side.write(_story()[:2])
    await side.follower.follow()
    side.journal.close()
    side.journal = Journal.open(tmp_path / "other.db")
    side.write([_story()[1], *_story()[2:6]])
    await side.follower.follow()
    assert side.follower.restarts == 1
    assert side.fills == ["bybit:main:t1"]


async def test_a_flipped_bit_in_the_first_rows_is_no_journal_to_book(tmp_path: Path) -> None:
    side = _Side(tmp_path / "j.db")
    side.write(_story())
    honest = side.ask

    async def lie(request: pb.JournalFollowRequest) -> pb.JournalFollowReply:
        reply = await honest(request)
        reply.rows[0].payload = b"{}x"
        return reply

    side.follower = JournalFollower("bybit", "main", lie, side.scribe, 0)
    with pytest.raises(Transient, match="do not match their hashes"):
        await side.follower.follow()
    assert side.paper.batches == []


async def test_a_router_that_can_not_read_its_journal_is_asked_again(tmp_path: Path) -> None:
    side = _Side(tmp_path / "j.db")

    async def sick(_: pb.JournalFollowRequest) -> pb.JournalFollowReply:
        return pb.JournalFollowReply(error="disk gone")

    side.follower = JournalFollower("bybit", "main", sick, side.scribe, 0)
    with pytest.raises(Transient, match="disk gone"):
        await side.follower.follow()
