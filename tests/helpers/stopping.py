"""Signals at a given call, and what a command that they ended leaves."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import pytest

from lightcnn import interrupt
from lightcnn.cli.main import run

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


@contextmanager
def restored() -> Iterator[None]:
    """Gives the test runner its signal handlers back: a process that a signal ended ignores signals."""
    before = {number: signal.getsignal(number) for number in CODES}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        interrupt._note.reset()


def stopped(arguments: list[str], place: str, call: int, numbers: tuple[int, ...] = (signal.SIGINT,)) -> int:
    """The exit code of a command that gets the signals at that call of a function.

    `place` is `MODULE:NAME` or `MODULE:CLASS.NAME`. The function may run in a thread of its own, and must
    be called that often.
    """
    module, _, path = place.partition(":")
    owner = import_module(module)
    *inner, name = path.split(".")
    for part in inner:
        owner = getattr(owner, part)
    real, calls = getattr(owner, name), iter(range(1, 10_000_000))
    reached = []

    def signalled(*args, **kwargs):
        if next(calls) == call:
            reached.append(True)
            for number in numbers:
                os.kill(os.getpid(), number)
        return real(*args, **kwargs)

    with restored(), pytest.MonkeyPatch.context() as patch, interrupt.handling():
        patch.setattr(owner, name, signalled)
        code = run(arguments)
    assert reached, f"{place} was not called {call} times"
    return code


def temporary_files(folder: Path) -> list[str]:
    """Files that are only there while something is being written."""
    return [str(path) for path in folder.rglob(".*.part")]
