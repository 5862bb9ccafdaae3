"""A search space of a table, a scorer and a clock: all that the searcher needs, and no network."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from lightcnn.searching.trials.halving import Fidelity, FunctionEvaluator, Rungs
from lightcnn.searching.trials.loop import run_trials
from lightcnn.searching.trials.place import StudyFile
from lightcnn.searching.trials.searcher import Searcher
from lightcnn.searching.trials.storage import Outcome
from lightcnn.space import Gene

RUNGS = Rungs((1, 3, 9))


@dataclass(frozen=True)
class Point:
    """A candidate: an entry of the table."""

    shape: dict
    violations: dict = field(default_factory=lambda: {"macs": -0.1})

    @property
    def key(self) -> str:
        return f"{self.shape['x']}/{self.shape['kind']}"


class TableSpace:
    """Two genes; the best entry of the table is x = 70 of kind b."""

    def genes(self):
        return Gene("x", tuple(range(100)), True), Gene("kind", ("a", "b", "c"))

    def start_shapes(self):
        return ({"x": 10, "kind": "a"},)

    def draw(self, random: Random):
        return {gene.name: random.choice(gene.options) for gene in self.genes()}

    def mutate(self, shape, random: Random):
        return {**shape, "x": min(99, max(0, shape["x"] + random.choice((-5, -2, -1, 1, 2, 5))))}

    def candidate(self, shape, random: Random):
        return Point(dict(shape))

    def inspect(self, shape):
        return Point(dict(shape))

    def features(self, candidate):
        return ()


class TinySpace(TableSpace):
    """Four entries, without mutations."""

    def genes(self):
        return Gene("x", (1, 2), True), Gene("kind", ("a", "b"))

    def start_shapes(self):
        return ({"x": 1, "kind": "a"},)

    def mutate(self, shape, random):
        return dict(shape)


class UnlimitedClock:
    """A clock that allows everything."""

    def elapsed(self) -> float:
        return 0.0

    def allows(self, seconds: float) -> bool:
        return True


def score(point: Point, fidelity: Fidelity) -> float:
    """The scorer: the value of an entry, with noise that is smaller after a longer training."""
    noise = Random(fidelity.seed).random() / (100 * fidelity.images)
    return 1 - abs(point.shape["x"] - 70) / 100 - 0.2 * (point.shape["kind"] != "b") + noise


def table_searcher(folder: Path, space=None, strategy="evolution", seed=0, fingerprint=None, lag=None) -> Searcher:
    """A searcher over a table, with its study in `folder`."""
    return Searcher(
        space or TableSpace(),
        StudyFile(folder / "study.db"),
        strategy=strategy,
        seed=seed,
        rungs=RUNGS,
        fingerprint=fingerprint or {"a": 1},
        lag=lag,
    )


def run(searcher: Searcher, scorer=score, *, trials, clock=None, workers=1) -> None:
    """Runs a searcher with a function as its objective."""
    run_trials(searcher, FunctionEvaluator(scorer, workers), trials=trials, clock=clock or UnlimitedClock())


def timeless(outcomes: list[Outcome]) -> list[tuple]:
    """Outcomes without the seconds they took."""
    return [(o.number, o.state, o.reason, o.key, tuple(o.scores.items())) for o in outcomes]


def best(searcher: Searcher) -> Outcome | None:
    """The trial with the best score at the longest training."""
    scored = [outcome for outcome in searcher.outcomes() if outcome.is_scored]
    return max(scored, key=lambda o: (o.images, o.score, -o.number), default=None)
