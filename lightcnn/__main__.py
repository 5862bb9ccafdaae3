"""The `lightcnn` command: runs the command line and turns how it ended into one line and an exit code."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Exit codes: 0 done, 1 the work failed, 2 the input was wrong, 130 interrupted."""
    # GNU's OpenMP lets idle threads spin; two trainings on one machine then stand still. A short spin costs little
    # alone. torch reads this once, when it is loaded.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    try:
        from lightcnn.cli.main import run
    except KeyboardInterrupt:
        print("lightcnn: interrupted", file=sys.stderr)  # noqa: T201
        sys.exit(130)
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
