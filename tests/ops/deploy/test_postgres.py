"""What Compose gives its PostgreSQL (archive command, access rules, major version), tried on a real server."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from ops.backup.postgres import Server, ToolFailed, Tools
from ops.backup.restore import wal_folder
from ops.backup.scratch import check_archive, segments
from tests.ops.backup.books import open_home, settings
from tests.waiting import until
from titan.ledger_access import LOGINS, with_login
from titan.servers import Kind, Layout, PortBook, ServerProcess, find_binary, postgres
from titan.servers.unprivileged import server_user
from titan.store import set_up

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "ops" / "postgres"
PASSWORDS = {login: f"k-{login}" for login in LOGINS}


def test_the_tools_that_back_it_up_are_of_its_major_version() -> None:
    compose = (ROOT / "docker-compose.prod.yml").read_text()
    image = re.search(r"POSTGRES_IMAGE:-postgres:(\d+)", compose)
    data = re.search(r"PGDATA: /var/lib/postgresql/(\d+)/", compose)
    assert image is not None
    assert data is not None
    major = int(image[1])
    assert int(data[1]) == major
    assert find_binary(Kind.POSTGRES).version[0] == major, (
        "the wheel in requirements/run.lock is what the image of Titan has"
    )
    assert (Tools.for_major(major).folder / "pg_basebackup").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="the scripts are laid where the server's own user reaches them")
async def test_the_server_of_compose_archives_its_log_and_lets_only_the_backup_copy_it(tmp_path: Path) -> None:
    user = server_user()
    with open_home() as home:
        scripts, archive = home / "etc", home / "archive"
        scripts.mkdir(mode=0o755)
        archive.mkdir()
        if user.uid is not None and user.gid is not None:
            os.chown(archive, user.uid, user.gid)
        for name in ("archive.sh", "pg_hba.conf"):
            (scripts / name).write_text((FOLDER / name).read_text())
            (scripts / name).chmod(0o644)
        layout = Layout.of(home)
        built = await asyncio.to_thread(postgres.build, layout, PortBook(layout.run))
        command = f"TITAN_ARCHIVE={archive} /bin/sh {scripts}/archive.sh %p %f"
        extra = ("-c", f"archive_command={command}", "-c", f"hba_file={scripts}/pg_hba.conf")
        process = await ServerProcess.start(replace(built.spec, argv=(*built.spec.argv, *extra)))
        try:
            await set_up(built.dsn, PASSWORDS, dt.datetime.now(dt.UTC))
            owner = await asyncpg.connect(built.dsn)
            system_id = str(await owner.fetchval("SELECT system_identifier FROM pg_control_system()"))
            backup = Server.of(with_login(built.dsn, "titan_backup", PASSWORDS["backup"]))
            tools = Tools.for_major(find_binary(Kind.POSTGRES).version[0])
            copy = ("--wal-method=stream", "--checkpoint=fast", "--no-password")
            await asyncio.to_thread(tools.run, "pg_basebackup", f"--pgdata={tmp_path / 'copy'}", *copy, server=backup)
            with pytest.raises(ToolFailed, match="entry for replication"):
                tools.run("pg_basebackup", f"--pgdata={tmp_path / 'other'}", *copy, server=Server.of(built.dsn))
            await owner.execute("SELECT pg_switch_wal()")

            async def archived() -> int:
                return int(await owner.fetchval("SELECT archived_count FROM pg_stat_archiver"))

            await until(archived)
            assert await owner.fetchval("SELECT failed_count FROM pg_stat_archiver") == 0
            found = segments(archive / system_id)
            assert check_archive(archive / system_id, found[0].name.removesuffix(".gz")) == len(found)
            await owner.close()
        finally:
            await process.stop()
        assert wal_folder(home, settings(TITAN_WAL_ARCHIVE=str(archive)), system_id) == archive / system_id


def test_a_segment_that_stands_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "global").mkdir()
    (tmp_path / "global" / "pg_control").write_bytes((7).to_bytes(8, "little"))
    segment = tmp_path / "segment"

    def keep(content: bytes) -> int:
        segment.write_bytes(content)
        return subprocess.run(
            ["/bin/sh", FOLDER / "archive.sh", segment, "000000010000000000000001"],
            cwd=tmp_path, env={"PATH": os.environ["PATH"], "TITAN_ARCHIVE": str(tmp_path)}, check=False,
        ).returncode  # fmt: skip

    assert [keep(b"a"), keep(b"a")] == [0, 0]
    assert keep(b"b") != 0
    assert [path.name for path in (tmp_path / "7").iterdir()] == ["000000010000000000000001.gz"]
