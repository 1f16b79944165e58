"""One JSON encoder for frames, answers and ledger rows.

Guarantees: the same value gives the same compact text. Never: Decimal or custom types; callers pass strings and numbers.
"""

from __future__ import annotations

from collections.abc import Mapping

from orjson import dumps, loads

Json = Mapping[str, object]

__all__ = ["Json", "dumps", "loads"]
