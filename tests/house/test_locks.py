"""The lock files pin every byte, name no host, and agree with the project file and with each other."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKS = ("run", "dev", "nats")


@dataclass(frozen=True)
class Pin:
    name: str
    version: str
    hashes: frozenset[str]
    marker: Marker | None


def pins(lock: str) -> list[Pin]:
    text = (ROOT / "requirements" / f"{lock}.lock").read_text()
    logical = re.sub(r"\\\n", " ", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)).splitlines()
    found = []
    for line in filter(None, map(str.strip, logical)):
        requirement = Requirement(line.split(" --hash", 1)[0].strip())
        version = str(requirement.specifier).removeprefix("==")
        hashes = frozenset(re.findall(r"--hash=sha256:([0-9a-f]{64})", line))
        found.append(Pin(canonicalize_name(requirement.name), version, hashes, requirement.marker))
    return found


def wanted(*groups: str) -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = list(project["dependencies"])
    for group in groups:
        lines += project["optional-dependencies"][group]
    return [Requirement(line) for line in lines]


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_is_exact_and_has_a_hash(lock: str) -> None:
    read = pins(lock)
    assert read
    assert [pin.name for pin in read if not pin.hashes or not re.fullmatch(r"[\w.+!]+", pin.version)] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_no_lock_file_names_a_host(lock: str) -> None:
    text = (ROOT / "requirements" / f"{lock}.lock").read_text()
    assert re.findall(r"\w+://\S+|--(?:extra-)?index-url\S*|--find-links\S*|--trusted-host\S*", text) == []


@pytest.mark.parametrize(("lock", "groups"), [("run", ("servers",)), ("dev", ("servers", "dev"))])
def test_the_lock_satisfies_the_project_file(lock: str, groups: tuple[str, ...]) -> None:
    locked: dict[str, set[str]] = {}
    for pin in pins(lock):
        locked.setdefault(pin.name, set()).add(pin.version)
    unmet = [
        str(requirement)
        for requirement in wanted(*groups)
        if not any(requirement.specifier.contains(v) for v in locked.get(canonicalize_name(requirement.name), ()))
    ]
    assert unmet == []


def test_developers_run_exactly_what_is_shipped() -> None:
    shipped = {(pin.name, pin.version, pin.hashes) for pin in pins("run")}
    developers = {(pin.name, pin.version, pin.hashes) for pin in pins("dev")}
    assert shipped - developers == set()
