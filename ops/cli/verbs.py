"""Assembles the verbs, turns every error into one sentence and an exit code."""

from __future__ import annotations

import typer

import titan
from ops.cli import (
    backup,
    bench,
    chaos,
    control,
    doctor,
    drill,
    init,
    journal,
    ledger,
    node,
    order,
    policy,
    simulate,
    soak,
    status,
    tables,
    top,
    up,
)
from ops.cli.output import fail
from titan.errors import ExitCode, TitanError

app = typer.Typer(
    name="titan",
    help="Titan: a supervised, actor-based crypto trading system. No order lost, none doubled.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(titan.__version__)
        raise typer.Exit


@app.callback()
def main_options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="print the version"),
) -> None:
    """Titan: a supervised, actor-based crypto trading system. No order lost, none doubled."""


for verb in (
    up.up,
    up.down,
    node.node,
    status.status,
    top.top,
    status.logs,
    control.restart,
    control.arm,
    control.disarm,
    control.reduce,
    control.halt,
    control.resume,
    control.flatten,
    tables.positions,
    tables.orders,
    tables.trades,
    tables.equity,
    tables.intents,
    tables.decisions,
    tables.reconcile,
    backup.backup,
    backup.restore,
    backup.retention,
    drill.drill,
    doctor.doctor,
    init.init,
    bench.bench,
    chaos.chaos,
    simulate.simulate,
    soak.soak,
):
    app.command()(verb)
app.add_typer(policy.app, name="policy")
app.add_typer(journal.app, name="journal")
app.add_typer(order.app, name="order")
app.add_typer(ledger.app, name="ledger")


def run() -> int:
    """Runs the command; its exit code."""
    try:
        code = app(standalone_mode=False)
    except typer.Abort:
        fail("interrupted")
        code = ExitCode.FAILED
    except typer.TyperException as error:
        if error.format_message():
            fail(f"{error.format_message().rstrip('.')}; try: titan --help")
        code = ExitCode.BAD_CONFIG
    except TitanError as error:
        fail(str(error))
        code = error.exit_code
    except OSError as error:
        # A home that can't be written, a full disk: the machine's answer, not a defect with a traceback.
        fail(f"{error.filename or 'the machine'}: {error.strerror or error}; check TITAN_HOME, its owner and its disk")
        code = ExitCode.FAILED
    return int(code or 0)
