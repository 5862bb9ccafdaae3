"""How a long piece of work reports its progress."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

Progress = Callable[[str, int, int], None]
"""Called with the name of the step, the number of finished items and their total."""
Receiver = TypeVar("Receiver")
DUPLICATES_STEP = "searching for near duplicates"
"""The step that views announce in a line that stays: it takes minutes for thousands of images."""


def no_progress(step: str, finished: int, total: int) -> None:
    """Reports nothing."""


def forwarded(kind: type[Receiver], receivers: Sequence[Receiver]) -> Receiver:
    """A receiver of that kind, each of whose methods calls those of all `receivers`, in their order.

    Example:
        >>> class Progress:
        ...     def epoch(self, number: int) -> None: ...
        >>> class Printed(Progress):
        ...     def epoch(self, number: int) -> None:
        ...         print("epoch", number)
        >>> forwarded(Progress, [Printed(), Printed()]).epoch(3)
        epoch 3
        epoch 3
    """

    def method(name: str) -> Callable[..., None]:
        def call(self: object, *arguments: Any) -> None:
            for receiver in receivers:
                getattr(receiver, name)(*arguments)

        return call

    methods = {name: method(name) for name in dir(kind) if not name.startswith("_")}
    return cast(Receiver, type(kind.__name__, (kind,), methods)())
