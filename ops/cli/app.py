"""The `titan` command's door: imports the rest late, so that Ctrl-C in the first second is no traceback either."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command and exits with its code."""
    try:
        from ops.cli.verbs import run

        code = run()
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        code = 1
    # CPython notes a Ctrl-C that left an `exec` of text (a data class being made, say) and, run with -m, dies of SIGINT at
    # its end although the exception was caught. The next `exec` of text forgets the note.
    exec("")
    sys.exit(code)


if __name__ == "__main__":
    main()
