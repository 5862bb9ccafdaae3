"""Recipes of tiny networks on small data, and the results of their trainings."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

TINY = """
name: tiny
data: {data}
network:
  input: [1, 8, 8]
  stages:
    - {{kind: conv, width: 6, stride: 2}}
    - {{kind: mbconv, width: 6, expand: 2.0, drop_path: 0.1}}
  head: {{dropout: 0.1}}
  classes: 3
training: {{epochs: 4, batch: 16, accumulate: 2, ema: 0.8, clip_norm: 1.0, schedule: cosine, monitor: loss}}
"""


def write_digits_recipe(folder: Path) -> str:
    """Writes 240 digits of three classes and a recipe of a tiny network for them; returns the recipe's path."""
    digits = load_digits(n_class=3)
    images, labels = digits.images[:240].astype(np.uint8) * 15, digits.target[:240]
    np.savez(folder / "three.npz", train_images=images, train_labels=labels, class_names=np.array(["o", "i", "z"]))
    (folder / "tiny.yaml").write_text(TINY.format(data=folder / "three.npz"))
    return str(folder / "tiny.yaml")


def write_squares_recipe(folder: Path) -> str:
    """Writes dark and bright squares and a recipe of a network with a sigmoid head; returns the recipe's path."""
    random = np.random.default_rng(0)
    labels = np.arange(160) % 2
    images = (random.integers(0, 200, (160, 8, 8)) + 40 * labels[:, None, None]).astype(np.uint8)
    np.savez(folder / "two.npz", train_images=images, train_labels=labels, class_names=np.array(["dark", "bright"]))
    (folder / "binary.yaml").write_text(
        f"data: {folder / 'two.npz'}\nnetwork: {{input: [1, 8, 8], stages: [{{kind: conv, width: 4}}], classes: 2, "
        "head: {output: sigmoid}}\naugment: none\ntraining: {epochs: 2, batch: 16}\n"
    )
    return str(folder / "binary.yaml")


def rows(folder: Path, name: str) -> list[dict[str, str]]:
    """The rows of a CSV file in a run folder."""
    with open(folder / name, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def outcome(folder: Path) -> tuple[list[dict[str, str]], dict[str, bytes]]:
    """The results that must be bit-identical."""
    metrics = [{name: value for name, value in row.items() if name != "seconds"} for row in rows(folder, "metrics.csv")]
    files = ("weights.safetensors", "predictions.csv", "preprocess.json", "spec.yaml")
    return metrics, {name: (folder / name).read_bytes() for name in files}
