"""Every way in which a recording can be wrong has its own sentence."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.titan.paper.feeds.parquet import START_MS, candles, trades, write
from titan.paper.feeds import FeedError
from titan.paper.feeds.replay import ReplayFeed

GOOD: dict[str, Sequence[object]] = {
    "ts_ms": [START_MS, START_MS + 1000, START_MS + 2000],
    "price": ["1.0", "1.1", "1.2"],
    "qty": ["1", "1", "1"],
    "side": ["buy", "sell", "buy"],
}
BARS: dict[str, Sequence[object]] = {
    "ts_ms": [START_MS, START_MS + 60_000, START_MS + 120_000],
    "open": [1.0, 1.0, 1.0],
    "high": [1.1, 1.1, 1.1],
    "low": [0.9, 0.9, 0.9],
    "close": [1.0, 1.0, 1.0],
    "volume": [5.0, 5.0, 5.0],
}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"ts_ms": ["a", "b", "c"]}, "column ts_ms of bad.parquet has the type string; it must be an integer of epoch"),
        ({"price": [True, True, True]}, "column price of bad.parquet has the type bool; it must be a number or a dec"),
        ({"side": [1, 2, 3]}, "column side of bad.parquet has the type int64; it must be the strings buy and sell"),
        ({"side": ["buy", "hold", "sell"]}, "row 2 of bad.parquet has a side that is neither buy nor sell"),
        ({"side": ["buy", None, "sell"]}, "row 2 of bad.parquet has a side that is neither buy nor sell"),
        ({"price": ["1.0", "x", "1.2"]}, "column price of bad.parquet has a cell that is no number near row 1"),
        ({"price": ["1.0", "0", "1.2"]}, "row 2 of bad.parquet has a price that is not above zero"),
        ({"price": [1.0, float("inf"), 1.2]}, "row 2 of bad.parquet has a price that is not finite"),
        ({"price": ["1.0", "1.1", None]}, "row 3 of bad.parquet has an empty price"),
        ({"qty": ["1", "1", "-1"]}, "row 3 of bad.parquet has a quantity that is not above zero"),
        ({"ts_ms": [START_MS, None, START_MS]}, "column ts_ms of bad.parquet has 1 empty cells"),
        (
            {"ts_ms": [START_MS + 5, START_MS + 9, START_MS]},
            f"time runs backwards in bad.parquet: row 3 has ts_ms {START_MS} after {START_MS + 9}; sort the file",
        ),
        ({"ts_ms": [1, 2, 3]}, "bad.parquet begins at ts_ms 1, which is not epoch milliseconds"),
    ],
)
def test_bad_trades_are_refused(tmp_path: Path, changes: dict[str, Sequence[object]], sentence: str) -> None:
    with pytest.raises(FeedError) as refusal:
        ReplayFeed([write(tmp_path / "bad.parquet", GOOD | changes, "BTCUSDT")])
    assert sentence in str(refusal.value)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"high": [1.1, 0.95, 1.1]}, "row 2 of bad.parquet has a high below another price of its bar"),
        ({"low": [0.9, 0.9, 1.05]}, "row 3 of bad.parquet has a low above another price of its bar"),
        ({"volume": [5.0, -1.0, 5.0]}, "row 2 of bad.parquet has a negative volume"),
        ({"close": [0.0, 1.0, 1.0], "low": [0.0, 0.9, 0.9]}, "row 1 of bad.parquet has a price that is not above zero"),
        ({"open": ["1.0", "1.0", "1.0"]}, "column open of bad.parquet has the type string; it must be a number"),
        ({"ts_ms": [START_MS, START_MS, START_MS + 60_000]}, "a replay needs distinct bars of whole minutes"),
        ({"ts_ms": [START_MS, START_MS + 10_000, START_MS + 20_000]}, "the bars of bad.parquet are 10 s apart"),
    ],
)
def test_bad_candles_are_refused(tmp_path: Path, changes: dict[str, Sequence[object]], sentence: str) -> None:
    with pytest.raises(FeedError) as refusal:
        ReplayFeed([write(tmp_path / "bad.parquet", BARS | changes, "BTCUSDT")])
    assert sentence in str(refusal.value)


def test_wrong_columns_name_those_seen_and_those_needed(tmp_path: Path) -> None:
    path = write(tmp_path / "quotes.parquet", {"ts_ms": [1], "bid": [1.0], "ask": [2.0]})
    with pytest.raises(FeedError) as refusal:
        ReplayFeed([path])
    assert str(refusal.value) == (
        "quotes.parquet has the columns ts_ms, bid, ask; a replay needs trades (ts_ms, price, qty, side)"
        " or candles (ts_ms, open, high, low, close, volume); rename the columns or choose another file"
    )


def test_a_file_without_rows_is_refused(tmp_path: Path) -> None:
    path = trades(tmp_path / "empty.parquet", count=0)
    with pytest.raises(FeedError, match=r"empty\.parquet has"):
        ReplayFeed([path])


def test_a_typed_file_without_rows_says_that_it_has_no_rows(tmp_path: Path) -> None:
    table: dict[str, Sequence[object]] = {name: values[:0] for name, values in GOOD.items()}
    schema = pa.schema({"ts_ms": pa.int64(), "price": pa.string(), "qty": pa.string(), "side": pa.string()})
    pq.write_table(pa.table(table, schema=schema), tmp_path / "none.parquet")
    with pytest.raises(FeedError, match=r"none\.parquet has no rows; choose a file with at least one"):
        ReplayFeed([tmp_path / "none.parquet"])


def test_what_is_not_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.parquet").write_text("ts_ms,price\n")
    with pytest.raises(FeedError, match=r"text\.parquet is not a readable Parquet file"):
        ReplayFeed([tmp_path / "text.parquet"])


def test_a_cut_off_file_is_refused(tmp_path: Path) -> None:
    whole = trades(tmp_path / "whole.parquet").read_bytes()
    (tmp_path / "torn.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FeedError, match=r"torn\.parquet is not a readable Parquet file"):
        ReplayFeed([tmp_path / "torn.parquet"])


def test_damaged_data_behind_a_good_footer_is_refused(tmp_path: Path) -> None:
    path = trades(tmp_path / "x.parquet", count=5000)
    data = bytearray(path.read_bytes())
    data[4 : len(data) // 2] = bytes(len(data) // 2 - 4)
    path.write_bytes(data)
    with pytest.raises(FeedError, match=r"x\.parquet broke while being read"):
        ReplayFeed([path])


def test_a_missing_file_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FeedError, match=r"there is no file .*gone\.parquet; give the path"):
        ReplayFeed([tmp_path / "gone.parquet"])
    with pytest.raises(FeedError, match=r"holds no \.parquet file"):
        ReplayFeed([tmp_path])
    with pytest.raises(FeedError, match="replay names no file"):
        ReplayFeed([])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    path = trades(tmp_path / "locked.parquet")
    path.chmod(0)
    with pytest.raises(FeedError, match="cannot be read: permission denied"):
        ReplayFeed([path])


def test_a_file_that_does_not_name_its_symbol_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FeedError, match=r"x1\.parquet does not name its symbol; write it into the schema metadata"):
        ReplayFeed([trades(tmp_path / "x1.parquet", symbol="")])
    named = ReplayFeed([trades(tmp_path / "trades_venue_SOLUSDT_20200101.parquet", symbol="")])
    assert named.instruments[0].symbol == "SOL/USDT:USDT"


def test_a_single_bar_tells_its_interval_by_name_only(tmp_path: Path) -> None:
    one = candles(tmp_path / "candles_1h_venue_BTCUSDT_x.parquet", count=1, step_ms=3_600_000)
    assert ReplayFeed([one]).end_ms == START_MS + 3_600_000
    with pytest.raises(FeedError, match="has one bar and a name that does not tell its interval"):
        ReplayFeed([candles(tmp_path / "c.parquet", count=1)])


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (
            lambda folder: ReplayFeed([trades(folder / "a.parquet"), trades(folder / "b.parquet")]),
            "a.parquet and b.parquet both hold BTC/USDT:USDT; replay one file a symbol",
        ),
        (
            lambda folder: ReplayFeed([trades(folder / "a.parquet")], ["SOL/USDT:USDT"]),
            "the recording has no SOL/USDT:USDT; it has BTC/USDT:USDT",
        ),
        (
            lambda folder: ReplayFeed(
                [
                    trades(folder / "a.parquet"),
                    trades(folder / "b.parquet", symbol="ETHUSDT", start_ms=START_MS + 86_400_000),
                ]
            ),
            "the files do not overlap in time",
        ),
        (
            lambda folder: ReplayFeed([trades(folder / "a.parquet")], warmup_file=trades(folder / "b.parquet")),
            "the warm-up file b.parquet holds trades; it must hold candles",
        ),
        (
            lambda folder: ReplayFeed(
                [trades(folder / "a.parquet"), trades(folder / "b.parquet", symbol="ETHUSDT")],
                warmup_file=candles(folder / "c.parquet", symbol="SOLUSDT"),
            ),
            "the warm-up file c.parquet holds SOL/USDT:USDT, the replay BTC/USDT:USDT, ETH/USDT:USDT",
        ),
        (
            lambda folder: ReplayFeed([trades(folder / "a.parquet")]).history("SOL/USDT:USDT", 60, START_MS, 1),
            "replay:a.parquet has no SOL/USDT:USDT; it has BTC/USDT:USDT",
        ),
    ],
)
def test_files_that_do_not_go_together_are_refused(
    tmp_path: Path, build: Callable[[Path], object], sentence: str
) -> None:
    with pytest.raises(FeedError) as refusal:
        build(tmp_path)
    assert sentence in str(refusal.value)
