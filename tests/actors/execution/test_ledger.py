"""Double entry: every booking balances, and no order of booking changes a balance."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.execution.ledger import (
    Account,
    AccountType,
    Entry,
    Transaction,
    adoption_transaction,
    balances,
    cash,
    exact,
    fee_in_settlement,
    fill_transaction,
    funding_transaction,
    rounded,
    wallet_transaction,
)
from actors.execution.news import Adoption, WalletNews
from tests.actors.execution.builders import PERP, SPOT, fill
from titan.model import Fill, Phase, Side

WALLET = cash("bybit", "main", "USDT")

prices = st.decimals("0.00000001", "1000000", allow_nan=False, places=8)
quantities = st.decimals("0.000001", "10000", allow_nan=False, places=6)
money = st.decimals("-100000", "100000", allow_nan=False, places=18)
fees = st.decimals("-100", "100", allow_nan=False, places=8)


@st.composite
def fills(draw: st.DrawFn, number: int) -> Fill:
    symbol = draw(st.sampled_from([PERP, SPOT]))
    return fill(
        number,
        draw(st.sampled_from(list(Side))),
        draw(quantities),
        draw(prices),
        fee=draw(fees),
        pnl=draw(money),
        symbol=symbol,
        fee_currency=draw(st.sampled_from(["USDT", "BTC"] if symbol == SPOT else ["USDT"])),
        phase=draw(st.sampled_from([*Phase, None])),
    )


@st.composite
def histories(draw: st.DrawFn) -> list[Fill]:
    return [draw(fills(number)) for number in range(1, draw(st.integers(1, 8)) + 1)]


def _currency_sums(transaction: Transaction) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    for entry in transaction.entries:
        sums[entry.account.currency] = sums.get(entry.account.currency, Decimal(0)) + entry.direction * entry.amount
    return sums


@given(histories())
def test_every_fill_sums_to_zero_in_every_currency(history: list[Fill]) -> None:
    for one in history:
        assert set(_currency_sums(fill_transaction(one)).values()) <= {Decimal(0)}


@given(histories(), st.randoms(use_true_random=False))
def test_the_order_of_booking_changes_no_balance(history: list[Fill], shuffler: object) -> None:
    in_order = balances(map(fill_transaction, history))
    shuffled = list(history)
    shuffler.shuffle(shuffled)  # type: ignore[attr-defined]
    assert balances(map(fill_transaction, shuffled)) == in_order


@given(histories())
def test_the_wallet_is_profit_less_fees_to_the_last_digit(history: list[Fill]) -> None:
    perps = [one for one in history if one.symbol == PERP]
    held = balances(map(fill_transaction, perps)).get(WALLET, Decimal(0))
    assert held == sum((one.realized_pnl - one.fee for one in perps), Decimal(0))


@given(histories())
def test_position_legs_hold_what_was_bought_less_what_was_sold(history: list[Fill]) -> None:
    perps = [one for one in history if one.symbol == PERP]
    leg = Account(f"position:bybit:main:{PERP}", AccountType.ASSET, PERP)
    held = balances(map(fill_transaction, perps)).get(leg, Decimal(0))
    assert held == sum((one.quantity * one.side.sign for one in perps), Decimal(0))


def test_profit_and_fees_are_kept_by_symbol_and_phase() -> None:
    books = balances([fill_transaction(fill(1, Side.SELL, fee="0.5", pnl="10", phase=Phase.HUNTER))])
    assert books[Account(f"pnl:bybit:main:{PERP}:HUNTER", AccountType.INCOME, "USDT")] == -10
    assert books[Account(f"fees:bybit:main:{PERP}:HUNTER", AccountType.EXPENSE, "USDT")] == Decimal("0.5")
    assert books[WALLET] == Decimal("9.5")


def test_a_rebate_raises_the_wallet() -> None:
    assert balances([fill_transaction(fill(1, fee="-0.25"))])[WALLET] == Decimal("0.25")


def test_a_spot_purchase_swaps_quote_for_base_and_pays_its_fee_in_base() -> None:
    bought = fill(1, Side.BUY, "2", "100", fee="0.002", fee_currency="BTC", symbol=SPOT)
    books = balances([fill_transaction(bought)])
    assert books[WALLET] == -200
    assert books[cash("bybit", "main", "BTC")] == Decimal("1.998")
    assert fee_in_settlement(bought) == Decimal("0.2")


def test_opening_and_funding_move_the_wallet() -> None:
    books = balances(
        [
            wallet_transaction(WalletNews("bybit", "main", "USDT", Decimal(10_000), "first reading", 1, 1, 1)),
            funding_transaction("bybit", "main", PERP, Decimal("1.25"), "f1", 2),
            funding_transaction("bybit", "main", PERP, Decimal("-0.25"), "f2", 3),
        ]
    )
    assert books[WALLET] == Decimal(9_999)


def test_an_adopted_position_moves_quantity_and_no_money() -> None:
    adopted = Adoption("bybit", "main", PERP, Decimal(3), Decimal(100), Decimal(-1), "venue truth at start", 2, 9, 1)
    books = balances([adoption_transaction(adopted)])
    assert books[Account(f"position:bybit:main:{PERP}", AccountType.ASSET, PERP)] == 4
    assert WALLET not in books


def test_the_correlation_id_is_a_function_of_the_event() -> None:
    assert fill_transaction(fill(7)).correlation_id == "fill:bybit:main:t7"
    assert fill_transaction(fill(7)).correlation_id == fill_transaction(replace(fill(7), fee=Decimal(3))).correlation_id


def test_a_transaction_that_does_not_balance_can_not_be_made() -> None:
    with pytest.raises(ValueError, match="does not balance: -1 USDT left over"):
        Transaction("x", "FILL", "", 0, (Entry(WALLET, -1, Decimal(1)),))


def test_a_number_too_fine_for_the_books_is_refused_not_rounded() -> None:
    with pytest.raises(ValueError, match="price 1E-19 has more than 18 decimal places"):
        exact(Decimal("1e-19"), "price")
    with pytest.raises(ValueError, match="does not fit into the books"):
        rounded(Decimal(10) ** 20)
    assert rounded(Decimal("99999999999999999999.0000000000000000005")) == Decimal("99999999999999999999")
