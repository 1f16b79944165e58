"""Runbooks tell the truth: commands parse, subjects, routes, metrics, alerts, phrases, files and links exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from ops.observability.render import NAME
from ops.observability.rules import ALERTS
from tests.ops.drills.test_drills import parses
from titan.ledger_access import ROLES
from titan.metrics import METRICS
from titan.phrases import Phrase
from titan.subjects import SUBJECTS, operator

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "operations"
PAGES = [
    *(FOLDER / "runbooks").glob("*.md"),
    *(FOLDER / "reliability").glob("*.md"),
    *(page for page in FOLDER.glob("*.md") if page.name not in ("requirements.md", "deployment-standard.md")),
    *(FOLDER / "troubleshooting").glob("*.md"),
]  # fmt: skip
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
SUBJECT = re.compile(r"titan\.(?:cmd|evt|data|signal|rpc|sys|dlq|ops)\.[a-z0-9_.]+")
ROUTE = re.compile(r"http://127\.0\.0\.1:\d+(/[^\s`\"']*)")


def ids(page: Path) -> str:
    return str(page.relative_to(FOLDER))


def commands(text: str) -> list[str]:
    """Every titan command of a page: whole lines of blocks, and spans that are one."""
    lines = [line.strip() for block in BLOCK.findall(text) for line in block.splitlines()]
    found = [line.partition(" #")[0] for line in lines if line.startswith("titan ")]
    found += [span for span in SPAN.findall(text) if re.match(r"titan [a-z]", span)]
    return found


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_command_is_one_that_the_command_line_takes(page: Path) -> None:
    for command in commands(page.read_text()):
        words = shlex.split(command)
        if "--help" not in words:
            parses(words[1:])


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_name_exists(page: Path) -> None:
    text = page.read_text()
    spans = " ".join(SPAN.findall(text))
    unknown = set(NAME.findall(spans)) - {spec.name for spec in METRICS} - {role.name for role in ROLES}
    assert {name for name in unknown if not name.startswith(("titan_brain_", "titan_before_")) or name in spans.split()} - {
        "titan_before_", "titan_brain",
    } == set()  # fmt: skip
    patterns = [spec.pattern.removesuffix(">") for spec in SUBJECTS] + [operator("disarm"), operator("arm")]
    for subject in SUBJECT.findall(text):
        assert any(subject.startswith(pattern) for pattern in patterns), subject
    code = "\n".join(path.read_text() for path in (*(ROOT / "actors").rglob("*.py"), ROOT / "titan" / "http.py"))
    for route in ROUTE.findall(text):
        known = re.sub(r"/mode/\w+$", "/mode/{mode}", route)
        assert f'"{known}"' in code or route == "/healthz", route


def test_every_alert_and_phrase_that_is_named_exists() -> None:
    names = {alert.name for alert in ALERTS}
    for page in PAGES:
        for span in SPAN.findall(page.read_text()):
            if re.fullmatch(r"(?:[A-Z][a-z]+){2,}|[A-Z][a-z]+[A-Z]\w+", span) and span not in names:
                pytest.fail(f"{page.name} speaks of {span}, which is no alert")
            if re.fullmatch(r"(?:SYSTEM|EXECUTION) [A-Z ]+", span):
                assert span in {each.value for each in Phrase}, f"{page.name}: {span}"


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_pages_that_are_asked_for_are_there() -> None:
    for name in (
        "monitoring-alerting.md", "data-governance.md", "metrics-catalog.md", "dashboard-spec.md", "runbooks/README.md",
        "README.md", "legal-and-compliance.md", "configuration-governance.md", "execution-routing.md", "research-workflow.md",
        "secrets-management.md", "ha-strategy.md", "ci-quality-gates.md", "deployment-standard.md",
        "reliability/event-bus-backlog.md", "reliability/truth-collapse.md", "troubleshooting/incident-response.md",
    ):  # fmt: skip
        assert (FOLDER / name).is_file(), name


@pytest.mark.parametrize("words", [["fly"], ["backup", "--nope"], ["drill", "a", "b"], ["trades", "--limit", "x"]])
def test_a_command_that_nobody_takes_is_found(words: list[str]) -> None:
    with pytest.raises(typer.TyperException):
        parses(words)
