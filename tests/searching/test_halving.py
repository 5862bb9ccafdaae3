"""Successive halving: the best candidates are trained longer."""

from __future__ import annotations

import pytest
from searching.table_space import RUNGS, UnlimitedClock, score, table_searcher

from lightcnn.searching.halving import Rungs


def test_halving_promotes_the_best_third_and_trains_from_the_first_rung_up(tmp_path):
    calls = []

    def recording_scorer(point, fidelity):
        calls.append((point.key, fidelity.epochs))
        return score(point, fidelity)

    searcher = table_searcher(tmp_path)
    searcher.run(recording_scorer, trials=30, clock=UnlimitedClock())
    outcomes = searcher.outcomes()
    reached = {
        epochs: [o for o in outcomes if epochs in o.scores and o.state != "duplicate"] for epochs in RUNGS.epochs
    }
    assert len(reached[1]) == 30 - sum(o.state == "duplicate" for o in outcomes)
    assert len(reached[9]) <= len(reached[3]) <= len(reached[1])
    assert 1 < len(reached[3]) <= 15
    assert sorted(calls) == sorted((o.key, epochs) for o in outcomes if o.state != "duplicate" for epochs in o.scores)
    for outcome in reached[3]:
        earlier = [o.scores[1] for o in reached[1] if o.number < outcome.number]
        better = sum(earlier_score >= outcome.scores[1] for earlier_score in earlier)
        assert better < max(1, (len(earlier) + 1) // 3)


@pytest.mark.parametrize(
    ("score", "others", "promoted"),
    [
        (0.5, [], True),
        (0.5, [0.4], True),
        (0.5, [0.5], False),
        (0.5, [0.6, 0.4, 0.3, 0.2], False),
        (0.5, [0.6, 0.4, 0.3, 0.2, 0.1], True),
        (0.5, [0.6, 0.6, 0.3, 0.2, 0.1], False),
    ],
)
def test_a_score_is_promoted_if_it_is_among_the_best_third_or_beats_all(score, others, promoted):
    assert Rungs((1, 3, 9), keep=3).promotes(score, others) is promoted


def test_a_score_that_is_not_finite_fails_the_trial(tmp_path):
    searcher = table_searcher(tmp_path)
    searcher.run(
        lambda point, fidelity: float("nan") if point.shape["kind"] == "a" else score(point, fidelity),
        trials=6,
        clock=UnlimitedClock(),
    )
    assert searcher.outcomes()[0].state == "failed"
    assert "nan" in searcher.outcomes()[0].reason
    assert searcher.best() is None or searcher.best().shape["kind"] != "a"


def test_the_clock_ends_the_search_and_prevents_long_trainings(tmp_path):
    class CountdownClock(UnlimitedClock):
        def __init__(self, answers):
            self.left = answers

        def allows(self, seconds):
            self.left -= 1
            return self.left >= 0

    reasons, counts = set(), []
    for answers in range(8):
        (tmp_path / str(answers)).mkdir()
        searcher = table_searcher(tmp_path / str(answers))
        searcher.run(score, trials=None, clock=CountdownClock(answers))
        reasons.add(searcher.outcomes()[-1].reason)
        counts.append(len(searcher.outcomes()))
    assert "no time for a longer training" in reasons
    assert counts == sorted(counts)
    assert 1 == counts[0] < counts[-1]
