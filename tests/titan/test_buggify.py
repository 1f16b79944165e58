"""Rare branches are off in production, and stay off."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from actors.router.state import RouterConfig
from titan.buggify import NEVER

ROOT = Path(__file__).resolve().parents[2]
PRODUCTION = ("titan", "actors", "supervisors", "ops")


def test_never_takes_nothing_and_cannot_be_switched_on() -> None:
    assert not NEVER.on
    assert not NEVER.takes("anything")
    with pytest.raises(AttributeError):
        NEVER.on = True  # type: ignore[misc]


def test_a_router_is_made_without_rare_branches() -> None:
    assert RouterConfig.__dataclass_fields__["rare"].default is NEVER


def test_no_module_of_production_injects_a_chance() -> None:
    injecting = [
        f"{path}:{node.lineno}"
        for room in PRODUCTION
        for path in (ROOT / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.keyword) and node.arg == "rare"
    ]
    assert injecting == []


def test_every_rare_branch_asks_first_whether_any_is_on() -> None:
    for path in (ROOT / "actors").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "takes":
                line = path.read_text().splitlines()[node.lineno - 1]
                assert "rare.on and rare.takes(" in line, f"{path}:{node.lineno}"
