"""What a tracker offers: one run with parameters, scores by step, and parts that have scores of their own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

Value = str | int | float | bool
State = Literal["finished", "failed", "stopped"]
"""How a run ends: "stopped" by a signal, after which it can be resumed."""


@dataclass(frozen=True)
class RunPart:
    """A part of a run that has scores of its own: a trial of a search, a fold or seed of a training.

    The part without a name is the run itself. `step` is what its scores are counted by, "epoch" or "images";
    `parameters` are called once, when the part starts.
    """

    name: str
    step: str
    parameters: Callable[[], Mapping[str, Value]]


class Lost(Exception):  # noqa: N818 (not an error: the values are sent again)
    """The run of an earlier session is not in the store of the tracker."""


class Tracker(ABC):
    """One run in a tracker. All methods are called in one thread, in order; whatever they raise ends the tracking."""

    @abstractmethod
    def start(self, part: RunPart) -> str:
        """Starts a part with its parameters, the run itself first; returns the id by which it is found again."""

    @abstractmethod
    def scores(self, part: RunPart, step: int, values: Mapping[str, float]) -> None:
        """Adds scores of a part at a step, which is larger than the one before."""

    @abstractmethod
    def summary(self, part: RunPart, number: int, values: Mapping[str, float]) -> None:
        """Sets final values of a part. A run that was continued has several: their `number` counts from 0."""

    @abstractmethod
    def end(self, state: State) -> None:
        """Ends the run and all of its parts, and waits until everything is stored."""
