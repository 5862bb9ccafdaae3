"""Successive halving: the best candidates are trained longer."""

from __future__ import annotations

from dataclasses import replace

import pytest
from searching.table_space import RUNGS, UnlimitedClock, best, run, score, table_searcher

from lightcnn.searching.trials.halving import FunctionEvaluator, Rungs, Standing
from lightcnn.searching.trials.loop import run_trials


def test_halving_promotes_the_best_third_and_trains_from_the_first_rung_up(tmp_path):
    calls = []

    def recording_scorer(point, fidelity):
        calls.append((point.key, fidelity.images))
        return score(point, fidelity)

    searcher = table_searcher(tmp_path)
    run(searcher, recording_scorer, trials=30)
    outcomes = searcher.outcomes()
    reached = {
        epochs: [o for o in outcomes if epochs in o.scores and o.state != "duplicate"] for epochs in RUNGS.images
    }
    assert len(reached[1]) == 30 - sum(o.state == "duplicate" for o in outcomes)
    assert len(reached[9]) <= len(reached[3]) <= len(reached[1])
    assert 1 < len(reached[3]) <= 15
    assert sorted(calls) == sorted((o.key, epochs) for o in outcomes if o.state != "duplicate" for epochs in o.scores)
    assert len(reached[3]) <= len(reached[1]) // 3
    assert len(reached[9]) <= len(reached[3]) // 3
    best = max(reached[1], key=lambda outcome: outcome.scores[1])
    assert best.number in {outcome.number for outcome in reached[3]}


@pytest.mark.parametrize(
    ("standings", "promoted"),
    [
        ([(1, 1, 0.9), (1, 1, 0.5)], None),
        ([(1, 1, 0.4), (1, 1, 0.9), (1, 1, 0.5)], (1, 1)),
        ([(1, 1, 0.4), (1, 2, 0.9), (1, 1, 0.5)], None),
        ([(1, 1, 0.4), (1, 2, 0.9), (1, 1, 0.5), (0, 1, 0.7), (1, 1, 0.6), (1, 1, 0.3), (1, 1, 0.2)], (4, 1)),
        ([(2, 2, 0.1), (2, 2, 0.9), (2, 2, 0.5), (1, 1, 0.95)], (1, 2)),
        ([(3, 3, 0.9), (3, 3, 0.8), (3, 3, 0.7)], None),
        ([(1, 1, 0.9), (1, 2, 0.2), (1, 1, 0.5)], None),  # another one was the best before
        ([(1, 1, 0.9, False), (1, 1, 0.2), (1, 1, 0.5)], None),  # the best has ended
        ([(1, 1, 0.2, False), (1, 1, 0.9), (1, 1, 0.5)], (1, 1)),
    ],
)
def test_the_most_promising_third_that_reached_a_rung_is_continued_the_highest_rung_first(standings, promoted):
    rows = [Standing(number, *standing) for number, standing in enumerate(standings, 1)]
    assert next(Rungs((1, 3, 9), keep=3).promotions(rows), None) == (promoted and (promoted[0] + 1, promoted[1]))


@pytest.mark.parametrize(
    ("first", "promoted"),
    [
        ((1, 1, 0.1), (0, 1)),
        ((2, 2, 0.1), (0, 2)),
        ((1, 2, 0.1), (2, 1)),  # it is trained already
        ((3, 3, 0.1), (2, 1)),
        ((1, 1, 0.1, False), (2, 1)),
    ],
)
def test_the_first_candidate_is_continued_whatever_its_promise_and_takes_no_place(first, promoted):
    rows = [Standing(0, *first), Standing(1, 1, 1, 0.5), Standing(2, 1, 1, 0.9), Standing(3, 1, 1, 0.6)]
    assert next(Rungs((1, 3, 9), keep=3, first_always=True).promotions(rows), None) == promoted


def test_a_score_that_is_not_finite_fails_the_trial(tmp_path):
    searcher = table_searcher(tmp_path)
    run(
        searcher,
        lambda point, fidelity: float("nan") if point.shape["kind"] == "a" else score(point, fidelity),
        trials=6,
    )
    assert searcher.outcomes()[0].state == "failed"
    assert searcher.outcomes()[0].reason == "the score after 1 images is not finite"
    assert best(searcher) is None or best(searcher).shape["kind"] != "a"


def test_the_clock_ends_the_search_and_prevents_long_trainings(tmp_path):
    class CountdownClock(UnlimitedClock):
        def __init__(self, answers):
            self.left = answers

        def allows(self, seconds):
            self.left -= 1
            return self.left >= 0

    counts = []
    for answers in range(8):
        (tmp_path / str(answers)).mkdir()
        searcher = table_searcher(tmp_path / str(answers))
        run(searcher, trials=None, clock=CountdownClock(answers))
        assert all(o.state in ("complete", "pruned") for o in searcher.settled())
        counts.append(len(searcher.outcomes()))
    assert 1 == counts[0] < counts[-1]


def test_no_rung_is_begun_for_which_the_time_does_not_suffice(tmp_path):
    """A network takes a second for each image: two seconds from the first to the second rung, then six."""

    class Timed(FunctionEvaluator):
        def wait(self):
            fidelity, answer = super().wait()
            before = RUNGS.images[fidelity.rung - 1] if fidelity.rung else 0
            return fidelity, replace(answer, seconds=float(fidelity.images - before))

    class BriefClock(UnlimitedClock):
        def allows(self, seconds):
            return seconds <= 2

    searcher = table_searcher(tmp_path)
    run_trials(searcher, Timed(score), trials=30, clock=BriefClock())
    assert {max(o.scores) for o in searcher.outcomes() if o.scores} == {1, 3}
