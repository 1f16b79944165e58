"""Checks of the deployment files, each by the tool that will read them: compose, hadolint, shellcheck, systemd, Traefik, NATS, Ray.

Guarantees: a tool that is not here is a visible `skipped`, never a silent pass; every check takes the tree to look at, so that a
test can show it a broken one. Never: a container engine, a network, a secret.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from ops.build.tools import find

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = "docker-compose.prod.yml"
MINIMAL = "ops/compose/minimal.yml"
TLS = "ops/compose/tls.yml"
EXAMPLE = "ops/compose/env.prod.example"
DOCKERFILES = ("Dockerfile", "ops/nats/Dockerfile")
PUBLIC_PORTS = {"80", "443"}
LIMITS = {"full": 7_500, "minimal": 3_600}
"""Megabytes that all containers of a profile may take together, on 8 and on 4 GB."""
Outcome = tuple[bool, str]


def skipped(tool: str) -> Outcome:
    """What a check says whose tool is not to be had."""
    return True, f"skipped: {tool} is not here; fetch it with ops/build/tools.py"


def run(*command: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> Outcome:
    """Whether a tool was content, and its words."""
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=cwd, env=env, stdin=subprocess.DEVNULL, timeout=120
    )
    return done.returncode == 0, (done.stdout + done.stderr).strip()


def verdict(problems: list[str]) -> Outcome:
    """Content when there is no problem."""
    return not problems, "\n".join(problems)


def resolved(root: Path, *files: str) -> dict[str, Any]:
    """What compose makes of the files with the example's environment. Raises ValueError with its words."""
    tool = find("docker-compose")
    assert tool is not None
    command: list[str | Path] = [tool, "--env-file", root / EXAMPLE]
    for name in files:
        command += ["-f", root / name]
    bare = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}
    content, words = run(*command, "config", "--format", "json", cwd=root, env=bare)
    if not content:
        raise ValueError(words)
    config: dict[str, Any] = json.loads(words[words.index("{") :])
    return config


def compose(root: Path = ROOT) -> Outcome:
    """Both profiles resolve, and every service is confined, limited, rotated and private."""
    if find("docker-compose") is None:
        return skipped("docker-compose")
    problems: list[str] = []
    for profile, files in (("full", (COMPOSE,)), ("minimal", (COMPOSE, MINIMAL)), ("full", (COMPOSE, TLS))):
        try:
            services = resolved(root, *files)["services"]
        except ValueError as error:
            return False, str(error)
        problems += [f"{profile}: {name}: {why}" for name, service in services.items() for why in unsafe(name, service)]
        total = sum(int(service.get("mem_limit", 0)) for service in services.values()) // 1024**2
        if total > LIMITS[profile]:
            problems.append(f"{profile}: memory limits sum to {total} MB, at most {LIMITS[profile]} fit the machine")
    return verdict(problems)


def unsafe(name: str, service: dict[str, Any]) -> list[str]:
    """What is wrong with one resolved service."""
    problems = []
    logging = service.get("logging", {})
    if logging.get("driver") != "json-file" or logging.get("options", {}).get("max-size") != "10m":
        problems.append("its log does not rotate at 10m")
    if not service.get("mem_limit"):
        problems.append("it has no memory limit")
    if not service.get("healthcheck"):
        problems.append("it has no health check")
    if not service.get("init"):
        problems.append("it has no init")
    if service.get("privileged") or "ALL" not in service.get("cap_drop", []):
        problems.append("it keeps capabilities")
    if service.get("network_mode") == "host":
        problems.append("it shares the host's network")
    problems += [
        f"port {port['published']} is public"
        for port in service.get("ports", [])
        if port.get("host_ip") != "127.0.0.1" and not (name == "traefik" and port["published"] in PUBLIC_PORTS)
    ]
    if any("docker.sock" in str(volume.get("source", "")) for volume in service.get("volumes", [])):
        problems.append("it holds the engine's socket")
    return problems


def images(root: Path = ROOT) -> Outcome:
    """Dockerfiles pass hadolint, end as a user who is not root, and no image is named `latest`."""
    tool = find("hadolint")
    problems = []
    for name in DOCKERFILES:
        text = (root / name).read_text()
        users = re.findall(r"^USER\s+(\S+)", text, re.MULTILINE)
        if not users or users[-1].split(":")[0] in {"0", "root"}:
            problems.append(f"{name}: it ends as root; end with a USER who is not")
        problems += [
            f"{name}: {image} has no fixed tag"
            for image in re.findall(r"^ARG \w+_IMAGE=(\S+)", text, re.MULTILINE)
            if not _tagged(image)
        ]
    text = (root / COMPOSE).read_text()
    problems += [
        f"{COMPOSE}: {image} has no fixed tag" for image in re.findall(r"_IMAGE:-([^}]+)\}", text) if not _tagged(image)
    ]
    if problems or tool is None:
        return skipped("hadolint") if not problems else verdict(problems)
    return run(tool, "--no-color", *(root / name for name in DOCKERFILES))


def _tagged(image: str) -> bool:
    tag = image.partition("@")[0].rpartition("/")[2].partition(":")[2]
    return bool(tag) and tag != "latest"


def scripts(root: Path = ROOT) -> Outcome:
    """Every shell script passes shellcheck."""
    tool = find("shellcheck")
    if tool is None:
        return skipped("shellcheck")
    found = [
        path for folder in ("ops", "scripts", ".ci") for path in sorted((root / folder).rglob("*")) if _is_shell(path)
    ]
    return (
        run(tool, "--color=never", "--external-sources", *found, cwd=root)
        if found
        else (False, "no shell script was found")
    )


def _is_shell(path: Path) -> bool:
    if not path.is_file() or path.is_symlink() or "__pycache__" in path.parts:
        return False
    with path.open("rb") as file:
        return re.match(rb"#!.*\b(ba)?sh\b", file.readline(200)) is not None


