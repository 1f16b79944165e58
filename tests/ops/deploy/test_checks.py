"""Every check of the deployment files passes on this tree and fails on a broken one."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ops.build import deployment, lint, sbom, secrets_scan
from ops.build.tools import find

ROOT = Path(__file__).parents[3]
TREE = ("Dockerfile", "docker-compose.prod.yml", "ray_cluster.yaml", "ops", ".github")
needs = {
    "compose": pytest.mark.skipif(
        find("docker-compose") is None, reason="docker-compose is not here: ops/build/tools.py"
    ),
    "images": pytest.mark.skipif(find("hadolint") is None, reason="hadolint is not here: ops/build/tools.py"),
    "scripts": pytest.mark.skipif(find("shellcheck") is None, reason="shellcheck is not here: ops/build/tools.py"),
    "traefik": pytest.mark.skipif(find("traefik") is None, reason="traefik is not here: ops/build/tools.py"),
    "units": pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here"),
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the deployment files, to break."""
    for name in TREE:
        source, target = ROOT / name, tmp_path / name
        if source.is_dir():
            keep = shutil.ignore_patterns("__pycache__", "*.py", "requirements", "bench", "cli", "backup", "chaos")
            shutil.copytree(source, target, ignore=keep)
        else:
            shutil.copy(source, target)
    return tmp_path


@pytest.mark.parametrize("name", deployment.CHECKS)
def test_this_tree_passes(name: str) -> None:
    passed, words = deployment.CHECKS[name]()
    assert passed, words


def test_every_check_is_a_linter_of_the_house() -> None:
    assert set(deployment.CHECKS) <= set(lint.CHECKS)
    assert {"secrets", "sbom"} <= set(lint.CHECKS)


BREAKS: list[tuple[str, str, str, str, str]] = [
    ("compose", "docker-compose.prod.yml", "    networks: [bus, watch]", "    netwoks: [bus, watch]", "netwoks"),
    ("compose", "docker-compose.prod.yml", "{titan-core: {condition", "{nowhere: {condition", "nowhere"),
    ("compose", "docker-compose.prod.yml", '"127.0.0.1:3000:3000"', '"3000:3000"', "grafana: port 3000 is public"),
    ("compose", "docker-compose.prod.yml", 'max-size: "10m"', 'max-size: "1g"', "does not rotate"),
    ("compose", "docker-compose.prod.yml", "  cap_drop: [ALL]\n", "", "keeps capabilities"),
    ("compose", "docker-compose.prod.yml", "    mem_limit: 1g\n", "", "titan-postgres: it has no memory limit"),
    ("compose", "docker-compose.prod.yml", "mem_limit: 1300m", "mem_limit: 9g", "memory limits sum"),
    (
        "compose",
        "docker-compose.prod.yml",
        '["nats:/data"',
        '["/var/run/docker.sock:/s", "nats:/data"',
        "engine's socket",
    ),
    ("compose", "ops/compose/env.prod.example", "HMAC_SECRET=__CHANGE_ME__\n", "", "HMAC_SECRET"),
    ("compose", "ops/compose/minimal.yml", "2200m", "3900m", "minimal: memory limits sum"),
    ("images", "Dockerfile", "USER 1001:1001", "USER root", "ends as root"),
    ("images", "Dockerfile", "python:3.11.14-slim-bookworm", "python:latest", "no fixed tag"),
    ("images", "Dockerfile", "WORKDIR /app", "WORKDIR app", "DL3000"),
    ("images", "docker-compose.prod.yml", "postgres:18.1-bookworm", "postgres", "postgres has no fixed tag"),
    ("scripts", "ops/scripts/compose.sh", 'cd "$root"', "cd $root", "SC2086"),
    ("units", "ops/systemd/titan.service", "Type=oneshot", "Type=twoshot", "twoshot"),
    ("units", "ops/systemd/titan-guardian.service", "Restart=always", "Restrat=always", "Restrat"),
    ("bus", "ops/nats/nats.conf", "max_payload: 1MB", "max_payload: {", ""),
    ("bus", "ops/nats/nats.conf", "listen: 0.0.0.0:4222", "listen: 0.0.0.0:many", ""),
    ("cluster", "ray_cluster.yaml", "cluster_name: titan", "cluster_nam: titan", "cluster_nam"),
    ("cluster", "ray_cluster.yaml", "titan_scavenger: 1", "titan_other: 1", "no node type offers titan_scavenger"),
    ("traefik", "ops/traefik/dynamic/titan.yml", "Method(`GET`)", "Methd(`GET`)", "router health@file is disabled"),
    ("traefik", "ops/traefik/dynamic/titan.yml", "[strict-limit@file]", "[no-limit@file]", "no-limit"),
    (
        "workflow",
        ".github/workflows/ci.yml",
        "contents: read\nconc",
        "contents: write\nconc",
        "must be `contents: read`",
    ),
    ("workflow", ".github/workflows/ci.yml", "@11bd71901bbe5b1630ceea73d27597364c9af683", "@v4", "not pinned"),
    ("workflow", ".github/workflows/ci.yml", "bash .ci/run", "bash ops/scripts/deploy_prod.sh", "it deploys"),
]


