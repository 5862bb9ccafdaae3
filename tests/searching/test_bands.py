"""Bands of costs: in which of them trials propose, which networks continue, and which are trained to the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from random import Random

import pytest
from searching.table_space import Point, TableSpace, UnlimitedClock, run, score, timeless

from lightcnn.budget import Budget
from lightcnn.errors import BudgetError
from lightcnn.searching.budgeted_space import MIN_USE, BudgetedSpace
from lightcnn.searching.strategies.base import Bands
from lightcnn.searching.strategies.names import STRATEGIES
from lightcnn.searching.trials.finalists import choose_finalists
from lightcnn.searching.trials.halving import Fidelity, Rungs, Standing
from lightcnn.searching.trials.place import StudyFile
from lightcnn.searching.trials.searcher import LAG, Searcher
from lightcnn.searching.trials.storage import Outcome
from lightcnn.space import SearchSpace

ENDS = (0, 25, 50, 100)
"""The bands of the table are between these values of x, which is the cost."""


class Band(TableSpace):
    """The entries of the table from `low` to below `high`; all with lower costs are within its limit, too."""

    def __init__(self, low: int, high: int) -> None:
        self._low, self._high = low, high

    def start_shapes(self):
        return ({"x": self._low, "kind": "a"},)

    def draw(self, random: Random):
        return {"x": random.randrange(self._low, self._high), "kind": random.choice(("a", "b", "c"))}

    def mutate(self, shape, random: Random):
        return self._within(super().mutate(shape, random))

    def candidate(self, shape, random: Random):
        return self.inspect(self._within(shape))

    def inspect(self, shape):
        return Point(dict(shape), {"x": (shape["x"] - self._high + 1) / self._high})

    def _within(self, shape):
        return {**shape, "x": min(self._high - 1, max(self._low, shape["x"]))}


def banded(folder, strategy: str = "surrogate", lag: int | None = LAG) -> Searcher:
    return Searcher(
        TableSpace(), StudyFile(folder / "study.db"), strategy=strategy, seed=0, rungs=Rungs((1, 3)),
        fingerprint={"a": 1}, lag=lag, bands=[Band(low, high) for low, high in pairwise(ENDS)],
    )  # fmt: skip


def outcome(number: int, promise: float) -> Outcome:
    return Outcome(number, "running", "", str(number), {}, {1: 0.5, 3: 0.5}, 1.0, 1.0, {1: promise, 3: promise})


@pytest.mark.parametrize(
    ("count", "order"), [(1, (0,)), (2, (1, 0)), (3, (2, 0, 1)), (5, (4, 0, 2, 1, 3)), (8, (7, 0, 3, 5, 1, 2, 4, 6))]
)
def test_turns_begin_with_both_ends_and_then_fill_the_gaps(count: int, order: tuple[int, ...]) -> None:
    assert Bands(tuple(TableSpace() for _ in range(count))).order == order


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_trials_propose_in_all_bands_in_turn_and_begin_with_their_starts(tmp_path, strategy: str) -> None:
    searcher = banded(tmp_path, strategy, lag=None)
    run(searcher, score, trials=24)
    xs = [outcome.shape["x"] for outcome in searcher.outcomes()]
    assert xs[:3] == [50, 0, 25]
    for number, x in enumerate(xs):
        band = (2, 0, 1)[number % 3]
        assert ENDS[band] <= x < ENDS[band + 1]


def test_trials_are_the_same_for_every_number_of_workers_and_after_an_interruption(tmp_path) -> None:
    left = [9]

    def interrupted(point: Point, fidelity: Fidelity) -> float:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return score(point, fidelity)

    for name, workers in (("one", 1), ("three", 3), ("resumed", 2)):
        (tmp_path / name).mkdir()
        if name == "resumed":
            with pytest.raises(KeyboardInterrupt):
                run(banded(tmp_path / name), interrupted, trials=20, workers=workers)
        run(banded(tmp_path / name), score, trials=20, workers=workers)
    alone, three, resumed = (timeless(banded(tmp_path / name).outcomes()) for name in ("one", "three", "resumed"))
    assert alone == three == resumed


def test_the_best_of_each_band_are_promoted_before_the_second_best_of_any() -> None:
    promises = [0.9, 0.2, 0.5, 0.8, 0.1, 0.4, 0.7, 0.3, 0.6]
    standings = [Standing(number, 1, 1, promise, turn=number % 3) for number, promise in enumerate(promises)]
    rungs = Rungs((1, 3))
    assert [number for number, _ in rungs.promotions(standings)] == [0, 7, 8]
    alone = [Standing(number, 1, 1, promise) for number, promise in enumerate(promises)]
    assert [number for number, _ in rungs.promotions(alone)] == [0, 3, 6]


def test_a_band_whose_best_has_changed_takes_no_place_of_a_band_without_one() -> None:
    """The network 3 was promoted when it was the best of the first band, which 0 is now."""
    promises = [0.9, 0.2, 0.5, 0.8, 0.1, 0.4, 0.7, 0.3, 0.6]
    started = {3: 2, 7: 2}
    standings = [
        Standing(number, 1, started.get(number, 1), promise, turn=number % 3) for number, promise in enumerate(promises)
    ]
    assert [number for number, _ in Rungs((1, 3)).promotions(standings)] == [8, 0]


@pytest.mark.parametrize("seed", [*range(2), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 20))])
def test_every_band_reaches_the_next_rung_though_the_promises_of_one_change_all_the_time(tmp_path, seed: int) -> None:
    """In the band of the first turn, the best network is another one after every score."""

    def predict(outcomes: Sequence[Outcome], images: int) -> list[float]:
        random = Random(1_000 * seed + len(outcomes) + sum(len(outcome.scores) for outcome in outcomes))
        return [random.random() if each.number % 3 == 0 else each.utilities[each.images] for each in outcomes]

    searcher = banded(tmp_path, "random", lag=None)
    searcher.predictor = predict
    run(searcher, score, trials=27)
    promoted = Counter(each.number % 3 for each in searcher.outcomes() if len(each.scores) == 2)
    assert sum(promoted.values()) == sum(each.is_scored for each in searcher.outcomes()) // 3
    assert max(promoted.values()) - min(promoted[turn] for turn in range(3)) <= 1


def test_finalists_are_the_best_of_each_band_and_then_the_second_of_each() -> None:
    promises = dict(enumerate([0.9, 0.2, 0.5, 0.8, 0.1, 0.4, 0.7, 0.3, 0.6]))
    outcomes = [outcome(number, promise) for number, promise in promises.items()]

    def chosen(count: int) -> list[int]:
        return [o.number for o in choose_finalists(outcomes, promises, count, longest=3, validation=9, turns=3)]

    assert chosen(2) == [0, 7]
    assert chosen(5) == [0, 7, 8, 3, 1]


def test_networks_that_are_trained_in_the_time_left_are_of_all_bands_in_turn() -> None:
    """Two at a time, as with two workers."""
    promises = dict(enumerate([0.9, 0.2, 0.5, 0.8, 0.1, 0.4, 0.7, 0.3, 0.6]))
    outcomes = [outcome(number, promise) for number, promise in promises.items()]
    taken: list[Outcome] = []
    while len(taken) < len(outcomes):
        rest = [each for each in outcomes if each not in taken]
        taken += choose_finalists(rest, promises, 2, longest=3, validation=9, turns=3, taken=taken)
    assert [each.number for each in taken] == [0, 7, 8, 3, 1, 2, 6, 4, 5]


@pytest.mark.parametrize("missing", range(3))
def test_every_band_with_a_score_has_a_finalist(missing: int) -> None:
    """A band whose trials have all failed leaves its place to the next networks of the others."""
    promises = {number: 1 / (1 + number) for number in range(12) if number % 3 != missing}
    outcomes = [outcome(number, promises.get(number, 0.0)) for number in range(12)]
    chosen = choose_finalists(outcomes, promises, 3, longest=3, validation=9, turns=3)
    assert len(chosen) == 3 and {each.number % 3 for each in chosen} == {0, 1, 2} - {missing}


def test_bands_of_a_budget_propose_networks_up_to_their_limits_and_at_least_half_of_them() -> None:
    budget = Budget.parse("0.1..0.4MFLOPs,50kparams")
    space = BudgetedSpace(SearchSpace.load("micro").for_data(1, 10, 28), budget, 28, pareto=True)
    assert [str(band.budget) for band in space.bands] == ["100..200kFLOPs,50kparams", "100..400kFLOPs,50kparams"]
    random = Random(0)
    for band in space.bands:
        candidates = [band.candidate(band.draw(random), random) for _ in range(8)]
        candidates += [band.candidate(start, random) for start in band.start_shapes()]
        assert all(band.budget.admits(each.cost) and space.budget.admits(each.cost) for each in candidates)
        assert all(band.budget.used_share(each.cost) >= MIN_USE for each in candidates)
    assert not BudgetedSpace(space.space, budget, 28).bands


def test_a_front_is_refused_without_a_range_and_below_the_smallest_network() -> None:
    space = SearchSpace.load("micro").for_data(1, 10, 28)
    with pytest.raises(BudgetError, match="has no range"):
        BudgetedSpace(space, Budget.parse("1MFLOPs"), pareto=True)
    with pytest.raises(BudgetError, match="smallest network"):
        BudgetedSpace(space, Budget.parse("10..40FLOPs"), pareto=True)


def test_the_clock_ends_a_banded_search(tmp_path) -> None:
    class OneTrial(UnlimitedClock):
        def allows(self, seconds: float) -> bool:
            return False

    searcher = banded(tmp_path, lag=None)
    run(searcher, score, trials=None, clock=OneTrial())
    assert len(searcher.outcomes()) == 1
