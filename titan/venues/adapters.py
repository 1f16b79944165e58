"""Which adapter belongs to which venue.

Nothing of ccxt is imported before a venue is asked for: readers of the protocol do not pay for it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from titan.errors import ConfigError
from titan.runtime import VenueAddress
from titan.venues.base import Venue

if TYPE_CHECKING:
    from ccxt.pro import bybit as Exchange  # noqa: N812  # one class stands for what all of them share

VENUES = ("binance", "bybit", "mexc")
"""Every venue with an adapter."""


def make_venue(address: VenueAddress) -> Venue:
    """The adapter of an account. Raises ConfigError for a venue without one. Takes over a second the first time."""
    if address.name not in VENUES:
        known = ", ".join(VENUES)
        raise ConfigError(f"no adapter for venue {address.name!r}; known: {known}. Set TITAN_VENUE")
    made: Venue = importlib.import_module(f"titan.venues.{address.name}").make_venue(address)
    return made


def make_market_exchange(address: VenueAddress) -> Exchange:
    """The exchange object that market data come from: a paper venue gives them in Bybit's protocol, whatever it speaks."""
    from titan.venues.exchange import make_exchange

    return make_exchange(address.model_copy(update={"name": "bybit"}) if address.paper else address)
