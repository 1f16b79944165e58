"""A child process for the tests: ready at once, or ends with a sentence."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

if __name__ == "__main__":
    if sys.argv[1] == "fails":
        sys.exit("no such part")
    if len(sys.argv) > 2:
        Path(sys.argv[2]).write_text(str(os.getpid()))
    print(json.dumps({"name": sys.argv[1]}), flush=True)
    signal.pause()
