"""Runs one actor as a plain process, without Ray: `python -m titan.process actors.brain:Brain --home DIR`.

Guarantees: prints one JSON line {"ready": true} when Ready; SIGTERM and SIGINT drain and stop, exit 0; a crash ends
with exit 1 and its traceback in the actor's log. For integration tests and debugging.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import uvloop

from titan.actor import ActorContext, load_actor
from titan.errors import TitanError
from titan.runtime import Runtime


async def run_actor(path: str, home: Path, incarnation: int) -> int:
    """Starts the actor and runs it until a signal or its death; returns the exit code."""
    runtime = Runtime.load(home)
    actor = load_actor(path)(ActorContext(runtime, incarnation))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, actor.request_stop)
    try:
        await actor.start()
        print(json.dumps({"ready": True, "name": actor.name, "pid": os.getpid()}), flush=True)
        await actor.run()
    except Exception:  # the process ends here; its log must say why
        actor.log.exception("crashed")
        raise
    await actor.shutdown()
    return 0


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Run one Titan actor as a plain process.")
    parser.add_argument("actor", help="package.module:Class, for example actors.brain:Brain")
    parser.add_argument("--home", type=Path, required=True, help="the TITAN_HOME of a resolved run")
    parser.add_argument("--incarnation", type=int, default=1)
    arguments = parser.parse_args()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(run_actor(arguments.actor, arguments.home, arguments.incarnation))
    except TitanError as error:
        print(error, file=sys.stderr)
        return int(error.exit_code)


if __name__ == "__main__":
    sys.exit(main())
