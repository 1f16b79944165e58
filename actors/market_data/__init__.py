"""Market data of a venue: trades, tickers, books and bars onto the bus, judged for age."""

from actors.market_data.core import MarketDataCore

__all__ = ["MarketDataCore"]
