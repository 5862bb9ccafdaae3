"""A clock of its own for lightcnn, so that a test needs no waiting."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest

CLOCKS = ("time", "monotonic", "perf_counter", "process_time")


def replace_clocks(monkeypatch: pytest.MonkeyPatch, now: Callable[[], float]) -> None:
    """Gives every loaded module of lightcnn a clock that shows `now()`.

    The module `time` stays as it is: it is also the clock of the event loop of a server that another test left open,
    which would then sleep until the hour that it saw.
    """
    clock = SimpleNamespace(**{**vars(time), **dict.fromkeys(CLOCKS, now)})
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] == "lightcnn":
            for attribute in [key for key, value in vars(module).items() if value is time]:
                monkeypatch.setattr(module, attribute, clock)
