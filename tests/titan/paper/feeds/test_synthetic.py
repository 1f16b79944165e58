"""What a seeded market promises."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from functools import lru_cache
from itertools import islice, pairwise, takewhile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.titan.paper.feeds.trapwatch import Watch
from titan.paper.feeds import FeedBook, FeedError, FeedEvent, FeedLiquidation, FeedMark, FeedTrade
from titan.paper.feeds.synthetic import DEFAULT_SYMBOLS, SyntheticFeed

MINUTE_MS = 60_000


@lru_cache(maxsize=4)
def market(seed: int) -> SyntheticFeed:
    return SyntheticFeed(seed)


def played(feed: SyntheticFeed, from_ms: int, minutes: int) -> list[FeedEvent]:
    end = from_ms + minutes * MINUTE_MS
    return list(takewhile(lambda event: event.ts_ms < end, feed.events(from_ms)))


def test_the_same_seed_gives_the_same_events_and_another_seed_others() -> None:
    first = list(islice(market(42).events(0), 4000))

    assert first == list(islice(SyntheticFeed(42).events(0), 4000))
    assert first != list(islice(market(7).events(0), 4000))


def test_reading_from_the_middle_gives_what_reading_through_gives() -> None:
    feed = market(42)
    start = feed.start_ms + 3 * MINUTE_MS + 17_345
    through = [event for event in played(feed, feed.start_ms, 5) if event.ts_ms >= start]

    fresh = SyntheticFeed(42)
    assert list(takewhile(lambda event: event.ts_ms < feed.start_ms + 5 * MINUTE_MS, fresh.events(start))) == through


def test_a_later_day_reads_the_same_in_a_feed_that_skipped_the_days_before() -> None:
    later = market(7).start_ms + 26 * 3_600_000
    market(7).history(DEFAULT_SYMBOLS[0], 60, later, 3000)

    assert played(market(7), later, 1) == played(SyntheticFeed(7), later, 1)


def test_a_symbol_moves_the_same_way_whatever_its_company() -> None:
    alone = SyntheticFeed(42, ["SOL/USDT:USDT"])
    bars = alone.history("SOL/USDT:USDT", 3600, alone.start_ms, 200)

    assert bars == market(42).history("SOL/USDT:USDT", 3600, alone.start_ms, 200)


def test_events_begin_at_the_start_whatever_is_asked_and_run_in_time_order() -> None:
    events = list(islice(market(1).events(0), 20_000))

    assert events[0].ts_ms == market(1).start_ms
    assert all(before.ts_ms <= after.ts_ms for before, after in pairwise(events))
    assert {event.symbol for event in events} == set(DEFAULT_SYMBOLS)


@settings(max_examples=12, deadline=None)
@given(seed=st.sampled_from([1, 2, 7, 42, 1234]), minute=st.integers(0, 3000))
def test_books_are_valid_fresh_and_every_trade_meets_one(seed: int, minute: int) -> None:
    feed = SyntheticFeed(seed) if seed == 1234 else market(seed)
    grids = {instrument.symbol: instrument for instrument in feed.instruments}
    start = feed.start_ms + minute * MINUTE_MS
    books: dict[str, FeedBook] = {}
    for event in played(feed, start, 1):
        grid = grids[event.symbol]
        if isinstance(event, FeedBook):
            bids, asks = [price for price, _ in event.bids], [price for price, _ in event.asks]
            assert len(bids) == len(asks) == 50
            assert bids == sorted(set(bids), reverse=True)
            assert asks == sorted(set(asks))
            assert bids[0] < asks[0]
            for price, qty in (*event.bids, *event.asks):
                assert price % grid.tick == 0
                assert qty % grid.lot == 0
                assert qty > 0
            previous = books.get(event.symbol)
            assert event.ts_ms - (previous.ts_ms if previous else start) <= 1000
            books[event.symbol] = event
        elif isinstance(event, FeedTrade):
            book = books[event.symbol]
            assert event.price == (book.asks if event.side == "buy" else book.bids)[0][0]
            assert event.qty % grid.lot == 0
            assert event.qty > 0


@settings(max_examples=8, deadline=None)
@given(seed=st.sampled_from([1, 7, 42]), minute=st.integers(0, 3000))
def test_minute_bars_are_exactly_what_the_trades_traded(seed: int, minute: int) -> None:
    feed = market(seed)
    start = feed.start_ms + minute * MINUTE_MS
    trades: dict[str, list[FeedTrade]] = defaultdict(list)
    for event in played(feed, start, 1):
        if isinstance(event, FeedTrade):
            trades[event.symbol].append(event)
    for symbol, traded in trades.items():
        bar = feed.history(symbol, 60, start + MINUTE_MS, 1)[0]
        prices = [trade.price for trade in traded]
        assert bar.open_ts_ms == start
        assert (bar.open, bar.high, bar.low, bar.close) == (prices[0], max(prices), min(prices), prices[-1])
        assert bar.volume == sum(trade.qty for trade in traded)


def test_coarser_bars_add_up_from_minute_bars() -> None:
    feed = market(42)
    hour = feed.history("BTC/USDT:USDT", 3600, feed.start_ms, 1)[0]
    minutes = feed.history("BTC/USDT:USDT", 60, hour.open_ts_ms + 3_600_000, 60)

    assert [bar.open_ts_ms for bar in minutes] == [hour.open_ts_ms + index * MINUTE_MS for index in range(60)]
    assert (hour.open, hour.close) == (minutes[0].open, minutes[-1].close)
    assert hour.high == max(bar.high for bar in minutes)
    assert hour.low == min(bar.low for bar in minutes)
    assert hour.volume == sum(bar.volume for bar in minutes)


def test_history_is_closed_ordered_limited_and_ten_days_deep() -> None:
    feed = market(2)
    bars = feed.history("ETH/USDT:USDT", 3600, feed.start_ms + 1, 10_000)

    assert len(bars) >= 240
    assert all(after.open_ts_ms - before.open_ts_ms == 3_600_000 for before, after in pairwise(bars))
    assert bars[-1].open_ts_ms + 3_600_000 <= feed.start_ms + 1
    assert (
        feed.history("ETH/USDT:USDT", 3600, feed.start_ms, 7)
        == feed.history("ETH/USDT:USDT", 3600, feed.start_ms, 10_000)[-7:]
    )
    assert feed.history("ETH/USDT:USDT", 3600, feed.start_ms, 0) == []
    assert feed.history("ETH/USDT:USDT", 3600, 1_000_000, 5) == []


def test_the_market_is_lively_but_keeps_its_centre() -> None:
    feed = market(42)
    bars = feed.history("BTC/USDT:USDT", 3600, feed.start_ms + 5 * 86_400_000, 400)
    ranges = sorted(float(bar.high / bar.low) - 1 for bar in bars)

    assert 0.01 < ranges[len(ranges) // 2] < 0.06
    assert all(Decimal(30_000) < bar.close < Decimal(140_000) for bar in bars)


def test_marks_come_each_second_with_funding_interest_and_a_price_near_the_book() -> None:
    events = played(market(42), market(42).start_ms, 2)
    marks = [event for event in events if isinstance(event, FeedMark) and event.symbol == "BTC/USDT:USDT"]
    trades = [event for event in events if isinstance(event, FeedTrade) and event.symbol == "BTC/USDT:USDT"]
    low, high = min(trade.price for trade in trades), max(trade.price for trade in trades)

    assert [mark.ts_ms - market(42).start_ms for mark in marks] == [second * 1000 for second in range(120)]
    for mark in marks:
        assert low * Decimal("0.99") < mark.mark < high * Decimal("1.01")
        assert abs(mark.index / mark.mark - 1) < Decimal("0.02")
        assert abs(mark.funding_rate) <= Decimal("0.00075")
        assert mark.open_interest > 0
        assert mark.ts_ms < mark.next_funding_ms <= mark.ts_ms + 28_800_000
        assert mark.next_funding_ms % 28_800_000 == 0


def test_liquidations_are_trades_too() -> None:
    events = played(market(42), market(42).start_ms, 60)
    forced = [event for event in events if isinstance(event, FeedLiquidation)]
    trades = {
        (event.ts_ms, event.symbol, event.side, event.price, event.qty)
        for event in events
        if isinstance(event, FeedTrade)
    }

    assert forced
    assert all((event.ts_ms, event.symbol, event.side, event.price, event.qty) in trades for event in forced)


def test_trade_ids_are_unique_a_symbol() -> None:
    ids = [
        (event.symbol, event.trade_id)
        for event in played(market(42), market(42).start_ms, 5)
        if isinstance(event, FeedTrade)
    ]

    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(("seed", "least"), [(1, 4), (42, 4)])
def test_an_hour_springs_enough_traps(seed: int, least: int) -> None:
    assert Watch().run(market(seed), 60) >= least


def test_a_trap_is_within_reach_in_the_first_three_minutes() -> None:
    assert Watch().run(market(1), 3) >= 1


def test_wrong_symbols_intervals_and_seeds_are_named() -> None:
    with pytest.raises(FeedError, match=r"no PEPE/USDT:USDT; choose from BTC/USDT:USDT"):
        SyntheticFeed(1, ["PEPE/USDT:USDT"])
    with pytest.raises(FeedError, match=r"synthetic:1 has no XRP/USDT:USDT; it has BTC"):
        market(1).history("XRP/USDT:USDT", 60, market(1).start_ms, 5)
    with pytest.raises(FeedError, match=r"bars of whole minutes; 90 s is not one"):
        market(1).history("BTC/USDT:USDT", 90, market(1).start_ms, 5)
    with pytest.raises(FeedError, match=r"seed -1 is negative"):
        SyntheticFeed(-1)
