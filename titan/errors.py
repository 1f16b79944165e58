"""Errors named for the action they need.

Guarantees: every error that reaches a person is a `TitanError` whose message says what was seen, what is allowed and
what to do, and which carries the exit code of the command line. Never: an error type nobody handles differently.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of the `titan` command, the same for every verb."""

    OK = 0
    FAILED = 1
    NOT_FOUND = 2
    NOT_RUNNING = 3
    BAD_CONFIG = 4
    TIMED_OUT = 5
    REFUSED = 6


class TitanError(Exception):
    """A failure with a sentence for a person and an exit code for a program."""

    exit_code: ExitCode = ExitCode.FAILED


class ConfigError(TitanError):
    """Configuration or arguments are wrong: nothing is started; a person must change them."""

    exit_code = ExitCode.BAD_CONFIG


class MissingServer(ConfigError):
    """A server binary can't be had: install it or put it on the PATH."""


class PortTaken(ConfigError):
    """A port that must be ours is held by another process: stop it or choose another port."""


class NotRunning(TitanError):
    """The command needs a running Titan and found none: start it."""

    exit_code = ExitCode.NOT_RUNNING


class TimedOut(TitanError):
    """Something did not answer in time: look at its logs."""

    exit_code = ExitCode.TIMED_OUT


class Rejected(TitanError):
    """The answer is no, and will stay no: tell the caller, never retry.

    `code` is a member of the domain's code enum, `detail` says what was seen and what is allowed.
    """

    exit_code = ExitCode.REFUSED

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class Transient(TitanError):
    """It did not happen and may succeed later: retry with backoff. `retry_after_s` is the other side's wish."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Ambiguous(TitanError):
    """It may have happened: look it up, never resend."""


class Fatal(TitanError):
    """The actor can't go on: let the supervisor restart it."""
