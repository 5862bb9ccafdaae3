"""What report.json states about the predictions of a search."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest
from searching.table_space import Point, TableSpace

from lightcnn.searching.budgeted_space import BudgetedSpace
from lightcnn.searching.comparison import SearchResult
from lightcnn.searching.report.predictions import importance_document, prediction_document
from lightcnn.searching.trainings.finals import FinalProgress
from lightcnn.searching.trainings.jobs import TrainingResult, WeightScore
from lightcnn.searching.trials.storage import Outcome

RUNGS, END = (12_000, 36_000), 108_000


class CostSpace(TableSpace):
    """The cost is x."""

    def features(self, candidate: Point) -> list[float]:
        return [candidate.shape["x"] / 100]


def outcome(number: int, random: Random) -> Outcome:
    utilities = {images: math.log(images) / 10 + number / 20 + random.gauss(0, 0.005) for images in RUNGS}
    shape = {"x": 10 * number, "kind": "a"}
    return Outcome(number, "complete", "", str(number), shape, dict(utilities), 1.0, 1.0, utilities)


def final(trial: int, loss: float, end: float | None = None, images: int = END) -> FinalProgress:
    part = TrainingResult(
        trial=trial, rung=2, step=images // 128, images=images, seconds=1.0,
        averaged=WeightScore(accuracy=0.5, log_loss=loss),
    )  # fmt: skip
    last = None if end is None else part.model_copy(update={"averaged": WeightScore(accuracy=0.5, log_loss=end)})
    return FinalProgress(
        trial=trial, seed=0, images=RUNGS[-1], first_step=RUNGS[-1] // 128, parts=(part,), decay_steps=1, end=last
    )


def prediction(losses: dict[int, float], networks: int = 8) -> dict[str, Any]:
    """Of a search whose final trainings reached these log losses, by trial."""
    random = Random(0)
    outcomes = [outcome(number, random) for number in range(networks)]
    return document_of(outcomes, [final(trial, loss) for trial, loss in losses.items()])


def document_of(outcomes: Sequence[Outcome], trained: Sequence[FinalProgress] = ()) -> dict[str, Any]:
    """What report.json states of these trials and final trainings."""
    result = SimpleNamespace(outcomes=outcomes, promises={each.number: 0.0 for each in outcomes}, trained=trained)
    return prediction_document(cast(BudgetedSpace, CostSpace()), cast(SearchResult, result))


def test_the_error_on_the_final_trainings_is_a_factor() -> None:
    """Each reached a log loss that is a fifth larger than predicted: wrong by a fifth, and all in order."""
    predicted = {row["trial"]: row["predicted"] for row in prediction(dict.fromkeys((1, 3, 5, 7), 1.0))["finals"]}
    document = prediction({trial: 1.2 * loss for trial, loss in predicted.items()})
    assert document["finals_error"] == pytest.approx(0.2)
    assert document["finals_rank_correlation"] == 1.0
    turned = prediction(dict(zip(predicted, reversed(predicted.values()), strict=True)))
    assert turned["finals_rank_correlation"] == -1.0
    assert turned["finals_error"] > 0.05


def test_the_predictions_are_ranked_with_the_ends_of_the_trainings_that_have_one() -> None:
    random, ends = Random(0), {1: 0.5, 2: 0.4, 3: 0.3, 4: 0.2}
    outcomes = [outcome(number, random) for number in range(8)]
    trained = [final(trial, 1.0, end) for trial, end in ends.items()]
    assert document_of(outcomes, trained)["finals_end_rank_correlation"] == 1.0
    worse_at_the_end = [final(trial, 1.0, 1 - end) for trial, end in ends.items()]
    assert document_of(outcomes, worse_at_the_end)["finals_end_rank_correlation"] == -1.0
    unfinished = document_of(outcomes, [*trained[:3], final(4, 1.0)])
    assert unfinished["finals_end_rank_correlation"] is None, "three ends"
    assert [row["ended"] for row in unfinished["finals"]] == [0.5, 0.4, 0.3, None]


def test_ends_of_different_lengths_are_ranked_with_predictions_for_one_length() -> None:
    """The worse a network, the longer it was trained, until it is better than the others at its own length."""
    random = Random(0)
    outcomes = [outcome(number, random) for number in range(8)]
    trained = [final(trial, 1.0, 1 - trial / 10, 13_000 * 4 ** (4 - trial)) for trial in (1, 2, 3, 4)]
    document = document_of(outcomes, trained)
    predicted = [row["predicted"] for row in document["finals"]]
    assert predicted == sorted(predicted)
    assert document["finals_end_rank_correlation"] == 1.0


def test_the_rank_correlation_is_that_of_the_longest_length_of_four_networks() -> None:
    """All have a score halfway to the first rung; some end there, others at the second."""
    for longer, images in ((5, RUNGS[1]), (4, RUNGS[1]), (3, RUNGS[0])):
        random = Random(0)
        outcomes = [outcome(number, random) for number in range(9)]
        for number in range(longer, 9):
            first = {RUNGS[0]: outcomes[number].utilities[RUNGS[0]]}
            outcomes[number] = replace(
                outcomes[number], scores=first, utilities=first, off_rung={RUNGS[0] // 2: first[RUNGS[0]] - 0.1}
            )
        checked = document_of(outcomes)["left_out"]
        assert (checked["networks"], checked["images"]) == (9, images)
        assert checked["rank_correlation"] is not None


def importance(outcomes: Sequence[Outcome], promises: Sequence[float]) -> dict[str, float] | None:
    """The importance of the genes of trials that are predicted to have these utilities."""
    result = SimpleNamespace(outcomes=outcomes, promises=dict(enumerate(promises)))
    return importance_document(cast(BudgetedSpace, CostSpace()), cast(SearchResult, result), 0)


def test_the_gene_that_predictions_depend_on_is_important_from_thirty_networks_on() -> None:
    random = Random(0)
    shapes = [{"x": random.randrange(100), "kind": random.choice("abc")} for _ in range(30)]
    outcomes = [
        Outcome(number, "complete", "", str(number), shape, {9: 0.5}, 1.0, 1.0, {9: 0.5})
        for number, shape in enumerate(shapes)
    ]
    by_size = [shape["x"] / 100 for shape in shapes]
    shares = importance(outcomes, by_size)
    assert shares is not None and list(shares) == ["x", "kind"]
    assert shares["x"] > 0.8 and shares["kind"] < 0.1
    by_kind = importance(outcomes, ["abc".index(shape["kind"]) for shape in shapes])
    assert by_kind is not None and list(by_kind) == ["kind", "x"]
    assert importance(outcomes[:29], by_size[:29]) is None
    assert importance(outcomes, [1.0] * 30) is None


def test_three_final_trainings_have_an_error_but_no_rank_correlation() -> None:
    document = prediction({1: 0.5, 3: 0.4, 5: 0.3})
    assert document["finals_error"] > 0
    assert document["finals_rank_correlation"] is None


@pytest.mark.parametrize(("losses", "networks"), [({}, 8), ({0: 0.5, 1: 0.4}, 3)])
def test_without_a_prediction_of_a_final_training_both_are_null(losses, networks) -> None:
    document = prediction(losses, networks)
    assert (document["finals"], document["finals_error"], document["finals_rank_correlation"]) == ([], None, None)
