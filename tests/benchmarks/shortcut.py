"""Whether the checks distinguish a network that learned the lesion from one that learned a marker in the corner.

    python tests/benchmarks/shortcut.py [--lesion RUN --shortcut RUN] [--images N] [--out DIR]

Two networks of one recipe are trained on the same synthetic images; for the second network, every image of the first
class has a coloured sticker in its upper left corner. Both then explain test images of the first class that have a
lesion and a sticker. Without runs, both networks are trained first, which takes 20 minutes on two cores. The first
table shows for each network its accuracy with and without stickers, and the probability of the class if the lesion or
the sticker is removed. The second shows for each method the medians over images: the share of energy relative to the
share of area in the lesion and in the sticker, how many maps point into the lesion, and the area under the deletion
curve next to the lowest of its controls.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lightcnn.cli.main import run
from lightcnn.data.sources.lesion_painter import STICKER_CENTRE, STICKER_RADIUS, Lesions, paint_lesions
from lightcnn.data.sources.load import load
from lightcnn.data.split import make_split
from lightcnn.data.tensors import network_pixels
from lightcnn.explaining.explained_network import ExplainedNetwork
from lightcnn.recipe import Recipe
from lightcnn.trained_network import TrainedNetwork

COUNT = 900
DATA = f"synthetic-lesions:count={COUNT}"
METHODS = "gradcam,ig,lime,occlusion"


def trained_run(name: str, folder: Path | None, out: Path) -> Path:
    """The given run, or a new run of MicroMPoxNet on images with or without stickers."""
    if folder is not None:
        return folder
    data, epochs = (f"{DATA},shortcut", "8") if name == "shortcut" else (DATA, "30")
    options = ["--set", "preprocess.background=none", "--epochs", epochs]
    if run(["train", "micrompoxnet", "--data", data, *options, "--quiet", "--out", str(out / name)]):
        raise SystemExit(f"{name}: training failed")
    return out / name


def sticker(size: int) -> np.ndarray:
    """Mask of the sticker, bool (size, size)."""
    place = (np.arange(size) + 0.5) / size - STICKER_CENTRE
    return place[:, None] ** 2 + place[None, :] ** 2 <= STICKER_RADIUS**2


def tested(folder: Path) -> np.ndarray:
    """Indices of the images that no network of that recipe and seed was trained on."""
    recipe = Recipe.load(str(folder / "recipe.yaml"))
    return make_split(load(DATA, recipe.reading), recipe.seed, recipe.reading).test


def accuracy(trained: TrainedNetwork, dataset: Lesions, indices: np.ndarray) -> float:
    """Share of these images that are classified correctly."""
    predictions = trained.predict([dataset.images[i] for i in indices]).predictions
    return float(np.mean(np.array(predictions) == np.array(dataset.classes)[dataset.labels[indices]]))


def probability_without(trained: TrainedNetwork, dataset: Lesions, indices: np.ndarray, masks: np.ndarray) -> float:
    """Median probability of the first class after the masked pixels are replaced by the training mean."""
    explained = ExplainedNetwork.of(trained.model, trained.preprocess)
    pixels = torch.stack([network_pixels(dataset.images[i], trained.preprocess) for i in indices])
    inputs = explained.inputs(pixels)
    inputs[torch.from_numpy(masks)[:, None].expand_as(inputs)] = 0
    return float(explained.probabilities(inputs)[:, 0].median())


def ratios(folder: Path, entry: dict[str, Any], mask: np.ndarray) -> float:
    """The share of a map's energy above 0 that is in a mask, divided by the mask's share of the area."""
    energy = np.maximum(np.load(folder / entry["map"]).astype(float), 0)
    return float(energy[mask].sum() / max(energy.sum(), 1e-12) / mask.mean())


def explained_by(name: str, folder: Path, dataset: Lesions, chosen: np.ndarray, out: Path) -> list[dict[str, Any]]:
    """One row per method, with medians over the images."""
    images, masks = out / "images", out / "masks"
    maps_folder = out / f"explained-{name}"
    options = ["--method", METHODS, "--masks", str(masks), "--target", dataset.classes[0]]
    command = ["explain", str(folder), str(images), *options, "--quiet", "--out", str(maps_folder)]
    if not maps_folder.exists() and run(command) > 1:
        raise SystemExit(f"{name}: explaining failed")
    entries = json.loads((maps_folder / "report.json").read_text())["explanations"]
    mark, rows = sticker(dataset.images.shape[1]), []
    for method in METHODS.split(","):
        maps = [entry for entry in entries if entry["method"] == method]
        lesions = [dataset.masks[int(Path(entry["image"]).stem)] for entry in maps]
        deletion = [entry["checks"]["deletion"] for entry in maps]
        rows.append({
            "network": name, "method": method, "images": len(maps),
            "lesion": np.median([ratios(maps_folder, entry, mask) for entry, mask in zip(maps, lesions, strict=True)]),
            "sticker": np.median([ratios(maps_folder, entry, mark) for entry in maps]),
            "in mask": np.mean([bool(entry["checks"]["mask"]["passed"]) for entry in maps]),
            "deletion": np.median([check["value"] for check in deletion]),
            "control": np.median([min(check["controls"].values()) for check in deletion]),
        })  # fmt: skip
    return rows


def save(dataset: Lesions, chosen: np.ndarray, out: Path) -> None:
    """Writes the images and the masks of their lesions as files."""
    from PIL import Image

    for folder, of in (("images", dataset.images), ("masks", dataset.masks)):
        (out / folder).mkdir(parents=True, exist_ok=True)
        for index in chosen:
            Image.fromarray(of[index].astype(np.uint8) * (255 if folder == "masks" else 1)).save(
                out / folder / f"{index:04}.png"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lesion", type=Path, help="A run that was trained without stickers.")
    parser.add_argument("--shortcut", type=Path, help="A run that was trained with stickers.")
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--out", type=Path, default=Path("runs/shortcut"))
    options = parser.parse_args()
    start = time.perf_counter()
    plain, marked = paint_lesions(count=COUNT), paint_lesions(count=COUNT, shortcut=True)
    folders = {name: trained_run(name, getattr(options, name), options.out) for name in ("lesion", "shortcut")}
    test = tested(folders["lesion"])
    chosen = test[marked.labels[test] == 0][: options.images]
    save(marked, chosen, options.out)
    marks = np.repeat(sticker(marked.images.shape[1])[None], len(chosen), axis=0)
    print(f"{'network':10}{'accuracy with stickers':>24}{'without':>9}   probability of {marked.classes[0]!r} "
          "as it is, without the lesion, without the sticker")  # fmt: skip
    rows = []
    for name, folder in folders.items():
        trained = TrainedNetwork.load(folder)
        accuracies = [accuracy(trained, images, test) for images in (marked, plain)]
        probabilities = [
            probability_without(trained, marked, chosen, mask)
            for mask in (np.zeros_like(marks), marked.masks[chosen], marks)
        ]
        print(
            f"{name:10}{accuracies[0]:24.1%}{accuracies[1]:9.1%}   "
            + "".join(f"{probability:12.3f}" for probability in probabilities)
        )
        rows += explained_by(name, folder, marked, chosen, options.out)
    print(f"\n{'network':10}{'method':12}{'images':>7}{'energy/area, lesion':>21}{'sticker':>9}{'points to lesion':>18}"
          f"{'deletion':>10}{'control':>9}")  # fmt: skip
    for row in rows:
        print(f"{row['network']:10}{row['method']:12}{row['images']:7}{row['lesion']:21.2f}{row['sticker']:9.2f}"
              f"{row['in mask']:18.0%}{row['deletion']:10.3f}{row['control']:9.3f}")  # fmt: skip
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
