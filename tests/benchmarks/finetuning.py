"""How long the recipe `finetune` should train on few images, beside a linear classifier on the pretrained features.

    python tests/benchmarks/finetuning.py tf_efficientnet_lite0.safetensors fashion_mnist.npz [--epochs 10 20 40]
        [--seeds 2 3 4] [--processes 2]

Trains on 440 images at 96 pixels: training images of Fashion-MNIST, and synthetic lesions of six classes, others for
each seed. 15 % of them are for validation and 15 % for the test, which is not looked at: networks and classifiers are
compared on 2,000 further images. The classifier sees the features of the training images without augmentation; its
regularisation is the one with the least log loss on the validation images. Printed are, for each data set and number of
epochs, means over seeds and the paired difference to the first number of epochs with its standard error over seeds.
Three seeds take half an hour of two cores.
"""

from __future__ import annotations

import argparse
import tempfile
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import torch
from linear_probe import INVERSE_PENALTIES, features, scaled
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

import lightcnn
from lightcnn.baselines import Baseline, build_network
from lightcnn.data.sources.arrays import read_arrays
from lightcnn.data.sources.lesion_painter import paint_lesions
from lightcnn.overrides import parse_assignment
from lightcnn.recipe import ARRAYS
from lightcnn.training.recipe_argument import RecipeDraft, read_recipe_argument
from lightcnn.training.setup import prepare

IMAGES, JUDGES, SIZE, CLASSES = 440, 2_000, 96, 6
LINEAR = 0
"""In place of a number of epochs: the linear classifier."""


class Images(NamedTuple):
    """Images (N, H, W, 3) and their labels (N,)."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]


class Result(NamedTuple):
    """Accuracy and log loss on the further images."""

    accuracy: float
    log_loss: float


def images_of(source: str, seed: int) -> tuple[Images, Images]:
    """The images of one training, and the further ones; those of "lesions", or of the file of Fashion-MNIST."""
    if source == "lesions":
        painted = paint_lesions(IMAGES, SIZE, CLASSES, seed), paint_lesions(JUDGES, SIZE, CLASSES, 1_000 + seed)
        trained, others = (Images(np.stack(each.images), each.labels) for each in painted)
        return trained, others
    with np.load(source) as file:
        pixels, labels = np.repeat(file["train_images"][..., None], 3, axis=3), file["train_labels"].astype(np.int64)
    order = np.random.default_rng(seed).permutation(len(labels))
    first, last = order[:IMAGES], order[-JUDGES:]
    return Images(pixels[first], labels[first]), Images(pixels[last], labels[last])


def draft_of(weights: str, epochs: int, seed: int) -> RecipeDraft:
    """The recipe for images that are given as arrays."""
    changes = [
        f"data={ARRAYS}", f"network.weights={weights}", f"network.input=[3,{SIZE},{SIZE}]",
        f"training.epochs={max(epochs, 1)}", "training.threads=1", f"seed={seed}",
    ]  # fmt: skip
    return read_recipe_argument("finetune", [parse_assignment(change) for change in changes])


def judge(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> Result:
    """The scores of predictions (N, classes)."""
    right = probabilities.argmax(axis=1) == labels
    return Result(float(right.mean()), float(log_loss(labels, probabilities, labels=range(probabilities.shape[1]))))


def classify(draft: RecipeDraft, trained: Images, further: Images) -> Result:
    """The scores of the linear classifier."""
    setup, others = (prepare(draft, "cpu", read=(ARRAYS, read_arrays(tuple(images)))) for images in (trained, further))
    network = cast(Baseline, build_network(setup.recipe.network, 0)).eval()
    judged = zip(*features(network, others).values(), strict=True)  # of all parts
    rows, labels = (np.concatenate(each) for each in judged)
    parts = scaled(features(network, setup) | {"others": (rows, labels)})
    models = [LogisticRegression(C=penalty, max_iter=5_000).fit(*parts["train"]) for penalty in INVERSE_PENALTIES]
    seen, truth = parts["val"]
    best = min(models, key=lambda model: log_loss(truth, model.predict_proba(seen), labels=model.classes_))
    return judge(best.predict_proba(parts["others"][0]), labels)


def result(weights: str, source: str, seed: int, epochs: int) -> Result:
    """The scores of one training by the recipe, or of one linear classifier, on one core."""
    torch.set_num_threads(1)
    trained, further = images_of(source, seed)
    draft = draft_of(weights, epochs, seed)
    if epochs == LINEAR:
        return classify(draft, trained, further)
    recipe = draft.resolved(ARRAYS, 3, len(trained.labels), classes=len(np.unique(trained.labels)))
    with tempfile.TemporaryDirectory() as folder:
        run = lightcnn.train(recipe, data=tuple(trained), out=Path(folder) / "run", device="cpu")
        return judge(run.predict(list(further.pixels)).probabilities, further.labels)


def row(scores: NDArray[np.float64], first: NDArray[np.float64]) -> str:
    """The cells of one arm from scores (seeds, 2) and those of the first number of epochs."""
    differences = scores - first
    means, errors = differences.mean(axis=0), differences.std(axis=0, ddof=1) / len(scores) ** 0.5
    accuracy, loss = scores.mean(axis=0)
    gains = f"{100 * means[0]:+.1f} ± {100 * errors[0]:.1f} | {means[1]:+.3f} ± {errors[1]:.3f}"
    return f"{accuracy:.1%} | {loss:.3f} | {gains if differences.any() else '– | –'}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", help="of tf_efficientnet_lite0")
    parser.add_argument("fashion", help="file of Fashion-MNIST")
    parser.add_argument("--epochs", type=int, nargs="+", default=[10, 20, 40])
    parser.add_argument("--seeds", type=int, nargs="+", default=[2, 3, 4])
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    sources, arms = (options.fashion, "lesions"), (LINEAR, *options.epochs)
    jobs = list(product(sources, arms, options.seeds))
    with ProcessPoolExecutor(options.processes) as pool:
        runs = [pool.submit(result, options.weights, source, seed, epochs) for source, epochs, seed in jobs]
        scores = np.array([run.result() for run in runs]).reshape(len(sources), len(arms), len(options.seeds), 2)
    less = f"less {options.epochs[0]} epochs"
    print(f"| images | trained | accuracy | log loss | accuracy {less} | log loss {less} |\n" + "|---" * 6 + "|")
    for name, of_source in zip(("Fashion-MNIST", "lesions"), scores, strict=True):
        for epochs, each in zip(arms, of_source, strict=True):
            trained = "linear classifier" if epochs == LINEAR else f"{epochs} epochs"
            print(f"| {name} | {trained} | {row(each, of_source[1])} |")


if __name__ == "__main__":
    main()
