"""Every spelling of a market, and back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.shared_data import load_vectors
from titan.symbols import denormalize, normalize, parse, token, whitelisted

PAIRS = st.tuples(st.sampled_from(["BTC", "ETH", "SOL", "DOGE", "1000PEPE"]), st.sampled_from(["USDT", "USDC", "USD"]))


def canonical(reference: dict[str, Any], venue: str) -> str:
    """The vector's answer in ccxt's form, which the design chose: `:PERP` and `:DATE` become the settlement currency."""
    pair = f"{reference['base']}/{reference['quote']}"
    settle = reference["base"] if venue == "deribit" else reference["quote"]
    if reference["type"] == "spot":
        return pair
    if reference["type"] == "perp":
        return f"{pair}:{settle}"
    return f"{pair}:{settle}-{reference['expiry'][2:]}"


def test_the_vectors_of_normalisation_hold_in_the_canonical_form() -> None:
    cases = [each for each in load_vectors("brain")["vectors"] if each["group"] == "symbol_normalize"]
    assert len(cases) == 8
    for case in cases:
        given_ = case["input"]
        expected = case["expected"]
        symbol = normalize(given_["venue"], given_["venue_symbol"], given_["market"])
        assert symbol == canonical(expected, given_["venue"]), case["id"]
        part = parse(symbol)
        assert (part.base, part.quote, part.kind) == (expected["base"], expected["quote"], expected["type"]), case["id"]
        assert part.expiry == expected.get("expiry", "")


def test_the_vectors_of_denormalisation_hold_in_the_canonical_form() -> None:
    cases = [each for each in load_vectors("brain")["vectors"] if each["group"] == "symbol_denormalize"]
    assert len(cases) == 3
    for case in cases:
        given_ = case["input"]
        # `:PERP` of the reference is the settlement currency here; deribit's perpetuals settle in the coin.
        symbol = given_["symbol"].replace(":PERP", ":BTC")
        assert denormalize(given_["venue"], symbol) == case["expected"], case["id"]


@given(PAIRS, st.sampled_from(["binance", "bybit", "mexc", "coinbase", "kraken"]), st.sampled_from(["spot", "perp"]))
def test_a_symbol_survives_the_way_to_a_venue_and_back(pair: tuple[str, str], venue: str, kind: Any) -> None:
    base, quote = pair
    symbol = f"{base}/{quote}" if kind == "spot" else f"{base}/{quote}:{quote}"
    assert normalize(venue, denormalize(venue, symbol), kind) == symbol


@pytest.mark.parametrize("symbol", ["BTC/USD:BTC", "BTC/USD:BTC-260315", "ETH/USD:ETH-251226-4000-C"])
def test_deribit_spells_derivatives_both_ways(symbol: str) -> None:
    kind = parse(symbol).kind
    assert normalize("deribit", denormalize("deribit", symbol), kind) == symbol


@pytest.mark.parametrize("text", ["", "BTC", "BTCUSDT", "btc/usdt", "BTC/USDT:", "BTC/USDT:USDT-2603", "BTC//USDT"])
def test_a_spelling_that_is_not_canonical_is_an_error_that_names_it(text: str) -> None:
    with pytest.raises(ValueError, match="canonical"):
        parse(text)


@pytest.mark.parametrize(
    ("venue", "text", "kind"),
    [
        ("bybit", "BTCXYZ", "spot"),
        ("bybit", "USDT", "spot"),
        ("bybit", "BTCUSDT", "future"),
        ("coinbase", "BTC-", "spot"),
        ("deribit", "BTC-99XYZ26", "future"),
        ("deribit", "BTC-15MAR26", "option"),
        ("hyperliquid", "ETH/USD", "perp"),
    ],
)
def test_a_venue_spelling_that_cannot_be_read_is_an_error(venue: str, text: str, kind: Any) -> None:
    with pytest.raises(ValueError):
        normalize(venue, text, kind)


def test_a_venue_without_a_known_spelling_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="bybit"):
        denormalize("nyse", "BTC/USDT")
    with pytest.raises(ValueError, match="dated"):
        denormalize("bybit", "BTC/USD:BTC-260315")
    with pytest.raises(ValueError, match="spot"):
        denormalize("deribit", "BTC/USDT")


@pytest.mark.parametrize("entry", ["BTC/USDT", "BTCUSDT", "BTC_USDT", "BTC-USDT", "btc/usdt"])
def test_a_pair_in_any_spelling_admits_spot_and_perpetual(entry: str) -> None:
    assert whitelisted("BTC/USDT", [entry])
    assert whitelisted("BTC/USDT:USDT", [entry])
    assert not whitelisted("ETH/USDT:USDT", [entry])
    assert not whitelisted("BTC/USDT:USDT-260315", [entry])


def test_an_entry_with_a_settlement_currency_admits_only_itself() -> None:
    assert whitelisted("BTC/USDT:USDT", ["BTC/USDT:USDT"])
    assert not whitelisted("BTC/USDT", ["BTC/USDT:USDT"])


def test_an_empty_whitelist_admits_nothing() -> None:
    assert not whitelisted("BTC/USDT", [])


def test_a_token_has_no_separator_of_subjects_or_symbols() -> None:
    assert token("BTC/USDT:USDT") == "BTC_USDT_USDT"
