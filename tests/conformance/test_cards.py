"""Every card at every venue: `pytest tests/conformance -k C12` runs one, `-k binance` one venue."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance import orders, pages, streams, trouble, types
from tests.conformance.bench import VENUES, bench
from tests.conformance.cards import CARDS, Card
from tests.conformance.table import DOCUMENT, render

GROUPS = (orders, trouble, pages, streams, types)


@pytest.mark.parametrize("name", VENUES)
@pytest.mark.parametrize("card", sorted(CARDS), ids=lambda card: card.id)
async def test_card(card: Card, name: str, tmp_path: Path) -> None:
    async with bench(name, tmp_path, frozen=card.frozen) as here:
        await card.run(here)


def test_cards_are_numbered_without_a_gap() -> None:
    assert sorted(card.number for card in CARDS) == [f"C{number:02}" for number in range(1, len(CARDS) + 1)]
    assert {card.run.__module__ for card in CARDS} == {group.__name__ for group in GROUPS}


def test_the_table_in_the_documentation_names_every_card() -> None:
    assert DOCUMENT.read_text() == render(), "run: .venv/bin/python -m tests.conformance.table"
