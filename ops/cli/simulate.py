"""simulate: thousands of seeded worlds in virtual time, and whether the invariants held in them."""

from __future__ import annotations

from typing import Annotated

import typer

from ops.cli.control import Json
from ops.cli.output import console, emit, show, table
from simulation.campaign import Report, campaign, policy
from simulation.defects import DEFECTS
from simulation.plan import make_plan
from simulation.shrink import shrink


def render(report: Report) -> None:
    """Prints a campaign for a person."""
    half = (len(report.faults) + 1) // 2
    rows = [(kind, f"{count:,}") for kind, count in sorted(report.faults.items())]
    paired = [(*left, *right) for left, right in zip(rows[:half], [*rows[half:], ("", "")], strict=False)]
    show(table("faults injected", ("fault", "times#", "fault ", "times #"), paired))
    summary = report.summary()
    facts = [
        ("worlds", f"{report.seeds:,}"),
        ("events before the faults end", f"{report.steps:,} (at least {report.fewest_steps} a world)"),
        ("orders and fills at the venue", f"{report.orders:,} and {report.fills:,}"),
        ("order transitions seen", f"{summary['transitions_covered']} of {summary['transitions']}"),
        ("rare branches taken", f"{sum(report.branches.values()):,} times, {len(report.branches)} kinds"),
        ("slowest to come to rest", f"{report.slowest_rest_ms / 1000:.1f} s of virtual time"),
        ("violations", f"{report.violations:,} in {len(report.failures):,} worlds"),
        ("took", f"{report.seconds:.1f} s, {report.cpu_s:.1f} s of processor time"),
    ]
    show(table("campaign", ("what", "how much"), facts))
    for failure in report.failures[:10]:
        for invariant, text in failure.violations[:3]:
            console.print(f"seed {failure.seed}: {invariant}: {text}", markup=False, soft_wrap=True)


def explain(seed: int, steps: int) -> None:
    """Makes a failing seed smaller and shows what is left of its plan."""
    smaller = shrink(make_plan(seed, steps), policy())
    console.print(f"seed {seed} after {smaller.runs} runs: {len(smaller.plan.acts)} acts are enough", markup=False)
    for act in smaller.plan.acts:
        console.print(f"  {act}", markup=False)
    for each in smaller.outcome.violations:
        console.print(f"  {each.invariant.value}: {each.text}", markup=False, soft_wrap=True)


def simulate(
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="how many worlds")] = 1_000,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="replay this one world, smaller if it breaks")
    ] = None,
    first: Annotated[int, typer.Option("--first", min=0, help="the first seed of the campaign")] = 0,
    steps: Annotated[int, typer.Option("--steps", min=50, help="events a world lives before its faults end")] = 200,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="processes")] = 2,
    defect: Annotated[str, typer.Option("--defect", help="run on a deliberately broken build")] = "",
    as_json: Json = False,
) -> None:
    """Run the real cores in seeded worlds full of faults. Example: titan simulate --seeds 1000 --jobs 2."""
    if defect and defect not in DEFECTS:
        raise typer.BadParameter(f"no defect named {defect!r}; there are {', '.join(DEFECTS)}")
    wanted = range(first, first + seeds) if seed is None else (seed,)
    report = campaign(wanted, steps=steps, jobs=min(jobs, len(wanted)), defect=defect)
    if as_json:
        emit(report.summary())
    else:
        render(report)
        if seed is not None and report.failures and not defect:
            explain(seed, steps)
        elif report.failures:
            console.print(f"replay one with: titan simulate --seed {report.failing_seeds[0]} --steps {steps}")
    if report.violations:
        raise typer.Exit(1)
