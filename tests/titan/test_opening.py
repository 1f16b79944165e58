"""What `subscribe_any` knows: every message that may travel on the bus, whoever else imported its module."""

from __future__ import annotations

import subprocess
import sys


def test_every_event_of_the_contracts_is_known_in_a_process_that_imports_only_the_bus() -> None:
    names = (
        "titan.v1.PhasePosture",
        "titan.v1.PhaseDiagnostics",
        "titan.v1.Decision",
        "titan.v1.Fill",
        "titan.v1.Alert",
        "titan.v1.VenueStatus",
    )
    script = (
        "import titan.bus\n"
        "from google.protobuf import symbol_database\n"
        f"print([symbol_database.Default().GetSymbol(name).DESCRIPTOR.full_name for name in {names!r}])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(list(names))
