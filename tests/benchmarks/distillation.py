"""How much of a teacher a small network should learn on few images: the defaults of `distill.alpha` and `temperature`.

    lightcnn train finetune --data synthetic-lesions:count=440,classes=4,size=96,seed=3 \
        --set network.weights=tf_efficientnet_lite0.safetensors --set network.input=[3,96,96] --out teacher
    python tests/benchmarks/distillation.py teacher [--epochs 40] [--seeds 1]

Trains the network of the recipe `quick` at 32×32 on the training images of the teacher, with several settings, and
prints accuracy and log loss on 800 further generated images. The test set is not looked at.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch

import lightcnn
from lightcnn.data.dataset import Dataset
from lightcnn.data.sources.load import load
from lightcnn.inference import probabilities
from lightcnn.recipe import Distillation, Reading, Recipe
from lightcnn.recipe_defaults import default_augment, default_training

DATA = "synthetic-lesions:count=440,classes=4,size=96,seed=3"
JUDGES = "synthetic-lesions:count=800,classes=4,size=96,seed=1003"
SETTINGS = ((0.0, 1.0), (0.5, 4.0), (0.9, 2.0), (0.5, 1.0))
"""Pairs of alpha and temperature; alpha 0 is without the teacher."""
BATCH = 100


def student(epochs: int, seed: int) -> Recipe:
    """The recipe of the student, on the split of the teacher."""
    quick = Recipe.load("quick")
    network = quick.network.model_copy(update={"input": (3, 32, 32), "classes": 4})
    training = default_training(epochs, 300).model_copy(update={"keep": "last", "threads": 1})
    return quick.model_copy(
        update={
            "data": DATA, "network": network, "seed": seed, "reading": Reading(split_seed=0),
            "augment": default_augment(3, 300), "training": training,
        }
    )  # fmt: skip


def judged(run: lightcnn.Run, images: Dataset) -> tuple[float, float]:
    """Accuracy and log loss of a run on other images."""
    network, rows = run.trained, []
    for start in range(0, len(images), BATCH):
        pixels = [network.prepare(images.images[i]) for i in range(start, min(start + BATCH, len(images)))]
        rows.append(probabilities(network.model, torch.stack(pixels), network.preprocess))
    predicted, labels = np.concatenate(rows), images.labels
    losses = -np.log(predicted[np.arange(len(labels)), labels].clip(1e-9))
    return float((predicted.argmax(axis=1) == labels).mean()), float(losses.mean())


def main() -> None:
    """Prints one line for each training."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teacher")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    images = load(JUDGES, Reading())
    print("teacher: accuracy {:.2%}, log loss {:.3f}".format(*judged(lightcnn.Run.load(options.teacher), images)))
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(options.seeds):
            for alpha, temperature in SETTINGS:
                distill = Distillation(teacher=options.teacher, alpha=alpha, temperature=temperature) if alpha else None
                recipe = student(options.epochs, seed).model_copy(update={"distill": distill})
                run = lightcnn.train(recipe, out=Path(folder) / f"{alpha}-{temperature}-{seed}")
                scores = "accuracy {:.2%}, log loss {:.3f}".format(*judged(run, images))
                print(f"seed {seed}, alpha {alpha:g}, temperature {temperature:g}: {scores}", flush=True)


if __name__ == "__main__":
    main()
