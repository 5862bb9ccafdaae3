"""What report.json states about the networks that a search has compared."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lightcnn.searching.comparison import SearchResult, comparison, rungs_document
from lightcnn.searching.plan import make_plan
from lightcnn.searching.settings import SearchSettings
from lightcnn.searching.trainings.jobs import TrainingResult, WeightScore
from lightcnn.searching.trials.storage import Outcome

PLAN = make_plan(fingerprint="a", images=12_800, workers=1, finalists=2, limit=None, epochs=9)
"""Of 900 steps, with two rungs."""
FIRST, SECOND = PLAN.rungs


def outcome(number: int, first: float, second: float | None = None, state: str = "complete") -> Outcome:
    """A trial with a utility at the first rung, and maybe at the second one."""
    utilities = {FIRST: first} | ({} if second is None else {SECOND: second})
    return Outcome(number, state, "", str(number), {}, dict.fromkeys(utilities, 0.5), 1.0, 1.0, utilities)


def rungs(outcomes: list[Outcome], ends: Mapping[int, float] | None = None) -> list[dict[str, Any]]:
    """The rungs of a search whose final trainings ended with these accuracies, by trial."""
    trained = [SimpleNamespace(trial=n, end=end(accuracy)) for n, accuracy in (ends or {}).items()]
    trained.append(SimpleNamespace(trial=0, end=None))  # one that was not finished
    result = SimpleNamespace(outcomes=outcomes, trained=trained, choice=SimpleNamespace(metric="accuracy"))
    return rungs_document(PLAN, cast(SearchResult, result))


def end(accuracy: float) -> TrainingResult:
    score = WeightScore(accuracy=accuracy, log_loss=1 - accuracy)
    return TrainingResult(trial=0, rung=2, step=900, images=115_200, seconds=1.0, averaged=score)


def test_a_rung_is_compared_with_the_last_one_that_four_of_its_networks_have_reached() -> None:
    """The second rung turns the order of the first one; a failed network does not count."""
    outcomes = [outcome(n, n / 10, -n / 10 if n > 1 else None) for n in range(6)]
    first, second = rungs([*outcomes, outcome(6, 0.9, 0.9, state="failed")])
    assert first == {
        "steps": PLAN.steps(FIRST), "images": FIRST, "networks": 6, "pairs": 4, "rank_correlation": -1.0
    }  # fmt: skip
    assert second == {
        "steps": PLAN.steps(SECOND), "images": SECOND, "networks": 4, "pairs": 0, "rank_correlation": None
    }  # fmt: skip
    assert rungs(outcomes[:5])[0]["rank_correlation"] is None, "three have reached the second rung"


def test_four_final_trainings_are_compared_with_before_the_rungs() -> None:
    """Three final trainings are too few."""
    outcomes = [outcome(n, n / 10, -n / 10) for n in range(6)]
    ends = {2: 0.92, 3: 0.93, 4: 0.94, 5: 0.95}
    assert [(rung["pairs"], rung["rank_correlation"]) for rung in rungs(outcomes, ends)] == [(4, 1.0), (4, -1.0)]
    del ends[2]
    assert [(rung["pairs"], rung["rank_correlation"]) for rung in rungs(outcomes, ends)] == [(6, -1.0), (0, None)]


@pytest.mark.parametrize(
    ("delivered", "last", "cut_short", "is_longest"),
    [(900, 900, False, True), (720, 720, False, False), (719, 719, True, False), (300, 900, False, True)],
)
def test_a_final_training_was_cut_short_if_it_saw_less_than_four_fifths_of_the_planned_images(
    delivered: int, last: int, cut_short: bool, is_longest: bool
) -> None:
    """That of the network that is delivered, whichever of its weights are."""
    progress = SimpleNamespace(last_step=last, second=False)
    choice = SimpleNamespace(best=SimpleNamespace(step=delivered, progress=progress), networks=(), document=dict)
    result = SimpleNamespace(outcomes=[outcome(0, 0.5)], finalists=[None], second=(), choice=choice)
    settings = SimpleNamespace(seconds=None, epochs=9)
    document = comparison(cast(SearchSettings, settings), PLAN, cast(SearchResult, result), None)
    assert (document["planned_images"], document["final_images"]) == (115_200, 128 * delivered)
    assert (document["cut_short"], document["is_longest"]) == (cut_short, is_longest)
