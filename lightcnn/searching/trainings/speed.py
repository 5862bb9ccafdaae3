"""How fast this machine trains the first network of a space, and the plan that follows."""

from __future__ import annotations

import time
from functools import partial
from random import Random

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lightcnn.devices import available_cores, default_workers
from lightcnn.engine.loop import fit
from lightcnn.engine.state import State
from lightcnn.inference import probabilities
from lightcnn.network import build
from lightcnn.recipe_defaults import default_augment, default_training
from lightcnn.searching.budgeted_space import BudgetedSpace
from lightcnn.searching.plan import FINAL_SHARES, NETWORKS, Beside, Plan, make_plan
from lightcnn.searching.settings import SearchSettings
from lightcnn.searching.trainings.data import PipelineData

SPEED_SECONDS, SPEED_STEPS = 1.0, 32
"""The speed is measured for about so many seconds or steps, whichever is reached first."""
WARM_UP_IMAGES, SCORED_IMAGES = 2, 16
"""Images that are predicted before any is timed, and those by whose time it is known how many take `SPEED_SECONDS`."""
BUSY_SHARE = 0.9
"""Speed of a worker while the others work, as a share of that alone."""
DEFAULT_FINALISTS = 2
"""Networks that are trained to the end without a time limit, whatever the number of workers."""
LONG_ENOUGH = 0.8
"""If a network alone would be trained to this share of its longest length, networks are compared instead, with a
smaller share of the time for the final training: the rest of that length is worth less, and the first network keeps a
worker (decision 0013)."""
MIN_LENGTH = 2 / 3
"""Networks are compared only if the first one, with a worker of its own, sees so large a share of the images that all
cores would train it on, up to the default length. From 0.3 to 0.6 million images, half a point was gained for twice as
many (docs/reference/measurements.md), so that this share costs 0.3 points, which is what counts as not worse."""
REPORT_SECONDS = 3.0
"""Time for figures and files."""


def measured_plan(
    settings: SearchSettings,
    data: PipelineData,
    space: BudgetedSpace,
    workers: int,
    began: float,
    teaching: float = 0.0,
    *,
    is_shared: bool = False,
) -> Plan:
    """The plan of a search by `workers` processes, whose time began at `began`, a `time.monotonic()`.

    `teaching` are the seconds since then in which its teacher was trained. If it `is_shared`, other machines may join.

    The speed is measured if there is a time limit. A training on a CPU uses one thread, so that results do not depend
    on the number of workers; if only one network is trained in a time limit, it uses all cores if that is faster. So it
    is if the first network would be trained much less beside the search. Of a front, several networks are trained even
    if there is little time to compare any.
    """
    cores = default_workers(data.device) if data.device.type == "cpu" else None
    single = None if cores is None else 1
    trials, bands = space.most_networks(settings.trials), max(1, len(space.bands))
    if settings.seconds is None:
        return _fixed_plan(settings, data, workers, single, bands)
    speeds = {single: images_per_second(settings, data, space, single)}
    timed = partial(_timed_plan, settings, data, trials=trials, began=began, teaching=teaching, bands=bands)
    side_by_side, finalists = 1 if trials == 1 else workers, _finalists(settings, workers, bands, is_shared=is_shared)
    beside = [timed(side_by_side, finalists, single, speeds[single], final_share=share) for share in FINAL_SHARES]
    comparing = [plan for plan in beside if plan.compares(settings.seconds, settings.epochs, trials)]
    if bands > 1 and trials != 1:
        return comparing[0] if comparing else beside[-1]
    if cores != single:
        speeds[cores] = images_per_second(settings, data, space, cores)
    threads = max(speeds, key=lambda number: speeds[number][0])
    alone = timed(1, settings.finalists or 1, threads, speeds[threads], alone=True).model_copy(
        update={"beside": _beside(beside[0])}
    )
    length = alone.final_images(settings.seconds, settings.epochs)
    has_time_left = length >= LONG_ENOUGH * alone.longest_images(settings.epochs)
    if not comparing or not (comparing[0] is beside[0] or has_time_left):
        return alone
    needed = min(length, comparing[0].longest_images(settings.epochs))
    return comparing[0] if _most_images_of_first(comparing[0], settings) >= MIN_LENGTH * needed else alone


