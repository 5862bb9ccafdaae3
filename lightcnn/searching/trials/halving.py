"""Asynchronous successive halving (arXiv:1810.05934): which candidates are trained longer, and when.

Every candidate is trained to the first rung. The most promising ones are continued to the next; nothing restarts.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from lightcnn.text import first_line

T = TypeVar("T")


@dataclass(frozen=True)
class Fidelity:
    """How long the network of trial `trial` has been trained at a rung: `images` seen, from the start with `seed`."""

    trial: int
    rung: int
    images: int
    seed: int


@dataclass(frozen=True)
class Score:
    """How good a network is at a rung: `accuracy` on validation (0..1), and `utility`, by which networks are compared.

    The utility is any number that is the higher the better. `seconds` are those of the training since the last rung.
    `off_rung` are utilities before this rung, by the images seen. `value` is the metric of the search on validation, if
    that is another one than accuracy and defined; nothing is decided by it.
    """

    accuracy: float
    utility: float
    seconds: float = 0.0
    off_rung: Mapping[int, float] = field(default_factory=dict)
    value: float | None = None


class Evaluator(Protocol):
    """Scores candidates, at most `workers` at once: `wait` returns the next trial with its score, or with an error.

    It returns None if nothing has been scored, but `workers` has changed: there may be none while it `lends_workers`. A
    candidate is whatever the space makes.
    """

    @property
    def workers(self) -> int: ...
    @property
    def lends_workers(self) -> bool: ...
    def begin(self, candidate: Any, fidelity: Fidelity, /) -> None: ...
    def wait(self) -> tuple[Fidelity, Score | str] | None: ...


class FunctionEvaluator:
    """An `Evaluator` from a function that returns the score of a candidate, the higher the better, or raises."""

    lends_workers = False

    def __init__(self, function: Callable[[Any, Fidelity], float], workers: int = 1) -> None:
        self.workers = workers
        self._function = function
        self._waiting: deque[tuple[Any, Fidelity]] = deque()

    def begin(self, candidate: Any, fidelity: Fidelity, /) -> None:
        """Adds a candidate."""
        self._waiting.append((candidate, fidelity))

    def wait(self) -> tuple[Fidelity, Score | str]:
        """Scores the candidate that was added first."""
        candidate, fidelity = self._waiting.popleft()
        try:
            value = float(self._function(candidate, fidelity))
        except Exception as error:
            return fidelity, first_line(f"{type(error).__name__}: {error}")
        return fidelity, Score(value, value)


@dataclass(frozen=True)
class Standing:
    """The state of a trial: rungs whose scores may be used, rungs that are done or under way, and its promise.

    The promise is the predicted utility at the end of the final training, the higher the better. A trial that an
    earlier session has ended is not open: it keeps its place in the ranking, but is not continued. Trials of the same
    `turn` are in the same band of costs.
    """

    number: int
    scored: int
    started: int
    promise: float
    is_open: bool = True
    turn: int = 0


def in_turns(ranked: Iterable[T], turn: Callable[[T], int], taken: Iterable[T] = ()) -> list[T]:
    """The first of every band in the order of their turns, then the second of every band, and so on.

    A band that has `taken` turns before comes after those that have had fewer.

    Example:
        >>> in_turns(["a0", "b0", "c1", "d1"], lambda name: int(name[1]))
        ['a0', 'c1', 'b0', 'd1']
        >>> in_turns(["b0", "c1", "d1"], lambda name: int(name[1]), taken=["a0"])
        ['c1', 'b0', 'd1']
    """
    places, passed = list[tuple[int, int, T]](), Counter(map(turn, taken))
    for item in ranked:
        places.append((passed[turn(item)], turn(item), item))
        passed[turn(item)] += 1
    return [item for *_, item in sorted(places, key=lambda place: place[:2])]


@dataclass(frozen=True)
class Rungs:
    """The lengths of trainings in images, ascending.

    A candidate is promoted from a rung to the next if it is among the best 1/`keep` of those that reached the rung, and
    no more than 1/`keep` of them have been: promises change with every score, so the best are not always the same. With
    `first_always`, the first candidate is promoted whatever its promise, and takes no place of another one. Of several
    bands, the best are the first of each, then the second of each, and so on; the band from which the fewest have been
    promoted comes first, so that one whose best changes takes no places of others.
    """

    images: tuple[int, ...]
    keep: int = 3
    first_always: bool = False

    def promotions(self, standings: Sequence[Standing]) -> Iterator[tuple[int, int]]:
        """The trials that may be continued and their next rungs, the highest rung first."""
        first = next((standing for standing in standings if self.first_always and standing.number == 0), None)
        if first is not None and first.is_open and first.scored == first.started < len(self.images):
            yield first.number, first.scored
        others = [standing for standing in standings if standing is not first]
        for rung in reversed(range(len(self.images) - 1)):
            reached = [standing for standing in others if standing.scored > rung]
            promoted, places = [each for each in reached if each.started > rung + 1], len(reached) // self.keep
            if len(promoted) >= places:
                continue
            ranked = sorted(reached, key=lambda standing: (-standing.promise, standing.number))
            best = in_turns(ranked, _turn)[:places]
            waiting = [standing for standing in best if standing.started == rung + 1 and standing.is_open]
            for standing in in_turns(waiting, _turn, taken=promoted):
                yield standing.number, rung + 1


def _turn(standing: Standing) -> int:
    return standing.turn
