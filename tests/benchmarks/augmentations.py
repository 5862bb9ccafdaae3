"""Which augmentation a long training of a small network should use: the default against stronger ones.

    python tests/benchmarks/augmentations.py fashion_mnist.npz [--images 700000] [--only default "shift 2 pixels"]

Trains the first network of `micro` with the schedule of a search to the same number of images, with one thread, and
prints validation accuracy in percent and log loss of the averaged weights along the way. The test set is not looked at.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
from first_network import first_network

from lightcnn.engine.loop import fit
from lightcnn.engine.state import State
from lightcnn.inference import probabilities
from lightcnn.network import build
from lightcnn.recipe import Augment
from lightcnn.recipe_defaults import default_augment, default_training
from lightcnn.searching.plan import AVERAGING, WARMUP_STEPS

DECAY_SHARE, MIRROR = 0.2, "default, mirror"
VARIANTS = {
    "none": Augment(shift=0, rotate=0, zoom=0),
    "shift 1 pixel": Augment(shift=0.05, rotate=0, zoom=0),
    "shift 2 pixels": Augment(shift=0.075, rotate=0, zoom=0),
    "shift 2 pixels, mirror": Augment(shift=0.075, rotate=0, zoom=0, flip=True),
    "shift 2 pixels, erase": Augment(shift=0.075, rotate=0, zoom=0, erase=0.2),
    "mixup 0.2": Augment(shift=0.0, rotate=0, zoom=0, mixup=0.2),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--images", type=int, default=700_000)
    parser.add_argument("--budget", default="1MFLOPs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=["default", MIRROR, *VARIANTS])
    options = parser.parse_args()
    pipeline, spec = first_network(options.data, options.budget)
    dataset, split = pipeline.dataset, pipeline.split
    size, train = spec.input[1], len(split.train)
    default = default_augment(dataset.channels, train)
    variants = {"default": default, MIRROR: default.model_copy(update={"flip": True}), **VARIANTS}
    base = default_training(math.ceil(options.images / train), train)
    steps = round(options.images / train * math.ceil(train / base.batch))
    settings = base.model_copy(
        update={"schedule": "warmup-stable-decay", "warmup_steps": WARMUP_STEPS, "steps": steps, "ema": AVERAGING,
                "decay_steps": round(DECAY_SHARE * steps), "threads": 1}
    )  # fmt: skip
    for name in options.only or variants:
        state = State(build(spec, options.seed), settings, train)
        cells = []
        for share in (0.1, 0.2, 0.4, 0.8, 1.0):
            fit(
                state.model, pipeline.images(split.train, size), pipeline.labels(split.train), settings=settings,
                seed=options.seed, preprocess=pipeline.preprocess(size), augmentation=variants[name], state=state,
                until=round(share * steps),
            )  # fmt: skip
            predicted = probabilities(state.judged, pipeline.images(split.val, size), pipeline.preprocess(size))
            labels = dataset.labels[split.val]
            loss = -np.log(predicted[np.arange(len(labels)), labels]).mean()
            accuracy = (predicted.argmax(axis=1) == labels).mean()
            cells.append(f"{round(share * options.images):,}: {100 * accuracy:.2f} ({loss:.4f})")
        print(f"{name}: {', '.join(cells)}", flush=True)


if __name__ == "__main__":
    main()
