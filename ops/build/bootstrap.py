"""Sets this checkout up: `python3 ops/build/bootstrap.py [run|dev]`. Run by make before anything else.

Finds a Python that Titan supports (this one, else another on the PATH) and hands over to `environment.py`. Written so that an
old Python gets as far as the sentence that tells what is missing. Needs nothing but the standard library.
"""

import os
import shutil
import subprocess
import sys

SUPPORTED = ((3, 13), (3, 12), (3, 11))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def other_python() -> str:
    """The path of a supported Python on the PATH, or nothing."""
    for major, minor in SUPPORTED:
        path = shutil.which("python%d.%d" % (major, minor))  # noqa: UP031
        # A version manager's shim may be there without the version behind it.
        code = "import sys; sys.exit(sys.version_info[:2] != (%d, %d))" % (major, minor)  # noqa: UP031
        if path and subprocess.call([path, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0:
            return path
    return ""


def main() -> int:
    """Hands over to a supported Python; says so when there is none (exit code 4)."""
    if sys.version_info[:2] in SUPPORTED:
        # The checkout instead of this folder, whose names are not meant to be imported bare.
        sys.path[0] = ROOT
        from ops.build import environment

        return environment.main(sys.argv[1:])
    path = other_python()
    if path:
        os.execv(path, [path, os.path.abspath(__file__), *sys.argv[1:]])
    sys.stderr.write(
        "titan: Python 3.11, 3.12 or 3.13 is needed; %s is %d.%d and no other was found on the PATH. "  # noqa: UP031
        "Install one, or name it: make run PYTHON=/path/to/python3.12\n" % (sys.executable, *sys.version_info[:2])
    )
    return 4


if __name__ == "__main__":
    sys.exit(main())
