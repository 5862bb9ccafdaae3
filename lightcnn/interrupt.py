"""SIGINT, SIGTERM and SIGHUP end a command in an orderly way, once, at whatever moment they arrive.

A handler notes the signal. Within `deferred`, and while a module is being imported, that is all, and `check`, which is
called once a batch, raises `Stopped`; elsewhere the handler raises it at once. PyTorch and Python drop exceptions that
are raised in a destructor or in a callback of a weak reference; the note remains, so that the next `check` raises.

A process that has not ended after a few seconds, since a library hangs, is ended by the next signal: a thread notices
it even if the main thread runs no Python code. All files are written atomically, so nothing is lost then either.

The signals are handled within `handling` only, which the command line enters. A process that uses lightcnn as a
library keeps its own handlers.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

from lightcnn.text import visible

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
REPEAT_SECONDS = 1.0
"""Time after which another signal raises again: until then it belongs to the first, which is being handled."""
PATIENCE_SECONDS = 3.0
"""Time that the command has to end by itself; another signal after it ends the process at once."""


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
        self.message: Callable[[], str] = lambda: "interrupted"

    def handle(self, number: int, frame: FrameType | None) -> None:
        """The signal handler."""
        self.number = self.number or number
        if self.deferrals or _imports(frame) or time.monotonic() - self.raised_at <= REPEAT_SECONDS:
            return
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
        with _watched():
            for number in before:
                signal.signal(number, _note.handle)
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if _note.number else handler)


@contextmanager
def deferred() -> Iterator[None]:
    """Within the block a signal is noted only; `check` and the end of the outermost block raise it."""
    _note.deferrals += 1
    try:
        yield
    finally:
        _note.deferrals -= 1
    if not _note.deferrals:
        check()


@contextmanager
def pausing() -> Iterator[Callable[[], bool]]:
    """A function that returns whether a signal was noted.

    Without the handlers of lightcnn, as in a notebook, SIGINT is noted within the block if this is the main thread: its
    end raises KeyboardInterrupt, as does a second signal.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield received
        return
    noted: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if noted:
            raise KeyboardInterrupt
        noted.append(number)

    signal.signal(signal.SIGINT, handle)
    try:
        yield lambda: bool(noted)
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if noted:
        raise KeyboardInterrupt


@contextmanager
def ending(end: Callable[[], object]) -> Iterator[None]:
    """Within the block a signal calls `end`, which ends a command that serves; its exit code is then 0.

    Signals that the process ignores, as under nohup, stay ignored.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        end()

    before = {number: signal.getsignal(number) for number in SIGNALS}
    before = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    for number in before:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def reported(message: Callable[[], str]) -> Iterator[None]:
    """Within the block, `message` is what a process prints that a later signal ends at once."""
    before, _note.message = _note.message, message
    try:
        yield
    finally:
        _note.message = before


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


def leave(code: int) -> NoReturn:
    """Ends the process. After a signal it does not wait for threads that are still at work."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    if received():
        for stream in filter(None, (sys.stdout, sys.stderr)):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)
    sys.exit(code)


def _imports(frame: FrameType | None) -> bool:
    """Whether a module is being imported: an exception there may be lost in C code, or be turned into another one."""
    while frame is not None:
        if frame.f_code.co_name == "_find_and_load":
            return True
        frame = frame.f_back
    return False


@contextmanager
def _watched() -> Iterator[None]:
    """Within the block a thread learns of every signal from the C handler, and ends a process that hangs."""
    receiver, sender = socket.socketpair()
    with receiver, sender:
        sender.setblocking(False)
        before = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=_watch, args=(receiver,), daemon=True).start()
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
            sender.close()


def _watch(receiver: socket.socket) -> None:
    """Ends the process by the first signal that comes more than PATIENCE_SECONDS after another."""
    first, since = 0, 0.0
    while number := _next(receiver):
        if not first:
            first, since = number[0], time.monotonic()
        elif time.monotonic() - since > PATIENCE_SECONDS:
            _end_at_once(128 + first)


def _next(receiver: socket.socket) -> bytes:
    """The number of the next signal; empty when no more are watched for."""
    with suppress(OSError):
        return receiver.recv(1)
    return b""


def _end_at_once(code: int) -> None:
    with suppress(Exception):
        if sys.stderr is not None:  # closed before the start: 2 may then be the number of any file
            os.set_blocking(2, False)
            os.write(2, f"lightcnn: {visible(_note.message())}\n".encode())
    os._exit(code)
