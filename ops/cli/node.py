"""node: one more Ray node of a running Titan, for the actors of some roles."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from ops.cli.client import home_of
from ops.cli.control import Home
from supervisors.ray_join import roles_of
from supervisors.ray_node import CHECKOUT


def node(
    roles: Annotated[str, typer.Argument(help="comma-separated: brain, execution, scavenger")],
    home: Home = None,
) -> None:
    """Join the Titan of this home with a Ray node for some roles, until it or the node ends. Example: titan node brain."""
    roles_of(roles)
    where = home_of(home)
    os.chdir(CHECKOUT)
    # In place: a container engine or an init system watches this very process.
    command = [sys.executable, "-m", "supervisors.ray_join", "--home", str(where), "--roles", roles]
    os.execv(sys.executable, command)
