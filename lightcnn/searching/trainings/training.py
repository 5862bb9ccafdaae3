"""One part of a training of a search: from a state on disk up to a step, and the validation scores there."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import nn

from lightcnn import interrupt
from lightcnn.devices import is_out_of_memory
from lightcnn.engine.distillation import Lessons
from lightcnn.engine.loop import Epoch, fit, limited_threads
from lightcnn.engine.saved_state import load_state, read_note, save_state
from lightcnn.engine.state import State
from lightcnn.errors import LightcnnError, RunError, TrainingError
from lightcnn.evaluation.calibration import apply_temperature, cross_entropy, fit_temperature
from lightcnn.evaluation.labelled_predictions import labelled_predictions
from lightcnn.inference import probabilities
from lightcnn.network import build
from lightcnn.run_folder import RunFolder
from lightcnn.searching.metric_names import EQUAL_CLASSES, MetricName
from lightcnn.searching.trainings.data import TrainingData
from lightcnn.searching.trainings.jobs import FINAL, JobPart, TrainingJob, TrainingResult, WeightScore, paused_file
from lightcnn.searching.trainings.judge import metric_value
from lightcnn.text import first_line


def run_job(
    job: TrainingJob,
    data: TrainingData,
    folder: RunFolder,
    beat: Callable[[int], None] = lambda step: None,
    paused: Callable[[], bool] = interrupt.received,
) -> TrainingResult:
    """Runs a job and returns its result; `beat` gets the number of steps after every batch.

    A job that was paused continues. It pauses after the step in which `paused` becomes True, and leaves its state in a
    file. A training that has ended does so as well, before it is scored: the caller removes that file when the result
    is stored, and a job that is run again until then is only scored. An error of the training is part of the result.
    KeyboardInterrupt passes through.
    """
    try:
        with interrupt.deferred(), limited_threads(job.training.threads):
            return _trained(job, data, folder, beat, paused)
    except Exception as error:
        interrupt.check()  # a library may have turned the signal into this error
        message = first_line(f"{type(error).__name__}: {error}")
        if is_out_of_memory(error):
            batch = job.training.batch
            message = f"out of memory with batches of {batch} ({first_line(error)}); lower training.batch or --workers"
        elif isinstance(error, OSError):
            message = f"{error.filename or folder.path}: cannot be written ({error.strerror or error})"
        elif isinstance(error, LightcnnError):
            message = first_line(error)
        return TrainingResult(
            trial=job.trial, rung=job.rung, target=job.target, step=0, images=0, seconds=0.0,
            error=message or type(error).__name__, traceback=traceback.format_exc(limit=-5),
            ends_search=isinstance(error, OSError) and not is_out_of_memory(error),
        )  # fmt: skip


def restored(job: TrainingJob, data: TrainingData, folder: RunFolder) -> tuple[State, JobPart]:
    """The state from which a job starts, and what it has done so far.

    It starts where it was paused, or else from its source; if that file is missing or damaged, from scratch.
    """

    def fresh() -> State:
        return State(build(job.spec, job.seed).to(data.device), job.training, len(data.train))

    paused = paused_part(job, folder)
    starts = [(paused_file(job.target), paused)] if paused else []
    if job.source:
        starts.append((job.source, JobPart(job=job)))
    for name, part in starts:
        state = fresh()
        try:
            load_state(folder, name, state)
        except RunError as error:
            folder.log(f"trial {job.trial}: {error}")
        else:
            return state, part
    if job.source:
        folder.log(f"trial {job.trial} is trained again from scratch")
    return fresh(), JobPart(job=job, from_scratch=True)


def paused_part(job: TrainingJob, folder: RunFolder) -> JobPart | None:
    """What this very job had done when it was paused, if it was."""
    try:
        part = JobPart.model_validate_json(read_note(folder, paused_file(job.target)))
    except ValidationError:
        return None
    return part if part.job == job else None


def _trained(
    job: TrainingJob, data: TrainingData, folder: RunFolder, beat: Callable[[int], None], paused: Callable[[], bool]
) -> TrainingResult:
    size = job.spec.input[1]
    state, part = restored(job, data, folder)
    lessons = Lessons(job.distill, data.taught()) if job.distill else None
    epochs, seconds, halfway = list(part.epochs), part.seconds, part.halfway

    def note(epoch: Epoch) -> None:
        epochs.append((epoch.number, epoch.loss, epoch.learning_rate, epoch.seconds))

    def train(until: int) -> float:
        images, preprocess = data.images(data.train, size), data.preprocess(size)  # which may prepare them first
        start = time.monotonic()
        fit(
            state.model, images, data.labels(data.train), preprocess=preprocess, settings=job.training,
            augmentation=job.augment, seed=job.seed, lessons=lessons, state=state, until=until, on_epoch=note,
            on_batch=lambda images: beat(state.step), paused=paused,
        )  # fmt: skip
        return time.monotonic() - start

    def result() -> TrainingResult:
        return TrainingResult(
            trial=job.trial, rung=job.rung, target=job.target, step=state.step,
            images=images_seen(state.step, state, len(data.train)),
            seconds=seconds, halfway=halfway, epochs=tuple(epochs), from_scratch=part.from_scratch,
        )  # fmt: skip

    middle = job.until // 2 if job.rung == 0 else 0
    if state.step < middle:
        seconds += train(middle)
    if state.step == middle > 0 and not paused():
        halfway = score_weights(state.judged, data, size, job.metric)
    if middle <= state.step < job.until and not paused():
        seconds += train(job.until)
    lost = part.from_scratch and bool(job.source)  # nothing is lost of a first rung that will continue
    done = JobPart(job=job, seconds=seconds, halfway=halfway, epochs=tuple(epochs), from_scratch=lost)
    save_state(folder, paused_file(job.target), state, done.model_dump_json())
    if paused():
        return result().model_copy(update={"paused": True})
    averaged = score_weights(state.judged, data, size, job.metric)
    live: WeightScore | None = averaged
    if state.average:  # at a rung, nothing depends on the live weights
        live = score_weights(state.model, data, size, job.metric) if job.rung == FINAL else None
    if paused():  # perhaps the result is waited for no more
        return result().model_copy(update={"paused": True})
    save_state(folder, job.target, state)
    return result().model_copy(update={"averaged": averaged, "live": live})


def images_seen(step: int, state: State, images: int) -> int:
    """Images that a training on so many `images` has seen after a step, each as often as it was seen."""
    return round(step * images / state.steps_per_epoch)


def score_weights(model: nn.Module, data: TrainingData, size: int, metric: MetricName = "accuracy") -> WeightScore:
    """The scores on the validation images of a search. Raises: TrainingError if a probability is not finite."""
    labels = data.labels(data.validation).cpu().numpy()
    predicted = probabilities(model, data.images(data.validation, size), data.preprocess(size))
    if not np.isfinite(predicted).all():
        raise TrainingError("the network predicts numbers that are not finite")
    correct, counts_alike = predicted.argmax(axis=1) == labels, metric in EQUAL_CLASSES
    value = metric_value(metric, labelled_predictions(labels, predicted)) if counts_alike else math.nan
    return WeightScore(
        accuracy=float(correct.mean()),
        log_loss=calibrated_log_loss(labels, predicted),
        equal_log_loss=equal_log_loss(labels, predicted) if counts_alike else None,
        raw_log_loss=cross_entropy(labels, predicted),
        equal_metric=None if math.isnan(value) else value,
    )


def calibrated_log_loss(
    labels: NDArray[np.int64], predicted: NDArray[np.float64], weights: NDArray[np.float64] | None = None
) -> float:
    """The log loss of each of two `halves` at the temperature that is fitted on the other half, averaged.

    `weights` (N,) are those of the images, in the fit as well.
    """
    if len(labels) < 4:
        return cross_entropy(labels, predicted, weights)
    first, total, losses = halves(labels), 0.0, 0.0
    for read in (first, ~first):
        fitted_weights, read_weights = (None, None) if weights is None else (weights[~read], weights[read])
        temperature = fit_temperature(labels[~read], predicted[~read], weights=fitted_weights).value
        share = float(read.sum() if read_weights is None else read_weights.sum())
        losses += share * cross_entropy(labels[read], apply_temperature(predicted[read], temperature), read_weights)
        total += share
    return losses / total


def halves(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which images (N,) are in the first of two random halves, which have the same share of every class."""
    order = np.random.default_rng(0).permutation(len(labels))
    of_classes = order[np.argsort(labels[order], kind="stable")]
    first = np.zeros(len(labels), dtype=np.bool_)
    first[of_classes[::2]] = True
    return first


def equal_log_loss(labels: NDArray[np.int64], predicted: NDArray[np.float64]) -> float:
    """The same with all classes weighted equally, whatever their numbers of images."""
    return calibrated_log_loss(labels, predicted, (1 / np.maximum(np.bincount(labels), 1))[labels])
