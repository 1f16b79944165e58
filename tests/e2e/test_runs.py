"""A bounded run ends by itself with one JSON summary, clean books and nothing left running."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.running import last_json, processes_of, titan
from tests.shared_data import shared_path

pytestmark = pytest.mark.e2e
KEYS = {
    "feed", "duration_s", "exit_reason", "events_in", "signals", "decisions", "orders", "fills", "round_trips",
    "fees_usd", "pnl_usd", "equity_usd", "restarts", "truth",
}  # fmt: skip


@pytest.mark.timeout(300)
def test_a_minute_of_a_synthetic_market_trades_and_its_books_agree(home: Path) -> None:
    done = titan(home, "up", "--feed", "synthetic:42", "--speed", "60", "--for", "60s", "--json", timeout_s=240)
    assert done.returncode == 0, done.stderr + done.stdout
    summary = last_json(done.stdout)
    assert set(summary) >= KEYS
    assert summary["feed"] == "synthetic:42"
    assert summary["exit_reason"] == "duration"
    assert summary["events_in"] > 0
    assert summary["fills"] >= 20
    assert summary["round_trips"] >= 1
    assert summary["truth"]["differences"] == 0, summary["truth"]["details"]
    assert summary["truth"]["fills_compared"] == summary["fills"]
    assert not processes_of(home)


@pytest.mark.timeout(300)
def test_a_replay_of_real_trades_ends_clean(home: Path) -> None:
    path = shared_path("data/market/trades_binance-usdm_BTCUSDT_20200222.parquet")
    done = titan(home, "up", "--feed", f"replay:{path}", "--speed", "60", "--for", "40s", "--json", timeout_s=200)
    assert done.returncode == 0, done.stderr + done.stdout
    summary = last_json(done.stdout)
    assert summary["feed"].startswith("replay:")
    assert summary["events_in"] > 0
    assert summary["truth"]["differences"] == 0, summary["truth"]["details"]
    assert summary["truth"]["complete"]
    assert not processes_of(home)
