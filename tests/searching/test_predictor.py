"""The predictor: it learns from short trainings how learning curves depend on cost."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from random import Random

import pytest
from scipy.stats import spearmanr
from searching.table_space import Point, TableSpace

from lightcnn.searching.strategies.predictor import CurvePredictor, LearningCurves, LeftOut, network_costs
from lightcnn.searching.trials.storage import Outcome
from lightcnn.space import Gene

LENGTHS = (6_000, 12_000, 36_000, 108_000)


class CostSpace(TableSpace):
    """Two costs: x, by which networks learn fast and stop early, and another one that does not matter."""

    def features(self, candidate: Point) -> list[float]:
        return [candidate.shape["x"] / 100, (candidate.shape["x"] * 37 % 100) / 100]


def true_utility(x: int, images: float) -> float:
    """Networks with a large x are ahead at 12,000 images and behind at a million."""
    return 1 + 0.3 * x / 100 + (0.5 - 0.35 * x / 100) * math.log(images / 6_000) / 2


def outcome(number: int, x: int, lengths: tuple[int, ...], random: Random) -> Outcome:
    scores = {images: true_utility(x, images) + random.gauss(0, 0.01) for images in lengths}
    early = {6_000: scores.pop(6_000)} if 6_000 in scores else {}
    return Outcome(number, "running", "", str(x), {"x": x, "kind": "a"}, dict(scores), 1.0, 1.0, scores, early)


@pytest.mark.parametrize("seed", range(3))
def test_slow_learners_that_end_higher_are_predicted_from_short_trainings(seed: int) -> None:
    random = Random(seed)
    xs = random.sample(range(100), 16)
    outcomes = [outcome(number, x, LENGTHS[:2], random) for number, x in enumerate(xs)]
    truth = [true_utility(x, 1_000_000) for x in xs]
    last = [o.utilities[12_000] for o in outcomes]
    assert spearmanr(last, truth).statistic < 0
    predicted = CurvePredictor(CostSpace())(outcomes, 1_000_000)
    assert spearmanr(predicted, truth).statistic > 0.9
    at_12k = CurvePredictor(CostSpace())(outcomes, 12_000)
    assert spearmanr(at_12k, last).statistic > 0.8, "at their own length, networks keep their order"


def test_few_networks_equal_scores_or_a_space_without_features_keep_the_last_utility() -> None:
    random = Random(0)
    few = [outcome(number, 10 * number, (12_000, 36_000), random) for number in range(3)]
    assert CurvePredictor(CostSpace())(few, 10**6) == [o.utilities[36_000] for o in few]
    many = [outcome(number, 10 * number, (12_000,), random) for number in range(8)]
    assert CurvePredictor(TableSpace())(many, 10**6) == [o.utilities[12_000] for o in many]
    equal = [Outcome(n, "running", "", "", {"x": n, "kind": "a"}, {9: 0.5}, 1.0, 1.0, {9: 2.0}) for n in range(6)]
    assert CurvePredictor(CostSpace())(equal, 10**6) == [2.0] * 6
    assert CurvePredictor(CostSpace())([], 10**6) == []


def left_out(outcomes: list[Outcome]) -> list[LeftOut]:
    curves = LearningCurves.fit(outcomes, partial(network_costs, CostSpace()))
    return [] if curves is None else curves.left_out()


def test_the_last_scores_are_predicted_without_them() -> None:
    random = Random(0)
    xs = random.sample(range(100), 16)
    outcomes = [outcome(number, x, LENGTHS[: 2 + (number < 8)], random) for number, x in enumerate(xs)]
    checked = left_out(outcomes)
    ends = [36_000] * 8 + [12_000] * 8
    assert [(score.trial, score.images) for score in checked] == list(enumerate(ends))
    assert [score.utility for score in checked] == [o.utilities[end] for o, end in zip(outcomes, ends, strict=True)]
    assert [score.before for score in checked[:8]] == [o.utilities[12_000] for o in outcomes[:8]]
    assert [score.before for score in checked[8:]] == [o.off_rung[6_000] for o in outcomes[8:]], "halfway to the rung"
    assert max(abs(score.predicted - score.utility) for score in checked) < 0.06
    assert left_out(outcomes[:3]) == []
    assert left_out([outcome(n, 9 * n, (12_000,), random) for n in range(8)]) == []


def test_a_score_that_is_left_out_hardly_changes_its_own_prediction() -> None:
    """Only kernels, centre and scale know it: a tenth of a deviation more moves the prediction much less."""
    random = Random(0)
    xs = random.sample(range(100), 16)
    outcomes = [outcome(number, x, LENGTHS[:3], random) for number, x in enumerate(xs)]
    shift = 0.1
    changed = replace(outcomes[0], utilities={**outcomes[0].utilities, 36_000: outcomes[0].utilities[36_000] + shift})
    before, after = left_out(outcomes)[0].predicted, left_out([changed, *outcomes[1:]])[0].predicted
    assert abs(after - before) < 0.05 * shift


def test_the_costs_of_a_network_are_computed_once_for_all_predictions() -> None:
    random = Random(0)
    outcomes = [outcome(number, x, LENGTHS[:2], random) for number, x in enumerate((5, 80, 30, 60, 30))]
    space = CountingSpace()
    predict = CurvePredictor(space)
    first = predict(outcomes, 10**6)
    assert predict(outcomes, 10**6) == first == CurvePredictor(CostSpace())(outcomes, 10**6)
    assert sorted(space.asked) == [5, 30, 60, 80]


class CountingSpace(CostSpace):
    """Remembers which networks it was asked about."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def features(self, candidate: Point) -> list[float]:
        self.asked.append(candidate.shape["x"])
        return super().features(candidate)


class ActivationSpace(TableSpace):
    """Networks of the kinds a and b cost the same; the kind is their activation."""

    def genes(self) -> tuple[Gene, ...]:
        return (*super().genes(), Gene("act", ("relu", "silu")))

    def features(self, candidate: Point) -> list[float]:
        return [candidate.shape["x"] / 100]


def test_networks_of_equal_cost_differ_by_their_activation() -> None:
    random = Random(0)
    outcomes = []
    for number, x in enumerate(random.sample(range(100), 12)):
        known = outcome(number, x, LENGTHS[1:3], random)
        act, gain = ("silu", 0.3) if number % 2 else ("relu", 0.0)
        shape = {**known.shape, "act": act}
        utilities = {images: value + gain for images, value in known.utilities.items()}
        outcomes.append(replace(known, shape=shape, key=f"{x}{act}", utilities=utilities, scores=utilities))
    other = replace(outcomes[0], number=12, key="other", shape={**outcomes[0].shape, "act": "silu"})
    predicted = CurvePredictor(ActivationSpace())([*outcomes, other], 1_000_000)
    assert predicted[12] > predicted[0] + 0.05, "though its own scores are those of the other"


def test_of_too_many_scores_the_last_one_of_each_network_is_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightcnn.searching.strategies.predictor.MAX_POINTS", 12)
    random = Random(0)
    xs = random.sample(range(100), 13)
    outcomes = [outcome(number, x, LENGTHS[: 2 + (number < 4)], random) for number, x in enumerate(xs)]
    curves = LearningCurves.fit(outcomes, partial(network_costs, CostSpace()))
    assert curves is not None
    assert [images for _, images in curves.scored] == [36_000] * 4 + [12_000] * 8
    worst = min(range(4, 13), key=lambda row: outcomes[row].utilities[12_000])
    assert {row for row, _ in curves.scored} == set(range(13)) - {worst}
