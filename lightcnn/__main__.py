"""The entry point of the `lightcnn` command: runs the command line and exits with its code."""

from __future__ import annotations

import os
import sys

from lightcnn import interrupt


def main() -> None:
    """Exit codes: 0 success, 1 the work failed, 2 wrong input; 130, 129 and 143 ended by a signal."""
    # Idle threads of GNU's OpenMP spin, so that two trainings on one machine block each other. A short spin costs a
    # single training little. torch reads this value once, when it is loaded.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    os.environ["MPLBACKEND"] = "Agg"  # that of a notebook is not there in a process of its own
    with interrupt.handling():
        try:
            from lightcnn.cli.main import run

            interrupt.check()
            code = run(sys.argv[1:])
        except BaseException:  # a library may have turned the signal into another error
            if not interrupt.received():
                raise
            interrupt.settle()
            code = interrupt.exit_code()
            print("lightcnn: interrupted", file=sys.stderr)  # noqa: T201
    _drop_unwritten()
    interrupt.leave(code)


def _drop_unwritten() -> None:
    """Drops output that cannot be written, which has been reported: Python would try again, and exit with 120."""
    for stream in filter(None, (sys.stdout, sys.stderr)):  # None: closed before the start
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


if __name__ == "__main__":
    main()
