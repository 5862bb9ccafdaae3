"""By which loss networks are compared at the rungs."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

import lightcnn
from lightcnn.data.pipeline import Pipeline
from lightcnn.data.sources.load import load
from lightcnn.data.split import make_split
from lightcnn.engine.state import State
from lightcnn.recipe import Augment, Reading
from lightcnn.run_folder import RunFolder
from lightcnn.searching.metric_names import METRICS, MetricName
from lightcnn.searching.plan import make_plan
from lightcnn.searching.settings import TrainingValues
from lightcnn.searching.trainings import executors, training
from lightcnn.searching.trainings.data import PipelineData
from lightcnn.searching.trainings.evaluator import NetworkEvaluator
from lightcnn.searching.trainings.executors import InProcess
from lightcnn.searching.trainings.jobs import TrainingJob, TrainingResult, WeightScore
from lightcnn.searching.trainings.training import calibrated_log_loss, equal_log_loss
from lightcnn.searching.trials.halving import Fidelity, Score
from lightcnn.spec import ConvBlock, NetworkSpec

SPEC = NetworkSpec(input=(1, 8, 8), stages=(ConvBlock(width=4),), classes=2)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTCNN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A file of 200 images; one in ten is of the second class."""
    random = np.random.default_rng(0)
    labels = (np.arange(200) % 10 == 0).astype(np.int64)
    pixels = random.integers(0, 255, (200, 8, 8)).astype(np.uint8)
    np.savez(tmp_path / "rare.npz", train_images=pixels, train_labels=labels)
    return tmp_path / "rare.npz"


@pytest.mark.parametrize("metric", METRICS)
def test_the_utility_weights_classes_equally_if_the_metric_does(
    metric: MetricName, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every image is predicted with the shares of the classes, which is a good prediction for those of the first."""
    dataset, folder = load(str(images)), RunFolder.create(tmp_path / "run", "search", {})
    data = PipelineData(Pipeline(dataset, make_split(dataset, 0, Reading()), torch.device("cpu")), 0)
    labels = data.labels(data.validation).numpy()
    predicted = np.tile([0.9, 0.1], (len(labels), 1))
    monkeypatch.setattr(training, "probabilities", lambda *arguments: predicted)
    equal, plain = equal_log_loss(labels, predicted), calibrated_log_loss(labels, predicted)
    assert equal > 2 * plain
    answer = score(data, folder, metric)
    utility = -math.log(equal if metric in ("balanced_accuracy", "auc", "f1") else plain)
    assert [answer.utility, *answer.off_rung.values()] == [pytest.approx(utility)] * 2
    value = {"balanced_accuracy": 0.5, "auc": 0.5, "f1": 0.0, "log_loss": training.cross_entropy(labels, predicted)}
    assert answer.value == (None if metric == "accuracy" else pytest.approx(value[metric]))


def test_at_a_rung_only_averaged_weights_are_scored(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, folder = load(str(images)), RunFolder.create(tmp_path / "run", "search", {})
    data = PipelineData(Pipeline(dataset, make_split(dataset, 0, Reading()), torch.device("cpu")), 0)
    scored, states, real = list[object](), list[State](), training.score_weights

    def score_weights(model: torch.nn.Module, *rest: Any) -> WeightScore:
        scored.append(model)
        return real(model, *rest)

    monkeypatch.setattr(training, "score_weights", score_weights)
    monkeypatch.setattr(training, "State", lambda *values: states.append(State(*values)) or states[-1])
    assert score(data, folder, "accuracy").off_rung
    (state,) = states
    assert state.average is not None
    assert scored == [state.average.model] * 2, "halfway and at the end"


def score(data: PipelineData, folder: RunFolder, metric: MetricName) -> Score:
    """What the evaluator of a search by a metric answers after the first rung of a network."""
    plan = make_plan(fingerprint="a", images=len(data.train), workers=1, finalists=1, limit=None, epochs=1)
    values = TrainingValues(training=plan.training(), augment=Augment())
    finals = cast(Any, SimpleNamespace(running=0))
    evaluator = NetworkEvaluator(InProcess(data, folder), folder, plan, values, finals, metric)
    evaluator.begin(cast(Any, SimpleNamespace(spec=SPEC)), Fidelity(0, 0, 4 * len(data.train), 0))
    answer = evaluator.wait()
    assert answer is not None and isinstance(answer[1], Score)
    return answer[1]


def test_all_trainings_of_a_search_have_its_metric(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs, real = list[TrainingJob](), executors.run_job

    def run_job(job: TrainingJob, *rest: Any) -> TrainingResult:
        jobs.append(job)
        return real(job, *rest)

    monkeypatch.setattr(executors, "run_job", run_job)
    stage = "{kind: [conv], width: {low: 4, high: 8}}"
    (tmp_path / "space.yaml").write_text(f"size: [8]\nstem: {stage}\nstages: [{stage}]\n")
    lightcnn.search(
        "100kFLOPs", data=images, space=str(tmp_path / "space.yaml"), trials=2, epochs=1, workers=1, metric="f1",
        out=tmp_path / "run",
    )  # fmt: skip
    assert {job.rung for job in jobs} >= {-1, 0} and {job.metric for job in jobs} == {"f1"}
