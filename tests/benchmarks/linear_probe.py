"""A linear classifier on the features of a pretrained network, against the recipe `finetune`, on the same folds.

    lightcnn train finetune --data groups.csv --folds 5 --out RUN --set network.weights=FILE
    python tests/benchmarks/linear_probe.py groups.csv FILE [--run RUN]

Photographs with patients, five folds by patient as of `lightcnn train finetune --folds 5`. The features are those of
the training images of each fold, without augmentation; the regularisation is the one with the least mean log loss on
the validation sets. The test sets are predicted once, with it; with RUN, the paired difference to its predictions is
printed with its standard error, clustered by patient. Takes two minutes.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import cast

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from torch import Tensor, nn

from lightcnn.baselines import Baseline, build_network
from lightcnn.comparing.run_predictions import read_run
from lightcnn.evaluation.paired_tests import mean_difference
from lightcnn.overrides import parse_assignment
from lightcnn.recipe import Reading
from lightcnn.training.recipe_argument import read_recipe_argument
from lightcnn.training.setup import TrainingSetup, prepare

FOLDS = 5
INVERSE_PENALTIES = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 1.0)
Features = dict[str, tuple[NDArray[np.float32], NDArray[np.int64]]]
"""Of each part of a split: features (N, features) and labels (N,)."""


def features(model: Baseline, setup: TrainingSetup) -> Features:
    """What the classifier of the network sees of each image."""
    collected: dict[str, list[Tensor]] = {"train": [], "val": [], "test": []}
    classifier = cast(nn.Module, model.backbone.get_classifier())  # type: ignore[operator]
    for part, batches in collected.items():
        hook = classifier.register_forward_pre_hook(lambda _, inputs, batches=batches: batches.append(inputs[0]))
        setup.predict(model, part)
        hook.remove()
    rows = {part: np.concatenate([batch.numpy() for batch in batches]) for part, batches in collected.items()}
    labels = setup.pipeline.dataset.labels
    return {part: (each, labels[getattr(setup.pipeline.split, part)]) for part, each in rows.items()}


def scaled(parts: Features) -> Features:
    """Features of mean square 1 on the training images, so that penalties mean the same for all networks."""
    scale = np.sqrt(np.square(parts["train"][0]).mean())
    return {part: (rows / scale, labels) for part, (rows, labels) in parts.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", help="manifest with groups")
    parser.add_argument("weights", help="of tf_efficientnet_lite0")
    parser.add_argument("--run", help="of the recipe on the same folds")
    options = parser.parse_args()
    draft = read_recipe_argument(
        "finetune",
        [parse_assignment(f"data={options.photographs}"), parse_assignment(f"network.weights={options.weights}")],
    )
    folds, paths = list[Features](), list[str]()
    for fold in range(1, FOLDS + 1):
        reading = Reading(folds=FOLDS, fold=fold, split_seed=0)
        setup = prepare(replace(draft, recipe=draft.recipe.model_copy(update={"reading": reading})), "cpu")
        network = cast(Baseline, build_network(setup.recipe.network, 0)).eval()
        folds.append(scaled(features(network, setup)))
        paths += [setup.pipeline.dataset.paths[index] for index in setup.pipeline.split.test]
    print("| inverse penalty | validation accuracy | validation log loss |\n|---|---|---|")
    losses, models = dict[float, float](), dict[float, list[LogisticRegression]]()
    for penalty in INVERSE_PENALTIES:
        models[penalty] = [LogisticRegression(C=penalty, max_iter=5_000).fit(*fold["train"]) for fold in folds]
        pairs = [(model, *fold["val"]) for model, fold in zip(models[penalty], folds, strict=True)]
        accuracy = np.mean([model.score(rows, labels) for model, rows, labels in pairs])
        losses[penalty] = float(np.mean([log_loss(labels, model.predict_proba(rows)) for model, rows, labels in pairs]))
        print(f"| {penalty:g} | {accuracy:.1%} | {losses[penalty]:.3f} |")
    best = min(losses, key=losses.__getitem__)
    tested = [fold["test"][1] for fold in folds]
    predicted = [model.predict_proba(fold["test"][0])[:, 1] for model, fold in zip(models[best], folds, strict=True)]
    right = (np.concatenate(predicted) > 0.5) == np.concatenate(tested)
    aucs = [roc_auc_score(truth, scores) for truth, scores in zip(tested, predicted, strict=True)]
    print(
        f"test with {best:g}: {right.sum()} of {len(right)} correct ({right.mean():.1%}), mean AUC {np.mean(aucs):.2f}"
    )
    if options.run:
        print_difference(options.run, dict(zip(paths, right, strict=True)))


def print_difference(folder: str, right: dict[str, bool]) -> None:
    """Prints the accuracy of a run less that of the classifier on the same images, by whether it was `right`."""
    run = read_run(folder)
    correct = run.correct[0].astype(np.float64)
    difference = correct - np.array([float(right[path]) for path in run.images])
    _, codes = np.unique(run.groups, return_inverse=True)
    error = mean_difference(difference, np.zeros(len(difference), dtype=np.int64), codes).standard_error
    print(f"run: {correct.mean():.1%}, less the classifier {100 * difference.mean():+.1f} ± {100 * error:.1f} points")


if __name__ == "__main__":
    main()