def _finalists(settings: SearchSettings, workers: int, bands: int, *, is_shared: bool) -> int:
    """Networks that are trained to the end within a time limit: one a worker, or one a band of a front.

    A single worker trains the first network and another one, unless other machines may join it.
    """
    if settings.finalists or bands > 1:
        return settings.finalists or bands
    return workers if is_shared else max(2, workers)


def _beside(plan: Plan) -> Beside:
    """How a search by that plan would train networks side by side."""
    return Beside(workers=plan.workers, finalists=plan.finalists, images_per_second=plan.speed)


def _most_images_of_first(plan: Plan, settings: SearchSettings) -> int:
    """The most images that the first network sees in a search that compares networks."""
    if not plan.first_has_worker(settings.seconds):
        return plan.final_images(settings.seconds, settings.epochs)
    seconds = (settings.seconds or 0.0) - plan.spent - plan.evaluation
    return min(plan.longest_images(settings.epochs), round(seconds * plan.speed))


def plans(
    stored: Plan | None,
    settings: SearchSettings,
    data: PipelineData,
    space: BudgetedSpace,
    workers: int,
    began: float,
    teaching: float = 0.0,
    *,
    is_shared: bool = False,
) -> tuple[Plan, Plan]:
    """The plan of a search, which is made only once, and that of this session, with its own finalists and workers.

    `stored` is the plan of earlier sessions, if any. The speed is added if that had no time limit.
    """
    if stored is None:
        first = measured_plan(settings, data, space, workers, began, teaching, is_shared=is_shared)
        return first, first
    had_time = stored.images_per_second is not None
    if settings.seconds is not None and not had_time:
        stored = _with_speed(settings, stored, data, space, workers)
    workers = workers if stored.threads in (None, 1) else 1
    kept = settings.seconds is None or stored.bands > 1 or (had_time and workers == stored.workers)
    finalists = stored.finalists
    if settings.finalists or not kept or (stored.alone and settings.seconds is not None):
        finalists = _finalists(settings, workers, stored.bands, is_shared=is_shared)
    plan = stored.model_copy(update={"finalists": finalists, "workers": workers, "alone": False})
    if stored.alone and settings.seconds is not None:
        compares = plan.compares(settings.seconds, settings.epochs, space.most_networks(settings.trials))
        plan = plan.model_copy(update={"alone": not compares})
    return stored, plan


def _with_speed(settings: SearchSettings, plan: Plan, data: PipelineData, space: BudgetedSpace, workers: int) -> Plan:
    """A plan that had no time limit, with the speed of its trainings."""
    training, inference = images_per_second(settings, data, space, plan.threads)
    speed = _speed_of_worker(training, workers, data.device)
    evaluation = _evaluation(data, plan.finalists, inference, plan.bands)
    return plan.model_copy(update={"images_per_second": speed, "evaluation": evaluation})


def expected_seconds(settings: SearchSettings, plan: Plan, data: PipelineData, space: BudgetedSpace) -> float | None:
    """About how long a search without a time limit takes, from its speed on this machine; None with a limit.

    Nothing else depends on it.
    """
    trials = space.most_networks(settings.trials)
    if settings.seconds is not None or trials is None:
        return None
    timed = _with_speed(settings, plan, data, space, plan.workers)
    return timed.fixed_seconds(settings.epochs, trials, timed.speed)


def _speed_of_worker(alone: float, workers: int, device: torch.device) -> float:
    """Images per second of one of so many workers, from those of one that works alone; they may share cores."""
    cores = available_cores() if device.type == "cpu" else workers
    return alone * (BUSY_SHARE if workers > 1 else 1.0) * min(1.0, cores / workers)


def _evaluation(data: PipelineData, finalists: int, images_per_second: float, bands: int) -> float:
    """Seconds for evaluating two weights of each final network, all of a front also on the test set, and the report."""
    split = data.pipeline.split
    tested = 1 if bands == 1 else finalists
    images = (2 * finalists + 1) * len(split.val) + tested * len(split.test) + min(4_000, len(split.train))
    return REPORT_SECONDS + images / images_per_second


