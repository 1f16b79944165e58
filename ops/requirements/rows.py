"""Reads the requirement rows, says which proofs point nowhere, and renders the table.

Guarantees: a row that is unknown, lacking, or has neither proof nor wait is an error; a proof is checked to exist, not believed.
Never: a judgement whether a test is a good one.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
STATEMENTS = "rows.toml"
KINDS = ("test", "lint", "file", "doc")
ID = re.compile(r"^S\d-\d\d$")


class RowError(ValueError):
    """A file of rows says something that can't be meant."""


@dataclass(frozen=True, slots=True)
class Row:
    """One requirement: its statement, its proofs, or the part it waits for (then the proofs are empty)."""

    id: str
    statement: str
    proofs: tuple[str, ...] = ()
    waits: str = ""


def load(folder: Path = HERE) -> tuple[Row, ...]:
    """Every row in order. Raises RowError naming the file and the row that is wrong."""
    statements = tomllib.loads((folder / STATEMENTS).read_text(encoding="utf-8"))
    proofs: dict[str, list[str]] = {row: [] for row in statements}
    waits: dict[str, str] = {}
    for path in sorted(folder.glob("*.toml")):
        if path.name == STATEMENTS:
            continue
        for row, said in tomllib.loads(path.read_text(encoding="utf-8")).items():
            if row not in statements or not isinstance(said, dict) or not said or said.keys() - {"proof", "waits"}:
                raise RowError(
                    f"{path.name}: {row} must be a row of {STATEMENTS} with `proof` or `waits`, got {said!r}"
                )
            proofs[row] += [proof for proof in said.get("proof", []) if proof not in proofs[row]]
            waits[row] = said.get("waits", waits.get(row, ""))
    lacking = [row for row in statements if not ID.match(row) or not (proofs[row] or waits.get(row))]
    if lacking:
        raise RowError(f"rows without proof and without a part they wait for: {', '.join(lacking)}")
    return tuple(
        Row(row, text, tuple(proofs[row]), "" if proofs[row] else waits[row])
        for row, text in sorted(statements.items())
    )


def broken(rows: Sequence[Row], checks: Collection[str], root: Path = ROOT) -> list[str]:
    """One sentence for each proof that points at nothing; `checks` are the names of the linters."""
    return [
        f"{row.id}: {why}" for row in rows for proof in row.proofs for why in [_missing(proof, checks, root)] if why
    ]


def _missing(proof: str, checks: Collection[str], root: Path) -> str:
    kind, _, where = proof.partition(":")
    if kind == "lint":
        return "" if where in checks else f"{proof}: there is no such check"
    separator = {"test": "::", "doc": "#"}.get(kind)
    path, _, inside = where.partition(separator) if separator else (where, "", "")
    if kind not in KINDS:
        return f"{proof}: the kind is one of {', '.join(KINDS)}"
    if not (root / path).is_file():
        return f"{proof}: {path} does not exist"
    text = (root / path).read_text(encoding="utf-8")
    if kind == "test" and not re.search(rf"^\s*(async )?def {re.escape(inside)}\(", text, re.MULTILINE):
        return f"{proof}: {path} has no such test"
    if kind == "doc" and inside not in text:
        return f"{proof}: {path} does not say so"
    return ""


def page(rows: Sequence[Row]) -> str:
    """The table as Markdown, one row a requirement."""
    proven = sum(bool(row.proofs) for row in rows)
    lines = [
        "# Requirements of operations",
        "<!-- Generated from ops/requirements/*.toml. Change those, then run: .venv/bin/python ops/build/docs.py -->",
        f"{proven} of {len(rows)} rows are proven by something that runs or stands here; the others name what they wait for.",
        "| Row | Requirement | Proof, or the part it waits for |\n| --- | --- | --- |\n"
        + "\n".join(f"| {row.id} | {_cell(row.statement)} | {_shown(row)} |" for row in rows),
    ]
    return "\n\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _shown(row: Row) -> str:
    return ", ".join(f"`{_cell(proof)}`" for proof in row.proofs) or f"waits for: {row.waits}"
