"""bench: measures of speed and size, with their targets."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import Annotated

import typer

from ops.bench import BENCHES, Options, Report, Row
from ops.bench.machine import commit, load, machine
from ops.cli.client import NotFound
from ops.cli.control import Json
from ops.cli.output import console, emit, show, table


def number(value: float) -> str:
    """A measured value with the digits that mean something."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.3g}"


def result(bench: str, row: Row) -> dict[str, object]:
    """One row as scripts read it."""
    values: dict[str, object] = {
        "bench": bench,
        "metric": row.metric,
        "unit": row.unit,
        "p50": round(row.p50, 3),
        "p99": round(row.p99, 3),
        "max": round(row.max, 3),
        "n": row.n,
    }
    if row.target is not None:
        values |= {"target": row.target_text, "verdict": row.verdict}
    return values


def summary(name: str, reports: Sequence[Report]) -> dict[str, object]:
    """The object that `--json` prints."""
    results = [result(report.name, row) for report in reports for row in report.rows]
    return {"name": name, "machine": machine(), "commit": commit(), "load": round(load(), 2), "results": results}


def render(report: Report) -> None:
    """Prints one report for a person."""
    style = {"met": "[green]met[/]", "missed": "[red]missed[/]", "": ""}
    rows = [
        (
            row.metric,
            row.unit,
            number(row.p50),
            number(row.p99),
            number(row.max),
            f"{row.n:,}",
            row.target_text,
            style[row.verdict],
        )
        for row in report.rows
    ]
    columns = ("measure", "unit", "p50#", "p99#", "max#", "n#", "target", "verdict")
    show(table(report.name, columns, rows, caption="\n".join(report.notes)))


def _interrupt(_number: int, _frame: object) -> None:
    """Benches start processes: SIGTERM must unwind as Ctrl-C does, so that they are stopped."""
    raise KeyboardInterrupt


def bench(
    name: Annotated[str, typer.Argument(help="one bench; empty runs all of them")] = "",
    seconds: Annotated[float, typer.Option("--seconds", min=0.1, help="how long each timed part lasts")] = 10.0,
    repeat: Annotated[int, typer.Option("--repeat", min=1, help="samples where each is costly, like kills")] = 3,
    as_json: Json = False,
) -> None:
    """Measure speed and size on this machine, against their targets. Example: titan bench order-path --seconds 5."""
    if name and name not in BENCHES:
        raise NotFound(f"no bench named {name!r}; there are {', '.join(BENCHES)}")
    signal.signal(signal.SIGTERM, _interrupt)
    chosen = [name] if name else list(BENCHES)
    if not as_json:
        console.print(f"{machine()}; commit {commit() or 'unknown'}; load {load():.2f}", markup=False, soft_wrap=True)
    reports = []
    for each in chosen:
        if not as_json:
            console.print(f"{each}: {BENCHES[each].measures}", markup=False, soft_wrap=True)
        report = BENCHES[each].run(Options(seconds, repeat))
        reports.append(report)
        if not as_json:
            render(report)
    if as_json:
        emit(summary(name or "all", reports))
