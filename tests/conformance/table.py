"""Writes docs/venues.md from the cards and the adapters' own data: `python -m tests.conformance.table`.

A cell says "passes" because `test_cards.py` runs that card at that venue and fails otherwise.
"""

from __future__ import annotations

import importlib
from itertools import groupby
from pathlib import Path

from tests.conformance import orders, pages, streams, trouble, types
from tests.conformance.bench import VENUES
from tests.conformance.cards import CARDS, Card
from titan.model import OrderType
from titan.venues.rest import VenueProfile

DOCUMENT = Path(__file__).parents[2] / "docs" / "venues.md"
GROUPS = (orders, trouble, pages, streams, types)
"""Importing them fills the registry."""
NAMES = {"bybit": "Bybit v5, linear", "binance": "Binance USDⓈ-M", "mexc": "MEXC futures"}
HEAD = """# Venues

Written by `python -m tests.conformance.table`; `tests/conformance` fails when this page and the code disagree.

Every adapter is built on ccxt's signed transport and passes the same numbered cards over real sockets, against a local
server that speaks its exchange's protocol and has fault switches. The exchanges themselves are not contacted by any test.
How to add one: [add-a-venue.md](add-a-venue.md).

## What differs

"""
PLANS = """
Orders that wait for a price are plan orders at MEXC. It keeps no client id of theirs, nor of the order that one becomes, so the
adapter knows them by their number, and one whose answer was lost by its shape: symbol, side, contracts, trigger, limit price;
not there before it was sent, and no other order's. For that it reads what waits before it sends. The local server does not end a
plan order after seven days as MEXC does; the router then sees it cancelled, and sets a stop of a position again.
"""


def profile(name: str) -> VenueProfile:
    """The constants of a venue."""
    found: VenueProfile = importlib.import_module(f"titan.venues.{name}").PROFILE
    return found


def _row(title: str, *cells: str) -> str:
    return f"| {' | '.join((title, *cells))} |\n"


def _differences() -> str:
    profiles = [profile(name) for name in VENUES]
    cans = [one.capabilities for one in profiles]
    text = _row("", *(NAMES[name] for name in VENUES)) + _row("---", *("---" for _ in VENUES))
    words = [
        ", ".join(f"{kind.value} `{can.time_in_force[kind]}`" for kind in OrderType if kind in can.order_types)
        for can in cans
    ]
    text += _row("Order types, and the venue's word for each", *words)
    text += _row("Client order id", *(f"{can.client_id_max} of `{can.client_id_chars}`" for can in cans))
    text += _row("The same id again", *(can.client_id_rule.value for can in cans))
    text += _row("Stop and target of an entry", *(can.protection.value for can in cans))
    text += _row("Post-only that would take", *(can.post_only_refusal.value for can in cans))
    text += _row("Changes in place", *(", ".join(sorted(can.amends)) or "none" for can in cans))
    text += _row("Position mode", *(can.position_mode for can in cans))
    budgets = [
        "<br>".join(f"{one.name}: {one.capacity:g}, {one.per_s:g}/s, {one.reserve:g} kept back" for one in each.budgets)
        for each in profiles
    ]
    return text + _row("Budgets (burst, refill, reserve for what lowers risk)", *budgets)


def _in_order() -> list[Card]:
    """By group as groups first appear, and by number."""
    numbered = sorted(CARDS)
    groups = list(dict.fromkeys(card.group for card in numbered))
    return sorted(numbered, key=lambda card: groups.index(card.group))


def render() -> str:
    """The page."""
    text = HEAD + _differences() + PLANS + "\n## Cards\n"
    for group, cards in groupby(_in_order(), key=lambda card: card.group):
        text += f"\n### {group}\n\n" + _row("Card", "Sequence and criteria", *VENUES)
        text += _row("---", "---", *("---" for _ in VENUES))
        for card in cards:
            text += _row(card.number, card.title, *(card.instead.get(name, "passes") for name in VENUES))
    return text


if __name__ == "__main__":
    DOCUMENT.write_text(render())
