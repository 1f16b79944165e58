"""What a replay of recorded files promises."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.shared_data import shared_path
from tests.titan.paper.feeds.parquet import START_MS, candles, trades, write
from titan.paper.feeds import FeedBook, FeedEvent, FeedMark, FeedTrade
from titan.paper.feeds.replay import ReplayFeed
from titan.paper.feeds.replay_series import split_bar

DAY = "data/market/trades_binance-usdm_BTCUSDT_20200222.parquet"
MINUTE_MS = 60_000


def traded(events: list[FeedEvent]) -> list[FeedTrade]:
    return [event for event in events if isinstance(event, FeedTrade)]


def test_recorded_trades_come_back_as_they_were(tmp_path: Path) -> None:
    path = trades(tmp_path / "x.parquet")
    rows = pq.read_table(path).to_pylist()
    feed = ReplayFeed([path])

    expected = [
        (row["ts_ms"], Decimal(row["price"]), Decimal(row["qty"]), row["side"], row["trade_id"])
        for row in rows
        if row["ts_ms"] >= feed.start_ms
    ]
    assert [
        (event.ts_ms, event.price, event.qty, event.side, event.trade_id) for event in traded(list(feed.events(0)))
    ] == expected


def test_the_first_tenth_warms_up_and_the_status_says_so(tmp_path: Path) -> None:
    feed = ReplayFeed([trades(tmp_path / "x.parquet", count=6000)])

    assert feed.start_ms == START_MS + 540_000
    assert feed.end_ms == START_MS + 5_999_000
    assert feed.warmup == "the first 9 min of the recording warm up; what needs longer history stays silent"
    assert len(feed.history("BTC/USDT:USDT", 60, feed.start_ms, 100)) == 9


def test_the_first_two_hours_of_a_day_of_trades_warm_up_at_most() -> None:
    feed = ReplayFeed([shared_path(DAY)])

    assert feed.warmup.startswith("the first 120 min of the recording warm up")
    assert len(feed.history("BTC/USDT:USDT", 60, feed.start_ms, 500)) == 120
    assert len(feed.history("BTC/USDT:USDT", 3600, feed.start_ms, 500)) == 2


def test_a_replay_starts_anywhere_with_the_same_events(tmp_path: Path) -> None:
    feed = ReplayFeed([trades(tmp_path / "x.parquet")])
    middle = START_MS + 271_500

    assert list(feed.events(middle)) == [event for event in feed.events(0) if event.ts_ms >= middle]


def test_a_day_of_real_trades_opens_reads_in_order_and_meets_its_bars() -> None:
    feed = ReplayFeed([shared_path(DAY)])
    until = feed.start_ms + 10 * MINUTE_MS
    events: list[FeedEvent] = []
    for event in feed.events(feed.start_ms):
        if event.ts_ms >= until:
            break
        events.append(event)

    assert feed.name == "replay:trades_binance-usdm_BTCUSDT_20200222.parquet"
    assert isinstance(events[0], FeedBook)
    assert all(before.ts_ms <= after.ts_ms for before, after in pairwise(events))
    minutes: dict[int, list[FeedTrade]] = defaultdict(list)
    for trade in traded(events):
        minutes[trade.ts_ms // MINUTE_MS].append(trade)
    assert minutes
    for minute, inside in minutes.items():
        bar = feed.history("BTC/USDT:USDT", 60, (minute + 1) * MINUTE_MS, 1)[0]
        prices = [trade.price for trade in inside]
        assert (bar.open, bar.high, bar.low, bar.close) == (prices[0], max(prices), min(prices), prices[-1])
        assert bar.volume == sum(trade.qty for trade in inside)


def test_a_whole_day_of_real_trades_is_played_to_its_last_trade() -> None:
    feed = ReplayFeed([shared_path(DAY)])
    assert feed.end_ms is not None

    last = traded(list(feed.events(feed.end_ms - 30 * MINUTE_MS)))[-1]

    assert last.ts_ms == feed.end_ms


def test_derived_books_surround_the_trades_and_stand_at_most_a_second(tmp_path: Path) -> None:
    feed = ReplayFeed([trades(tmp_path / "x.parquet", gap_ms=3700)])
    book: FeedBook | None = None
    for event in feed.events(0):
        if isinstance(event, FeedBook):
            assert event.bids[0][0] < event.asks[0][0]
            assert book is None or event.ts_ms - book.ts_ms <= 1000
            book = event
        elif isinstance(event, FeedTrade):
            assert book is not None
            assert event.price == (book.asks if event.side == "buy" else book.bids)[0][0]


def test_a_sweep_in_one_millisecond_meets_the_book_before_and_leaves_one_behind(tmp_path: Path) -> None:
    path = write(
        tmp_path / "sweep.parquet",
        {
            "ts_ms": [START_MS, *[START_MS + 90_500] * 3, START_MS + 100_000],
            "price": ["100.0", "100.2", "100.3", "100.4", "100.0"],
            "qty": ["1", "1", "1", "1", "1"],
            "side": ["sell", "buy", "buy", "buy", "sell"],
        },
        "BTCUSDT",
    )
    near = [event for event in ReplayFeed([path]).events(START_MS + 90_500) if event.ts_ms <= START_MS + 90_501]

    kinds = [type(event).__name__ for event in near]
    assert kinds == ["FeedBook", "FeedTrade", "FeedTrade", "FeedTrade", "FeedBook"]
    before, after = near[0], near[-1]
    assert isinstance(before, FeedBook)
    assert isinstance(after, FeedBook)
    assert (before.asks[0][0], after.asks[0][0]) == (Decimal("100.2"), Decimal("100.4"))


def test_a_silent_minute_still_has_books_and_marks(tmp_path: Path) -> None:
    feed = ReplayFeed([trades(tmp_path / "x.parquet", count=5, gap_ms=200_000)])
    quiet = [event for event in feed.events(START_MS + 240_000) if event.ts_ms < START_MS + 300_000]

    assert not traded(quiet)
    assert sum(isinstance(event, FeedMark) for event in quiet) == 60
    assert sum(isinstance(event, FeedBook) for event in quiet) == 60


def test_marks_never_know_the_future(tmp_path: Path) -> None:
    columns = pq.read_table(trades(tmp_path / "a.parquet")).to_pydict()
    columns["price"] = [
        price if ts_ms < START_MS + 330_000 else "200.0"
        for ts_ms, price in zip(columns["ts_ms"], columns["price"], strict=True)
    ]
    changed = ReplayFeed([write(tmp_path / "b.parquet", columns, "BTCUSDT")])
    original = ReplayFeed([tmp_path / "a.parquet"])

    def before(feed: ReplayFeed) -> list[tuple[int, Decimal, Decimal]]:
        return [
            (event.ts_ms, event.mark, event.index)
            for event in feed.events(0)
            if isinstance(event, FeedMark) and event.ts_ms < START_MS + 330_000
        ]

    assert before(changed) == before(original)


def test_missing_sides_follow_the_tick_rule(tmp_path: Path) -> None:
    path = write(
        tmp_path / "sideless.parquet",
        {
            "ts_ms": [START_MS + index * 1000 for index in range(4)],
            "price": ["10.0", "10.1", "10.1", "10.0"],
            "qty": ["1", "1", "1", "1"],
            "side": [None, None, None, None],
        },
        "SOLUSDT",
    )

    assert [event.side for event in traded(list(ReplayFeed([path]).events(0)))] == ["buy", "buy", "buy", "sell"]


def test_real_trades_without_sides_and_with_float_prices_can_be_replayed() -> None:
    sideless = ReplayFeed([shared_path("data/market/trades_bitstamp_BTCUSD_20150501.parquet")])
    floats = ReplayFeed([shared_path("data/market/trades_binance-spot_XRPETH_20191011-13.parquet")])

    assert sideless.instruments[0].symbol == "BTC/USDT:USDT"
    assert floats.instruments[0].symbol == "XRP/ETH:ETH"
    assert floats.instruments[0].tick == Decimal("0.00000001")
    assert traded([event for _, event in zip(range(5000), floats.events(0), strict=False)])


def test_two_recorded_symbols_are_merged_in_time() -> None:
    feed = ReplayFeed(
        [
            shared_path("data/market/trades_binance-usdm_BTCUSDT_20240808.parquet"),
            shared_path("data/market/trades_binance-usdm_ETHUSDT_20240808.parquet"),
        ]
    )
    events = [event for _, event in zip(range(20_000), feed.events(0), strict=False)]

    assert [instrument.symbol for instrument in feed.instruments] == ["BTC/USDT:USDT", "ETH/USDT:USDT"]
    assert all(before.ts_ms <= after.ts_ms for before, after in pairwise(events))
    assert {event.symbol for event in traded(events)} == {"BTC/USDT:USDT", "ETH/USDT:USDT"}


def test_a_folder_gives_every_symbol_in_it_and_a_choice_narrows_it(tmp_path: Path) -> None:
    trades(tmp_path / "a.parquet", symbol="BTCUSDT")
    trades(tmp_path / "b.parquet", symbol="ETHUSDT")

    assert len(ReplayFeed([tmp_path]).instruments) == 2
    assert [item.symbol for item in ReplayFeed([tmp_path], ["ETH/USDT:USDT"]).instruments] == ["ETH/USDT:USDT"]


@pytest.mark.parametrize("step_ms", [60_000, 300_000, 3_600_000])
def test_candles_are_played_as_trades_that_redraw_them(tmp_path: Path, step_ms: int) -> None:
    path = candles(tmp_path / "c.parquet", step_ms=step_ms, count=120)
    rows = pq.read_table(path).to_pylist()
    feed = ReplayFeed([path])
    inside: dict[int, list[FeedTrade]] = defaultdict(list)
    first = rows[20]["ts_ms"]
    for event in feed.events(first):
        if event.ts_ms >= first + 2 * step_ms:
            break
        if isinstance(event, FeedTrade):
            inside[event.ts_ms // step_ms * step_ms].append(event)
    for row in rows[20:22]:
        prices = [float(trade.price) for trade in inside[row["ts_ms"]]]
        assert [prices[0], max(prices), min(prices), prices[-1]] == pytest.approx(
            [row["open"], row["high"], row["low"], row["close"]], abs=0.051
        )
        assert float(sum(trade.qty for trade in inside[row["ts_ms"]])) == pytest.approx(row["volume"], abs=0.01)


def test_a_rising_candle_touches_its_low_before_its_high_and_a_falling_one_the_other_way() -> None:
    rising = split_bar((100, 160, 60, 140, 90), 9)
    falling = split_bar((140, 160, 60, 100, 90), 9)

    assert [bar[2] for bar in rising].index(60) < [bar[1] for bar in rising].index(160)
    assert [bar[1] for bar in falling].index(160) < [bar[2] for bar in falling].index(60)


@given(
    prices=st.tuples(*[st.integers(50, 500)] * 4),
    lots=st.integers(0, 5000),
    minutes=st.integers(1, 60),
)
def test_a_split_bar_keeps_open_extremes_close_and_volume(
    prices: tuple[int, int, int, int], lots: int, minutes: int
) -> None:
    first, last = prices[0], prices[1]
    high, low = max(prices), min(prices)
    bars = split_bar((first, high, low, last, lots), minutes)

    assert len(bars) == minutes
    assert (bars[0][0], max(bar[1] for bar in bars), min(bar[2] for bar in bars), bars[-1][3]) == (
        first,
        high,
        low,
        last,
    )
    assert sum(bar[4] for bar in bars) == lots
    for begin, top, bottom, end, size in bars:
        assert bottom <= min(begin, end) <= max(begin, end) <= top
        assert size >= 0


def test_flat_and_empty_candles_are_played_with_an_uncrossed_book(tmp_path: Path) -> None:
    count = 60
    path = write(
        tmp_path / "flat.parquet",
        {
            "ts_ms": [START_MS + index * 60_000 for index in range(count)],
            **{name: [100.0] * count for name in ("open", "high", "low", "close")},
            "volume": [float(index % 2) for index in range(count)],
        },
        "ETHUSDT",
    )
    events = list(ReplayFeed([path]).events(0))

    assert {trade.price for trade in traded(events)} == {Decimal(100)}
    assert all(event.bids[0][0] < event.asks[0][0] for event in events if isinstance(event, FeedBook))


def test_a_month_of_candles_warms_up_long_enough_for_the_slowest_trap() -> None:
    feed = ReplayFeed([shared_path("data/market/candles_1m_binance-usdm_BTCUSDT_20250525-0624.parquet")])
    bars = feed.history("BTC/USDT:USDT", 3600, feed.start_ms, 100)

    assert "72 h" in feed.warmup
    assert len(bars) == 71
    assert all(after.open_ts_ms - before.open_ts_ms == 3_600_000 for before, after in pairwise(bars))


def test_finer_bars_than_recorded_are_the_ones_the_trades_draw(tmp_path: Path) -> None:
    feed = ReplayFeed([candles(tmp_path / "c.parquet", step_ms=300_000, count=200)])
    moment = feed.start_ms + 1_800_000
    minute = feed.history("BTC/USDT:USDT", 60, moment, 3)[-1]
    inside = [event for event in traded(list(feed.events(minute.open_ts_ms))) if event.ts_ms < moment]
    prices = [trade.price for trade in inside]

    assert minute.open_ts_ms + MINUTE_MS == moment
    assert (minute.open, minute.high, minute.low, minute.close) == (prices[0], max(prices), min(prices), prices[-1])
    assert feed.history("BTC/USDT:USDT", 60, minute.open_ts_ms + MINUTE_MS - 1, 3)[-1].open_ts_ms < minute.open_ts_ms


def test_a_warm_up_file_that_ends_where_the_replay_begins_is_used_as_it_is(tmp_path: Path) -> None:
    warm = candles(tmp_path / "warm.parquet", count=120, start_ms=START_MS - 120 * 3_600_000, step_ms=3_600_000)
    feed = ReplayFeed([trades(tmp_path / "x.parquet")], warmup_file=warm)
    bars = feed.history("BTC/USDT:USDT", 3600, feed.start_ms, 200)

    assert feed.start_ms == START_MS
    assert feed.warmup == "warm.parquet precedes the replay with 120 h of bars"
    assert len(bars) == 120
    assert bars[0].open == Decimal("100.0")
    assert bars[-1].open_ts_ms == START_MS - 3_600_000


def test_a_warm_up_file_of_another_time_and_price_is_moved_and_scaled_and_says_so(tmp_path: Path) -> None:
    warm = candles(
        tmp_path / "warm.parquet", count=100, start_ms=START_MS - 400 * 86_400_000, step_ms=3_600_000, price=5.0
    )
    feed = ReplayFeed([trades(tmp_path / "x.parquet")], warmup_file=warm)
    bars = feed.history("BTC/USDT:USDT", 3600, feed.start_ms, 200)

    assert len(bars) == 100
    assert bars[-1].open_ts_ms + 3_600_000 == START_MS
    assert bars[-1].close == Decimal("100.0")
    assert "moved in time to end at the start and scaled by 20" in feed.warmup


def test_a_real_day_with_a_real_warm_up_file_has_bars_enough_for_every_trap() -> None:
    feed = ReplayFeed(
        [shared_path(DAY)],
        warmup_file=shared_path("data/market/candles_1h_binance-usdm_BTCUSDT_20250525-0624.parquet"),
    )

    assert len(feed.history("BTC/USDT:USDT", 3600, feed.start_ms + 1, 120)) == 120
    assert len(feed.history("BTC/USDT:USDT", 3600, feed.start_ms + 7_200_000, 800)) == 721


def test_a_known_market_keeps_its_grids_unless_the_data_are_finer(tmp_path: Path) -> None:
    coarse = ReplayFeed([trades(tmp_path / "a.parquet")]).instruments[0]
    fine = ReplayFeed([shared_path(DAY)]).instruments[0]
    unknown = ReplayFeed([trades(tmp_path / "b.parquet", symbol="ABCUSDT")]).instruments[0]

    assert (coarse.tick, coarse.lot) == (Decimal("0.1"), Decimal("0.001"))
    assert (fine.tick, fine.lot) == (Decimal("0.01"), Decimal("0.001"))
    assert (unknown.symbol, unknown.tick, unknown.lot) == ("ABC/USDT:USDT", Decimal("0.1"), Decimal("0.1"))
