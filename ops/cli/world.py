"""Which paper account a start trades: the last one again, or a new one with the last one archived.

Guarantees: a live feed goes on with its account; a replay or synthetic market begins anew, so that the same command
shows the same market, unless `--resume` is given or the last run was killed: what was not ended in order is never put
aside. Archives lie under `<home>/archive`, the three newest are kept. Never: deletes the account that is in use.
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from supervisors.launch import LaunchPlan
from titan.clock import ANCHOR_FILE
from titan.errors import ConfigError
from titan.files import write_private

WORLD_FILE = "world.json"
KEPT_ARCHIVES = 3
STATE = ("journal", "data")


@dataclass(frozen=True, slots=True)
class World:
    """The account that lies in a home: its feed, and whether its last run ended in order."""

    feed: str
    ended: bool


def read_world(home: Path) -> World | None:
    """The account in a home, None when there is none."""
    try:
        raw = json.loads((home / WORLD_FILE).read_text())
        return World(str(raw["feed"]), bool(raw["ended"]))
    except FileNotFoundError:
        return None
    except (json.JSONDecodeError, KeyError, TypeError):
        return World("", ended=False)


def _write(home: Path, world: World) -> None:
    write_private(home / WORLD_FILE, json.dumps(asdict(world)))


def mark_ended(home: Path) -> None:
    """Notes that the run ended in order."""
    world = read_world(home)
    if world is not None:
        _write(home, World(world.feed, ended=True))


def mark_open(home: Path) -> None:
    """Notes that the account is to be gone on with: what was restored is not put aside by the next start."""
    world = read_world(home)
    if world is not None:
        _write(home, World(world.feed, ended=False))


def archive(home: Path) -> Path:
    """Moves the account's state aside; returns where to."""
    target = home / "archive" / time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    serial = 0
    while target.exists():
        serial += 1
        target = target.with_name(f"{target.name.partition('-')[0]}-{serial}")
    target.mkdir(parents=True)
    for name in STATE:
        _move(home / name, target / name)
    anchor = home / "run" / ANCHOR_FILE
    if anchor.exists():
        anchor.replace(target / ANCHOR_FILE)
    for old in sorted((home / "archive").iterdir())[:-KEPT_ARCHIVES]:
        shutil.rmtree(old)
    return target


def _move(source: Path, target: Path) -> None:
    if not source.exists():
        return
    # A data directory may be a link to one that the server's own user can reach: its content moves, the link goes.
    for entry in source.iterdir() if source.name == "data" else ():
        if entry.is_symlink():
            real = entry.resolve()
            entry.unlink()
            if real.exists():
                shutil.move(real, source / entry.name)
    source.replace(target)


def prepare(plan: LaunchPlan, *, resume: bool) -> str:
    """Makes the home ready for this plan; returns one sentence for the operator, empty on a first start.

    Raises ConfigError when the account of another feed was not ended in order: nobody's positions are put aside unseen.
    """
    home = plan.home
    home.mkdir(parents=True, exist_ok=True)
    world = read_world(home)
    sentence = ""
    if world is not None:
        same = world.feed == plan.feed
        if not same and not world.ended:
            raise ConfigError(
                f"the last run of {home} ({world.feed}) did not end in order and may hold positions: "
                f"start it again with --feed {world.feed}, then end it with Ctrl-C or titan down"
            )
        if same and (resume or not world.ended or plan.feed == "live"):
            sentence = "going on with the last account" + (
                "" if world.ended else " (its run did not end in order, or kept its servers)"
            )
        elif resume:
            raise ConfigError(f"--resume: the account in {home} belongs to feed {world.feed}, not {plan.feed}")
        else:
            sentence = f"new paper account; the last one is in {archive(home)}"
    elif resume:
        raise ConfigError(f"--resume: there is no account in {home} yet")
    _write(home, World(plan.feed, ended=False))
    return sentence
