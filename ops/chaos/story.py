"""Reads single fields of journal rows."""

from __future__ import annotations

import orjson

from titan.journal import StoredRow


def said(row: StoredRow, name: str) -> str:
    """A field of a row as text, empty when it has none or can't be read."""
    try:
        payload = orjson.loads(row.payload)
    except ValueError:
        return ""
    return str(payload.get(name, "")) if isinstance(payload, dict) else ""
