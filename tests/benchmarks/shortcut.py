"""Whether the checks tell a network that learned the lesion from one that learned a marker in the corner.

    python tests/benchmarks/shortcut.py [--lesion RUN --shortcut RUN] [--images N] [--out DIR]

Two networks of one recipe learn from the same drawn pictures; for the second, every picture of the first class has a
coloured sticker in its upper left corner. Both then explain test pictures of the first class that have both, a lesion
and a sticker. Without runs both are trained first: 20 minutes of two cores. Prints, for each network, its accuracy with
and without stickers and the class's probability when the lesion, or the sticker, is taken away; and for each method the
medians over pictures: how much more of the energy than of the area lies in the lesion and in the sticker, how many maps
point into the lesion, and the area under the deletion curve beside the lowest of the controls.
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


def learned(name: str, given: Path | None, out: Path) -> Path:
    """A run of MicroMPoxNet on pictures with stickers, or without."""
    if given is not None:
        return given
    data, epochs = (f"{DATA},shortcut", "8") if name == "shortcut" else (DATA, "30")
    options = ["--set", "preprocess.background=none", "--epochs", epochs]
    if run(["train", "micrompoxnet", "--data", data, *options, "--quiet", "--out", str(out / name)]):
        raise SystemExit(f"{name}: training failed")
    return out / name


def sticker(size: int) -> np.ndarray:
    """Where the sticker is, bool (size, size)."""
    place = (np.arange(size) + 0.5) / size - STICKER_CENTRE
    return place[:, None] ** 2 + place[None, :] ** 2 <= STICKER_RADIUS**2


def tested(folder: Path) -> np.ndarray:
    """Indices of the pictures that no network of that recipe and seed has learned from."""
    recipe = Recipe.load(str(folder / "recipe.yaml"))
    return make_split(load(DATA, recipe.reading), recipe.seed, recipe.reading).test


def accuracy(trained: TrainedNetwork, pictures: Lesions, indices: np.ndarray) -> float:
    """Share of right answers on these pictures."""
    told = trained.predict([pictures.images[i] for i in indices]).predictions
    return float(np.mean(np.array(told) == np.array(pictures.classes)[pictures.labels[indices]]))


def without(trained: TrainedNetwork, pictures: Lesions, indices: np.ndarray, masks: np.ndarray) -> float:
    """Median probability of the first class where what the masks mark became the training mean."""
    explained = ExplainedNetwork.of(trained.model, trained.preprocess)
    pixels = torch.stack([network_pixels(pictures.images[i], trained.preprocess) for i in indices])
    inputs = explained.inputs(pixels)
    inputs[torch.from_numpy(masks)[:, None].expand_as(inputs)] = 0
    return float(explained.probabilities(inputs)[:, 0].median())


def ratios(folder: Path, entry: dict[str, Any], mask: np.ndarray) -> float:
    """The share of a map's energy above 0 in a mask over the mask's share of the area."""
    found = np.maximum(np.load(folder / entry["map"]).astype(float), 0)
    return float(found[mask].sum() / max(found.sum(), 1e-12) / mask.mean())


def explained_by(name: str, folder: Path, pictures: Lesions, chosen: np.ndarray, out: Path) -> list[dict[str, Any]]:
    """A row a method: medians over the pictures."""
    images, masks = out / "images", out / "masks"
    done = out / f"explained-{name}"
    options = ["--method", METHODS, "--masks", str(masks), "--target", pictures.classes[0]]
    if not done.exists() and run(["explain", str(folder), str(images), *options, "--quiet", "--out", str(done)]) > 1:
        raise SystemExit(f"{name}: explaining failed")
    entries = json.loads((done / "report.json").read_text())["explanations"]
    mark, rows = sticker(pictures.images.shape[1]), []
    for method in METHODS.split(","):
        own = [entry for entry in entries if entry["method"] == method]
        lesions = [pictures.masks[int(Path(entry["image"]).stem)] for entry in own]
        deletion = [entry["checks"]["deletion"] for entry in own]
        rows.append({
            "network": name, "method": method, "images": len(own),
            "lesion": np.median([ratios(done, entry, mask) for entry, mask in zip(own, lesions, strict=True)]),
            "sticker": np.median([ratios(done, entry, mark) for entry in own]),
            "in mask": np.mean([bool(entry["checks"]["mask"]["passed"]) for entry in own]),
            "deletion": np.median([check["value"] for check in deletion]),
            "control": np.median([min(check["controls"].values()) for check in deletion]),
        })  # fmt: skip
    return rows


def save(pictures: Lesions, chosen: np.ndarray, out: Path) -> None:
    """The pictures and where their lesions are, as files."""
    from PIL import Image

    for folder, of in (("images", pictures.images), ("masks", pictures.masks)):
        (out / folder).mkdir(parents=True, exist_ok=True)
        for index in chosen:
            Image.fromarray(of[index].astype(np.uint8) * (255 if folder == "masks" else 1)).save(
                out / folder / f"{index:04}.png"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lesion", type=Path, help="a run that learned without stickers")
    parser.add_argument("--shortcut", type=Path, help="a run that learned with them")
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--out", type=Path, default=Path("runs/shortcut"))
    options = parser.parse_args()
    began = time.perf_counter()
    plain, marked = paint_lesions(count=COUNT), paint_lesions(count=COUNT, shortcut=True)
    folders = {name: learned(name, getattr(options, name), options.out) for name in ("lesion", "shortcut")}
    test = tested(folders["lesion"])
    chosen = test[marked.labels[test] == 0][: options.images]
    save(marked, chosen, options.out)
    marks = np.repeat(sticker(marked.images.shape[1])[None], len(chosen), axis=0)
    print(f"{'learned':10}{'accuracy with stickers':>24}{'without':>9}   probability of {marked.classes[0]!r} "
          "as it is, without the lesion, without the sticker")  # fmt: skip
    rows = []
    for name, folder in folders.items():
        trained = TrainedNetwork.load(folder)
        told = [accuracy(trained, pictures, test) for pictures in (marked, plain)]
        gone = [without(trained, marked, chosen, of) for of in (np.zeros_like(marks), marked.masks[chosen], marks)]
        print(f"{name:10}{told[0]:24.1%}{told[1]:9.1%}   " + "".join(f"{one:12.3f}" for one in gone))
        rows += explained_by(name, folder, marked, chosen, options.out)
    print(f"\n{'learned':10}{'method':12}{'images':>7}{'energy/area, lesion':>21}{'sticker':>9}{'points to lesion':>18}"
          f"{'deletion':>10}{'control':>9}")  # fmt: skip
    for row in rows:
        print(f"{row['network']:10}{row['method']:12}{row['images']:7}{row['lesion']:21.2f}{row['sticker']:9.2f}"
              f"{row['in mask']:18.0%}{row['deletion']:10.3f}{row['control']:9.3f}")  # fmt: skip
    print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
