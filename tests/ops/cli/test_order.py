"""What `titan order` makes of its options, before anything is asked of a running Titan."""

from __future__ import annotations

import pytest

from ops.cli import order
from protos import trading_pb2
from titan.errors import ConfigError


def test_targets_are_prices_with_shares_and_one_alone_takes_the_whole() -> None:
    found = order._targets(["52000:0.5", "54000"])
    assert [(each.price, each.share) for each in found] == [("52000", "0.5"), ("54000", "1")]


@pytest.mark.parametrize("wrong", ["high:0.5", "52000:half", ""])
def test_a_target_that_is_none_is_named(wrong: str) -> None:
    with pytest.raises(ConfigError, match="price:share"):
        order._targets([wrong])


def test_every_order_type_can_be_named() -> None:
    known = {name: trading_pb2.OrderType.Value(f"ORDER_TYPE_{name}") for name in order.TYPES}
    assert order._member("stop-limit", known, "type") == trading_pb2.ORDER_TYPE_STOP_LIMIT
    with pytest.raises(ConfigError, match="trailing_stop"):
        order._member("magic", known, "type")


def test_an_amend_without_a_value_is_refused() -> None:
    with pytest.raises(ConfigError, match="nothing to change"):
        order.amend("tt1")
