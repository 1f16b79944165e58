"""What the command prints: tables for people, one JSON object on the last line for machines.

Guarantees: with `--json` the last line of standard output is one object and nothing else is printed there; every table
of live values says how old they are. Never: a colour code in a pipe.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import NoReturn

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from rich.console import Console
from rich.table import Table
from rich.text import Text

from titan.errors import ExitCode

PIPE_COLUMNS = 160


def _columns() -> int | None:
    """The width to draw with: the terminal's own, and in a pipe one that cuts no column off."""
    return None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPE_COLUMNS


def pipe_closed() -> NoReturn:
    """Whoever read our output has seen enough, like `| head`: that is no error, and nothing more is written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(ExitCode.OK)


class PipedConsole(Console):
    """A console whose reader may go."""

    def on_broken_pipe(self) -> None:
        """Ends the command without an error."""
        self.quiet = True
        pipe_closed()


console = PipedConsole(highlight=False, soft_wrap=False, width=_columns())
errors = Console(stderr=True, highlight=False, soft_wrap=True)


def emit(value: object) -> None:
    """Prints one JSON object on one line."""
    try:
        sys.stdout.write(json.dumps(value, default=_plain, separators=(", ", ": ")) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        pipe_closed()


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, Message):
        return message_dict(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def message_dict(message: Message) -> dict[str, object]:
    """A message as plain values with its own field names; enums as names, defaults included."""
    plain: dict[str, object] = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return plain


def age_text(ts_ms: int, now_ms: int | None = None) -> str:
    """How old a wall timestamp is, in words; `never` for zero."""
    if ts_ms <= 0:
        return "never"
    now = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    return seconds_text(max(0.0, (now - ts_ms) / 1000))


def seconds_text(seconds: float) -> str:
    """A duration in words with the unit that fits."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def money(text: str, places: int = 2) -> str:
    """A decimal string with thousands separators; empty stays a dash."""
    return "-" if text == "" else f"{Decimal(text):,.{places}f}"


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> Table:
    """A plain table; columns whose name ends with # are right-aligned numbers."""
    made = Table(
        title=title, title_justify="left", caption=caption or None, caption_justify="left", header_style="bold"
    )
    for column in columns:
        made.add_column(column.removesuffix("#"), justify="right" if column.endswith("#") else "left")
    for row in rows:
        made.add_row(*row)
    return made


def show(renderable: object) -> None:
    """Prints for a person."""
    console.print(renderable)


def fail(sentence: str) -> None:
    """Prints an error for a person, on standard error."""
    errors.print(Text("error:", style="bold red"), Text(sentence))
