"""SIGINT, SIGTERM and SIGHUP end a command in an orderly way, once, at whatever moment they arrive.

A handler notes the signal. Within `deferred` that is all, and `check`, which is called once a batch, raises `Stopped`;
elsewhere the handler raises it at once. PyTorch and Python drop exceptions that are raised in a destructor or in a
callback of a weak reference; the note remains, so that the next `check` raises again.

The signals are handled within `handling` only, which the command line enters. A process that uses lightcnn as a
library keeps its own handlers.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
REPEAT_SECONDS = 1.0
"""Time after which another signal raises again: until then it belongs to the first, which is being handled."""


class Stopped(KeyboardInterrupt):
    """The command was ended by a signal."""


class _Note:
    """What the handler noted; a process has one, since it has one set of signal handlers."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forgets every signal."""
        self.number = 0
        self.raised_at = float("-inf")
        self.deferrals = 0

    def handle(self, number: int, frame: FrameType | None) -> None:
        """The signal handler."""
        self.number = self.number or number
        if not self.deferrals and time.monotonic() - self.raised_at > REPEAT_SECONDS:
            self.throw()

    def throw(self) -> None:
        """Raises: Stopped."""
        self.raised_at = time.monotonic()
        raise Stopped(signal.Signals(self.number).name)


_note = _Note()


@contextmanager
def handling() -> Iterator[None]:
    """Handles the signals within the block, in the main thread only; afterwards the earlier handlers are restored.

    Signals that the process ignores, as under nohup, stay ignored. After a signal the process is about to end with
    its exit code, so the signals are ignored from then on.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _note.reset()
    before = {number: signal.getsignal(number) for number in SIGNALS}
    before = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    try:
        for number in before:
            signal.signal(number, _note.handle)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if _note.number else handler)


@contextmanager
def deferred() -> Iterator[None]:
    """Within the block a signal is noted only; `check` and the end of the block raise it."""
    _note.deferrals += 1
    try:
        yield
    finally:
        _note.deferrals -= 1
    check()


def check() -> None:
    """Raises: Stopped if a signal was noted."""
    if _note.number:
        _note.throw()


def settle() -> None:
    """Called where the end of the command is reported: further signals are noted only."""
    _note.deferrals += 1


def received() -> bool:
    """Whether a signal was noted."""
    return bool(_note.number)


def exit_code() -> int:
    """128 + the number of the first signal, as shells report it: 130 SIGINT, 129 SIGHUP, 143 SIGTERM."""
    return 128 + (_note.number or signal.SIGINT)
