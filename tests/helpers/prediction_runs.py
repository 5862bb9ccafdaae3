"""Finished runs with made-up predictions, as `lightcnn compare` reads them."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn.comparing.run_predictions import POOLED_COLUMNS, SINGLE_COLUMNS

COUNT = 120
CLASSES = ("ill", "well")


def labels_of(count: int = COUNT) -> NDArray[np.int64]:
    return np.arange(count) % 2


def predicted(wrong: Sequence[int], count: int = COUNT) -> NDArray[np.float64]:
    """Probabilities (count, 2) of a run that misclassifies the images `wrong`."""
    predictions = labels_of(count).copy()
    predictions[list(wrong)] = 1 - predictions[list(wrong)]
    positive = 0.5 + (predictions - 0.5) * np.linspace(0.2, 0.9, count)
    return np.stack([1 - positive, positive], axis=1)


def write_run(
    folder: Path, probabilities: NDArray[np.float64], *, classes: Sequence[str] = CLASSES, fingerprint: str = "f" * 64,
    groups: Sequence[str] | None = None, pooled: Sequence[tuple[int, int]] | None = None, sealed: bool = True,
    stand_in: bool = False,
) -> Path:  # fmt: skip
    """A finished run: probabilities (N, C), or (S, N, C) with the seed and the number of folds of each in `pooled`.

    A run that is not `sealed` has no checksum of its predictions.
    """
    folder.mkdir()
    count = probabilities.shape[-2]
    names = [f"images/{i:04d}.png" for i in range(count)]
    image_groups = list(groups) if groups else [str(i) for i in range(count)]
    with open(folder / "predictions.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*(POOLED_COLUMNS if pooled else SINGLE_COLUMNS), *(f"p_{name}" for name in classes)])
        if not pooled:
            writer.writerow(
                ["images/val.png", "val", "val", classes[0], classes[1], *(["0.5"] * len(classes))][: 5 + len(classes)]
            )
        for place, table in enumerate(probabilities if pooled else probabilities[None]):
            for i in reversed(range(count)):
                label, prediction = classes[i % len(classes)], classes[int(table[i].argmax())]
                part = [pooled[place][0], i * pooled[place][1] // count + 1] if pooled else []
                columns = [names[i], "test", image_groups[i], label, prediction, *part]
                writer.writerow([*columns, *(f"{p:.8f}" for p in table[i])])
    report: dict[str, Any] = {
        "lightcnn": "0.1.0", "command": "train", "seed": 0,
        "data": {
            "source": "photographs", "stand_in": stand_in, "fingerprint": fingerprint, "classes": list(classes),
            "groups": {"known": groups is not None}, "note": "",
        },
        "network": {"cost": {"params": 1000, "macs": 20000}},
    }  # fmt: skip
    if sealed:
        digest = hashlib.sha256((folder / "predictions.csv").read_bytes()).hexdigest()
        report["predictions"] = {"sha256": digest}
    (folder / "report.json").write_text(json.dumps(report))
    (folder / "environment.json").write_text("{}")
    return folder
