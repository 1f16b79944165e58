"""Double entry: what a fill, a funding payment or a deposit does to the accounts.

Guarantees: a transaction that does not sum to zero in every currency can't be made; its correlation id is a function of
the event, so an event is booked once; what a fill does depends on that fill alone, so the order of booking changes no
balance. Never: rounding without a word (`exact` refuses it, `rounded` says it), I/O.

A currency is also what a perpetual is counted in: the position legs of `BTC/USDT:USDT` are in that unit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from enum import StrEnum

from actors.execution.news import Adoption, WalletNews
from titan.model import Fill, Side
from titan.money import ZERO

PLACES = 18
DIGITS = 38
_STEP = Decimal(1).scaleb(-PLACES)
_WIDE = Context(prec=2 * DIGITS, rounding=ROUND_HALF_EVEN)


class AccountType(StrEnum):
    """Where an account stands in the books."""

    ASSET = "asset"
    EQUITY = "equity"
    INCOME = "income"
    EXPENSE = "expense"


@dataclass(frozen=True, slots=True)
class Account:
    """One account in one currency."""

    name: str
    type: AccountType
    currency: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: +1 credits, -1 debits `amount`, which is above zero."""

    account: Account
    direction: int
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Transaction:
    """Lines that belong together. Raises ValueError when they do not balance."""

    correlation_id: str
    event_type: str
    description: str
    posted_ms: int
    entries: tuple[Entry, ...]

    def __post_init__(self) -> None:
        for currency, rest in _sums((self,)).items():
            if rest != 0:
                raise ValueError(f"transaction {self.correlation_id} does not balance: {rest} {currency} left over")


def exact(value: Decimal, what: str) -> Decimal:
    """A number that the books can hold as it is. Raises ValueError when digits would be lost."""
    kept = rounded(value)
    if kept != value:
        raise ValueError(f"{what} {value} has more than {PLACES} decimal places")
    return kept


def rounded(value: Decimal) -> Decimal:
    """The nearest number of 18 decimal places, ties to even. Raises ValueError beyond 20 digits before the point."""
    if not value.is_finite() or abs(value) >= Decimal(10) ** (DIGITS - PLACES):
        raise ValueError(f"{value} does not fit into the books: at most {DIGITS - PLACES} digits before the point")
    return value.quantize(_STEP, context=_WIDE)


def product(left: Decimal, right: Decimal) -> Decimal:
    """left x right, rounded once."""
    return rounded(_WIDE.multiply(left, right))


def plus(left: Decimal, right: Decimal) -> Decimal:
    """left + right, not cut at the usual 28 digits."""
    return _WIDE.add(left, right)


def is_spot(symbol: str) -> bool:
    """Whether the canonical symbol names a spot pair."""
    return ":" not in symbol


def settlement(symbol: str) -> str:
    """The currency in which an instrument's profit and loss is paid."""
    return symbol.partition(":")[2] or symbol.partition("/")[2]


def base(symbol: str) -> str:
    """The currency that a spot pair buys and sells."""
    return symbol.partition("/")[0]


def fee_in_settlement(fill: Fill) -> Decimal:
    """The fee in the instrument's settlement currency; a spot fee in the base coin is valued at the fill's price."""
    if fill.fee_currency == base(fill.symbol) and is_spot(fill.symbol):
        return product(fill.fee, fill.price)
    return exact(fill.fee, "fee")


def cash(venue: str, account: str, currency: str) -> Account:
    """What the venue owes us in a currency: the wallet."""
    return Account(f"cash:{venue}:{account}", AccountType.ASSET, currency)


