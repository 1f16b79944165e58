"""A program of a package that is unpacked and not installed finds the files that came with it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ops.build import tools

NAME = tools.READS_SHARED[0]


@pytest.fixture
def unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tools, "TOOLS", tmp_path)
    folder = tmp_path / "debian"
    for inside in ("usr/bin", "usr/share/prometheus"):
        (folder / inside).mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    (folder / "usr/share/prometheus/words").write_text("beside me")
    return folder


def put(unpacked: Path, code: str) -> None:
    program = unpacked / "usr/bin/program"
    program.write_text(code)
    program.chmod(0o755)


def said(name: str) -> str:
    return subprocess.run([tools.TOOLS / "bin" / name], capture_output=True, text=True, check=True, cwd="/").stdout


def test_one_that_reads_shared_files_reads_those_that_lie_beside_it(unpacked: Path) -> None:
    put(unpacked, '#!/bin/sh\ncat /usr/share/prometheus/words; echo " $$"\n')
    tools._place(NAME, unpacked, "usr/bin/program")
    assert said(NAME).startswith("beside me ")
    assert "/usr/share/prometheus/words" in (unpacked / "usr/bin/program").read_text(), "what was signed stays as it is"
    # A second turn, as after an update, replaces the first.
    (unpacked / "usr/share/prometheus/words").write_text("anew")
    tools._place(NAME, unpacked, "usr/bin/program")
    assert said(NAME).startswith("anew ")


def test_every_other_one_is_linked_as_it_came(unpacked: Path) -> None:
    put(unpacked, "#!/bin/sh\necho plain\n")
    for name in (NAME, "amtool"):
        tools._place(name, unpacked, "usr/bin/program")
        assert (tools.TOOLS / "bin" / name).is_symlink()
        assert said(name) == "plain\n"


def test_the_other_path_is_as_long_as_the_first() -> None:
    assert len(tools.SHARED) == len(tools.BESIDE)
