"""The choice of venues."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from titan.algos.routing import NoVenue, Rules, parse_rules, route
from titan.model import Phase

ALL = {"binance": "", "bybit": "", "mexc": ""}
ONE = {"bybit": ""}
PLAIN = Rules()


def names(asked: str, phase: Phase, rules: Rules, venues: dict[str, str]) -> list[str]:
    return [name for name, _ in route(asked, phase, rules, venues).shares]


def test_the_defaults_of_each_source() -> None:
    assert names("auto", Phase.SCAVENGER, PLAIN, ALL) == ["bybit", "mexc"]
    assert names("auto", Phase.HUNTER, PLAIN, ALL) == ["binance"]
    assert names("auto", Phase.SENTINEL, PLAIN, ALL) == ["binance"]


def test_an_explicit_venue_is_the_only_one_and_is_never_replaced() -> None:
    assert names("mexc", Phase.HUNTER, PLAIN, ALL) == ["mexc"]
    with pytest.raises(NoVenue, match=r"asked for: mexc \(not configured\)"):
        route("mexc", Phase.HUNTER, PLAIN, ONE)
    with pytest.raises(NoVenue, match=r"asked for: bybit \(its router is silent\)"):
        route("bybit", Phase.HUNTER, PLAIN, {"bybit": "its router is silent"})


def test_rules_go_before_defaults_and_a_sources_own_before_everyones() -> None:
    rules = parse_rules("bybit=3, mexc=1; hunter:mexc=1")
    assert route("auto", Phase.SCAVENGER, rules, ALL).shares == (
        ("bybit", Decimal("0.7500")),
        ("mexc", Decimal("0.2500")),
    )
    assert names("auto", Phase.HUNTER, rules, ALL) == ["mexc"]
    assert names("binance", Phase.HUNTER, rules, ALL) == ["binance"]


def test_a_venue_that_can_not_be_used_is_left_out_and_said() -> None:
    found = route("auto", Phase.SCAVENGER, PLAIN, ONE)
    assert (found.shares, found.remark) == ((("bybit", Decimal(1)),), "without mexc (not configured)")
    with pytest.raises(NoVenue, match="by rule: mexc"):
        route("auto", Phase.SCAVENGER, parse_rules("mexc=1"), ONE)


def test_only_defaults_of_which_none_is_configured_give_way_and_say_so() -> None:
    found = route("auto", Phase.HUNTER, PLAIN, ONE)
    assert [name for name, _ in found.shares] == ["bybit"]
    assert found.remark == "diverted from binance (default of HUNTER, not configured) to bybit"
    with pytest.raises(NoVenue, match="its router is silent"):
        route("auto", Phase.HUNTER, PLAIN, {"bybit": "its router is silent"})
    with pytest.raises(NoVenue, match="its router is silent"):
        route("auto", Phase.HUNTER, PLAIN, {"binance": "its router is silent", "bybit": ""})


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("bybit", "got 'bybit'"),
        ("bybit=0", "got 'bybit=0'"),
        ("bybit=nan", "got 'bybit=nan'"),
        ("=1", "got '=1'"),
        ("nobody:bybit=1", "source 'nobody'"),
    ],
)
def test_rules_that_make_no_sense_are_named(text: str, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        parse_rules(text)


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from(["binance", "bybit", "mexc", "okx"]), st.integers(1, 1_000), min_size=1),
    st.dictionaries(st.sampled_from(["binance", "bybit", "mexc", "okx"]), st.sampled_from(["", "silent"])),
    st.sampled_from(list(Phase)),
)
def test_shares_add_up_to_one_on_usable_venues_only(
    weights: dict[str, int], venues: dict[str, str], phase: Phase
) -> None:
    rules = Rules({name: Decimal(weight) for name, weight in weights.items()})
    try:
        found = route("auto", phase, rules, venues)
    except NoVenue:
        assert not any(venues.get(name) == "" for name in weights)
        return
    assert sum(share for _, share in found.shares) == 1
    assert all(venues[name] == "" for name, _ in found.shares)
