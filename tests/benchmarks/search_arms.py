"""Arms 3 and 5 of search.py, each in a process of its own: plain Optuna, and hand-made networks.

    python tests/benchmarks/search_arms.py optuna --data digits --budget 1MFLOPs --seconds 60 --seed 0 --out optuna.json

Both train with `lightcnn.engine.loop.fit` and the default recipe. Their time begins when the data are read. The test
set is predicted once, by the network that the validation set chose.

`optuna` is what Optuna's pytorch_simple.py does: TPESampler, MedianPruner, 10 epochs of 30 random batches of 128
images, scored on 10 random batches after every epoch, one process. It suggests every gene of the space `micro`, and
prunes samples over the budget at once. After half of the time the best network is trained again from scratch, as long
as the time allows.

`hand-made` trains the networks of search_networks.py, each for an equal share of the time; on two cores two at a time,
in processes with one thread each, as a search does.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from search_networks import networks
from search_rows import packed
from torch import nn

from lightcnn.budget import Budget
from lightcnn.cost import cost
from lightcnn.data.grouping.groups import find_groups
from lightcnn.data.pipeline import Pipeline
from lightcnn.data.sources.load import load
from lightcnn.data.split import make_split
from lightcnn.devices import available_cores, pick_device
from lightcnn.engine.loop import fit
from lightcnn.engine.state import State
from lightcnn.evaluation.scores import scores
from lightcnn.inference import probabilities
from lightcnn.network import build
from lightcnn.recipe_defaults import default_augment, default_training
from lightcnn.searching.plan import MOST_EPOCHS
from lightcnn.space import Gene, SearchSpace
from lightcnn.spec import NetworkSpec

TRIAL_EPOCHS, TRIAL_BATCHES, TRIAL_VAL_IMAGES = 10, 30, 10 * 128
"""EPOCHS, N_TRAIN_EXAMPLES in batches, and N_VALID_EXAMPLES of Optuna's pytorch_simple.py. Its loaders shuffle, so
every epoch has other images."""
SEARCH_SHARE = 0.5
"""Share of the time after which Optuna starts no further trial."""
SPARE_SECONDS = 60.0
"""Seconds beyond its time in which Optuna may still look for a network within the budget."""
SAFETY_SHARE = 0.95
"""Share of the time left that a last training is planned to use: its speed is measured, and evaluations take time."""
LEAST_IMAGES = 128
"""Images that a last training sees if no time is left."""
SPEED_IMAGES = 2_048
"""Images that the speed of a hand-made network is measured on, after a training on a quarter of them."""
LARGEST_PIXELS, SMALLEST_PIXELS = 32, 16
"""Sizes between which hand-made networks take the images as they are."""


class Lab:
    """The data of one row, and the training that all arms share."""

    def __init__(self, source: str, budget: str, seed: int, device: str) -> None:
        dataset = find_groups(load(source))
        self.pipeline = Pipeline(dataset, make_split(dataset, seed), pick_device(device))
        self.dataset, self.split = self.pipeline.dataset, self.pipeline.split
        self.budget, self.seed, self.seconds = Budget.parse(budget), seed, 0.0
        self.augment = default_augment(dataset.channels, len(self.split.train))

    def train(
        self,
        spec: NetworkSpec,
        indices: NDArray[np.int64],
        epochs: float,
        after: Callable[[nn.Module, int], None] = lambda model, part: None,
        parts: int = 1,
    ) -> nn.Module:
        """A network trained from scratch on the images at `indices`, in so many equal parts.

        `after` is called after every part with its number, from 1 on. `seconds` are then those of the training alone.
        """
        size, training = spec.input[1], default_training(math.ceil(epochs), len(indices))
        steps = max(parts, round(epochs * math.ceil(len(indices) / training.batch)))
        training = training.model_copy(update={"steps": steps})
        model = build(spec, self.seed).to(self.pipeline.device)
        state = State(model, training, len(indices))
        self.seconds = 0.0
        for part in range(1, parts + 1):
            began = time.monotonic()
            fit(
                model, self.pipeline.images(indices, size), self.pipeline.labels(indices),
                preprocess=self.pipeline.preprocess(size), settings=training, augmentation=self.augment, seed=self.seed,
                state=state, until=round(part * steps / parts),
            )  # fmt: skip
            self.seconds += time.monotonic() - began
            after(state.judged, part)
        return state.judged

    def train_for(self, spec: NetworkSpec, seconds: float, images_per_second: float) -> nn.Module:
        """A network trained for about that time on the training set; its last epoch may be a part of one."""
        images = max(LEAST_IMAGES, SAFETY_SHARE * seconds * images_per_second)
        return self.train(spec, self.split.train, min(MOST_EPOCHS, images / len(self.split.train)))

    def predict(self, model: nn.Module, spec: NetworkSpec, indices: NDArray[np.int64]) -> NDArray[np.float64]:
        """Class probabilities (N, classes) of the images at `indices`."""
        size = spec.input[1]
        return probabilities(model, self.pipeline.images(indices, size), self.pipeline.preprocess(size))

    def accuracy(self, model: nn.Module, spec: NetworkSpec, indices: NDArray[np.int64]) -> float:
        """The share of the images at `indices` that are classified correctly."""
        return float((self.predict(model, spec, indices).argmax(axis=1) == self.dataset.labels[indices]).mean())


@dataclass(frozen=True)
class Winner:
    """The network that an arm delivers, its name, and how many networks were trained to choose it."""

    model: nn.Module
    spec: NetworkSpec
    name: str
    compared: int


def plain_optuna(lab: Lab, ends: float, seconds: float) -> Winner:
    """Arm 3; `ends`: the `time.monotonic()` at which the time is over.

    Raises: SystemExit if `SPARE_SECONDS` later no sample was within the budget.
    """
    space = SearchSpace.load("micro").for_data(lab.dataset.channels, len(lab.dataset.classes), lab.dataset.size)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler, pruner = optuna.samplers.TPESampler(seed=lab.seed), optuna.pruners.MedianPruner()
    study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner)
    study.optimize(objective(lab, space), timeout=SEARCH_SHARE * seconds)
    while not study.get_trials(states=[optuna.trial.TrialState.COMPLETE]):  # on slow machines, none may be complete yet
        study.optimize(objective(lab, space), n_trials=1)
        if time.monotonic() > ends + SPARE_SECONDS and not any(trial.intermediate_values for trial in study.trials):
            raise SystemExit(f"none of {len(study.trials)} samples is within {lab.budget}")
    best = study.best_trial
    spec = space.spec(best.params)
    speed = images_per_second(lab, spec)
    model = lab.train_for(spec, ends - time.monotonic(), speed)
    compared = sum(bool(trial.intermediate_values) for trial in study.trials)
    return Winner(model, spec, f"trial {best.number} of {len(study.trials)}", compared)


def objective(lab: Lab, space: SearchSpace) -> Callable[[optuna.Trial], float]:
    """Optuna's objective: the validation accuracy after the last epoch of a short training."""
    train, val = lab.split.train, lab.split.val
    batches = math.ceil(len(train) / default_training(1, len(train)).batch)
    epochs = TRIAL_EPOCHS * min(1.0, TRIAL_BATCHES / batches)

    def score(trial: optuna.Trial) -> float:
        spec = sample(trial, space, lab.budget)
        random, values = np.random.default_rng((lab.seed, trial.number)), []

        def after(model: nn.Module, epoch: int) -> None:
            judged = random.choice(val, min(TRIAL_VAL_IMAGES, len(val)), replace=False)
            values.append(lab.accuracy(model, spec, judged))
            trial.report(values[-1], epoch)
            if trial.should_prune():
                raise optuna.TrialPruned

        lab.train(spec, train, epochs, after, TRIAL_EPOCHS)
        return values[-1]

    return score


