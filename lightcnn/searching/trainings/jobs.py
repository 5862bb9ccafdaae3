"""What is sent to a process that trains, and what it answers: frozen models, which travel as JSON."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from lightcnn.document import Frozen
from lightcnn.recipe import Augment, Distillation, Optimisation, Seed
from lightcnn.searching.metric_names import MetricName, rank
from lightcnn.spec import NetworkSpec

Count = Annotated[int, Field(ge=0)]
FINAL = -1
"""The rung of a part of a final training."""
STATE_NAME = r"trainings/[A-Za-z0-9.-]+\.safetensors"
"""Names of states; a job must not name the arrays beside them."""
DeviceType = Literal["cpu", "cuda", "mps"]
EpochRow = tuple[int, float, float, float]
"""Number, mean training loss, learning rate at its end, and seconds of an epoch."""


class TrainingJob(Frozen):
    """Trains the network of a trial up to optimizer step `until` and evaluates it.

    The training continues from the state in file `source` of the run folder, or starts if that is empty, and leaves
    its state in file `target`.
    """

    trial: Count
    rung: Annotated[int, Field(ge=FINAL, description="-1: a part of the final training")]
    spec: NetworkSpec
    seed: Seed
    training: Optimisation
    augment: Augment
    distill: Distillation | None = None
    until: Annotated[int, Field(ge=1)]
    source: Annotated[str, Field(pattern=rf"^({STATE_NAME})?$")] = ""
    target: Annotated[str, Field(pattern=rf"^{STATE_NAME}$")]
    metric: MetricName = "accuracy"


class WeightScore(Frozen):
    """Validation accuracy (0..1), and log losses: calibrated, the same with equal weights of classes, uncalibrated.

    `equal_metric` is the metric of the search, if classes count alike in it and it is defined.
    """

    accuracy: float
    log_loss: float
    equal_log_loss: float | None = None
    raw_log_loss: float | None = None
    equal_metric: float | None = None

    @property
    def loss(self) -> float:
        """The log loss by which networks are compared."""
        return self.log_loss if self.equal_log_loss is None else self.equal_log_loss

    def value(self, metric: MetricName) -> float | None:
        """The metric; None if it is undefined or was not computed."""
        return {"accuracy": self.accuracy, "log_loss": self.raw_log_loss}.get(metric, self.equal_metric)

    def rank(self, metric: MetricName) -> float:
        """The metric, with the sign that makes higher numbers better; minus the loss if the metric is undefined."""
        value = self.value(metric)
        return -self.loss if value is None else rank(metric, value)


class TrainingResult(Frozen):
    """How the job with that `target` ended: the scores of the averaged and of the live weights, or the error.

    At a rung, averaged weights alone are scored. At the first rung, `halfway` is their score after half of its steps.
    An error that is not the network's, such as a full disk, ends the search. `images` are those seen since the start of
    the training, `seconds` those of this job, without evaluation. `from_scratch` if the training started with this job:
    there was no state to continue, or it was missing. `paused` if the job was paused before its end; it then has no
    scores.
    """

    trial: Count
    rung: int
    target: str = ""
    step: Count
    images: Count
    seconds: float
    halfway: WeightScore | None = None
    averaged: WeightScore | None = None
    live: WeightScore | None = None
    epochs: tuple[EpochRow, ...] = ()
    error: str = ""
    traceback: str = ""
    ends_search: bool = False
    from_scratch: bool = False
    paused: bool = False

    def ranks(self, metric: MetricName) -> tuple[float, float]:
        """Those of the averaged and of the live weights; minus infinity without scores."""
        averaged, live = (-math.inf if score is None else score.rank(metric) for score in (self.averaged, self.live))
        return averaged, live


class JobPart(Frozen):
    """What a job had done when it was paused, beside the state in its `paused_file`; fields as in `TrainingResult`."""

    job: TrainingJob
    seconds: float = 0.0
    halfway: WeightScore | None = None
    epochs: tuple[EpochRow, ...] = ()
    from_scratch: bool = False


def paused_file(target: str) -> str:
    """The file of the state in which the job with that target was paused."""
    return f"{target.removesuffix('.safetensors')}-paused.safetensors"


def failed_result(job: TrainingJob, reason: str) -> TrainingResult:
    """The result of a job that could not be run."""
    return TrainingResult(
        trial=job.trial, rung=job.rung, target=job.target, step=0, images=0, seconds=0.0, error=reason
    )


class Beat(Frozen):
    """A worker is alive: the steps that it has done of the job of this trial."""

    trial: Count
    step: Count


class WorkerSettings(Frozen):
    """The first line that a worker reads: where its data are, and the device."""

    folder: str
    device: DeviceType


class JobMessage(Frozen):
    """A line that a worker reads after the first: a job, the file of its images, and their preprocessing as JSON."""

    job: TrainingJob
    images: str
    preprocess: str