@pytest.mark.parametrize(
    ("check", "path", "before", "after", "why"),
    [pytest.param(*each, marks=needs.get(each[0], ()), id=f"{each[0]}-{n}") for n, each in enumerate(BREAKS)],
)
def test_a_broken_file_fails_its_check(tree: Path, check: str, path: str, before: str, after: str, why: str) -> None:
    text = (tree / path).read_text()
    assert before in text, f"{path} no longer says {before!r}: break something else"
    (tree / path).write_text(text.replace(before, after))
    passed, words = getattr(deployment, check)(tree)
    assert not passed
    assert why in words


@pytest.mark.skipif(find("zizmor") is None, reason="zizmor is not here: ops/build/tools.py")
def test_a_workflow_that_runs_what_a_stranger_wrote_is_found(tree: Path) -> None:
    path = tree / ".github" / "workflows" / "ci.yml"
    path.write_text(path.read_text().replace("bash .ci/run", "echo ${{ github.head_ref }}"))
    passed, words = deployment.workflow(tree)
    assert not passed
    assert "template-injection" in words


def test_a_stale_bus_configuration_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.nats.render.conf", lambda: "something else")
    passed, words = deployment.bus()
    assert not passed
    assert "stale" in words


@pytest.mark.parametrize(
    "line",
    [
        "-----BEGIN " + "RSA PRIVATE KEY-----",
        "aws = " + "AKIA" + "IOSFODNN7EXAMPLE",
        "push with " + "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4",
        "HMAC_SECRET=" + "9f8e7d6c5b4a39281706f5e4d3c2b1a0",
        "password: '" + "Zk3vQ9xT7mB2nR8wL5pC" + "'",
    ],
)
def test_a_secret_is_found_and_not_repeated(tmp_path: Path, line: str) -> None:
    (tmp_path / "config.txt").write_text(f"first line\n{line}\n")
    (finding,) = secrets_scan.scan([tmp_path / "config.txt"], tmp_path)
    assert finding.startswith("config.txt:2: ")
    assert line.split()[-1].strip("'") not in finding


@pytest.mark.parametrize(
    "line",
    [
        "password = settings.db_password",
        "HMAC_SECRET=__CHANGE_ME__",
        "token: str = ''",
        "secret = make_fresh_secret_for_tests",
    ],
)
def test_what_is_no_secret_is_let_through(line: str) -> None:
    assert list(secrets_scan.kinds_in(line)) == []


def test_a_persons_decision_is_respected() -> None:
    line = "API_KEY=" + "9f8e7d6c5b4a39281706f5e4d3c2b1a0"
    assert list(secrets_scan.kinds_in(line)) != []
    assert list(secrets_scan.kinds_in(f"{line}  # {secrets_scan.MARK}")) == []


def test_the_bill_of_materials_names_every_package_with_its_hashes() -> None:
    parts = {part["name"]: part for part in sbom.bill()["components"]}  # type: ignore[attr-defined]
    wanted = re.findall(r"^([A-Za-z0-9._-]+)==", (ROOT / "requirements" / "run.lock").read_text(), re.MULTILINE)
    assert {name.lower().replace("_", "-") for name in wanted} <= set(parts)
    assert all(part["hashes"] for part in parts.values())


@pytest.mark.parametrize("lock", ["loose>=1.0\n", "nohash==1.0\n"])
def test_a_package_that_is_not_pinned_is_an_error(lock: str) -> None:
    with pytest.raises(sbom.Unpinned, match=re.escape(lock.strip().split("\n")[0])):
        sbom.components(lock)


def test_an_unknown_check_is_refused() -> None:
    command = [".venv/bin/python", "-m", "ops.build.deployment", "nothing"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, "no check named nothing" in done.stdout) == (4, True)


def test_a_tool_that_is_not_here_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    absent: Callable[[str], Path | None] = lambda _: None  # noqa: E731 - a stand-in of one line
    monkeypatch.setattr(deployment, "find", absent)
    for check in (deployment.compose, deployment.images, deployment.scripts, deployment.traefik):
        assert check()[1].startswith("skipped: ")
