"""Cores get time and ids handed in. The import rules keep clocks and I/O modules out; this finds calls that need no such import."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[2]
ROOMS = ("titan", "actors", "supervisors")
CORES = (
    "supervisors.liveness",
    "supervisors.machine",
    "supervisors.nested",
    "titan.algos",
    "titan.invariants",
    "titan.paper.core",
    "titan.paper.faults",
    "titan.venues.limits",
)
# Where the forbidden things are defined, for shells to use.
DEFINED_IN = ("titan.clock", "titan.ids")
FORBIDDEN_NAMES = {
    "new_ulid",
    "WallClock",
    "AnchoredClock",
    "open_clock",
    "urandom",
    "uuid1",
    "uuid4",
    "getenv",
    "environ",
}
FORBIDDEN_CALLS = {"open", "print", "input"}
CLOCK_CALLS = {("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today")}


def impurities(source: str) -> list[str]:
    """What in a module asks for a clock, for chance or for the outside, with its line."""
    return [f"line {line}: {what}" for line, what in _walk(ast.parse(source))]


def _walk(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        match node:
            case ast.AsyncFunctionDef(name=name, body=body) if not _only_declared(body):
                yield node.lineno, f"async def {name}"
            case ast.Name(id=name) | ast.Attribute(attr=name) if name in FORBIDDEN_NAMES:
                yield node.lineno, name
            case ast.Call(func=ast.Name(id=name)) if name in FORBIDDEN_CALLS:
                yield node.lineno, f"{name}()"
            case ast.Call(func=ast.Attribute(value=ast.Name(id=owner), attr=name)) if (owner, name) in CLOCK_CALLS:
                yield node.lineno, f"{owner}.{name}()"


def _only_declared(body: list[ast.stmt]) -> bool:
    """A protocol's method: a docstring and `...` at most."""
    return all(isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant) for part in body)


def core_modules() -> set[str]:
    """Every core and every module of the rooms that it uses, directly or not."""
    graph = grimp.build_graph(*ROOMS, cache_dir=None)
    cores = {name for name in graph.modules if name.startswith("actors.") and name.endswith(".core")}
    cores |= {name for name in CORES if name in graph.modules}
    return cores.union(*(graph.find_upstream_modules(core) for core in cores)) - set(DEFINED_IN)


def test_no_core_nor_anything_it_uses_asks_for_time_chance_or_the_outside() -> None:
    found = {}
    for module in sorted(core_modules()):
        path = ROOT.joinpath(*module.split("."))
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if marks := impurities(file.read_text()):
            found[module] = marks
    assert found == {}


def test_the_check_sees_what_it_is_meant_to_see() -> None:
    source = "import os\nfrom datetime import datetime\nx = datetime.now()\ny = os.urandom(3)\nz = open('f')\nasync def f(): await g()\n"
    assert sorted(impurities(source)) == [
        "line 3: datetime.now()",
        "line 4: urandom",
        "line 5: open()",
        "line 6: async def f",
    ]
