"""`--seeds`: the delivered training again with other seeds, which show how much the result varies."""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from lightcnn.data.pipeline import Pipeline
from lightcnn.decisions import decide
from lightcnn.document import Frozen
from lightcnn.engine.saved_state import load_weights
from lightcnn.inference import probabilities
from lightcnn.network import build
from lightcnn.recipe import Recipe, Seed
from lightcnn.run_folder import RunFolder
from lightcnn.searching.trainings.executors import Executor, next_result
from lightcnn.searching.trainings.files import read_json
from lightcnn.searching.trainings.finals import PARTS
from lightcnn.searching.trainings.jobs import FINAL, TrainingJob, paused_file
from lightcnn.spec import NetworkSpec


class Repeat(Frozen):
    """A training: of which recipe (a digest), with which seed, the steps that are done, and its test accuracy.

    That is None until it is done.
    """

    recipe: str
    seed: Seed
    steps: Annotated[int, Field(ge=0)] = 0
    accuracy: float | None


def repeat_training(
    executor: Executor,
    folder: RunFolder,
    pipeline: Pipeline,
    recipe: Recipe,
    trial: int,
    seeds: Sequence[int],
    *,
    workers: int,
    started: Callable[[int, int], None] = lambda done, count: None,
    evaluating: Callable[[], object] = lambda: None,
) -> list[float]:
    """The test accuracies of a recipe with each of the seeds, in their order, without trainings that fail.

    `workers` trainings run at once, in as many parts as a final training, since a part may have a time limit. Each part
    is stored when it ends, and what is on disk is not trained again. `started` gets how many trainings are done, and
    their number. `evaluating` is called before each evaluation on the test set, so that an interrupted one is counted
    too.
    """
    digest = hashlib.sha256(recipe.model_dump_json().encode()).hexdigest()
    earlier = {seed: _stored(folder, trial, seed, digest) for seed in seeds}
    waiting = deque(seed for seed, repeat in earlier.items() if repeat.accuracy is None)
    running: dict[str, TrainingJob] = {}

    def submit(job: TrainingJob) -> None:
        running[job.target] = job
        executor.submit(job)

    while waiting or running:
        started(len(seeds) - len(waiting) - len(running), len(seeds))
        while waiting and len(running) < workers:
            seed = waiting.popleft()
            submit(_part(recipe, trial, seed, earlier[seed].steps))
        if (result := next_result(executor)) is None:
            continue
        job = running.pop(result.target)
        seed = job.seed
        if result.error:
            folder.log(f"trial {trial} with seed {seed} failed: {result.error}")
            continue
        if job.until != recipe.training.steps:
            _store(folder, trial, Repeat(recipe=digest, seed=seed, steps=job.until, accuracy=None))
            submit(_part(recipe, trial, seed, job.until))
            continue
        evaluating()
        accuracy = _test_accuracy(folder, pipeline, recipe, trial, seed)
        _store(folder, trial, Repeat(recipe=digest, seed=seed, steps=job.until, accuracy=accuracy))
        folder.remove(_state_file(trial, seed))
        folder.remove(paused_file(_state_file(trial, seed)))
    stored = [_stored(folder, trial, seed, digest).accuracy for seed in seeds]
    return [accuracy for accuracy in stored if accuracy is not None]


def _part(recipe: Recipe, trial: int, seed: int, start: int = 0) -> TrainingJob:
    """The part of a training that begins after `start` steps, from the state that the one before has left."""
    steps = recipe.training.steps
    assert steps is not None
    state = _state_file(trial, seed)
    return TrainingJob(
        trial=trial, rung=FINAL, spec=_spec(recipe), seed=seed, training=recipe.training, augment=recipe.augment,
        distill=recipe.distill, until=min(steps, start + math.ceil(steps / PARTS)), source=state if start else "",
        target=state,
    )  # fmt: skip


def _test_accuracy(folder: RunFolder, pipeline: Pipeline, recipe: Recipe, trial: int, seed: int) -> float:
    spec, test = _spec(recipe), pipeline.split.test
    model = build(spec, seed).to(pipeline.device)
    load_weights(folder, _state_file(trial, seed), model, averaged=recipe.training.ema > 0)
    preprocess = pipeline.preprocess(spec.input[1])
    predicted = probabilities(model, pipeline.images(test, spec.input[1]), preprocess)
    return float(np.mean(decide(predicted, preprocess.threshold) == pipeline.dataset.labels[test]))


def _spec(recipe: Recipe) -> NetworkSpec:
    assert isinstance(recipe.network, NetworkSpec), "a search delivers no baseline"
    return recipe.network


def _store(folder: RunFolder, trial: int, repeat: Repeat) -> None:
    folder.write_json(_result_file(trial, repeat.seed), repeat.model_dump(mode="json"))


def _stored(folder: RunFolder, trial: int, seed: int, digest: str) -> Repeat:
    """What is on disk of the training of this recipe; nothing done if that is another one."""
    stored = read_json(folder, _result_file(trial, seed), Repeat)
    if stored is None or stored.recipe != digest:
        return Repeat(recipe=digest, seed=seed, accuracy=None)
    return stored


def _state_file(trial: int, seed: int) -> str:
    return f"trainings/{trial:06}-seed-{seed}.safetensors"


def _result_file(trial: int, seed: int) -> str:
    return f"trainings/{trial:06}-seed-{seed}.json"