def sample(trial: optuna.Trial, space: SearchSpace, budget: Budget) -> NetworkSpec:
    """A network of the space. Raises: TrialPruned if it is not valid, or over the budget."""
    try:
        spec = space.spec({gene.name: suggest(trial, gene) for gene in space.genes()})
    except ValidationError:
        raise optuna.TrialPruned from None
    if not budget.admits(cost(spec)):
        raise optuna.TrialPruned
    return spec


def suggest(trial: optuna.Trial, gene: Gene) -> Any:
    """A value for a gene: a whole number if its options are evenly spaced, else one of them."""
    options = gene.options
    if gene.ordered and options == tuple(range(options[0], options[-1] + 1, options[1] - options[0])):
        return trial.suggest_int(gene.name, options[0], options[-1], step=options[1] - options[0])
    return trial.suggest_categorical(gene.name, options)


def hand_made(lab: Lab, ends: float, seconds: float) -> Winner:
    """Arm 5: the network with the best validation accuracy."""
    pixels = min(LARGEST_PIXELS, max(SMALLEST_PIXELS, lab.dataset.size))
    made = list(networks(lab.dataset.channels, len(lab.dataset.classes), pixels, lab.budget).items())
    processes = min(len(made), available_cores() if lab.pipeline.device.type == "cpu" else 1)
    shares = [made[first::processes] for first in range(processes)]  # equal for two processes and four networks
    if processes == 1:
        trained = trained_in_turn(lab, ends, shares[0])
    else:
        lab.pipeline.images(lab.split.train, pixels)  # once, for all processes
        context = multiprocessing.get_context("fork")
        with context.Manager() as manager:
            results = manager.list()
            children = [
                context.Process(target=train_in_child, args=(lab, ends, share, results)) for share in shares if share
            ]
            for child in children:
                child.start()
            for child in children:
                child.join()
            trained = list(results)
    if len(trained) < len(made):
        raise RuntimeError("a process that trained hand-made networks has failed")
    _, name, weights = max(trained, key=lambda entry: (entry[0], entry[1]))
    spec = dict(made)[name]
    model = build(spec, lab.seed).to(lab.pipeline.device)
    model.load_state_dict({key: torch.from_numpy(value) for key, value in weights.items()})
    return Winner(model, spec, name, len(made))


