"""A live venue and a ccxt client for each test that asks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.titan.paper.live import LiveVenue, live_venue


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[LiveVenue]:
    async with live_venue(tmp_path) as venue:
        yield venue


@pytest.fixture
def exchange(live: LiveVenue) -> Any:
    return live.client()
