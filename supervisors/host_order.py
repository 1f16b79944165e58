"""What a root and a host say to each other: plain values, importable without Ray."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HostOrder:
    """What a host is told: which actor to be."""

    name: str
    path: str
    incarnation: int
    home: str

    @property
    def class_name(self) -> str:
        """The actor's class name, as the dashboard shows it."""
        return self.path.partition(":")[2]


@dataclass(frozen=True, slots=True)
class WarmOrder:
    """What a spare imports before it knows which actor it will be: modules, then actors by their paths."""

    modules: tuple[str, ...]
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HostReport:
    """Who a host is."""

    name: str
    pid: int
    incarnation: int
    ready: bool
    home: str
    node: str


NOBODY = HostOrder("", "", 0, "")
"""A spare's: it has no actor yet."""
