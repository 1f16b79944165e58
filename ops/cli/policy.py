"""policy show, hash, check: the one file of limits, and whether everybody enforces the same one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ops.cli.client import connect
from ops.cli.control import Home, Json
from ops.cli.output import console, emit, show, table
from ops.cli.plan import policy_file
from protos import control_pb2 as pb
from titan.errors import ExitCode
from titan.policy import load_policy
from titan.settings import load_settings

app = typer.Typer(help="The risk policy: show it, hash it, check that every part enforces it.", no_args_is_help=True)
File = Annotated[Path | None, typer.Option("--file", help="a policy file; the configured one by default")]


def _path(file: Path | None) -> Path:
    return policy_file(load_settings().policy if file is None else file)


@app.command("show")
def show_policy(file: File = None, as_json: Json = False) -> None:
    """Every limit of the policy. Example: titan policy show."""
    path = _path(file)
    policy = load_policy(path)
    values = json.loads(policy.canonical_text)
    if as_json:
        emit({"policy": values, "hash": policy.hash, "file": str(path)})
        return
    rows = [(name, ", ".join(value) if isinstance(value, list) else str(value)) for name, value in values.items()]
    show(table(f"Risk policy {policy.hash[:12]}", ("limit", "value#"), rows, str(path)))


@app.command("hash")
def hash_policy(file: File = None, as_json: Json = False) -> None:
    """The SHA-256 of the policy's canonical form (RFC 8785). Example: titan policy hash."""
    path = _path(file)
    digest = load_policy(path).hash
    if as_json:
        emit({"hash": digest, "file": str(path)})
    else:
        console.print(digest)


@app.command("check")
def check_policy(file: File = None, home: Home = None, as_json: Json = False) -> None:
    """Compare the file with what brain and router enforce now. Exit 6 when they differ. Example: titan policy check."""
    digest = load_policy(_path(file)).hash
    with connect(home) as client:
        answer = client.call(client.stub.GetPolicy, pb.GetPolicyRequest())
    hashes = {"file": digest, "brain": answer.brain_policy_hash, "router": answer.router_policy_hash}
    heard = {value for value in hashes.values() if value}
    equal = len(heard) == 1
    if as_json:
        emit({**hashes, "equal": equal})
    else:
        rows = [(name, value or "not heard yet") for name, value in hashes.items()]
        show(table("Policy hashes", ("where", "hash"), rows, "equal" if equal else "they differ: openings are refused"))
    if not equal:
        raise typer.Exit(ExitCode.REFUSED)
