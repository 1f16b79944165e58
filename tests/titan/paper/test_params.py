"""Reading parameters."""

from __future__ import annotations

import pytest

from tests.titan.paper.house import D
from titan.paper.orders import Side, TimeInForce
from titan.paper.protocol.params import ParamError, Params, page_cursor


def test_absent_values_have_their_defaults() -> None:
    p = Params({"empty": ""})
    assert (p.text("a"), p.text("empty", "x"), p.decimal("a"), p.maybe_decimal("a")) == ("", "x", D(0), None)
    assert (p.integer("a", 7, 1, 9), p.time_ms("a"), p.flag("a"), p.cursor()) == (7, None, False, None)
    assert p.choice("a", TimeInForce, TimeInForce.GTC) is TimeInForce.GTC


def test_values_are_read_from_text_and_numbers() -> None:
    p = Params({"d": 1.5, "i": "3", "t": "123", "f": "true", "g": 1, "s": "buy", "cursor": "9%3A1%2C9%3A1"})
    assert (p.decimal("d"), p.integer("i", 0, 1, 9), p.time_ms("t")) == (D("1.5"), 3, 123)
    assert p.flag("f")
    assert p.flag("g")
    assert p.choice("s", Side) is Side.BUY
    assert p.cursor() == 9
    assert Params({"cursor": page_cursor(42, 7)}).cursor() == 42


@pytest.mark.parametrize(
    ("raw", "read", "words"),
    [
        ({}, lambda p: p.need("qty"), "qty is required"),
        ({"q": "x"}, lambda p: p.decimal("q"), "q 'x' is not a number"),
        ({"q": "NaN"}, lambda p: p.decimal("q"), "not a finite number"),
        ({"n": "99"}, lambda p: p.integer("n", 1, 1, 9), "must be a whole number from 1 to 9"),
        ({"n": "1.5"}, lambda p: p.integer("n", 1, 1, 9), "must be a whole number"),
        ({"t": "soon"}, lambda p: p.time_ms("t"), "must be milliseconds"),
        ({"f": "maybe"}, lambda p: p.flag("f"), "must be true or false"),
        ({"s": "up"}, lambda p: p.choice("s", Side), "s 'up' is not one of Buy, Sell"),
        ({"cursor": "abc"}, lambda p: p.cursor(), "did not come from this venue"),
    ],
)
def test_a_wrong_value_says_what_was_seen_and_what_is_allowed(raw: dict[str, object], read: object, words: str) -> None:
    with pytest.raises(ParamError) as caught:
        read(Params(raw))  # type: ignore[operator]
    assert words in caught.value.refused.message
