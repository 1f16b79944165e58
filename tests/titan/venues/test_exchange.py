"""Where an exchange object points."""

from __future__ import annotations

import json

import pytest

from titan.errors import ConfigError
from titan.runtime import VenueAddress
from titan.venues.adapters import VENUES, make_market_exchange, make_venue
from titan.venues.exchange import make_exchange
from titan.venues.rest import STREAM_MEMORY, RestVenue

PAPER = VenueAddress(
    name="bybit", rest_url="http://127.0.0.1:1/", ws_url="ws://127.0.0.1:2", api_key="k", api_secret="s", paper=True
)


def test_with_an_address_no_url_leads_anywhere_else() -> None:
    exchange = make_exchange(PAPER)
    apis = dict(exchange.urls["api"])
    streams = json.dumps(apis.pop("ws"))
    assert set(apis.values()) == {"http://127.0.0.1:1"}
    assert "bybit.com" not in streams
    assert "hostname" not in streams
    assert streams.count("ws://127.0.0.1:2/v5/") == 9


@pytest.mark.parametrize("name", ["binance", "mexc"])
def test_every_url_of_the_others_keeps_its_path_and_loses_its_host(name: str) -> None:
    urls = json.dumps(make_exchange(PAPER.model_copy(update={"name": name})).urls["api"])
    assert f".{name}." not in urls
    assert urls.count("://127.0.0.1:1") + urls.count("://127.0.0.1:2") == urls.count("://")


def test_a_paper_venue_gives_market_data_in_bybits_protocol() -> None:
    assert make_market_exchange(PAPER.model_copy(update={"name": "mexc"})).id == "bybit"
    assert make_market_exchange(VenueAddress(name="mexc")).id == "mexc"


def test_an_adapter_is_found_by_its_venues_name() -> None:
    for name in VENUES:
        assert make_venue(VenueAddress(name=name)).name == name
    with pytest.raises(ConfigError, match="nyse"):
        make_venue(VenueAddress(name="nyse"))


def test_without_an_address_the_exchange_keeps_its_own_urls() -> None:
    exchange = make_exchange(VenueAddress(name="bybit"))
    assert exchange.urls["api"]["private"] == "https://api.{hostname}"
    assert exchange.enableRateLimit is True


def test_paper_is_not_throttled_and_asks_for_nothing_it_does_not_need() -> None:
    exchange = make_exchange(PAPER)
    assert exchange.enableRateLimit is False
    assert exchange.options["fetchMarkets"]["types"] == ["linear"]
    assert exchange.has["fetchCurrencies"] is False


def test_a_venue_without_an_adapter_is_one_clear_error() -> None:
    with pytest.raises(ConfigError, match="nyse"):
        make_exchange(VenueAddress(name="nyse"))


@pytest.mark.parametrize("name", ["bybit", "binance", "mexc"])
def test_a_trading_account_keeps_few_of_the_streams_past_in_memory(name: str) -> None:
    venue = make_venue(PAPER.model_copy(update={"name": name}))
    assert isinstance(venue, RestVenue)
    options = venue._exchange.options
    assert (options["ordersLimit"], options["tradesLimit"]) == (STREAM_MEMORY, STREAM_MEMORY)
