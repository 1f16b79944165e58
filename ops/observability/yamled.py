"""Values as YAML that people can read.

Guarantees: the same value gives the same text, and YAML reads it back as the same value. Never: a tag, an anchor.
"""

from __future__ import annotations

import json
import re
from typing import Any


def yaml(value: Any, depth: int = 0) -> str:
    """A value of dicts, lists and scalars as YAML; strings are quoted as JSON does, which YAML reads the same."""
    pad = "  " * depth
    if isinstance(value, dict):
        lines = []
        for key, held in value.items():
            name = key if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", key) else json.dumps(key, ensure_ascii=False)
            lines.append(f"{pad}{name}:{_after(held, depth)}")
        return "\n".join(lines)
    return "\n".join(f"{pad}-{_item(held, depth)}" for held in value)


def _after(value: Any, depth: int) -> str:
    if isinstance(value, (dict, list, tuple)) and value:
        return "\n" + yaml(value, depth + 1)
    return " " + _scalar(value)


def _item(value: Any, depth: int) -> str:
    if isinstance(value, dict) and value:
        return " " + yaml(value, depth + 1).lstrip()
    return " " + _scalar(value)


def _scalar(value: Any) -> str:
    if (
        isinstance(value, str)
        and re.fullmatch(r"[A-Za-z][A-Za-z0-9_/.-]*|\d+[a-z]+", value)
        and value not in ("true", "false", "null")
    ):
        return value
    return json.dumps(value, ensure_ascii=False)
