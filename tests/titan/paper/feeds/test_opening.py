"""From specs to feeds, and the spellings of symbols."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from tests.titan.paper.feeds.parquet import candles, trades
from titan.paper.feeds import FeedError, open_feed
from titan.paper.feeds.instruments import canonical_symbol, inferred_instrument, known_instrument


def test_specs_open_the_feeds_they_name(tmp_path: Path) -> None:
    path = trades(tmp_path / "x.parquet")
    other = trades(tmp_path / "y.parquet", symbol="ETHUSDT")

    assert open_feed("synthetic:42").name == "synthetic:42"
    assert open_feed(f"replay:{path}").name == "replay:x.parquet"
    assert open_feed(f"replay:{path}, {other}").name == "replay:x.parquet,y.parquet"


def test_symbols_may_be_spelled_as_people_do(tmp_path: Path) -> None:
    feed = open_feed("synthetic:1", symbols=["ETHUSDT", "sol", "ETH/USDT"])

    assert [instrument.symbol for instrument in feed.instruments] == ["ETH/USDT:USDT", "SOL/USDT:USDT"]


def test_a_warm_up_file_belongs_to_a_replay_only(tmp_path: Path) -> None:
    path, warm = trades(tmp_path / "x.parquet"), candles(tmp_path / "w.parquet")

    assert "w.parquet" in open_feed(f"replay:{path}", warmup_file=warm).warmup
    with pytest.raises(FeedError, match="a warm-up file belongs to a replay, the feed is 'synthetic:1'"):
        open_feed("synthetic:1", warmup_file=warm)


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("", r"feed '' is not known; allowed are replay:PATH, synthetic:SEED or live"),
        ("random", r"feed 'random' is not known"),
        ("synthetic", r"feed 'synthetic' has no seed; write synthetic:SEED with a whole number"),
        ("synthetic:x", r"feed 'synthetic:x' has no seed"),
        ("synthetic:-1", r"feed 'synthetic:-1' has no seed"),
        ("replay:", r"replay names no file"),
        ("replay:/nowhere/x.parquet", r"there is no file /nowhere/x\.parquet"),
    ],
)
def test_specs_that_cannot_be_opened_say_what_is_allowed(spec: str, sentence: str) -> None:
    with pytest.raises(FeedError, match=sentence):
        open_feed(spec)


@pytest.mark.parametrize(
    ("spelling", "symbol"),
    [
        ("BTCUSDT", "BTC/USDT:USDT"),
        ("BTC-PERP", "BTC/USDT:USDT"),
        ("BTC_USDT_USDT", "BTC/USDT:USDT"),
        ("BTC/USDT", "BTC/USDT:USDT"),
        ("btc/usdt:usdt", "BTC/USDT:USDT"),
        ("BTCUSD", "BTC/USDT:USDT"),
        ("BTC", "BTC/USDT:USDT"),
        ("XRPETH", "XRP/ETH:ETH"),
        ("USDC", "USDC/USDT:USDT"),
    ],
)
def test_every_spelling_of_a_symbol_is_one_symbol(spelling: str, symbol: str) -> None:
    assert canonical_symbol(spelling) == symbol


@pytest.mark.parametrize("spelling", ["", "/", "-PERP", "B T C"])
def test_a_symbol_without_a_base_is_refused(spelling: str) -> None:
    with pytest.raises(FeedError, match="has no base currency; spell it like BTC/USDT:USDT"):
        canonical_symbol(spelling)


def test_known_grids_are_for_dollar_perpetuals_only() -> None:
    bitcoin = known_instrument("BTC/USDT:USDT")

    assert bitcoin is not None
    assert (bitcoin.tick, bitcoin.lot) == (Decimal("0.1"), Decimal("0.001"))
    assert known_instrument("XRP/ETH:ETH") is None


def test_inferred_grids_are_the_finest_seen() -> None:
    made = inferred_instrument("ABC/USDT:USDT", [Decimal("1.5"), Decimal("2.125")], [Decimal(10), Decimal("0.2")])

    assert (made.tick, made.lot, made.min_qty) == (Decimal("0.001"), Decimal("0.1"), Decimal("0.1"))


def test_importing_feeds_does_not_import_ccxt() -> None:
    code = "import sys, titan.paper.feeds; sys.exit('ccxt' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
