"""Market feeds of the paper venue: recorded files, a seeded market, or a mirror of a live exchange."""

from __future__ import annotations

from titan.paper.feeds.base import (
    Bar,
    Feed,
    FeedBook,
    FeedError,
    FeedEvent,
    FeedInstrument,
    FeedLiquidation,
    FeedMark,
    FeedTrade,
    LiveFeed,
    TakerSide,
)
from titan.paper.feeds.opening import open_feed

__all__ = [
    "Bar",
    "Feed",
    "FeedBook",
    "FeedError",
    "FeedEvent",
    "FeedInstrument",
    "FeedLiquidation",
    "FeedMark",
    "FeedTrade",
    "LiveFeed",
    "TakerSide",
    "open_feed",
]
