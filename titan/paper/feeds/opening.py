"""From a feed spec (`replay:PATH`, `synthetic:SEED`, `live`) to a feed.

Guarantees: a spec that cannot be opened raises FeedError with what was seen, what is allowed, what to do.
Never does: fall back to another feed by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from titan.paper.feeds.base import Feed, FeedError, LiveFeed
from titan.paper.feeds.instruments import canonical_symbol
from titan.paper.feeds.live import DEFAULT_EXCHANGE, open_live
from titan.paper.feeds.replay import ReplayFeed
from titan.paper.feeds.synthetic import SyntheticFeed

ALLOWED = "replay:PATH, synthetic:SEED or live"


def open_feed(spec: str, *, symbols: Sequence[str] = (), warmup_file: Path | None = None) -> Feed | LiveFeed:
    """Open the feed a spec names, restricted to `symbols` when given.

    `replay:` takes a file, several with commas, or a folder. `live` may name an exchange of ccxt
    (`live:binanceusdm`); opening it asks the exchange for its markets, so it blocks for up to 10 s.
    `warmup_file` is a candle file used as history before a replay. Raises FeedError.
    """
    kind, _, rest = spec.strip().partition(":")
    wanted = tuple(dict.fromkeys(canonical_symbol(symbol) for symbol in symbols))
    if warmup_file is not None and kind != "replay":
        raise FeedError(f"a warm-up file belongs to a replay, the feed is {spec!r}; leave it out")
    if kind == "synthetic":
        if not rest.isascii() or not rest.isdigit() or len(rest) > 18:
            raise FeedError(f"feed {spec!r} has no seed; write synthetic:SEED with a whole number, like synthetic:42")
        return SyntheticFeed(int(rest), wanted)
    if kind == "replay":
        paths = [Path(part.strip()).expanduser() for part in rest.split(",") if part.strip()]
        return ReplayFeed(paths, wanted, warmup_file)
    if kind == "live":
        return open_live(rest or DEFAULT_EXCHANGE, wanted)
    raise FeedError(f"feed {spec!r} is not known; allowed are {ALLOWED}")
