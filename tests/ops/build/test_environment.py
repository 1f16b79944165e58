"""What a newcomer reads when set-up can't go on: one line with the cause and what to do."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ops.build import environment
from ops.build.environment import SetupError

UNREACHABLE = """\
WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError('Failed to establish a new connection')'
ERROR: Could not find a version that satisfies the requirement aiohttp==3.14.5 (from versions: none)
ERROR: No matching distribution found for aiohttp==3.14.5
"""
ABSENT = """\
ERROR: Could not find a version that satisfies the requirement coincurve==21.0.0 (from versions: none)
ERROR: No matching distribution found for coincurve==21.0.0
"""
TAMPERED = """\
ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.
    aiohttp==3.14.5: Expected sha256 00, Got 11
"""
FULL = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n"
STRANGE = "something\nERROR: the moon is in the wrong phase\n"


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (UNREACHABLE, r"no package index answers: check the network"),
        (ABSENT, r"no ready-built package for this machine or this Python: .*coincurve==21\.0\.0"),
        (TAMPERED, r"not the one that the lock file pins, nothing was installed from it"),
        (FULL, r"the disk of \S+ is full: make room"),
        (STRANGE, r"pip failed: ERROR: the moon is in the wrong phase"),
    ],
    ids=["unreachable", "absent", "tampered", "full disk", "anything else"],
)
def test_a_failure_of_pip_comes_down_to_one_line(said: str, line: str) -> None:
    told = environment._explain(said, "pip failed")
    assert re.search(line, told)
    assert "\n" not in told


def test_a_nearly_full_disk_is_refused_before_anything_is_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(environment, "PYTHON", tmp_path / "no" / "python")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": 300_000_000})())
    with pytest.raises(SetupError, match=r"0\.3 GB free on the disk of .*, 1\.5 GB needed: make room"):
        environment._check_disk("run")


def test_a_python_without_venv_is_named_with_the_package_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        SetupError, match=r"has no venv module: install it \(Debian and Ubuntu: apt install python3-venv\)"
    ):
        environment._make_venv()


def test_an_unsupported_python_is_told_which_ones_are(tmp_path: Path) -> None:
    script = Path(environment.__file__).with_name("bootstrap.py")
    code = (
        "import runpy, sys; sys.version_info = (3, 9, 1); sys.argv = ['bootstrap.py']; "
        f"runpy.run_path({str(script)!r}, run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={"PATH": str(tmp_path)}
    )
    assert done.returncode == 4
    assert re.fullmatch(r"titan: Python 3\.11, 3\.12 or 3\.13 is needed; \S+ is 3\.9 and no other .*\n", done.stderr)


def test_progress_tells_how_far_pip_is(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("Collecting aiohttp==3.14.5\n  Downloading aiohttp.whl\nCollecting ccxt==4.5.90\n")
    assert environment._progress(log) == "2 fetched, now ccxt"
    log.write_text("Installing collected packages: aiohttp, ccxt\n")
    assert environment._progress(log) == "unpacking"
