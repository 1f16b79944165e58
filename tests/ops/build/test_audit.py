"""The audit of the locks fails on a known weakness, and never passes what nobody looked at."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ops.build import audit, lint
from tests.doors import Door, serving

LOCK = f"redis==6.0.0 --hash=sha256:{'a' * 64}\nrich==14.0.0 --hash=sha256:{'b' * 64}\n"
WEAK = {
    "id": "GHSA-xxxx-test-only",
    "published": "2026-01-01T00:00:00Z",
    "modified": "2026-01-01T00:00:00Z",
    "summary": "made up for this test",
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "redis"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "6.0.1"}]}],
        }
    ],
}


class Advisories(ThreadingHTTPServer):
    """An advisory service that knows one weakness, or none."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.weak: list[dict[str, Any]] = []
        self.asked: set[str] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1/query"


class Answers(Door):
    server: Advisories

    def respond(self) -> None:
        wanted = json.loads(self.body())["package"]["name"]
        self.server.asked.add(wanted)
        self.answer(json.dumps({"vulns": self.server.weak} if self.server.weak and wanted == "redis" else {}).encode())


@pytest.fixture
def advisories() -> Iterator[Advisories]:
    problem = audit.fetch()
    if problem:
        pytest.skip(f"the auditor is not to be had: {problem}")
    with serving(Advisories()) as server:
        yield server


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "image.lock"
    path.write_text(LOCK)
    return path


def test_every_package_is_asked_about_and_none_is_weak(advisories: Advisories, lock: Path) -> None:
    assert audit.audit([lock], must=True, service=advisories.url) == (True, "2 packages, no known weakness")
    assert advisories.asked == {"redis", "rich"}


def test_a_known_weakness_fails_with_its_name_and_its_remedy(
    advisories: Advisories, lock: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    advisories.weak = [WEAK]
    assert audit.main([str(lock), "--service", advisories.url]) == 1
    assert capsys.readouterr().out == "redis 6.0.0: GHSA-xxxx-test-only, mended in 6.0.1\n"


def test_a_service_that_does_not_answer_is_said_and_fails_where_it_must_answer(
    advisories: Advisories, lock: Path
) -> None:
    nobody = "http://127.0.0.1:9/v1/query"
    passed, words = audit.audit([lock], service=nobody)
    assert passed
    assert words.startswith("skipped: nothing was audited")
    assert not audit.audit([lock], must=True, service=nobody)[0]


def test_the_audit_is_a_linter_of_the_house() -> None:
    assert "audit" in lint.CHECKS