Trained = tuple[float, str, dict[str, NDArray[Any]]]
"""The validation accuracy of a hand-made network, its name, and its weights."""


def train_in_child(lab: Lab, ends: float, share: Sequence[tuple[str, NetworkSpec]], results: list[Trained]) -> None:
    """Trains networks with one thread, and adds them to `results`."""
    torch.set_num_threads(1)
    results.extend(trained_in_turn(lab, ends, share))


def trained_in_turn(lab: Lab, ends: float, share: Sequence[tuple[str, NetworkSpec]]) -> list[Trained]:
    """The networks, each trained for an equal share of the time that is left."""
    trained = []
    for number, (name, spec) in enumerate(share):
        began = time.monotonic()
        seconds = (ends - began) / (len(share) - number)
        speed = images_per_second(lab, spec)
        model = lab.train_for(spec, seconds - (time.monotonic() - began), speed)
        weights = {key: value.detach().cpu().numpy() for key, value in model.state_dict().items()}
        trained.append((lab.accuracy(model, spec, lab.split.val), name, weights))
    return trained


def images_per_second(lab: Lab, spec: NetworkSpec) -> float:
    """The speed of training a network, after a warm-up that also brings the images to its size."""
    indices = lab.split.train[:SPEED_IMAGES]
    lab.train(spec, indices[: SPEED_IMAGES // 4], 1)
    lab.train(spec, indices, 1)
    return len(indices) / lab.seconds


def result(lab: Lab, winner: Winner, seconds: float) -> dict[str, Any]:
    """What an arm stores: scores of validation and test set, and whether each test image was classified correctly."""
    predicted = {name: lab.predict(winner.model, winner.spec, getattr(lab.split, name)) for name in ("val", "test")}
    of_sets = {name: accuracy_entry(lab, getattr(lab.split, name), predicted[name]) for name in predicted}
    # In the order of paths, as predictions.csv is read.
    test = np.array(sorted(range(len(lab.split.test)), key=lambda place: lab.dataset.paths[lab.split.test[place]]))
    indices = lab.split.test[test]
    correct = predicted["test"].argmax(axis=1)[test] == lab.dataset.labels[indices]
    paths = [lab.dataset.paths[index] for index in indices]
    return {
        **of_sets,
        **packed(correct, lab.dataset.groups[indices].tolist(), paths),
        "seconds": seconds,
        "networks": winner.compared,
        "network": {"name": winner.name, "sha256": winner.spec.digest(), "cost": cost(winner.spec).document()},
    }


def accuracy_entry(lab: Lab, indices: NDArray[np.int64], predicted: NDArray[np.float64]) -> dict[str, Any]:
    """Accuracy with its interval, computed as in every report."""
    labels, groups = lab.dataset.labels[indices], lab.dataset.groups[indices]
    entry: dict[str, Any] = scores(labels, predicted, groups=groups, classes=lab.dataset.classes)["accuracy"]
    return {name: entry[name] for name in ("value", "low", "high")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("arm", choices=ARMS)
    for name, kind in (("data", str), ("budget", str), ("seconds", float), ("seed", int), ("out", Path)):
        parser.add_argument(f"--{name}", type=kind, required=True)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    lab = Lab(options.data, options.budget, options.seed, options.device)
    began = time.monotonic()
    winner = ARMS[options.arm](lab, began + options.seconds, options.seconds)
    options.out.write_text(json.dumps(result(lab, winner, time.monotonic() - began)))


ARMS: dict[str, Callable[[Lab, float, float], Winner]] = {"optuna": plain_optuna, "hand-made": hand_made}

if __name__ == "__main__":
    main()
