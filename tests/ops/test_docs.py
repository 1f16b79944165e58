"""The reference pages: complete, and what the code says."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path

import pytest

from ops.build import docs, pages
from titan import codes
from titan.metrics import METRICS
from titan.settings import known_names
from titan.subjects import STREAMS, SUBJECTS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def rendered() -> dict[str, str]:
    return pages.render()


def test_no_page_is_stale(rendered: dict[str, str]) -> None:
    assert docs.stale(rendered) == []


def test_a_page_that_differs_or_is_absent_is_stale(tmp_path: Path) -> None:
    (tmp_path / "right.md").write_text("as it should be")
    (tmp_path / "wrong.md").write_text("as it was")
    wanted = {"right.md": "as it should be", "wrong.md": "as it is", "absent.md": "new"}
    assert docs.stale(wanted, tmp_path) == ["wrong.md", "absent.md"]


def test_every_setting_metric_subject_stream_and_code_has_a_row(rendered: dict[str, str]) -> None:
    rows = {
        "settings.md": known_names(),
        "metrics.md": [spec.name for spec in METRICS],
        "subjects.md": [*(spec.pattern for spec in SUBJECTS), *(spec.name for spec in STREAMS)],
        "codes.md": [member.value for kind in pages.code_enums() for member in kind if member.value],
    }
    lacking = {name: [row for row in wanted if f"| `{row}` |" not in rendered[name]] for name, wanted in rows.items()}
    assert lacking == {name: [] for name in rows}


def test_a_code_without_a_sentence_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class NewCode(StrEnum):
        """Codes of something new."""

        UNHEARD_OF = "UNHEARD_OF"

    monkeypatch.setattr(codes, "NewCode", NewCode, raising=False)
    with pytest.raises(pages.Undocumented, match="NewCode differ in UNHEARD_OF"):
        pages.code_tables()


def test_every_verb_shows_its_example_without_the_word(rendered: dict[str, str]) -> None:
    page = rendered["commands.md"]
    assert "## titan up" in page
    assert "titan policy" in page
    assert "Example:" not in page


def test_a_bar_stays_inside_its_cell() -> None:
    assert pages.table(("a",), [(pages.cell("x | y\nz"),)]).splitlines()[-1] == "| x \\| y z |"


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")
NAMED = re.compile(r"`((?:actors|titan|supervisors|ops|protos|tests|simulation)/[\w./]+)`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_and_every_named_file_exists(page: Path) -> None:
    text = page.read_text()
    links = [link for link in LINK.findall(text) if "://" not in link]
    missing = [link for link in links if not (page.parent / link).exists()]
    missing += [name for name in NAMED.findall(text) if not (ROOT / name).exists() and "hunter" not in name]
    assert missing == []
