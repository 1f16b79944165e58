"""What can be traded and in which steps.

Guarantees: a price or quantity that an instrument's filters refuse is named together with the filter; rounding is a
decision of the caller (`round_price`, `floor_qty`), never silent. Never: I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from titan.money import floor_to, is_multiple, round_to


@dataclass(frozen=True, slots=True)
class Instrument:
    """One market of one venue. Steps are in quote (`tick`) and base units (`lot`, `min_qty`); notionals in quote."""

    symbol: str
    base: str
    quote: str
    settle: str
    kind: Literal["spot", "perp"]
    tick: Decimal
    lot: Decimal
    min_qty: Decimal
    min_notional: Decimal
    max_leverage: Decimal
    venue: str
    venue_symbol: str

    def round_price(self, price: Decimal) -> Decimal:
        """The nearest price on the tick grid."""
        return round_to(price, self.tick)

    def floor_qty(self, quantity: Decimal) -> Decimal:
        """The largest tradable quantity not above `quantity`."""
        return floor_to(quantity, self.lot)

    def check(self, price: Decimal, quantity: Decimal) -> None:
        """Raises ValueError when an order of `quantity` at `price` would break a filter; says which and how."""
        if price <= 0 or not is_multiple(price, self.tick):
            raise ValueError(f"price {price} is not on the tick {self.tick} ({self.symbol})")
        if quantity <= 0 or not is_multiple(quantity, self.lot):
            raise ValueError(f"quantity {quantity} is not on the lot {self.lot} ({self.symbol})")
        if quantity < self.min_qty:
            raise ValueError(f"quantity {quantity} is below the minimum {self.min_qty} ({self.symbol})")
        if quantity * price < self.min_notional:
            raise ValueError(
                f"{quantity} at {price} is worth {quantity * price}, below the minimum notional {self.min_notional} "
                f"({self.symbol})"
            )


class Instruments(Mapping[tuple[str, str], Instrument]):
    """Instruments by (venue, canonical symbol)."""

    def __init__(self, instruments: Iterable[Instrument] = ()) -> None:
        self._by_key = {(one.venue, one.symbol): one for one in instruments}
        self._by_venue_symbol = {(one.venue, one.kind, one.venue_symbol): one for one in self._by_key.values()}

    def __getitem__(self, key: tuple[str, str]) -> Instrument:
        return self._by_key[key]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._by_key)

    def __len__(self) -> int:
        return len(self._by_key)

    def find(self, venue: str, symbol: str) -> Instrument | None:
        """The instrument, or None when the venue does not list it."""
        return self._by_key.get((venue, symbol))

    def by_venue_symbol(
        self, venue: str, venue_symbol: str, kind: Literal["spot", "perp"] = "perp"
    ) -> Instrument | None:
        """The instrument behind a venue's own spelling, or None."""
        return self._by_venue_symbol.get((venue, kind, venue_symbol))

    def merged(self, others: Iterable[Instrument]) -> Instruments:
        """These and `others`; on a clash the other wins (a venue changed its filters)."""
        return Instruments([*self._by_key.values(), *others])
