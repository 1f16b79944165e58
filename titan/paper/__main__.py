"""`python -m titan.paper`: runs the paper venue. Exit codes: 0 stopped by a signal, 1 broke, 4 cannot start as asked."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import NoReturn

import uvloop

from titan.errors import ExitCode
from titan.paper.feeds import FeedError
from titan.paper.ledger import LedgerError
from titan.paper.server import StartError, VenueOptions, serve
from titan.paper.tongues import BYBIT, NAMES

MAX_PORT = 65_535


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(int(ExitCode.BAD_CONFIG), f"{self.prog}: {message}\n")


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > MAX_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; use 0 (a free one) to {MAX_PORT}")
    return int(text)


def _money(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal(0)
    if not value.is_finite() or value <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive amount of USDT")
    return value


def parse(arguments: Sequence[str] | None = None) -> VenueOptions:
    """Options from the command line; wrong ones end the process with code 4."""
    parser = _Parser(prog="titan.paper", description="A paper exchange that speaks the Bybit v5 protocol.")
    parser.add_argument("--feed", required=True, help="replay:PATH, synthetic:SEED or live")
    parser.add_argument("--home", required=True, type=Path, help="where ledger, clock and keys live")
    parser.add_argument("--speed", type=float, default=1.0, help="market seconds per wall second")
    parser.add_argument("--port", type=_port, default=0, help="REST and WebSocket port, 0 for a free one")
    parser.add_argument("--admin-port", type=_port, default=0, help="admin port, 0 for a free one")
    parser.add_argument("--symbols", nargs="*", default=(), help="canonical symbols, for example BTC/USDT:USDT")
    parser.add_argument("--warmup-file", type=Path, help="candles that warm a replay up")
    parser.add_argument("--anchor", type=Path, help="market clock file, by default HOME/run/market_clock.json")
    parser.add_argument("--credentials", type=Path, help="API key file, by default HOME/run/paper_credentials.json")
    parser.add_argument("--balance", type=_money, default=Decimal(100_000), help="deposit of a new ledger in USDT")
    parser.add_argument(
        "--speaks", choices=NAMES, default=BYBIT, help="whose protocol its accounts speak besides Bybit's"
    )
    given = parser.parse_args(arguments)
    return VenueOptions(
        feed=given.feed,
        home=given.home,
        speed=given.speed,
        port=given.port,
        admin_port=given.admin_port,
        symbols=tuple(given.symbols),
        warmup_file=given.warmup_file,
        anchor=given.anchor,
        credentials=given.credentials,
        balance=given.balance,
        speaks=given.speaks,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs until a signal; returns the exit code."""
    options = parse(arguments)
    try:
        uvloop.run(serve(options))
    except StartError as error:
        print(f"titan.paper: {error}", file=sys.stderr)
        return int(ExitCode.BAD_CONFIG)
    except (FeedError, LedgerError) as error:
        print(f"titan.paper: {error}", file=sys.stderr)
        return int(ExitCode.FAILED)
    return int(ExitCode.OK)


if __name__ == "__main__":
    sys.exit(main())