def units(root: Path = ROOT) -> Outcome:
    """systemd understands every unit: what they run is stood in for."""
    tool = shutil.which("systemd-analyze")
    if tool is None:
        return skipped("systemd-analyze")
    with tempfile.TemporaryDirectory(prefix="titan-units-") as scratch:
        folder = Path(scratch)
        (folder / "docker.service").write_text("[Service]\nExecStart=/bin/true\n")
        names = []
        for path in sorted((root / "ops" / "systemd").glob("*.service")):
            text = re.sub(r"/opt/titan/\S+(?= |$)", "/bin/true", path.read_text(), flags=re.MULTILINE)
            name = path.name.replace("@.", "@brain.")
            (folder / path.name).write_text(text)
            names.append(str(folder / name))
        env = {**os.environ, "SYSTEMD_UNIT_PATH": f"{folder}:"}
        content, words = run(tool, "verify", "--man=no", *names, env=env)
        # It warns without failing: a key that it does not know is a mistake all the same.
        complaints = [
            line for line in words.splitlines() if any(name in line for name in ("titan", "Unknown", "Failed"))
        ]
        return content and not complaints, "\n".join(complaints) or words


def bus(root: Path = ROOT) -> Outcome:
    """The generated configuration is what the registry says, and the server accepts it."""
    from ops.nats import render
    from titan.errors import TitanError
    from titan.servers.binaries import Kind, find_binary

    path = root / "ops" / "nats" / "nats.conf"
    fresh = path.read_text() == render.conf() and render.TLS_CONF.read_text() == render.tls()
    if root == ROOT and not fresh:
        return False, "ops/nats/nats.conf or nats-tls.conf is stale. Run: .venv/bin/python ops/nats/render.py"
    try:
        server = find_binary(Kind.NATS).path
    except TitanError:
        return skipped("nats-server")
    with tempfile.TemporaryDirectory(prefix="titan-nats-") as scratch:
        text = path.read_text().replace("store_dir: /data", f"store_dir: {json.dumps(scratch)}")
        conf = Path(scratch) / "nats.conf"
        conf.write_text(text)
        names = re.findall(r"\$(NATS_\w+)", text)
        return run(
            server, "-t", "-c", conf, env={"PATH": "/usr/bin:/bin", **{name: f"k{name.lower()}" for name in names}}
        )


def cluster(root: Path = ROOT) -> Outcome:
    """Ray's own schema accepts `ray_cluster.yaml`, and every role of the tree has a node type."""
    import jsonschema
    from ray import autoscaler

    from supervisors.tree import CORE_ROLE, NODE_ROLES, resource_of

    here = Path(autoscaler.__file__).parent
    config = yaml.safe_load((root / "ray_cluster.yaml").read_text())
    try:
        jsonschema.validate(config, json.loads((here / "ray-schema.json").read_text()))
    except jsonschema.ValidationError as error:
        return False, error.message
    offered = {name for node in config["available_node_types"].values() for name in node["resources"]}
    missing = [role for role in (CORE_ROLE, *NODE_ROLES) if resource_of(role) not in offered]
    return verdict([f"ray_cluster.yaml: no node type offers {resource_of(role)}" for role in missing])


def workflow(root: Path = ROOT) -> Outcome:
    """Workflows parse, act with read rights unless they say why, pin every action by its commit, deploy nothing, and pass zizmor."""
    problems = []
    for path in sorted((root / ".github" / "workflows").glob("*.yml")):
        text = path.read_text()
        parsed = yaml.safe_load(text)
        if parsed.get("permissions") not in ({"contents": "read"}, {}):
            problems.append(f"{path.name}: the workflow's own rights must be `contents: read`")
        problems += [
            f"{path.name}: {used} is not pinned by its commit"
            for used in re.findall(r"uses:\s*(\S+)", text)
            if not used.startswith("./") and not re.search(r"@[0-9a-f]{40}$", used)
        ]
        if re.search(r"deploy_prod|\bssh \S+@|docker push", text):
            problems.append(f"{path.name}: it deploys; a person does that")
        if "continue-on-error" in text:
            problems.append(f"{path.name}: a gate that may fail is no gate")
    tool = find("zizmor")
    if problems or tool is None:
        return skipped("zizmor") if not problems else verdict(problems)
    return run(tool, "--offline", "--no-progress", "--color=never", root / ".github" / "workflows")


@contextmanager
def edge(root: Path = ROOT, backend: str = "http://127.0.0.1:9") -> Iterator[Any]:
    """A real Traefik on loopback with the edge's configuration; its own moment is in `ops.build.edge`."""
    from ops.build.edge import started

    with started(root, backend) as running:
        yield running


def traefik(root: Path = ROOT) -> Outcome:
    """A real Traefik takes the configuration: every router and middleware enabled, every entry point there."""
    if find("traefik") is None:
        return skipped("traefik")
    with edge(root) as running:
        return verdict(running.problems())


CHECKS: dict[str, Callable[[], Outcome]] = {
    "compose": compose,
    "images": images,
    "scripts": scripts,
    "units": units,
    "bus": bus,
    "cluster": cluster,
    "traefik": traefik,
    "workflow": workflow,
}


def main(names: list[str]) -> int:
    """Runs the named checks, or all; exit code 1 when one fails, 4 for an unknown name."""
    unknown = [name for name in names if name not in CHECKS]
    if unknown:
        print(f"no check named {', '.join(unknown)}; there are {', '.join(CHECKS)}")
        return 4
    outcomes = [CHECKS[name]() for name in names or CHECKS]
    print("\n".join(words for _, words in outcomes if words))
    return 0 if all(passed for passed, _ in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
