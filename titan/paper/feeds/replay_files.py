"""Reads recorded Parquet files: what a file holds, and its rows in record batches.

Guarantees: columns and types are checked before the first row is used; times are checked while they
pass; every complaint is a FeedError that says what was seen, what is needed and what to do.
Never does: load a whole trade file at once; guess a price.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from titan.paper.feeds.base import FeedError
from titan.paper.feeds.instruments import canonical_symbol

if TYPE_CHECKING:
    from collections.abc import Sequence

BATCH_ROWS = 8192
TRADE_COLUMNS = ("ts_ms", "price", "qty", "side")
CANDLE_COLUMNS = ("ts_ms", "open", "high", "low", "close", "volume")
CANDLE_KINDS = {"candles_1m": 60, "candles_5m": 300, "candles_1h": 3600}


class FileKind(Enum):
    """What the rows of a file are."""

    TRADES = "trades"
    CANDLES = "candles"


@dataclass(frozen=True, slots=True)
class RecordedFile:
    """A checked file: its kind, symbol and span; `interval_s` is 0 for trades."""

    path: Path
    kind: FileKind
    symbol: str
    rows: int
    first_ms: int
    last_ms: int
    interval_s: int

    @property
    def end_ms(self) -> int:
        """The last moment the file covers: the last trade, or the close of the last bar."""
        return self.last_ms + self.interval_s * 1000


def inspect_file(path: Path) -> RecordedFile:
    """Check a file and describe it. Raises FeedError."""
    parquet = _open(path)
    schema = parquet.schema_arrow
    names = tuple(schema.names)
    needed: tuple[str, ...]
    if set(TRADE_COLUMNS) <= set(names):
        kind, needed = FileKind.TRADES, TRADE_COLUMNS
    elif set(CANDLE_COLUMNS) <= set(names):
        kind, needed = FileKind.CANDLES, CANDLE_COLUMNS
    else:
        raise FeedError(
            f"{path.name} has the columns {', '.join(names) or 'none'}; a replay needs trades"
            f" ({', '.join(TRADE_COLUMNS)}) or candles ({', '.join(CANDLE_COLUMNS)});"
            " rename the columns or choose another file"
        )
    for name in needed:
        _check_type(path, name, schema.field(name).type)
    if parquet.metadata.num_rows == 0:
        raise FeedError(f"{path.name} has no rows; choose a file with at least one trade or candle")
    times = _times(path, parquet)
    return RecordedFile(
        path=path,
        kind=kind,
        symbol=_symbol(path, schema.metadata or {}),
        rows=len(times),
        first_ms=int(times[0]),
        last_ms=int(times[-1]),
        interval_s=_interval_s(path, times) if kind is FileKind.CANDLES else 0,
    )


def batches(file: RecordedFile, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The rows of a checked file in record batches with only these columns; raises FeedError."""
    parquet = _open(file.path)
    present = [name for name in columns if name in parquet.schema_arrow.names]
    try:
        yield from parquet.iter_batches(batch_size=BATCH_ROWS, columns=present)
    except (OSError, pa.ArrowException) as error:
        raise FeedError(f"{file.path.name} broke while being read ({error}); fetch the file again") from error


def _open(path: Path) -> pq.ParquetFile:
    if path.is_dir():
        raise FeedError(f"{path} is a folder; name a Parquet file")
    try:
        return pq.ParquetFile(path)
    except FileNotFoundError:
        raise FeedError(f"there is no file {path}; give the path of a Parquet file of trades or candles") from None
    except PermissionError:
        raise FeedError(f"{path} cannot be read: permission denied; change its mode or its owner") from None
    except (OSError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise FeedError(
            f"{path.name} is not a readable Parquet file ({reason}); give a Parquet file of trades or candles"
        ) from error


def _check_type(path: Path, name: str, kind: pa.DataType) -> None:
    if name == "ts_ms":
        good, allowed = pa.types.is_integer(kind), "an integer of epoch milliseconds"
    elif name == "side":
        good = _is_text(kind) or pa.types.is_null(kind)
        allowed = "the strings buy and sell"
    else:
        good = pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind)
        good = good or (_is_text(kind) and name in ("price", "qty"))
        allowed = "a number or a decimal string" if name in ("price", "qty") else "a number"
    if not good:
        raise FeedError(f"column {name} of {path.name} has the type {kind}; it must be {allowed}; convert it")


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _times(path: Path, parquet: pq.ParquetFile) -> npt.NDArray[np.int64]:
    try:
        column = parquet.read(columns=["ts_ms"]).column(0)
    except (OSError, pa.ArrowException) as error:
        raise FeedError(f"{path.name} broke while being read ({error}); fetch the file again") from error
    if column.null_count:
        raise FeedError(f"column ts_ms of {path.name} has {column.null_count} empty cells; remove those rows")
    times: npt.NDArray[np.int64] = pc.cast(column, pa.int64()).to_numpy()
    backwards = np.flatnonzero(np.diff(times) < 0)
    if len(backwards):
        row = int(backwards[0]) + 1
        raise FeedError(
            f"time runs backwards in {path.name}: row {row + 1} has ts_ms {int(times[row])} after"
            f" {int(times[row - 1])}; sort the file by ts_ms"
        )
    if times[0] < 10**11:
        raise FeedError(
            f"{path.name} begins at ts_ms {int(times[0])}, which is not epoch milliseconds; multiply seconds by 1000"
        )
    return times


def _interval_s(path: Path, times: npt.NDArray[np.int64]) -> int:
    steps = np.diff(times)
    if len(steps):
        step = int(np.bincount(np.clip(steps // 1000, 0, 86_400)).argmax())
        if int(steps.min()) <= 0 or step <= 0 or step % 60:
            raise FeedError(
                f"the bars of {path.name} are {step} s apart (smallest step {int(steps.min())} ms);"
                " a replay needs distinct bars of whole minutes"
            )
        return step
    for kind, seconds in CANDLE_KINDS.items():
        if path.name.startswith(kind):
            return seconds
    raise FeedError(f"{path.name} has one bar and a name that does not tell its interval; give at least two bars")


def _symbol(path: Path, metadata: dict[bytes, bytes]) -> str:
    named = metadata.get(b"symbol", b"").decode(errors="replace")
    if named and "," not in named:
        return canonical_symbol(named)
    parts = path.name.removesuffix(".parquet").split("_")
    for part in parts[::-1]:
        if part.isupper() and part.replace("-", "").isalnum() and not part[0].isdigit():
            return canonical_symbol(part)
    raise FeedError(
        f"{path.name} does not name its symbol; write it into the schema metadata (symbol) or name the file"
        " like trades_venue_BTCUSDT_20200222.parquet"
    )
