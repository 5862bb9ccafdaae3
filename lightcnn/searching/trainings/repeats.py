"""`--seeds`: the delivered training again with other seeds, which show how much the result varies."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np

from lightcnn.data.pipeline import Pipeline
from lightcnn.decisions import decide
from lightcnn.document import Frozen
from lightcnn.engine.saved_state import load_weights
from lightcnn.errors import LightcnnError
from lightcnn.inference import probabilities
from lightcnn.network import build
from lightcnn.recipe import Recipe, Seed
from lightcnn.run_folder import RunFolder
from lightcnn.searching.trainings.executors import Executor, next_result
from lightcnn.searching.trainings.files import read_json
from lightcnn.searching.trainings.jobs import FINAL, TrainingJob
from lightcnn.spec import NetworkSpec


class Repeat(Frozen):
    """A training that is done: of which recipe (a digest), with which seed, and its test accuracy."""

    recipe: str
    seed: Seed
    accuracy: float


def repeat_training(
    executor: Executor,
    folder: RunFolder,
    pipeline: Pipeline,
    recipe: Recipe,
    trial: int,
    seeds: Sequence[int],
    started: Callable[[int, int], None] = lambda done, count: None,
) -> list[float]:
    """The test accuracy of a recipe with each of the seeds, in their order; what is on disk is not trained again.

    `started` gets how many trainings are done, and their number. Raises: LightcnnError if one of them fails.
    """
    digest = hashlib.sha256(recipe.model_dump_json().encode()).hexdigest()
    missing = [seed for seed in seeds if _stored(folder, trial, seed, digest) is None]
    for seed in missing:
        executor.submit(_job(recipe, trial, seed))
    for left in range(len(missing), 0, -1):
        started(len(seeds) - left, len(seeds))
        result = next_result(executor)
        if result.error:
            raise LightcnnError(
                f"run {folder.path}: training trial {trial} again failed ({result.error}); use --resume --seeds 1"
            )
    accuracies = []
    for seed in seeds:
        stored = _stored(folder, trial, seed, digest)
        if stored is None:
            stored = Repeat(recipe=digest, seed=seed, accuracy=_test_accuracy(folder, pipeline, recipe, trial, seed))
            folder.write_json(_result_file(trial, seed), stored.model_dump(mode="json"))
            folder.remove(_state_file(trial, seed))
        accuracies.append(stored.accuracy)
    return accuracies


def _job(recipe: Recipe, trial: int, seed: int) -> TrainingJob:
    assert recipe.training.steps is not None
    return TrainingJob(
        trial=trial, rung=FINAL, spec=_spec(recipe), seed=seed, training=recipe.training, augment=recipe.augment,
        until=recipe.training.steps, target=_state_file(trial, seed),
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


def _stored(folder: RunFolder, trial: int, seed: int, digest: str) -> Repeat | None:
    stored = read_json(folder, _result_file(trial, seed), Repeat)
    return stored if stored is not None and stored.recipe == digest else None


def _state_file(trial: int, seed: int) -> str:
    return f"trainings/{trial:06}-seed-{seed}.safetensors"


def _result_file(trial: int, seed: int) -> str:
    return f"trainings/{trial:06}-seed-{seed}.json"
