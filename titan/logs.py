"""Structured logs: JSON lines with correlation ids, one file an actor.

Guarantees: every line has a wall timestamp, level, actor and event; ids bound with `bind` appear on every later line
of the same task. Never: secrets, and nothing above DEBUG per tick.
"""

from __future__ import annotations

import logging
import logging.handlers
import sys
from pathlib import Path

import structlog
from structlog.contextvars import bind_contextvars, unbind_contextvars

MAX_BYTES = 10_000_000
KEPT_FILES = 5

Log = structlog.stdlib.BoundLogger


def configure(actor: str, log_dir: Path | None, level: str = "INFO", *, console: bool = False) -> Log:
    """Sends this process's logs to `<log_dir>/<actor>.jsonl` (rotated at 10 MB, five kept), and to stderr when asked."""
    handlers: list[logging.Handler] = []
    if log_dir is not None:
        log_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        handlers.append(
            logging.handlers.RotatingFileHandler(
                log_dir / f"{actor}.jsonl", maxBytes=MAX_BYTES, backupCount=KEPT_FILES, encoding="utf-8"
            )
        )
    if console or log_dir is None:
        handlers.append(logging.StreamHandler(sys.stderr))
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(default=str),
        ],
    )
    root = logging.getLogger()
    root.handlers = handlers
    root.setLevel(level)
    for handler in handlers:
        handler.setFormatter(formatter)
    for noisy in ("nats", "ccxt", "asyncio", "aiohttp.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    return get_logger(actor)


def get_logger(name: str) -> Log:
    """A logger that names its actor on every line."""
    logger: Log = structlog.stdlib.get_logger(name).bind(actor=name)
    return logger


def correlate(correlation_id: str) -> None:
    """Puts the id on every later log line of the running task, an empty one takes it off."""
    if correlation_id:
        bind_contextvars(correlation_id=correlation_id)
    else:
        unbind_contextvars("correlation_id")
