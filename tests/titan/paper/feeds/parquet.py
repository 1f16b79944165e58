"""Small Parquet recordings for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

START_MS = 1_700_000_040_000 - 1_700_000_040_000 % 3_600_000


def write(path: Path, columns: Mapping[str, Sequence[object]], symbol: str = "") -> Path:
    table = pa.table(dict(columns))
    if symbol:
        table = table.replace_schema_metadata({"symbol": symbol})
    pq.write_table(table, path)
    return path


def trades(path: Path, count: int = 600, symbol: str = "BTCUSDT", start_ms: int = START_MS, gap_ms: int = 1000) -> Path:
    """`count` trades, `gap_ms` apart, that zigzag around 100."""
    return write(
        path,
        {
            "ts_ms": [start_ms + index * gap_ms for index in range(count)],
            "price": [f"{100 + (index % 7) / 10:.1f}" for index in range(count)],
            "qty": [f"{1 + index % 3}.5" for index in range(count)],
            "side": ["buy" if index % 7 > 2 else "sell" for index in range(count)],
            "trade_id": [f"t{index}" for index in range(count)],
        },
        symbol,
    )


def candles(
    path: Path,
    count: int = 240,
    symbol: str = "BTCUSDT",
    start_ms: int = START_MS,
    step_ms: int = 60_000,
    price: float = 100.0,
) -> Path:
    """`count` bars that climb and fall around `price`."""
    opens = [price * (1 + (index % 20) / 1000) for index in range(count)]
    closes = [price * (1 + ((index + 1) % 20) / 1000) for index in range(count)]
    return write(
        path,
        {
            "ts_ms": [start_ms + index * step_ms for index in range(count)],
            "open": [round(value, 2) for value in opens],
            "high": [round(max(pair) * 1.001, 2) for pair in zip(opens, closes, strict=True)],
            "low": [round(min(pair) * 0.999, 2) for pair in zip(opens, closes, strict=True)],
            "close": [round(value, 2) for value in closes],
            "volume": [500.0 + index for index in range(count)],
        },
        symbol,
    )
