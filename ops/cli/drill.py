"""drill: rehearse an emergency on a Titan of its own, and keep a signed report."""

from __future__ import annotations

import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer

from ops.cli.client import NotFound, home_of
from ops.cli.control import Home, Json
from ops.cli.output import console, emit, seconds_text, show, table
from ops.drill.drills import DRILLS, WATCH_MINUTES
from ops.drill.observability import observability
from ops.drill.report import DrillFailed, Report, keep, kept, now_text
from ops.drill.stage import stage
from titan.backups import read_status, write_status
from titan.errors import ConfigError, TitanError
from titan.runtime import HmacKey
from titan.servers import Layout
from titan.settings import Settings, load_settings


def keys_of(home: Path, settings: Settings) -> tuple[HmacKey, ...]:
    """The keys that sign and verify a home's reports, the present one first."""
    secret = settings.hmac_secret.get_secret_value() or Layout.of(home).secret("hmac")[0]
    keys = [HmacKey(key_id=settings.hmac_key_id, secret=secret)]
    following = settings.hmac_secret_next.get_secret_value()
    if following:
        keys.append(HmacKey(key_id=settings.hmac_key_id_next, secret=following))
    return tuple(keys)


def drill(
    name: Annotated[str, typer.Argument(help="which one; --list shows them")] = "",
    listing: Annotated[bool, typer.Option("--list", help="show the drills and their last reports")] = False,
    minutes: Annotated[
        float, typer.Option("--minutes", min=0.1, help="for observability: the healthy time")
    ] = WATCH_MINUTES,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Rehearse an emergency on a private paper Titan; a signed report stays. Example: titan drill kill-switch."""
    where, settings = home_of(home), load_settings()
    keys = keys_of(where, settings)
    if listing:
        _list(where, keys, as_json)
        return
    if not name:
        raise ConfigError(f"say which drill: {', '.join(DRILLS)}, or --list")
    chosen = DRILLS.get(name)
    if chosen is None:
        raise NotFound(f"no drill {name!r}; there are {', '.join(DRILLS)}")
    if chosen.name == "observability":
        chosen = replace(chosen, run=observability(minutes))
    elif minutes != WATCH_MINUTES:
        raise ConfigError(f"--minutes is for the drill observability, not for {chosen.name}")
    report = Report(chosen.name, now_text())
    began = time.monotonic()
    failure: TitanError | None = None
    with (
        tempfile.TemporaryDirectory(prefix="titan-policy-") as scratch,
        stage(chosen.settings(Path(scratch)), speed=chosen.speed, disk_mb=chosen.disk_mb) as made,
    ):
        try:
            if not chosen.starts:
                with report.step("a private Titan on paper trades"):
                    made.up()
                    if not chosen.policy:
                        made.until_active()
            chosen.run(made, report)
        except DrillFailed as error:
            failure = error
    report.end(began)
    path = keep(report, where, keys[0])
    if report.passed:
        write_status(where, replace(read_status(where), drill_ms=int(time.time() * 1000)))
    if as_json:
        emit({**asdict(report), "report": str(path)})
    else:
        for step in report.steps:
            mark = "[green]ok[/green]    " if step.passed else "[red]FAILED[/red]"
            console.print(f"{mark} {seconds_text(step.seconds):>8}  {step.expected}  {step.seen}")
        for measure, value in report.measures.items():
            console.print(f"       {measure} {value:g}")
        console.print(f"{'passed' if report.passed else 'FAILED'} in {seconds_text(report.seconds)}; report: {path}")
    if failure is not None:
        raise failure


def _list(home: Path, keys: tuple[HmacKey, ...], as_json: bool) -> None:
    reports = kept(home, keys)
    last = {str(each.report.get("drill")): each for each in reports}
    if as_json:
        emit(
            {
                "drills": [
                    {"name": d.name, "purpose": d.purpose, "every": d.every, "last": _last(last.get(d.name))}
                    for d in DRILLS.values()
                ],
                "reports": [{**each.report, "path": str(each.path), "genuine": each.genuine} for each in reports],
            }
        )
        return
    rows = []
    for each in DRILLS.values():
        found = last.get(each.name)
        rows.append(
            (each.name, each.every, each.purpose, "never" if found is None else _words(found.report, found.genuine))
        )
    show(table("Drills", ("drill", "every", "shows that", "last"), rows))


def _last(found: object) -> object:
    report = getattr(found, "report", None)
    if report is None:
        return None
    return {
        "started": report.get("started"),
        "passed": report.get("passed"),
        "genuine": getattr(found, "genuine", False),
    }


def _words(report: dict[str, object], genuine: bool) -> str:
    if not genuine:
        return "its report was changed, or signed with another key"
    return f"{'passed' if report.get('passed') else 'FAILED'} {report.get('started')}"
