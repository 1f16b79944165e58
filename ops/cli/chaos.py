"""chaos: faults against the whole real system, and what held."""

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
from ops.chaos.catalogue import FAULTS, chosen
from ops.chaos.defects import DEFECTS
from ops.chaos.fault import ChaosFault
from ops.chaos.result import Result, as_json, table_of
from ops.chaos.system import whole_system
from ops.cli.client import NotFound
from ops.cli.control import Json
from ops.cli.output import console, emit, fail, show, table
from titan.errors import ConfigError, ExitCode
from titan.files import write_private

LONG_MINUTES = 60.0


def interrupt(_number: int, _frame: object) -> None:
    """SIGTERM must unwind as Ctrl-C does, so that everything that was started is ended."""
    raise KeyboardInterrupt


def _catalogue(faults: tuple[ChaosFault, ...], as_json_: bool) -> None:
    if as_json_:
        shown = [
            {"number": f.number, "axis": f.axis.value, "fault": f.name, "does": f.does, "target_s": f.target_s}
            for f in faults
        ]
        emit({"faults": shown})
        return
    rows = [
        (str(f.number), f.axis.value, f.name, f.does, "" if f.target_s is None else f"{f.target_s:g} s") for f in faults
    ]
    show(table("faults", ("number#", "axis", "fault", "does", "target#"), rows))


def render(result: Result) -> None:
    """Prints the table for a person."""
    style = {"met": "[green]met[/]", "missed": "[yellow]missed[/]", "": ""}
    rows = [
        (
            str(row.fault.number),
            row.fault.axis.value,
            row.fault.name,
            str(row.runs),
            f"[red]{row.violations}[/]" if row.violations else "0",
            f"{row.p50:.2f}",
            f"{max(row.recovery_s, default=0.0):.2f}",
            "" if row.fault.target_s is None else f"≤ {row.fault.target_s:g}",
            style[row.verdict],
        )
        for row in table_of(result)
    ]
    columns = ("number#", "axis", "fault", "runs#", "violations#", "p50 s#", "max s#", "target s#", "median")
    show(table("recovery", columns, rows))
    for finding in result.findings:
        each = finding.violation
        console.print(f"[red]{each.invariant.value}[/] after {finding.fault} ({finding.number}): {each.text}")
        for name, value in each.evidence.items():
            console.print(f"    {name}: {value}", markup=False)
    for shown in result.defects:
        word = "[green]noticed[/]" if shown.caught else "[red]not noticed[/]"
        found = ", ".join(sorted({each.invariant.value for each in shown.found}))
        console.print(f"defect {shown.defect.name}: {word} {found}")
    for name, why in result.skipped.items():
        console.print(f"skipped {name}: {why}", markup=False)


async def _run(campaign: Campaign, arena: Arena, minutes: float, limit: int, defects: bool) -> str:
    """Why the campaign was lost; empty when it was not."""
    try:
        await arena.open()
        await campaign.run(time.monotonic() + minutes * 60, limit)
        await campaign.sum_up()
        if defects:
            await campaign.show(DEFECTS)
    except Lost as error:
        return str(error)
    finally:
        await arena.close()
    return ""


def chaos(
    minutes: Annotated[float, typer.Option("--minutes", min=0.1, help="how long faults are injected")] = 5.0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="what draws the faults and their moments")] = 1,
    only: Annotated[str, typer.Option("--only", help="axes and faults by name, separated by commas")] = "",
    fault: Annotated[int | None, typer.Option("--fault", help="one fault by number, once")] = None,
    limit: Annotated[int, typer.Option("--limit", min=0, help="end after this many faults; 0 for no limit")] = 0,
    standby: Annotated[bool, typer.Option("--standby", help="with a second router that follows the first")] = False,
    defects: Annotated[
        bool, typer.Option("--defects", help="at the end break promises on purpose: each must be noticed")
    ] = False,
    list_them: Annotated[bool, typer.Option("--list", help="show the faults and inject none")] = False,
    report: Annotated[Path | None, typer.Option("--report", help="also write the JSON object to this file")] = None,
    as_json_: Json = False,
) -> int:
    """Strike a whole Titan of its own, and check that no order is lost or doubled. Example: titan chaos --minutes 5 --seed 7."""
    if defects and standby:
        raise ConfigError("--defects needs a system with one router: leave --standby away")
    if only and fault is not None:
        raise ConfigError("--only and --fault exclude each other: give one of them")
    if report is not None and not report.absolute().parent.is_dir():
        raise ConfigError(f"--report {report}: the folder {report.absolute().parent} does not exist; make it first")
    faults = chosen(only, fault, long=list_them or minutes >= LONG_MINUTES, standby=list_them or standby)
    if not faults:
        axes = ", ".join(dict.fromkeys(each.axis.value for each in FAULTS))
        what = f"number {fault}" if fault is not None else repr(only)
        raise NotFound(f"no fault {what}; the axes are {axes}, and `titan chaos --list` shows the faults")
    if list_them:
        _catalogue(faults, as_json_)
        return ExitCode.OK
    signal.signal(signal.SIGTERM, interrupt)
    began = time.monotonic()

    def tell(line: str) -> None:
        if not as_json_:
            console.print(f"{time.monotonic() - began:7.1f} s  {line}", markup=False, soft_wrap=True)

    facts: dict[str, object] = {
        "seed": seed,
        "minutes": minutes,
        "machine": machine(),
        "commit": commit(),
        "load": round(load(), 2),
    }
    tell(f"{machine()}; commit {commit() or 'unknown'}; seed {seed}; {len(faults)} faults to draw from")
    tell("starting a whole Titan")
    with whole_system(standby=standby, forgetful=defects) as system:
        arena = Arena(system, seed)
        campaign = Campaign(arena, faults, tell)
        result, lost, interrupted = campaign.result, "", False
        try:
            lost = asyncio.run(_run(campaign, arena, minutes, 1 if fault is not None else limit, defects))
        except KeyboardInterrupt:
            interrupted = True
        if lost or not result.passed:
            system.keep_logs = Path(tempfile.mkdtemp(prefix="titan-chaos-logs-"))
            facts["logs"] = str(system.keep_logs)
            tell(f"its logs are kept in {system.keep_logs}")
        tell("stopping it")
    facts["seconds"] = round(time.monotonic() - began, 1)
    shown = as_json(result, facts)
    if lost:
        shown["lost"] = lost
    if report is not None:
        write_private(report, json.dumps(shown, indent=1) + "\n")
    if as_json_:
        emit(shown)
    else:
        render(result)
        console.print(
            f"{len(result.runs)} faults, {len(result.findings)} violations, {result.readings} readings in {facts['seconds']} s",
            markup=False,
        )
    if lost:
        fail(lost)
        return ExitCode.TIMED_OUT
    if interrupted:
        fail("interrupted; the system of the campaign is ended")
    return ExitCode.OK if result.passed and not interrupted else ExitCode.FAILED
