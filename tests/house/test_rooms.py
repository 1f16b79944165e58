"""Rules of the house that no linter knows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("titan", "actors", "supervisors", "simulation", "ops")
MAX_LINES = 400
GENERATED = re.compile(r"_pb2(_grpc)?\.pyi?$")
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|NotImplementedError\(\)")
MACHINE_PATH = re.compile(r"(?<![\w.}/])/(work|root|opt(?!/titan)|home/\w+)/")


def modules(*rooms: str) -> Iterator[Path]:
    for room in rooms:
        yield from (path for path in sorted((ROOT / room).rglob("*.py")) if not GENERATED.search(path.name))


def mentions(pattern: re.Pattern[str], *rooms: str) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in modules(*rooms)
        if path != Path(__file__)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if pattern.search(line)
    ]


def test_every_folder_with_modules_is_a_package_that_the_import_rules_see() -> None:
    folders = {path.parent for path in modules(*ROOMS)}
    assert sorted(str(folder.relative_to(ROOT)) for folder in folders if not (folder / "__init__.py").exists()) == []


def test_a_file_holds_one_idea() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in modules(*ROOMS)}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_LINES} == {}


def test_nothing_is_left_unfinished() -> None:
    assert mentions(UNFINISHED, *ROOMS, "tests") == []


def test_no_module_binds_a_logger_before_logging_is_configured() -> None:
    """Bound at import it would write in another form, to the standard output and not to the actor's log."""
    assert mentions(re.compile(r"^\w+ *(?:: *\w+ *)?= *get_logger\("), *ROOMS) == []


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    assert mentions(MACHINE_PATH, *ROOMS, "tests") == []