def fill_transaction(fill: Fill) -> Transaction:
    """The bookings of one fill: quantity, realised profit as the journal has it, and fee. Raises ValueError."""
    place = f"{fill.venue}:{fill.account}"
    owner = f"{place}:{fill.symbol}:{_phase(fill)}"
    money = settlement(fill.symbol)
    wallet = cash(fill.venue, fill.account, money)
    quantity = exact(fill.quantity, "quantity") * fill.side.sign
    profit = rounded(fill.realized_pnl)
    fee = exact(fill.fee, "fee")
    income = Account(f"pnl:{owner}", AccountType.INCOME, money)
    if is_spot(fill.symbol):
        coin = base(fill.symbol)
        swap = f"exchange:{place}:{fill.symbol}"
        paid = product(fill.price, quantity)
        lines = [
            *_move(cash(fill.venue, fill.account, coin), Account(swap, AccountType.EQUITY, coin), quantity),
            *_move(Account(swap, AccountType.EQUITY, money), wallet, paid),
            *_move(Account(swap, AccountType.EQUITY, money), income, profit),
        ]
    else:
        held = Account(f"position:{place}:{fill.symbol}", AccountType.ASSET, fill.symbol)
        contra = Account(f"counterparty:{place}:{fill.symbol}", AccountType.EQUITY, fill.symbol)
        lines = [*_move(held, contra, quantity), *_move(wallet, income, profit)]
    if fee:
        unit = fill.fee_currency or money
        spent = Account(f"fees:{owner}", AccountType.EXPENSE, unit)
        lines += _move(spent, cash(fill.venue, fill.account, unit), fee)
    side = "bought" if fill.side is Side.BUY else "sold"
    return Transaction(
        f"fill:{fill.fill_id}",
        "FILL",
        f"{side} {fill.quantity} {fill.symbol} at {fill.price}",
        fill.t_exchange_ms,
        tuple(lines),
    )


def funding_transaction(
    venue: str, account: str, symbol: str, paid: Decimal, payment_id: str, ts_ms: int
) -> Transaction:
    """A funding payment; `paid` above zero leaves the wallet. Raises ValueError."""
    money = settlement(symbol)
    spent = Account(f"funding:{venue}:{account}:{symbol}", AccountType.EXPENSE, money)
    return Transaction(
        f"funding:{venue}:{account}:{payment_id}",
        "FUNDING",
        f"funding of {symbol}",
        ts_ms,
        tuple(_move(spent, cash(venue, account, money), exact(paid, "funding"))),
    )


def adoption_transaction(adoption: Adoption) -> Transaction:
    """A position taken over from the venue: quantity without money. Raises ValueError."""
    place = f"{adoption.venue}:{adoption.account}:{adoption.symbol}"
    held = Account(f"position:{place}", AccountType.ASSET, adoption.symbol)
    contra = Account(f"counterparty:{place}", AccountType.EQUITY, adoption.symbol)
    return Transaction(
        f"adoption:{adoption.term}:{adoption.seq}",
        "ADOPTION",
        adoption.reason,
        adoption.ts_ms,
        tuple(_move(held, contra, exact(adoption.quantity - adoption.previous_quantity, "position"))),
    )


def wallet_transaction(news: WalletNews) -> Transaction:
    """Capital that came (or went, below zero) without a fill. Raises ValueError."""
    capital = Account(f"capital:{news.venue}:{news.account}", AccountType.EQUITY, news.currency)
    return Transaction(
        f"wallet:{news.term}:{news.seq}",
        "WALLET",
        news.reason,
        news.ts_ms,
        tuple(_move(cash(news.venue, news.account, news.currency), capital, rounded(news.change))),
    )


def balances(transactions: Iterable[Transaction]) -> dict[Account, Decimal]:
    """Debits less credits by account: what an asset account holds."""
    totals: dict[Account, Decimal] = {}
    for transaction in transactions:
        for entry in transaction.entries:
            held = totals.get(entry.account, ZERO)
            totals[entry.account] = _WIDE.subtract(held, entry.direction * entry.amount)
    return totals


def _move(debited: Account, credited: Account, amount: Decimal) -> list[Entry]:
    """Moves an amount; a negative one goes the other way, nothing makes no lines."""
    if amount == 0:
        return []
    if amount < 0:
        debited, credited, amount = credited, debited, -amount
    return [Entry(debited, -1, amount), Entry(credited, 1, amount)]


def _sums(transactions: Iterable[Transaction]) -> dict[str, Decimal]:
    totals: dict[str, Decimal] = {}
    for transaction in transactions:
        for entry in transaction.entries:
            currency = entry.account.currency
            totals[currency] = _WIDE.add(totals.get(currency, ZERO), entry.direction * entry.amount)
    return totals


def _phase(fill: Fill) -> str:
    return fill.phase.value if fill.phase is not None else "NONE"
