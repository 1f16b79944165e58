"""Finds the project's shared reference data beside the checkout; skips visibly where it is absent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


def shared_path(relative: str) -> Path:
    """The path of a shared file; skips the calling test when the file is not there."""
    path = SHARED / relative
    if not path.exists():
        pytest.skip(f"shared data file {relative} is not beside this checkout")
    return path


def load_vectors(name: str) -> dict[str, Any]:
    """One file of acceptance vectors, parsed."""
    loaded: dict[str, Any] = json.loads(shared_path(f"vectors/{name}.json").read_text())
    return loaded
