"""The surrogate strategy: what it starts with, what it learns from, and what it proposes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.study import Study
from optuna.trial import TrialState, create_trial
from searching.table_space import Point, TableSpace, run, score, table_searcher

from lightcnn.budget import Budget
from lightcnn.cost import cost
from lightcnn.searching.budgeted_space import BudgetedSpace
from lightcnn.searching.strategies import surrogate
from lightcnn.searching.strategies.base import gene_features, visible_study
from lightcnn.searching.strategies.surrogate import DRAW_EVERY, STARTUP_TRIALS
from lightcnn.searching.trials.searcher import Searcher
from lightcnn.space import Gene, SearchSpace


def study_of(searcher: Searcher) -> Study:
    """What a strategy would know now."""
    outcomes = searcher.outcomes()
    return visible_study(
        tuple(TableSpace().genes()), outcomes, {o.number: o.utilities[1] for o in outcomes if o.scores}
    )


def test_ordered_genes_are_numbers_and_others_one_column_per_option() -> None:
    genes = (Gene("width", (4, 8, 16), True), Gene("skip", (0, 1), True), Gene("kind", ("a", "b", "c")))
    assert gene_features(genes, {"width": 8, "skip": 1, "kind": "b"}) == [np.log(8), 1.0, 0.0, 1.0, 0.0]


def test_features_of_a_network_are_logarithms_of_its_cost_and_of_its_stages() -> None:
    space = BudgetedSpace(SearchSpace.load("micro").for_data(1, 10, 28), Budget.parse("1MFLOPs"))
    candidate = space.candidate(space.first(), Random(0))
    features = np.expm1(space.features(candidate))
    total = cost(candidate.spec)
    assert features[:3].round().tolist() == [total.macs, total.params, total.peak_activations]
    classifier = candidate.shape["stages.3.width"] * 10
    assert features[3:-1].sum().round() == total.macs - classifier
    assert features[-1] == pytest.approx(28)
    assert features[3] == pytest.approx(28 * 28 * candidate.shape["stem.width"] * 9)


def test_all_candidates_have_as_many_features() -> None:
    space = BudgetedSpace(SearchSpace.load("micro").for_data(3, 2, 64), Budget.parse("1MFLOPs"))
    random = Random(0)
    counts = {len(space.features(space.candidate(space.draw(random), random))) for _ in range(30)}
    assert counts == {3 + 5 + 1}


def test_until_there_are_enough_scores_the_draw_least_like_the_known_is_proposed() -> None:
    drawn = [Point({"x": x, "kind": "a"}) for x in (12, 55, 99, 30)]
    known = [Point({"x": 10, "kind": "a"}), Point({"x": 60, "kind": "a"})]
    assert surrogate._furthest(TableSpace(), drawn, known).shape["x"] == 99
    assert surrogate._furthest(TableSpace(), drawn, []) is drawn[0]


def test_the_largest_expected_improvement_is_proposed() -> None:
    """Of equal means the less certain one, of equally certain ones the higher mean; a sure small gain loses."""
    search = object.__new__(surrogate._Search)
    search._known, search._incumbent = set(), 0.0
    predictions = {10: (0.0, 0.1), 20: (0.0, 1.0), 30: (0.5, 0.1), 40: (-1.0, 0.5), 50: (0.3, 1e-6)}
    search._scaler = SimpleNamespace(points=lambda candidates: [point.shape["x"] for point in candidates])
    search._process = SimpleNamespace(predict=lambda points: np.array([predictions[x] for x in points]).T)
    ranked = search._ranked([Point({"x": x, "kind": "a"}) for x in predictions])
    assert [point.shape["x"] for point in ranked] == [30, 20, 50, 10, 40]


def test_after_the_start_proposals_are_better_than_before(tmp_path: Path) -> None:
    searcher = table_searcher(tmp_path, strategy="surrogate")
    run(searcher, score, trials=STARTUP_TRIALS + 12)
    first = [max(o.scores.values()) for o in searcher.outcomes()]
    assert np.mean(first[STARTUP_TRIALS:]) > np.mean(first[:STARTUP_TRIALS]) + 0.1


def test_two_of_three_first_proposals_are_mutations_of_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parents, drawn = list[int](), list[Any]()
    mutate, draw = TableSpace.mutate, TableSpace.draw

    def recorded(self: TableSpace, shape: Mapping[str, Any], random: Random) -> Any:
        parents.append(shape["x"])
        return mutate(self, shape, random)

    monkeypatch.setattr(TableSpace, "mutate", recorded)
    monkeypatch.setattr(TableSpace, "draw", lambda self, random: drawn.append(draw(self, random)) or drawn[-1])
    searcher = table_searcher(tmp_path, strategy="surrogate")
    run(searcher, score, trials=STARTUP_TRIALS)
    start = TableSpace().start_shapes()[0]["x"]
    draws = sum(number % DRAW_EVERY == 0 for number in range(1, STARTUP_TRIALS))
    assert parents.count(start) >= STARTUP_TRIALS - 1 - draws
    assert len(drawn) == draws * surrogate.DRAWS


def test_a_failed_network_is_not_proposed_again_and_counts_as_the_lowest_score(tmp_path: Path) -> None:
    def failing(point: Point, fidelity: object) -> float:
        if point.shape["kind"] == "b":
            raise RuntimeError("out of memory")
        return score(point, fidelity)

    searcher = table_searcher(tmp_path, strategy="surrogate")
    run(searcher, failing, trials=30)
    outcomes = searcher.outcomes()
    failed = [o.key for o in outcomes if o.state == "failed"]
    assert len(failed) == len(set(failed))
    late = outcomes[20:]
    assert sum(o.state == "failed" for o in late) < len(late) / 2
    known, scores = surrogate._scored(TableSpace(), study_of(searcher))
    assert {p.key for p in known} == {o.key for o in outcomes if o.state != "duplicate"}
    lowest = min(scores)
    assert all(value == lowest for p, value in zip(known, scores, strict=True) if p.shape["kind"] == "b")


def test_of_many_networks_the_best_and_the_earliest_are_fitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searcher = table_searcher(tmp_path, strategy="random")
    run(searcher, score, trials=30)
    monkeypatch.setattr(surrogate, "MAX_NETWORKS", 10)
    monkeypatch.setattr(surrogate, "BEST_NETWORKS", 6)
    known, scores = surrogate._scored(TableSpace(), study_of(searcher))
    outcomes = [o for o in searcher.outcomes() if o.state != "duplicate"]
    ranked = sorted(outcomes, key=lambda o: (-o.scores[1], o.number))
    rest = sorted(ranked[6:], key=lambda o: o.number)[:4]
    assert [p.key for p in known] == [o.key for o in (*ranked[:6], *rest)]
    assert len(scores) == 10


def study_with(*trials: tuple[int, str, TrialState, float | None, dict[int, float]]) -> optuna.Study:
    """A study in memory: of each trial x, kind, state, value and scores along the way."""
    study = optuna.create_study(direction="maximize")
    for x, kind, state, value, scores in trials:
        shape = {"x": x, "kind": kind}
        study.add_trial(create_trial(state=state, value=value, intermediate_values=scores, user_attrs={"shape": shape}))
    return study


def scored(study: optuna.Study) -> dict[str, float]:
    known, scores = surrogate._scored(TableSpace(), study)
    assert len({point.key for point in known}) == len(known) == len(scores)
    return dict(zip([point.key for point in known], scores, strict=True))


def test_failed_trials_have_the_lowest_score_whatever_they_reached() -> None:
    study = study_with(
        (1, "a", TrialState.COMPLETE, 0.6, {1: 0.5}),
        (2, "a", TrialState.COMPLETE, 0.8, {1: 0.7}),
        (3, "a", TrialState.FAIL, None, {1: 0.9}),
    )
    assert scored(study) == {"1/a": 0.6, "2/a": 0.8, "3/a": 0.6}


def test_a_network_that_was_scored_twice_is_learned_from_once() -> None:
    again = (1, "a", TrialState.COMPLETE, 0.6, {1: 0.6})
    assert scored(study_with(again, again, (2, "b", TrialState.COMPLETE, 0.8, {1: 0.8}))) == {"1/a": 0.6, "2/b": 0.8}


def test_scores_far_below_the_median_are_raised() -> None:
    targets = surrogate._targets(np.array([0.0, 0.8, 0.9, 1.0, 0.85]))
    raised = np.array([0.85 - 2 * 0.15, 0.8, 0.9, 1.0, 0.85])
    np.testing.assert_allclose(targets, (raised - raised.mean()) / raised.std())


def test_equal_scores_propose_a_new_network_without_a_warning() -> None:
    study = study_with(*[(x, "a", TrialState.COMPLETE, 0.5, {1: 0.5}) for x in range(1, 2 * STARTUP_TRIALS)])
    with warnings.catch_warnings(action="error", category=RuntimeWarning):
        proposed = surrogate.propose_by_surrogate(TableSpace(), study, create_trial(value=0.0), 0)
    assert proposed["x"] not in range(1, 2 * STARTUP_TRIALS)
