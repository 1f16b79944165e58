"""init: at most twelve questions, then an `.env` with mode 0600 and the next command."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Annotated

import typer

from ops.cli.control import Json
from ops.cli.output import console, emit
from titan.errors import ConfigError
from titan.settings import load_settings


def init(
    file: Annotated[Path, typer.Option("--file", help="where to write")] = Path(".env"),
    yes: Annotated[bool, typer.Option("--yes", help="take every default, ask nothing")] = False,
    force: Annotated[bool, typer.Option("--force", help="replace an existing file")] = False,
    as_json: Json = False,
) -> None:
    """Ask what a start needs, write .env (mode 0600), say the next command. Example: titan init."""
    if file.exists() and not force:
        raise ConfigError(f"{file} exists; edit it, or replace it with: titan init --force")

    def ask(name: str, question: str, default: str, *, hidden: bool = False) -> None:
        answer = (
            default if yes else str(typer.prompt(question, default=default, hide_input=hidden, show_default=not hidden))
        )
        if answer.strip():
            values[name] = answer.strip()

    values: dict[str, str] = {}
    ask("TITAN_PROFILE", "profile (paper or live)", "paper")
    live = values["TITAN_PROFILE"] == "live"
    ask("TITAN_HOME", "home of journal, data and logs", ".titan")
    ask("TITAN_ROUTER_CPU", "core of the router (auto, off or a number)", "auto")
    ask("TITAN_LOG_LEVEL", "log level", "INFO")
    if live:
        ask("BYBIT_API_KEY", "Bybit API key", "")
        ask("BYBIT_API_SECRET", "Bybit API secret", "", hidden=True)
        ask("NATS_URL", "NATS address", "nats://127.0.0.1:4222")
        ask("TITAN_DB_URL", "PostgreSQL address", "postgresql://titan@127.0.0.1:5432/titan")
        ask("TITAN_DB_PASSWORD", "PostgreSQL password", "", hidden=True)
        ask("REDIS_URL", "Redis address (optional)", "")
        values["HMAC_SECRET"] = secrets.token_hex(32)
    else:
        ask("TITAN_FEED", "feed (auto, synthetic:SEED, replay:PATH or live)", "auto")
        ask("TITAN_DASHBOARD", "Ray dashboard (true or false)", "true")
    load_settings(values, Path(os.devnull))
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.fchmod(descriptor, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write("".join(f"{name}={value}\n" for name, value in values.items()))
    if as_json:
        emit({"file": str(file), "names": sorted(values)})
        return
    console.print(f"wrote {file} (mode 0600). Next: titan doctor, then titan up", markup=False)
