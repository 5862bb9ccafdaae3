"""Which weights are delivered, and the noise of that choice."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from sklearn import metrics

from lightcnn.errors import InputError, LightcnnError, RunError
from lightcnn.evaluation.calibration import apply_temperature, cross_entropy, fit_temperature
from lightcnn.run_folder import RunFolder
from lightcnn.searching.metric_names import METRICS, MetricName
from lightcnn.searching.trainings.choice import Judged, Weights, all_weights, choose, contenders, quantize_all
from lightcnn.searching.trainings.finals import FinalProgress
from lightcnn.searching.trainings.jobs import TrainingResult, WeightScore
from lightcnn.searching.trainings.judge import Judge, paired_error
from lightcnn.searching.trainings.training import calibrated_log_loss, equal_log_loss, halves

ALONE = np.array([str(i) for i in range(8)])


def judge(groups: np.ndarray, metric: MetricName = "accuracy") -> Judge:
    """Judges images that all are of class 1; by a metric of classes, only the first one is not."""
    labels = np.ones(len(groups), dtype=np.int64)
    if metric not in ("accuracy", "log_loss"):
        labels[0] = 0
    return Judge(metric, labels, groups, ("a", "b"))


def weights(trial: int, correct: str, step: int, *, averaged: bool = True, second_seed: bool = False) -> Weights:
    """Weights of a trial; `correct` has a 1 for every image of class 1 that is classified correctly."""
    finalist = SimpleNamespace(outcome=SimpleNamespace(number=trial), second=second_seed)
    second = np.array([0.9 if digit == "1" else 0.1 for digit in correct])
    predicted = np.stack([1 - second, second], axis=1)
    score = float((second > 0.5).mean())
    return Weights(finalist, None, "", step, averaged, False, None, predicted, score, score)  # type: ignore[arg-type]


def test_the_paired_error_is_that_of_the_mean_difference() -> None:
    first, second = (np.array([digit == "1" for digit in text]) for text in ("11111100", "11110011"))
    difference = np.array([0, 0, 0, 0, 1, 1, -1, -1])
    assert paired_error(first, second, ALONE) == pytest.approx(difference.std(ddof=1) / math.sqrt(8))


def test_images_of_one_group_are_not_independent() -> None:
    first, second = (np.array([digit == "1" for digit in text]) for text in ("11111100", "11110011"))
    groups = np.array(["a", "a", "b", "b", "c", "c", "d", "d"])
    # Sums of the groups: 0, 0, 2, -2; their mean is 0, so the variance of a sum is 8 / 3, of the total 4 * 8 / 3.
    assert paired_error(first, second, groups) == pytest.approx(math.sqrt(4 * 8 / 3) / 8)
    assert paired_error(first, second, np.array(["a"] * 8)) == math.inf


def test_of_one_network_the_longest_trained_weights_within_noise_are_taken() -> None:
    chosen = choose([weights(3, "11111110", 100), weights(3, "11111100", 200)], judge(ALONE))
    assert chosen.best.step == 200
    assert chosen.runner_up is None
    assert chosen.document()["beyond_noise"] is False
    images = np.array([str(i) for i in range(400)])
    much_worse = choose([weights(3, "1" * 400, 100), weights(3, "1" * 200 + "0" * 200, 200)], judge(images))
    assert much_worse.best.step == 100


def test_of_several_networks_the_best_is_taken_and_its_lead_is_compared_with_noise() -> None:
    chosen = choose([weights(0, "11110000", 100), weights(5, "11111110", 100)], judge(ALONE))
    assert chosen.best.finalist.outcome.number == 5
    assert chosen.runner_up is not None
    assert chosen.runner_up.finalist.outcome.number == 0
    assert chosen.difference == pytest.approx(3 / 8)
    assert chosen.standard_error == pytest.approx(math.sqrt((3 * (5 / 8) ** 2 + 5 * (3 / 8) ** 2) / 7 / 8))
    assert chosen.document()["beyond_noise"] is True
    equal = choose([weights(2, "1100", 100), weights(1, "0011", 100)], judge(ALONE[:4]))
    assert equal.best.finalist.outcome.number == 1


def test_of_two_seeds_of_a_network_the_better_one_is_taken_and_of_equal_networks_the_longest_trained() -> None:
    second = weights(5, "11111111", 90, second_seed=True)
    chosen = choose([weights(0, "11110000", 100), weights(5, "11111110", 100), second], judge(ALONE))
    assert chosen.best is second
    assert [item.finalist.outcome.number for item in chosen.networks] == [5, 0]
    equal = choose([weights(1, "1100", 100), weights(2, "0011", 120)], judge(ALONE[:4]))
    assert equal.best.finalist.outcome.number == 2


def test_networks_within_noise_of_the_best_are_contenders() -> None:
    images = np.array([str(i) for i in range(400)])
    best, near, far = "1" * 400, "1" * 399 + "0", "1" * 300 + "0" * 100
    finalists = contenders([weights(n, c, 100) for n, c in enumerate((far, near, best))], judge(images))
    assert [finalist.outcome.number for finalist in finalists] == [2, 1]
    assert contenders([weights(0, far, 100), weights(2, best, 100)], judge(images)) == []
    assert contenders([weights(2, best, 100)], judge(images)) == []
    one_patient = np.full(400, "a")  # the noise is unknown
    assert contenders([weights(n, c, 100) for n, c in enumerate((near, best))], judge(one_patient)) == []


def test_of_several_networks_the_best_after_quantization_is_taken() -> None:
    int8 = {0: "11111100", 5: "11110000"}

    def quantize(chosen: Sequence[Weights]) -> list[Weights]:
        assert sorted(item.step for item in chosen) == [100, 200], "one of each network, chosen as in float"
        changed = [weights(number, int8[number], 0) for number in (item.finalist.outcome.number for item in chosen)]
        return [
            replace(item, quantized=Judged(other.probabilities, other.score))
            for item, other in zip(chosen, changed, strict=True)
        ]

    candidates = [weights(0, "11111000", 100), weights(0, "11111000", 200), weights(5, "11111110", 100)]
    assert choose(candidates, judge(ALONE)).best.finalist.outcome.number == 5
    chosen = choose(candidates, judge(ALONE), quantize)
    assert chosen.best.finalist.outcome.number == 0
    assert chosen.difference == pytest.approx(2 / 8)
    assert chosen.standard_error == pytest.approx(math.sqrt((2 * (6 / 8) ** 2 + 6 * (2 / 8) ** 2) / 7 / 8))
    assert chosen.document()["runner_up"] == {"trial": 5, "val": {"accuracy": 7 / 8}, "val_int8": {"accuracy": 4 / 8}}


def test_a_network_that_cannot_be_quantized_is_not_delivered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def predict(model: int, *_: object) -> np.ndarray:
        if model != 5:
            raise InputError("sums could exceed int32")
        return weights(5, "1100", 0).probabilities

    monkeypatch.setattr("lightcnn.searching.trainings.choice.quantized_probabilities", predict)
    folder = RunFolder.create(tmp_path / "run", "search", {})

    def quantized(*numbers: int) -> list[Weights]:
        items = []
        for item in (weights(number, "1110", 100) for number in numbers):
            item.finalist.candidate = SimpleNamespace(spec=None)  # type: ignore[misc]
            items.append(replace(item, model=item.finalist.outcome.number))  # type: ignore[arg-type]
        return quantize_all(items, pipeline=None, folder=folder, judge=judge(ALONE[:4]), deploy="c")  # type: ignore[arg-type]

    (left,) = quantized(0, 5)
    assert (left.finalist.outcome.number, left.score, left.judged.score) == (5, 0.75, 0.5)
    assert "trial 0 is not compared with the others, since it cannot be quantized" in (folder / "log.txt").read_text()
    with pytest.raises(
        LightcnnError, match=r"--deploy c: no network can be quantized: trial 0: sums .*; trial 1: sums"
    ):
        quantized(0, 1)


def test_each_metric_scores_as_scikit_learn_does_and_higher_is_better() -> None:
    random = np.random.default_rng(0)
    labels, groups = np.repeat([0, 1, 2], [60, 30, 10]), np.array([str(i // 2) for i in range(100)])
    predicted = random.dirichlet(np.ones(3), 100) + 0.5 * np.eye(3)[labels]
    predicted /= predicted.sum(axis=1, keepdims=True)
    decided = predicted.argmax(axis=1)
    expected = {
        "accuracy": metrics.accuracy_score(labels, decided),
        "balanced_accuracy": metrics.balanced_accuracy_score(labels, decided),
        "f1": metrics.f1_score(labels, decided, average="macro"),
        "auc": metrics.roc_auc_score(labels, predicted, average="macro", multi_class="ovr"),
        "log_loss": -metrics.log_loss(labels, predicted),
    }
    assert expected.keys() == set(METRICS)
    for metric, value in expected.items():
        assert Judge(metric, labels, groups, ("a", "b", "c")).score(predicted) == pytest.approx(value), metric


@pytest.mark.parametrize("metric", METRICS)
def test_the_error_of_a_difference_is_that_of_repeated_samples(metric: MetricName) -> None:
    random = np.random.default_rng(1)

    def sample(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        labels = np.arange(count) % 2
        signal = labels + random.normal(0, 1, count)
        both = [1 / (1 + np.exp(-2 * (signal + random.normal(0, 0.5, count) - 0.5))) for _ in range(2)]
        return labels, *(np.stack([1 - second, second], axis=1) for second in both)

    differences = []
    for _ in range(80):
        labels, first, second = sample(400)
        judged = Judge(metric, labels, np.arange(400).astype(str), ("a", "b"))
        differences.append(judged.score(first) - judged.score(second))
    assert judged.error(first, second) == pytest.approx(np.std(differences), rel=0.3)


@pytest.mark.parametrize(
    ("metric", "labels", "classes"),
    [
        ("auc", [0, 0, 1, 1], "abc"),
        ("auc", [0] * 4, "ab"),
        ("f1", [0] * 4, "ab"),
        ("balanced_accuracy", [2] * 4, "abc"),
    ],
)
def test_an_undefined_metric_is_refused(metric: MetricName, labels: list[int], classes: str) -> None:
    with pytest.raises(InputError, match=f"--metric {metric}: class '.' has no image in the validation set"):
        Judge(metric, np.array(labels), np.array(list("abcd")), tuple(classes))


@pytest.mark.parametrize("metric", METRICS)
def test_two_images_leave_the_noise_unknown(metric: MetricName) -> None:
    """One network knows both and another none, so that all differences are equal."""
    judged = Judge(metric, np.array([0, 1]), np.array(["a", "b"]), ("a", "b"))
    right = np.array([[0.9, 0.1], [0.1, 0.9]])
    assert judged.error(right, 1 - right) == math.inf


def test_a_few_groups_of_a_class_leave_the_noise_of_a_class_metric_unknown() -> None:
    labels, groups = np.repeat([0, 1], 20), np.repeat([*"abcdef"], [10, 10, 5, 5, 5, 5])
    random = np.random.default_rng(0)
    first, second = random.dirichlet(np.ones(2), (2, 40))
    assert Judge("auc", labels, groups, ("a", "b")).error(first, second) == math.inf
    assert Judge("accuracy", labels, groups, ("a", "b")).error(first, second) < math.inf


def test_weights_are_chosen_whatever_the_noise() -> None:
    groups = np.array(list("abcdefgh"))
    judged = Judge("balanced_accuracy", np.arange(8) % 2, groups, ("a", "b"))
    candidates = [weights(1, "11110000", 100), weights(1, "11111111", 200)]
    assert choose(candidates, judged).best.step == 200


def test_weights_whose_noise_is_unknown_are_chosen_by_their_scores() -> None:
    few = Judge("balanced_accuracy", np.arange(8) % 2, np.array(list("abcdefgh")), ("a", "b"))
    one_group = judge(np.array(["a"] * 8))
    for judged in (few, one_group):
        worse_end = [weights(1, "11111111", 100), weights(1, "11110000", 200)]
        assert judged.error(*(item.probabilities for item in worse_end)) == math.inf
        assert choose(worse_end, judged).best.step == 100
        equal = [weights(1, "11110000", 100), weights(1, "11110000", 200)]
        assert choose(equal, judged).best.step == 200


def test_losses_of_rare_classes_count_as_much_as_those_of_others() -> None:
    labels = np.repeat([0, 1], [90, 10])
    good_for_many = np.tile([0.9, 0.1], (100, 1))
    good_for_few = np.tile([0.1, 0.9], (100, 1))
    assert equal_log_loss(labels, good_for_many) == pytest.approx(equal_log_loss(labels, good_for_few), rel=0.01)
    assert calibrated_log_loss(labels, good_for_many) < 0.6 * calibrated_log_loss(labels, good_for_few)
    assert equal_log_loss(2 * labels, np.insert(good_for_few, 1, 0.0, axis=1)) == pytest.approx(
        equal_log_loss(labels, good_for_few)
    ), "a class without images has no weight"


def test_the_temperature_of_each_half_is_fitted_on_the_other_half() -> None:
    """One half of the images is predicted with too much confidence, the other one with too little."""
    labels, correct = np.zeros(400, dtype=np.int64), np.arange(400) % 8 < 6
    first_half = halves(labels)
    logits = np.where(first_half, 0.25, 4.0)
    first = 1 / (1 + np.exp(-np.where(correct, logits, -logits)))
    predicted = np.stack([first, 1 - first], axis=1)
    both = (first_half, ~first_half)
    temperatures = [fit_temperature(labels[half], predicted[half]).value for half in both]
    assert temperatures[0] < 1 < temperatures[1]
    losses = [
        cross_entropy(labels[half], apply_temperature(predicted[half], temperature))
        for half, temperature in zip(both, reversed(temperatures), strict=True)
    ]
    assert calibrated_log_loss(labels, predicted) == pytest.approx(sum(losses) / 2)


@pytest.mark.parametrize("loss", [calibrated_log_loss, equal_log_loss])
def test_the_order_of_the_images_does_not_decide_which_network_is_better(loss: Callable[..., float]) -> None:
    """Halves of alternating labels had one class each: the temperature of one class made a biased network worse."""
    random, labels = np.random.default_rng(1), np.arange(400) % 2
    strong = random.normal(4 * labels - 0.5, 1.6)
    predicted = 1 / (1 + np.exp(-strong))
    table, order = np.stack([1 - predicted, predicted], axis=1), random.permutation(400)
    first = halves(labels)
    assert first.sum() == 200 and labels[first].sum() == 100
    assert loss(labels, table) == pytest.approx(loss(labels[order], table[order]), rel=0.02)


class Marked:
    """In place of a network: remembers the state that its weights are from."""

    state: tuple[str, bool] = ("", True)

    def to(self, device: object) -> Marked:
        return self


@pytest.fixture
def weights_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Weights]]:
    """The weights that are candidates of a training with an end, parts at 40, 80 and 120 steps, and a rung at 20."""
    folder = RunFolder.create(tmp_path / "run", "search", {})
    missing: list[str] = []

    def load(run: RunFolder, file: str, model: Marked, *, averaged: bool) -> None:
        if file in missing:
            raise RunError("cannot be read")
        model.state = (file.removeprefix("trainings/000003-").removesuffix(".safetensors"), averaged)

    monkeypatch.setattr("lightcnn.searching.trainings.choice.build", lambda spec, seed: Marked())
    monkeypatch.setattr("lightcnn.searching.trainings.choice.load_weights", load)
    monkeypatch.setattr(
        "lightcnn.searching.trainings.choice.probabilities", lambda *values: np.tile([0.1, 0.9], (4, 1))
    )
    pipeline: Any = SimpleNamespace(
        split=SimpleNamespace(val=np.arange(4)), device="cpu", images=lambda *values: None, preprocess=lambda size: None
    )

    def result(step: int, score: WeightScore) -> TrainingResult:
        live = score.model_copy(update={"accuracy": 0.1, "raw_log_loss": 9.0, "equal_metric": 0.1})
        return TrainingResult(trial=3, rung=-1, step=step, images=step, seconds=1.0, averaged=score, live=live)

    def of(
        metric: MetricName, values: Sequence[float], unreadable: Sequence[str] = (), **changes: object
    ) -> list[Weights]:
        """For scores at the rung, the three parts, and the end: values of the metric."""
        missing[:] = [f"trainings/000003-{name}.safetensors" for name in unreadable]
        key = {"accuracy": "accuracy", "log_loss": "raw_log_loss"}.get(metric, "equal_metric")
        scores = [WeightScore(**{"accuracy": 0.5, "log_loss": 1.0, key: value}) for value in values]
        parts = tuple(result(40 * number, score) for number, score in enumerate(scores[1:4], start=1))
        progress = FinalProgress(
            trial=3, seed=0, images=200, first_step=20, parts=parts, decay_steps=30, end=result(150, scores[4])
        ).model_copy(update=changes)
        outcome = SimpleNamespace(
            number=3, score=values[0], images=200, values={200: values[0]} if metric != "accuracy" else {}
        )
        finalist: Any = SimpleNamespace(
            outcome=outcome, second=False, candidate=SimpleNamespace(spec=SimpleNamespace(input=(1, 8, 8)))
        )
        return all_weights(pipeline, folder, judge(ALONE[:4], metric), [finalist], [progress])

    return of


@pytest.fixture
def candidates(weights_of: Callable[..., list[Weights]]) -> Callable[..., list[tuple[str, bool]]]:
    """The same as the states that these weights are from, and whether they are averaged."""
    return lambda *values, **changes: [cast(Any, item.model).state for item in weights_of(*values, **changes)]


def test_earlier_weights_that_scored_higher_are_candidates(candidates: Any) -> None:
    end = [("end", True), ("end", False)]
    assert candidates("accuracy", [0.5, 0.6, 0.7, 0.8, 0.9]) == end
    assert candidates("accuracy", [0.5, 0.95, 0.7, 0.8, 0.9]) == [*end, ("stable-40", True)]
    assert candidates("accuracy", [0.93, 0.7, 0.92, 0.91, 0.9]) == [
        *end, ("stable-120", True), ("stable-80", True), ("200", True)
    ]  # fmt: skip
    assert candidates("log_loss", [0.6, 0.204, 0.21, 0.3, 0.234]) == [*end, ("stable-40", True)]
    assert candidates("log_loss", [0.2, 0.9, 0.9, 0.9, 0.234]) == [*end, ("200", True)]
    assert candidates("f1", [0.5, 0.95, 0.7, 0.8, 0.9]) == [*end, ("stable-40", True)]
    assert candidates("balanced_accuracy", [0.95, 0.5, 0.7, 0.8, 0.9]) == [*end, ("200", True)]


def test_of_an_end_that_cannot_be_read_the_weights_before_are_candidates(candidates: Any) -> None:
    scores = [0.5, 0.6, 0.7, 0.8, 0.9]
    assert candidates("accuracy", scores, ["end"]) == [("stable-120", True), ("stable-120", False)]
    assert candidates("accuracy", scores, ["end", "stable-120"]) == [("200", True), ("200", False)]


@pytest.mark.parametrize(
    "continued", [{"ends": 1}, {"ends": 1, "end": None, "decay_steps": 0}], ids=["ended", "failed"]
)
def test_an_earlier_end_is_a_candidate_with_the_steps_and_the_decay_of_its_own_training(
    weights_of: Callable[..., list[Weights]], continued: dict[str, object]
) -> None:
    score = WeightScore(accuracy=0.4, log_loss=1.0)
    end = TrainingResult(trial=3, rung=-1, step=50, images=50, seconds=1.0, averaged=score, live=score)
    earlier = FinalProgress(trial=3, seed=0, images=200, first_step=20, decay_steps=10, end=end)
    items = weights_of("accuracy", [0.1, 0.2, 0.2, 0.2, 0.9], finished=(earlier,), **continued)
    last = [("end-1", True), ("end-1", False)] if "end" not in continued else []
    assert [cast(Any, item.model).state for item in items] == [*last, ("end", True), ("end", False)]
    assert all((item.step, item.ended, item.progress) == (50, True, earlier) for item in items[-2:])
