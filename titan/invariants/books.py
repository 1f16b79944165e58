"""I2, I3 and I6: fills, positions and money, of the venue, the journal and Postgres.

Guarantees: pure; fees and quantities are compared exactly, profits to a millionth of a millionth of a unit (an average
price has 28 digits, Postgres keeps 18 places). Never: an opinion on who is right; the venue is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal

from titan.codes import TradingState
from titan.invariants.facts import Invariant, LedgerFill, VenueFill, Violation, World
from titan.invariants.story import AdoptedPosition, FillRow, FundingRow, Story, WalletRow
from titan.model import Position, Side
from titan.money import ZERO
from titan.positions import apply_fill

ROUNDING = Decimal("1e-12")
# The venue rounds the cost that a partial close releases; the journal keeps an average price.
WALLET_ROUNDING = Decimal("1e-6")

Booked = VenueFill | FillRow | LedgerFill


def fills_once(world: World, story: Story) -> Iterator[Violation]:
    """I2: every fill of the venue stands in the journal and in Postgres, once, as it was."""
    if world.venue is None:
        return
    truth = {fill.venue_trade_id: fill for fill in world.venue.fills}
    if world.ledger is not None:
        yield from _compared("postgres", truth, world.ledger.fills)
    if not story.whole:
        return
    yield from _compared("journal", truth, story.fills)
    funded = {each.venue_trade_id: each.paid for each in world.venue.fundings}
    counted = Counter(row.venue_trade_id for row in story.fundings)
    for trade_id in sorted(set(funded) | set(counted)):
        if counted[trade_id] != (trade_id in funded):
            yield Violation(
                Invariant.FILLS_ONCE,
                f"journal:funding:{trade_id}",
                f"funding {trade_id} is {counted[trade_id]} times in the journal and {int(trade_id in funded)} at the venue",
            )
    for adopted in story.adoptions:
        yield Violation(
            Invariant.FILLS_ONCE,
            f"adopted:{adopted.seq}",
            f"row {adopted.seq} takes {adopted.quantity} {adopted.symbol} over from the venue: the fills in the journal "
            f"made {adopted.previous}",
            {"row": str(adopted.seq)},
        )


def _compared(where: str, truth: Mapping[str, VenueFill], booked: Iterable[Booked]) -> Iterator[Violation]:
    seen: dict[str, Booked] = {}
    for fill in booked:
        trade_id = fill.venue_trade_id
        if trade_id in seen:
            yield Violation(
                Invariant.FILLS_ONCE, f"{where}:twice:{trade_id}", f"fill {trade_id} is booked twice in the {where}"
            )
        seen[trade_id] = fill
        if trade_id not in truth:
            yield Violation(
                Invariant.FILLS_ONCE,
                f"{where}:invented:{trade_id}",
                f"the {where} has fill {trade_id}, which the venue does not know",
            )
    for trade_id, real in truth.items():
        found = seen.get(trade_id)
        where_to = {"venue_order_id": real.venue_order_id, "fill": _said(real)}
        if found is None:
            yield Violation(
                Invariant.FILLS_ONCE,
                f"{where}:lost:{trade_id}",
                f"fill {trade_id} ({_said(real)}) is not in the {where}",
                where_to,
            )
        elif _facts(found) != _facts(real):
            yield Violation(
                Invariant.FILLS_ONCE,
                f"{where}:differs:{trade_id}",
                f"fill {trade_id} is {_said(real)} at the venue and {_said(found)} in the {where}",
                where_to,
            )


def _facts(fill: Booked) -> tuple[str, Side, Decimal, Decimal, Decimal]:
    return fill.symbol, fill.side, fill.price, fill.quantity, fill.fee


def _said(fill: Booked) -> str:
    return f"{fill.side} {fill.quantity} {fill.symbol} at {fill.price}, fee {fill.fee}"


def positions_agree(world: World, story: Story) -> Iterator[Violation]:
    """I3: what the journal, Postgres and the router hold is what the venue holds, or nothing opens."""
    if world.venue is None or (world.live is not None and world.live.trading is not TradingState.ACTIVE):
        return
    held = {symbol: position.quantity for symbol, position in _replayed(story).items()}
    sides: dict[str, Mapping[str, Decimal]] = {"journal": held} if story.whole else {}
    if world.ledger is not None:
        sides["postgres"] = {each.symbol: each.quantity for each in world.ledger.positions}
    if world.live is not None:
        sides["router"] = world.live.positions
    for name, side in sides.items():
        for symbol in sorted(set(side) | set(world.venue.positions)):
            here, there = side.get(symbol, ZERO), world.venue.positions.get(symbol, ZERO)
            if here != there:
                yield Violation(
                    Invariant.POSITIONS_AGREE,
                    f"{name}:{symbol}:{here - there}",
                    f"{symbol}: the {name} holds {here}, the venue {there}",
                )


def money_adds_up(world: World, story: Story) -> Iterator[Violation]:
    """I6: cash, fees and profit follow from the journal's fills, and are what everybody else has."""
    if not story.whole:
        return
    for fill, expected in _profits(story):
        if abs(fill.realized_pnl - expected) > ROUNDING:
            yield Violation(
                Invariant.MONEY_ADDS_UP,
                f"fill:{fill.venue_trade_id}",
                f"row {fill.seq} says that fill {fill.venue_trade_id} realised {fill.realized_pnl}, replay gives {expected}",
                {"row": str(fill.seq)},
            )
    for wallet in story.wallets:
        if wallet.previous is not None:
            yield Violation(
                Invariant.MONEY_ADDS_UP,
                f"wallet:{wallet.seq}",
                f"row {wallet.seq} corrects the cash from {wallet.previous} to {wallet.wallet}: fills do not explain it",
                {"row": str(wallet.seq), "reason": wallet.reason},
            )
    cash = replayed_cash(story)
    if cash is not None:
        sides = {} if world.venue is None else {"venue": world.venue.wallet}
        if world.live is not None:
            sides["router"] = world.live.cash
        for name, theirs in sides.items():
            off_by = ZERO if theirs is None else cash - theirs
            if name == "venue" and abs(off_by) > WALLET_ROUNDING:
                off_by -= _split(world, story)
            if abs(off_by) > WALLET_ROUNDING:
                yield Violation(
                    Invariant.MONEY_ADDS_UP,
                    f"cash:{name}:{off_by}",
                    f"the journal's rows make {cash} of cash, the {name} has {theirs}",
                )
    yield from _ledger_money(world, story)


