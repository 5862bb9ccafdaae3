"""What jobs report to several receivers at once."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from lightcnn.ablating.progress import AblationProgress
from lightcnn.progress import forwarded
from lightcnn.searching.progress import SearchProgress
from lightcnn.training.progress import TrainingProgress


@pytest.mark.parametrize("kind", [SearchProgress, TrainingProgress, AblationProgress])
def test_every_event_reaches_all_receivers_in_their_order(kind: type[Any]) -> None:
    calls: list[tuple[int, str, tuple[Any, ...]]] = []

    class Receiver(kind):  # type: ignore[misc]
        def __init__(self, number: int) -> None:
            self.number = number

        def __getattribute__(self, name: str) -> Any:
            if name.startswith("_") or name == "number":
                return super().__getattribute__(name)
            return lambda *arguments: calls.append((self.number, name, arguments))

    both = forwarded(kind, [Receiver(1), Receiver(2)])
    assert isinstance(both, kind)
    events = [name for name in dir(kind) if not name.startswith("_")]
    assert len(events) >= 8
    for name in events:
        count = len(inspect.signature(getattr(kind, name)).parameters) - 1
        getattr(both, name)(*range(count))
        assert calls[-2:] == [(1, name, tuple(range(count))), (2, name, tuple(range(count)))]
    assert len(calls) == 2 * len(events)
