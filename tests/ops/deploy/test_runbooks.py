"""Every command of the deployment's pages can be typed: its script is there, its service exists, its verb and options are known."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml

from ops.cli.verbs import app

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs" / "operations"
PAGES = (
    DOCS / "deployment-standard.md",
    *(DOCS / "runbooks" / name for name in ("deploy.md", "rollback.md", "halt.md", "key_rotation.md")),
)
BLOCK = re.compile(r"^[ ]*```sh\n(.*?)^[ ]*```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:sudo |docker exec |ops/scripts/)[^`]+)`")
COMPOSE_VERBS = {"up", "ps", "logs", "stop", "restart", "config", "pull", "build", "exec", "down"}
OTHERS = {"curl", "nats", "pg_isready"}


def commands() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        text = page.read_text()
        lines = [line.strip() for block in BLOCK.findall(text) for line in block.splitlines() if line.strip()]
        lines += [command for command in INLINE.findall(text) if " " in command]
        found += [(page.name, line) for line in lines]
    return found


def services() -> dict[str, str]:
    """Container name to service of the production file."""
    raw = yaml.safe_load((ROOT / "docker-compose.prod.yml").read_text())["services"]
    return {str(spec.get("container_name", name)): name for name, spec in raw.items()}


def known_options(script: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", (ROOT / script).read_text()))


@pytest.mark.parametrize(("page", "command"), commands())
def test_the_command_can_be_typed(page: str, command: str) -> None:
    words = shlex.split(command)
    if words[0] == "sudo":
        words = words[1:]
    if words[:2] == ["docker", "exec"]:
        assert words[2] in services(), f"no container {words[2]}"
        inside(words[3:])
    elif words[0] == "titan":
        inside(words)
    elif words[0] == "ops/scripts/compose.sh":
        composed(words[1:])
    else:
        assert words[0].startswith("ops/scripts/"), f"{page}: {command} is of no known kind"
        assert os.access(ROOT / words[0], os.X_OK)
        if words[0].endswith("deploy_prod.sh"):
            assert {word for word in words if word.startswith("--")} <= known_options(words[0])


def composed(words: list[str]) -> None:
    assert words[0] in COMPOSE_VERBS
    named = [word for word in words[1:] if not word.startswith("-")]
    assert set(named) <= set(services().values()), f"unknown service in {words}"


def inside(words: list[str]) -> None:
    if words[0] != "titan":
        assert words[0] in OTHERS
        return
    group = typer.main.get_command(app)
    for word in words[1:]:
        if not hasattr(group, "commands"):
            break
        assert word in group.commands, f"titan has no verb {word}"
        group = group.commands[word]
    options = {option for parameter in group.params for option in parameter.opts}
    assert {word for word in words[1:] if word.startswith("--")} <= options


def test_every_page_is_read() -> None:
    assert {page for page, _ in commands()} == {page.name for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_and_path_leads_somewhere(page: Path) -> None:
    text = page.read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (page.parent / target).exists(), target
    for path in re.findall(r"`((?:ops|docs|tests)/[\w./-]+)`", text):
        assert (ROOT / path).exists(), path
