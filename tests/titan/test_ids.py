"""Identifiers as pure functions."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ulid import ULID

from titan.ids import client_order_id, deterministic_ulid, is_our_client_order_id, new_ulid, ulid_from


@given(st.text(min_size=1), st.integers(0, 1023))
def test_a_client_order_id_is_a_pure_function_within_every_venue_limit(intent: str, child: int) -> None:
    made = client_order_id(intent, child)
    assert made == client_order_id(intent, child)
    assert re.fullmatch(r"tt[a-z2-7]{2}([0-9a-f]{28}|[0-9a-z]{26})", made)
    assert is_our_client_order_id(made)


@given(st.sets(st.tuples(st.text(min_size=1, max_size=12), st.integers(0, 1023)), min_size=2, max_size=20))
def test_different_orders_have_different_ids(orders: set[tuple[str, int]]) -> None:
    assert len({client_order_id(intent, child) for intent, child in orders}) == len(orders)


@given(st.integers(0, 2**48 - 1), st.binary(min_size=10, max_size=10), st.integers(0, 1023))
def test_the_client_order_id_of_a_ulid_shows_the_intent(ts_ms: int, entropy: bytes, child: int) -> None:
    intent = ulid_from(ts_ms, entropy)
    made = client_order_id(intent, child)
    assert re.fullmatch(r"tt[a-z2-7]{2}[0-9a-z]{26}", made)
    assert made.endswith(intent.lower())
    assert is_our_client_order_id(made)


@pytest.mark.parametrize("text", ["01arz3ndektsv4rrffq69g5fav", "01ARZ3NDEKTSV4RRFFQ69G5FA\u00c4", "A-" * 13])
def test_an_id_that_only_looks_like_a_ulid_is_hashed(text: str) -> None:
    assert len(client_order_id(text, 0)) == 32


def test_a_client_order_id_never_changes_between_releases() -> None:
    assert client_order_id("01ARZ3NDEKTSV4RRFFQ69G5FAV", 1) == "ttab01arz3ndektsv4rrffq69g5fav"
    assert client_order_id("i-close", 0) == "ttaac7a54ba48c275aed6b0f93708069"


@pytest.mark.parametrize("child", [-1, 1024])
def test_a_child_number_out_of_range_is_refused(child: int) -> None:
    with pytest.raises(ValueError, match=r"outside 0\.\.1023"):
        client_order_id("intent", child)


@pytest.mark.parametrize("text", ["", "tt", "x" * 32, "manual-order", "tt" + "a" * 31])
def test_an_id_of_another_form_is_not_ours(text: str) -> None:
    assert not is_our_client_order_id(text)


def test_a_ulid_sorts_by_its_time() -> None:
    assert ulid_from(1_700_000_000_000, b"z" * 10) < ulid_from(1_700_000_000_001, b"a" * 10)
    assert len(new_ulid()) == 26


@given(st.integers(0, 2**48 - 1), st.binary(min_size=10, max_size=10))
def test_a_ulid_is_crockfords_base_32_of_its_128_bits(ts_ms: int, entropy: bytes) -> None:
    digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    value = 0
    for character in ulid_from(ts_ms, entropy):
        value = value * 32 + digits.index(character)
    assert value.to_bytes(16, "big") == ts_ms.to_bytes(6, "big") + entropy


def test_the_time_is_written_as_in_the_ulid_specifications_own_example() -> None:
    assert ulid_from(1_469_918_176_385, bytes(10)) == "01ARYZ6S410000000000000000"


@given(st.integers(0, 2**48 - 1), st.binary(min_size=10, max_size=10))
def test_a_ulid_is_spelled_as_others_spell_it(ts_ms: int, entropy: bytes) -> None:
    assert ulid_from(ts_ms, entropy) == str(ULID(ts_ms.to_bytes(6, "big") + entropy))


def test_a_ulid_needs_ten_bytes_of_entropy() -> None:
    with pytest.raises(ValueError, match="10 bytes"):
        ulid_from(1, b"short")


@given(st.lists(st.text(max_size=8), max_size=4))
def test_one_event_has_one_id(parts: list[str]) -> None:
    assert deterministic_ulid(5, *parts) == deterministic_ulid(5, *parts)
    assert deterministic_ulid(5, *parts, "more") != deterministic_ulid(5, *parts)
