"""The entry point of the `lightcnn` command: runs the command line and exits with its code."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Exit codes: 0 success, 1 the work failed, 2 wrong input, 130 interrupted."""
    # Idle threads of GNU's OpenMP spin, so that two trainings on one machine block each other. A short spin costs a
    # single training little. torch reads this value once, when it is loaded.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    try:
        from lightcnn.cli.main import run
    except KeyboardInterrupt:
        print("lightcnn: interrupted", file=sys.stderr)  # noqa: T201
        sys.exit(130)
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
