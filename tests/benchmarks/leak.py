"""What copies of one photograph in both training and test set do to a score.

    python tests/benchmarks/leak.py [--data SOURCE] [--copies 5] [--size 64] [--epochs 25] [--seeds 3]

Every photograph gets augmented copies. With each seed the set is split in three ways, and the same recipe is trained
from scratch on each: at random by image, as sets that are published with copies usually are; by the groups that
lightcnn infers from the images alone (near duplicates, no names); and by the groups of the source (patients). Only the
last is correct.
"""

from __future__ import annotations

import argparse
import time
from random import Random

import cv2
import numpy as np
import torch
from duplicates import augmented_set

from lightcnn.budget import Budget
from lightcnn.data.dataset import Dataset, assemble
from lightcnn.data.grouping.groups import linked_images
from lightcnn.data.grouping.similar import find_similar
from lightcnn.data.pipeline import Pipeline
from lightcnn.data.sources.load import load
from lightcnn.data.split import make_split
from lightcnn.devices import pick_device
from lightcnn.engine.loop import fit
from lightcnn.evaluation.scores import scores
from lightcnn.inference import probabilities
from lightcnn.network import build
from lightcnn.recipe import PRESETS, Optimisation
from lightcnn.searching.budgeted_space import BudgetedSpace
from lightcnn.space import SearchSpace


def shipped_augmented(source: str, size: int, copies: int) -> tuple[Dataset, np.ndarray]:
    """A set of photographs and their copies, as it would be published, and the group of every image."""
    photographs = load(source)
    resized = [cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA) for image in photographs.images]
    images, sources, _ = augmented_set(resized, copies, seed=0)
    labels = photographs.labels[sources]
    return assemble(f"{source} augmented", np.stack(images), labels, photographs.classes), photographs.groups[sources]


def trained(data: Dataset, seed: int, options: argparse.Namespace) -> dict[str, float]:
    """Test scores of one training from scratch."""
    device = pick_device()
    parts = make_split(data, seed)
    pipeline = Pipeline(data, parts, device)
    space = SearchSpace.load("micro").for_data(data.channels, len(data.classes), options.size)
    bounded = BudgetedSpace(space, Budget.parse(options.budget))
    spec = bounded.candidate(bounded.first(), Random(seed)).spec
    model = build(spec, seed).to(device)
    preprocess = pipeline.preprocess(spec.input[1])
    fit(
        model,
        pipeline.images(parts.train, spec.input[1]),
        pipeline.labels(parts.train),
        preprocess=preprocess,
        settings=Optimisation(epochs=options.epochs, batch=64, label_smoothing=0.1),
        augmentation=PRESETS["light"],
        seed=seed,
    )
    predicted = probabilities(model, pipeline.images(parts.test, spec.input[1]), preprocess)
    result = scores(data.labels[parts.test], predicted)
    return {"accuracy": result["accuracy"]["value"], "AUC": result["auc"]["value"], "images": len(parts.test)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="synthetic-lesions")
    parser.add_argument("--copies", type=int, default=5)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budget", default="4MFLOPs")
    options = parser.parse_args()
    torch.set_num_threads(2)
    data, truth = shipped_augmented(options.data, options.size, options.copies)
    clusters = linked_images(find_similar(list(data.images)).clusters)
    ways = {
        "at random by image": data,
        "by near duplicates": data.with_groups(clusters.astype(str), "near duplicates"),
        "by the source's groups": data.with_groups(truth, "source"),
    }
    print(f"{data.source}: {len(data)} images of {len(set(truth.tolist()))} groups, {options.size} px")
    print(f"{'split':28}{'accuracy by seed':>30}{'mean':>8}{'AUC by seed':>30}{'groups shared':>15}{'seconds':>9}")
    for name, way in ways.items():
        start = time.perf_counter()
        rows = [trained(way, seed, options) for seed in range(options.seeds)]
        shared = [
            make_split(way, seed).groups_shared(data.with_groups(truth, "source")) for seed in range(options.seeds)
        ]
        accuracy, auc = (" ".join(f"{row[key]:.3f}" for row in rows) for key in ("accuracy", "AUC"))
        mean = np.mean([row["accuracy"] for row in rows])
        seconds = time.perf_counter() - start
        print(f"{name:28}{accuracy:>30}{mean:8.3f}{auc:>30}{shared!s:>15}{seconds:9.0f}", flush=True)


if __name__ == "__main__":
    main()
