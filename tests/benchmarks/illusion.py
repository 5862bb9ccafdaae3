"""How much a split with copies in training and test set adds to a score, measured with the commands themselves.

    python tests/benchmarks/illusion.py [--data SOURCE] [--recipe micrompoxnet] [--copies 3] [--epochs 20] [--out DIR]

Every photograph of SOURCE gets augmented copies, as in many published sets. All images are split twice: at random by
image, which `lightcnn train` uses only with --allow-leak, and by group with --resplit. The same recipe is trained on
both, without further augmentation.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from duplicates import augmented_set

from lightcnn.data.grouping.groups import find_groups
from lightcnn.data.sources.load import load

SHARES = {"test": 0.2, "val": 0.15}
WAYS = {"at random by image, --allow-leak": "--allow-leak", "by group, --resplit": "--resplit"}


def shipped(source: str, copies: int, size: int, folder: Path) -> Path:
    """Writes photographs and their copies as PNG files, and a manifest with their groups and a random split."""
    photographs = find_groups(load(source))
    resized = [cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA) for image in photographs.images]
    images, sources, _ = augmented_set(resized, copies, seed=0)
    place = np.random.default_rng(0).permutation(len(images)) / len(images)
    bounds = np.cumsum(list(SHARES.values()))
    split_names = np.array([*SHARES, "train"])[np.searchsorted(bounds, place, side="right")]
    with open(folder / "copies.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", "group", "split"))
        for number, (image, origin) in enumerate(zip(images, sources, strict=True)):
            name = f"{number:05}.png"
            cv2.imwrite(str(folder / name), image[..., ::-1])
            label = photographs.classes[photographs.labels[origin]]
            writer.writerow((name, label, photographs.groups[origin], split_names[number]))
    return folder / "copies.csv"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="synthetic-lesions")
    parser.add_argument("--recipe", default="micrompoxnet")
    parser.add_argument("--copies", type=int, default=3)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--out", type=Path, help="Folder in which the run folders are kept.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        manifest = shipped(options.data, options.copies, options.size, Path(folder))
        out = options.out or Path(folder)
        print(
            f"{'split':34}{'test images':>12}{'groups':>8}{'in two sets':>14}{'accuracy, 95 % interval':>30}{'AUC':>8}"
        )
        for number, (way, option) in enumerate(WAYS.items()):
            command = [
                sys.executable, "-m", "lightcnn", "train", options.recipe, "--data", str(manifest), option,
                "--set", "augment=none", "--epochs", str(options.epochs), "--out", str(out / f"{number}"), "--json",
            ]  # fmt: skip
            process = subprocess.run(command, stdout=subprocess.PIPE, check=True)
            report = json.loads(process.stdout)
            test, data = report["metrics"]["test"], report["data"]
            accuracy = "{value:.2%} ({low:.2%} to {high:.2%})".format(**test["accuracy"])
            counts = (data["counts"]["test"], data["groups"]["counts"]["test"], data["groups_shared"])
            print(
                f"{way:34}{counts[0]:12,}{counts[1]:8,}{counts[2]:14,}{accuracy:>30}{test['auc']['value']:8.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
