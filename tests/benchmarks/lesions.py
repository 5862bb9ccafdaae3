"""How hard the synthetic lesions are: a linear model on their pixels and a small CNN, both trained from scratch.

    python tests/benchmarks/lesions.py

There are three seeds, each with 300 other images of 64×64 pixels, in two and in six classes. The test set has a quarter
of the patients of each class; no patient is in both sets. The linear model gets 32×32 pixels, standardised.
"""

from __future__ import annotations

import os
import statistics
import time

os.environ.setdefault("OMP_NUM_THREADS", "2")

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lightcnn.cost import cost
from lightcnn.data.preprocess import Preprocess
from lightcnn.data.sources.lesion_painter import Lesions, paint_lesions
from lightcnn.data.tensors import channel_statistics, resize
from lightcnn.engine.loop import fit
from lightcnn.inference import probabilities
from lightcnn.network import build
from lightcnn.recipe import Augment, Optimisation
from lightcnn.run_folder import environment
from lightcnn.spec import ConvBlock, NetworkSpec, PoolBlock

SIZE, SEEDS, EPOCHS = 64, (0, 1, 2), 80


def network(classes: int) -> NetworkSpec:
    """Four plain convolutions, each but the last followed by max pooling."""
    stages: list[ConvBlock | PoolBlock] = []
    for width in (16, 32, 64):
        stages += [ConvBlock(width=width), PoolBlock()]
    return NetworkSpec(input=(3, SIZE, SIZE), stages=(*stages, ConvBlock(width=96)), classes=classes)


def mask_of_test_set(lesions: Lesions, seed: int) -> NDArray[np.bool_]:
    """Marks all images of a quarter of the patients of each class."""
    random = np.random.default_rng(seed)
    chosen: list[str] = []
    for label in range(len(lesions.classes)):
        patients = random.permutation(np.unique(lesions.patients[lesions.labels == label]))
        chosen += patients[: round(len(patients) / 4)].tolist()
    return np.isin(lesions.patients, chosen)


def linear(lesions: Lesions, test: NDArray[np.bool_]) -> float:
    """Test accuracy of logistic regression on pixels."""
    pixels = resize(lesions.images, 32).flatten(1).numpy().astype(np.float64)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return float(model.fit(pixels[~test], lesions.labels[~test]).score(pixels[test], lesions.labels[test]))


def small_cnn(lesions: Lesions, test: NDArray[np.bool_], seed: int) -> float:
    """Test accuracy of the network after the last epoch."""
    images, labels = torch.from_numpy(lesions.images).movedim(3, 1), torch.from_numpy(lesions.labels)
    mean, deviation = channel_statistics(images[~test])
    preprocess = Preprocess(
        size=SIZE, channels=3, shorter_side=SIZE, mean=mean, deviation=deviation, classes=lesions.classes
    )
    model = build(network(len(lesions.classes)), seed)
    fit(
        model,
        images[~test],
        labels[~test],
        preprocess=preprocess,
        settings=Optimisation(epochs=EPOCHS, batch=32),
        augmentation=Augment(shift=0.1, rotate=15, zoom=0.1, flip=True),
        seed=seed,
    )
    predicted = probabilities(model, images[test], preprocess).argmax(axis=1)
    return float((predicted == lesions.labels[test]).mean())


def main() -> None:
    size = cost(network(2))
    print(f"{environment()['processor']}, {torch.get_num_threads()} threads; CNN: {size}; {EPOCHS} epochs\n")
    print(f"{'classes':<9}{'seed':>6}{'test':>7}{'chance':>9}{'linear':>9}{'CNN':>8}{'seconds':>10}")
    for classes in (2, 6):
        rows = [measured(classes, seed) for seed in SEEDS]
        for seed, row in (
            *zip(SEEDS, rows, strict=True),
            ("mean", [statistics.mean(c) for c in zip(*rows, strict=True)]),
        ):
            test, flat, cnn, seconds = row
            print(f"{classes:<9}{seed:>6}{test:>7.0f}{1 / classes:>9.3f}{flat:>9.3f}{cnn:>8.3f}{seconds:>10.0f}")


def measured(classes: int, seed: int) -> tuple[float, float, float, float]:
    """Number of test images, accuracy of the linear model and of the CNN, and the seconds that the CNN took."""
    lesions = paint_lesions(size=SIZE, classes=classes, seed=seed)
    test = mask_of_test_set(lesions, seed)
    start = time.perf_counter()
    cnn = small_cnn(lesions, test, seed)
    seconds = time.perf_counter() - start
    return float(test.sum()), linear(lesions, test), cnn, seconds


if __name__ == "__main__":
    main()
