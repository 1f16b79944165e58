"""Where the embedded servers keep things under TITAN_HOME.

Guarantees: `run/` (ports, pids, configuration), `run/secrets/` (both 0700), `data/<name>/` and `logs/<name>.log` exist
before a server starts; a file is replaced in one step or not at all. Never: a secret in a world-readable file.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from titan.files import private_dir, write_private

LOG_KEEP_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of one TITAN_HOME. `home` is absolute."""

    home: Path

    @classmethod
    def of(cls, home: Path | str) -> Layout:
        """The layout under `home`, with its directories made."""
        layout = cls(Path(home).expanduser().absolute())
        for path in (layout.home, layout.data):
            path.mkdir(parents=True, exist_ok=True)
        for path in (layout.run, layout.secrets, layout.logs):
            private_dir(path)
        return layout

    @property
    def run(self) -> Path:
        """Ports, pid files, locks and generated configuration."""
        return self.home / "run"

    @property
    def data(self) -> Path:
        """One directory a server."""
        return self.home / "data"

    @property
    def logs(self) -> Path:
        """One file a server."""
        return self.home / "logs"

    @property
    def secrets(self) -> Path:
        """Passwords made on first use."""
        return self.run / "secrets"

    def log_file(self, name: str) -> Path:
        """The log of a server; the previous one is set aside as `.1` once it has grown past 8 MiB."""
        path = self.logs / f"{name}.log"
        if path.exists() and path.stat().st_size > LOG_KEEP_BYTES:
            path.replace(path.with_suffix(".log.1"))
        return path

    def secret(self, name: str) -> tuple[str, bool]:
        """The secret of that name and whether it was made just now (48 hexadecimal digits)."""
        path = self.secrets / name
        try:
            value = path.read_text().strip()
            if value:
                return value, False
        except FileNotFoundError:
            pass
        value = secrets.token_hex(24)
        write_private(path, value + "\n")
        return value, True