def _fixed_plan(settings: SearchSettings, data: PipelineData, workers: int, threads: int | None, bands: int) -> Plan:
    """The plan without a time limit: nothing in it depends on the speed."""
    finalists = settings.finalists or (DEFAULT_FINALISTS if bands == 1 else bands)
    return make_plan(
        fingerprint=data.pipeline.dataset.fingerprint, images=len(data.train), batch=_batch(settings, data),
        workers=workers, finalists=finalists, threads=threads, limit=None, epochs=settings.epochs, bands=bands,
    )  # fmt: skip


def _timed_plan(
    settings: SearchSettings,
    data: PipelineData,
    workers: int,
    finalists: int,
    threads: int | None,
    speed: tuple[float, float],
    *,
    trials: int | None,
    began: float,
    teaching: float,
    bands: int,
    alone: bool = False,
    final_share: float = FINAL_SHARES[0],
) -> Plan:
    """The plan for a time limit, from the speed of training and of inference with so many threads."""
    training, inference = speed
    return make_plan(
        fingerprint=data.pipeline.dataset.fingerprint, images=len(data.train), batch=_batch(settings, data),
        workers=workers, finalists=finalists, threads=threads, limit=settings.seconds, epochs=settings.epochs,
        images_per_second=_speed_of_worker(training, workers, data.device),
        evaluation=_evaluation(data, finalists, inference, bands), spent=time.monotonic() - began,
        teaching=teaching, alone=alone, final_share=final_share, bands=bands,
        networks=min(trials, NETWORKS) if trials is not None and trials > 1 else NETWORKS,
    )  # fmt: skip


def _batch(settings: SearchSettings, data: PipelineData) -> int:
    """Images of a batch."""
    return settings.training(default_training(1, len(data.train))).batch


def images_per_second(
    settings: SearchSettings, data: PipelineData, space: BudgetedSpace, threads: int | None
) -> tuple[float, float]:
    """Images that so many threads train and evaluate in a second, with the network that a search trains first.

    If the first shape cannot be fitted to the budget, this is another one than that, with about as many multiply-adds.
    Of a front, it is that of a band above the middle, whose speed is about the mean.
    """
    space = space.bands[len(space.bands) // 2] if space.bands else space
    candidate = space.candidate(space.first(), Random(settings.seed))
    default = default_training(1, len(data.train)).model_copy(update={"threads": threads, "ema": 0.9, "epochs": 100})
    values = settings.training_values(default, default_augment(data.pipeline.dataset.channels, len(data.train)))
    size = candidate.spec.input[1]
    model = build(candidate.spec, 0).to(data.device)
    state = State(model, values.training, len(data.train))
    images, labels = data.images(data.train, size), data.labels(data.train)

    def train(until: int) -> None:
        fit(
            model, images, labels, preprocess=data.preprocess(size), settings=values.training,
            augmentation=values.augment, seed=0, state=state, until=until,
        )  # fmt: skip

    def timed(steps: int) -> float:
        _synchronize(data.device)
        start = time.monotonic()
        train(state.step + steps)
        _synchronize(data.device)
        return max(time.monotonic() - start, 1e-6)

    timed(1)
    steps, seconds = 1, timed(1)
    if seconds < SPEED_SECONDS:  # every call orders the images of the epoch again, so these steps are one call
        steps = max(1, min(SPEED_STEPS, int(SPEED_SECONDS / seconds)))
        seconds = timed(steps)
    speed = steps * len(data.train) / state.steps_per_epoch / seconds
    return speed, _scored_per_second(model, data, size)


def _scored_per_second(model: nn.Module, data: PipelineData, size: int) -> float:
    """Validation images that a network predicts in a second, measured for about `SPEED_SECONDS`, or on a few images."""

    def timed(indices: NDArray[np.int64]) -> float:
        start = time.monotonic()
        probabilities(model, data.images(indices, size), data.preprocess(size))
        return max(time.monotonic() - start, 1e-6)

    few = data.validation[:SCORED_IMAGES]
    timed(few[:WARM_UP_IMAGES])
    seconds = timed(few)
    chosen = data.validation[: int(SPEED_SECONDS / seconds * len(few))]
    if len(chosen) > len(few):
        few, seconds = chosen, timed(chosen)
    return len(few) / seconds


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