def _split(world: World, story: Story) -> Decimal:
    """What the journal has more in cash and less in open profit than the venue.

    Fills that reached the journal in another order than the venue made them give another average price; the sum is the same.
    """
    averages = {} if world.venue is None else world.venue.averages
    held = _replayed(story)
    return sum(
        (
            (held[symbol].average_price - at) * held[symbol].quantity
            for symbol, at in averages.items()
            if symbol in held
        ),
        ZERO,
    )


def _ledger_money(world: World, story: Story) -> Iterator[Violation]:
    if world.ledger is None:
        return
    for name in world.ledger.unbalanced:
        yield Violation(
            Invariant.MONEY_ADDS_UP, f"unbalanced:{name}", f"the transaction {name} in Postgres does not balance"
        )
    replayed = _replayed(story)
    kept = {each.symbol: each for each in world.ledger.positions}
    for symbol in sorted(set(replayed) | set(kept)):
        ours, theirs = replayed.get(symbol), kept.get(symbol)
        for what in ("realized_pnl", "fees", "funding"):
            here = ZERO if ours is None else getattr(ours, what)
            there = ZERO if theirs is None else getattr(theirs, what)
            if abs(here - there) > ROUNDING:
                yield Violation(
                    Invariant.MONEY_ADDS_UP,
                    f"postgres:{symbol}:{what}:{here - there}",
                    f"{symbol}: the journal's rows make {what} {here}, Postgres has {there}",
                )


def replayed_cash(story: Story) -> Decimal | None:
    """The cash that the rows make; None before the first wallet row."""
    cash: Decimal | None = None
    held: dict[str, Position] = {}
    for row in story.money_rows:
        if isinstance(row, WalletRow):
            cash = row.wallet
            continue
        realized = _apply(held, row)
        if cash is None:
            continue
        if isinstance(row, FillRow):
            cash += realized - row.fee
        elif isinstance(row, FundingRow):
            cash -= row.paid
    return cash


def _replayed(story: Story) -> dict[str, Position]:
    held: dict[str, Position] = {}
    for row in story.money_rows:
        if not isinstance(row, WalletRow):
            _apply(held, row)
    return held


def _profits(story: Story) -> Iterator[tuple[FillRow, Decimal]]:
    held: dict[str, Position] = {}
    for row in story.money_rows:
        if isinstance(row, WalletRow):
            continue
        realized = _apply(held, row)
        if isinstance(row, FillRow):
            yield row, realized


def _apply(held: dict[str, Position], row: FillRow | FundingRow | AdoptedPosition) -> Decimal:
    position = held.get(row.symbol) or Position("", "", row.symbol)
    realized = ZERO
    if isinstance(row, FillRow):
        applied = apply_fill(position, row.side, row.quantity, row.price, row.fee)
        position, realized = applied.position, applied.realized
    elif isinstance(row, FundingRow):
        position = _with(position, funding=position.funding + row.paid)
    else:
        position = _with(position, quantity=row.quantity, average_price=row.average_price)
    held[row.symbol] = position
    return realized


def _with(
    position: Position,
    *,
    quantity: Decimal | None = None,
    average_price: Decimal | None = None,
    funding: Decimal | None = None,
) -> Position:
    return Position(
        position.venue,
        position.account,
        position.symbol,
        position.quantity if quantity is None else quantity,
        position.average_price if average_price is None else average_price,
        position.realized_pnl,
        position.fees,
        position.funding if funding is None else funding,
    )
