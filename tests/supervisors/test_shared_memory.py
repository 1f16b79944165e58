"""What a /dev/shm that is too small, or fills up, does to Titan: nothing."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from supervisors.ray_node import OBJECT_STORE_BYTES
from supervisors.state import Stage
from tests.supervisors.guarded import STOP_S, make_home, spawn, stage, until_stage
from tests.supervisors.live import left_of, until_all_ready
from titan.errors import ExitCode

pytestmark = pytest.mark.e2e
OWN_SHM = 'mount -t tmpfs -o size={size} tmpfs /dev/shm && exec "$@"'


def own_shm(size: int) -> list[str]:
    """A command that runs another one in a mount namespace whose /dev/shm has `size` bytes; skips where that is not allowed."""
    if shutil.which("unshare") is None:
        pytest.skip("no unshare here: a /dev/shm of our own can't be made")
    command = ["unshare", "-m", "bash", "-c", OWN_SHM.format(size=size), "bash"]
    tried = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        pytest.skip(f"a /dev/shm of our own can't be mounted here: {tried.stderr.strip()}")
    return command


def write_for_ever(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1_000_000))


@pytest.mark.parametrize(
    "megabytes", [8, OBJECT_STORE_BYTES // 1_000_000 + 60], ids=["short from the start", "filled up later"]
)
def test_titan_needs_no_shared_memory_to_live_and_to_restart_an_actor(open_dir: Path, megabytes: int) -> None:
    before = own_shm(megabytes * 1_000_000)
    home = make_home(open_dir / f"shm{megabytes}")
    process = spawn(home, *before)
    until_stage(home, process, Stage.UP)
    seen = until_all_ready(home)
    fill = Path(f"/proc/{process.pid}/root/dev/shm/fill")
    with pytest.raises(OSError, match="No space left") as full:
        write_for_ever(fill)
    assert full.value.errno == errno.ENOSPC
    os.kill(seen["alpha"].pid, signal.SIGKILL)
    after = until_all_ready(home)
    while after["alpha"].pid == seen["alpha"].pid:
        after = until_all_ready(home)
    assert after["alpha"].restarts == seen["alpha"].restarts + 1
    assert stage(home) == Stage.UP
    process.send_signal(signal.SIGTERM)
    assert process.wait(STOP_S) == ExitCode.OK
    assert left_of(home) == []
