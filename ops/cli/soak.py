"""soak: a long time of trading with a kill every half minute, and who grows by it."""

from __future__ import annotations

import asyncio
import json
import signal
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from ops.bench.machine import commit, load, machine
from ops.chaos.arena import Arena
from ops.chaos.campaign import Campaign, Lost
from ops.chaos.result import as_json
from ops.chaos.soak import KILL_EVERY_S, SPEED, Soak, feed_of, kills
from ops.chaos.system import whole_system
from ops.cli.chaos import interrupt, render
from ops.cli.control import Json
from ops.cli.output import console, emit, fail, show, table
from titan.errors import ConfigError, ExitCode
from titan.files import write_private


def render_soak(soaked: Soak) -> None:
    """Prints what grew, and what did not."""
    style = {"flat": "[green]flat[/]", "grows": "[red]grows[/]"}
    rows = [
        (
            each.role,
            each.unit,
            str(each.lives),
            f"{each.median:.1f}",
            f"{each.last:.1f}",
            "" if each.line is None else f"{each.line.per_hour:+.2f}",
            "" if each.line is None else f"{each.line.low:+.2f} to {each.line.high:+.2f}",
            style.get(each.verdict, each.verdict),
        )
        for each in soaked.growth()
    ]
    columns = ("process", "unit", "lives#", "median#", "last#", "an hour#", "95 %#", "verdict")
    show(table("growth within a life", columns, rows))
    left = [*sorted(soaked.zombies), *sorted(soaked.orphans)]
    console.print(f"{soaked.censuses} censuses; left behind: {', '.join(left) or 'nothing'}", markup=False)
    truth = soaked.truth
    if truth is None:
        console.print("truth: not established")
    else:
        compared = f"{truth.orders_compared} orders and {truth.fills_compared} fills compared"
        console.print(f"truth: {compared}, {truth.differences} differences", markup=False)


async def _run(campaign: Campaign, soaked: Soak) -> str:
    """Why the campaign was lost; empty when it was not."""
    arena = soaked.arena
    counting: asyncio.Task[None] | None = None
    try:
        await arena.open()
        soaked.began_s = time.monotonic()
        counting = asyncio.create_task(soaked.count(), name="census")
        await campaign.run(soaked.began_s + soaked.seconds)
        await campaign.sum_up()
        await arena.rest()
        await soaked.compare()
        if counting.done():
            counting.result()
    except Lost as error:
        return str(error)
    finally:
        if counting is not None:
            counting.cancel()
            await asyncio.gather(counting, return_exceptions=True)
        await arena.close()
    return ""


def soak(
    minutes: Annotated[float, typer.Option("--minutes", min=1.0, help="how long")] = 60.0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="what draws the kills and their moments")] = 1,
    recordings: Annotated[
        Path | None, typer.Option("--recordings", help="a folder with trades_*.parquet to replay; else a seeded market")
    ] = None,
    standby: Annotated[bool, typer.Option("--standby", help="with a second router that follows the first")] = False,
    report: Annotated[Path | None, typer.Option("--report", help="also write the JSON object to this file")] = None,
    as_json_: Json = False,
) -> int:
    """Trade at twenty times real time while something is killed every 30 s, and show who grows. Example: titan soak --minutes 60."""
    if recordings is not None and not recordings.is_dir():
        raise ConfigError(f"--recordings {recordings}: there is no such folder")
    if report is not None and not report.absolute().parent.is_dir():
        raise ConfigError(f"--report {report}: the folder {report.absolute().parent} does not exist; make it first")
    signal.signal(signal.SIGTERM, interrupt)
    began = time.monotonic()

    def tell(line: str) -> None:
        if not as_json_:
            console.print(f"{time.monotonic() - began:7.1f} s  {line}", markup=False, soft_wrap=True)

    feed = feed_of(recordings)
    facts: dict[str, object] = {
        "seed": seed,
        "minutes": minutes,
        "machine": machine(),
        "commit": commit(),
        "load": round(load(), 2),
        "feed": feed,
        "speed": SPEED,
    }
    tell(f"{machine()}; commit {commit() or 'unknown'}; seed {seed}; {feed} at {SPEED:g} times its speed")
    tell("starting a whole Titan")
    with whole_system(standby=standby, feed=feed, speed=SPEED) as system:
        soaked = Soak(Arena(system, seed), minutes * 60)
        campaign = Campaign(soaked.arena, kills(standby=standby), tell, KILL_EVERY_S)
        campaign.spared, campaign.by_axis = soaked.spared, False
        lost, interrupted = "", False
        try:
            lost = asyncio.run(_run(campaign, soaked))
        except KeyboardInterrupt:
            interrupted = True
        if lost or campaign.result.findings:
            system.keep_logs = Path(tempfile.mkdtemp(prefix="titan-soak-logs-"))
            facts["logs"] = str(system.keep_logs)
            tell(f"its logs are kept in {system.keep_logs}")
        tell("stopping it")
    facts["seconds"] = round(time.monotonic() - began, 1)
    facts["load_at_the_end"] = round(load(), 2)
    shown = as_json(campaign.result, facts) | {"soak": soaked.as_json(), "lost": lost}
    if report is not None:
        write_private(report, json.dumps(shown, indent=1) + "\n")
    if as_json_:
        emit(shown)
    else:
        render(campaign.result)
        render_soak(soaked)
    if lost or interrupted:
        fail(lost or "interrupted; the system of the soak is ended")
        return ExitCode.TIMED_OUT if lost else ExitCode.FAILED
    return ExitCode.OK if soaked.clean and not campaign.result.findings else ExitCode.FAILED
