"""How well scores of unlikeness detect images of another kind, at a false-alarm rate that validation images set.

    python tests/benchmarks/unlikeness.py [--data FOLDER] [--out DIR]

Small networks are trained on digits and on synthetic lesions and, with FOLDER (`fashion_mnist.npz`, `msld_v1`), on
clothes and on photographs of skin. For each network, every candidate computes one number per image from what it knows
of the training images. Its limit is the 99th percentile of every second validation image. The tables show the share of
images above that limit: of the other half of the validation set (false alarms), of other data sets, and of that half
inverted, blurred, in noise, and turned by 90°. The score was chosen by these tables; no test set is read.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lightcnn.cli.main import run
from lightcnn.data.dataset import Dataset
from lightcnn.data.sources.load import load
from lightcnn.data.split import make_split
from lightcnn.data.tensors import network_pixels, normalise
from lightcnn.inference import class_probabilities, evaluate
from lightcnn.recipe import Reading, Recipe
from lightcnn.trained_network import TrainedNetwork
from lightcnn.unlikeness import fit_unlikeness

IMAGES = 300
"""Number of images of each far set."""
LIMIT = 0.99
"""Share of validation images at or below the limit."""
Numbers = NDArray[np.float64]
Score = Callable[[Numbers], Numbers]


def train(data: str, size: int, channels: int, classes: int, epochs: int, out: Path) -> Path:
    """A run of the recipe `quick` on that data, trained before or now."""
    if not (out / "report.json").exists():
        settings = [f"network.input=[{channels},{size},{size}]", f"network.classes={classes}"]
        options = [option for setting in settings for option in ("--set", setting)]
        command = [
            "train",
            "quick",
            "--data",
            data,
            "--epochs",
            str(epochs),
            "--resplit",
            "--quiet",
            "--out",
            str(out),
            *options,
        ]
        if run(command) != 0:
            raise SystemExit(f"training on {data} failed")
    return out


def clothes(archive: Path, out: Path, count: int = 4000) -> Path:
    """The first images of Fashion-MNIST as a smaller archive."""
    file = out / "clothes.npz"
    file.parent.mkdir(parents=True, exist_ok=True)
    with np.load(archive) as arrays:
        np.savez(
            file, train_images=arrays["train_images"][:count], train_labels=arrays["train_labels"][:count],
            test_images=arrays["test_images"][:IMAGES], test_labels=arrays["test_labels"][:IMAGES],
        )  # fmt: skip
    return file


def sample(dataset: Dataset, indices: NDArray[np.int64], count: int) -> list[NDArray[np.uint8]]:
    """At most `count` decoded images."""
    chosen = np.random.default_rng(0).permutation(indices)[:count]
    return [np.asarray(dataset.images[index]) for index in chosen]


def changed(images: Tensor) -> dict[str, Tensor]:
    """Prepared images uint8 (N, C, S, S), and what they are after each change."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, images.shape, generator=generator, dtype=torch.uint8)
    blur = nn.functional.avg_pool2d(images.float(), images.shape[2] // 4)
    blurred = nn.functional.interpolate(blur, images.shape[2:], mode="bilinear").round().to(torch.uint8)
    noisy = (images.float() + 0.5 * (noise.float() - 127.5)).clamp(0, 255).to(torch.uint8)
    return {
        "inverted": 255 - images, "blurred": blurred, "noisy": noisy, "noise": noise,
        "turned": images.rot90(1, (2, 3)), "black": torch.zeros_like(images), "white": torch.full_like(images, 255),
    }  # fmt: skip


def features(network: TrainedNetwork, images: Tensor) -> dict[str, Numbers]:
    """What candidates compute their scores from: one row per image."""
    last: list[Tensor] = []
    linear = [part for part in network.model.modules() if isinstance(part, nn.Linear)][-1]
    hook = linear.register_forward_pre_hook(lambda _, inputs: last.append(inputs[0].flatten(1)))
    convolutions = [part for part in network.model.modules() if isinstance(part, nn.BatchNorm2d)]
    maps: list[list[Tensor]] = [[] for _ in convolutions]
    hooks = [
        part.register_forward_hook(lambda _, __, out, place=place: place.append(out.mean((2, 3))))
        for part, place in zip(convolutions, maps, strict=True)
    ]
    with torch.inference_mode():
        outputs = torch.cat([network.model(normalise(part, network.preprocess)) for part in images.split(64)])
    for handle in (hook, *hooks):
        handle.remove()
    scaled = images.double() / 255
    edges = (scaled.diff(dim=2).abs().mean((2, 3)), scaled.diff(dim=3).abs().mean((2, 3)))
    pixels = torch.cat([scaled.mean((2, 3)), scaled.std((2, 3)), *edges], 1)
    return {
        "probability": class_probabilities(outputs, network.preprocess.temperature).numpy(),
        "pixels": pixels.numpy(),
        "chosen": evaluate(network.model, images, network.preprocess)[1],
        "last": torch.cat(last).double().numpy(),
        "all": torch.cat([torch.cat(place) for place in maps], 1).double().numpy(),
    }


def one_normal(rows: Numbers, _: NDArray[np.int64], *, full: bool) -> Score:
    """Mahalanobis distance from the mean, with the covariance shrunk towards its diagonal, or its diagonal only."""
    mean, spread = rows.mean(0), rows.std(0) + 1e-6
    if not full:
        return lambda other: np.sqrt((((other - mean) / spread) ** 2).mean(1))
    precision = np.linalg.inv(shrunk((rows - mean) / spread))
    return lambda other: np.sqrt(np.einsum("nd,de,ne->n", z := (other - mean) / spread, precision, z) / len(mean))


def class_means(rows: Numbers, labels: NDArray[np.int64], *, full: bool) -> Score:
    """The same distance from the nearest class mean, with one covariance within classes."""
    means = np.stack([rows[labels == label].mean(0) for label in np.unique(labels)])
    within = rows - means[np.unique(labels, return_inverse=True)[1]]
    spread = within.std(0) + 1e-6
    precision = np.linalg.inv(shrunk(within / spread)) if full else np.eye(rows.shape[1])

    def score(other: Numbers) -> Numbers:
        z = (other[:, None] - means) / spread
        return np.sqrt(np.einsum("nkd,de,nke->nk", z, precision, z).min(1) / rows.shape[1])

    return score


def chosen(rows: Numbers, labels: NDArray[np.int64], *, full: bool) -> Score:
    """What preprocess.json holds: at most 64 features of the last layer, and pixels, with class means."""
    return fit_unlikeness(rows, labels, rows).scores


def shrunk(rows: Numbers, share: float = 0.1) -> Numbers:
    """The covariance of scaled rows, with a share of the identity."""
    return (1 - share) * (rows.T @ rows / len(rows)) + share * np.eye(rows.shape[1])


def joined(parts: dict[str, Numbers], names: str) -> Numbers:
    return np.concatenate([parts[name] for name in names.split("+")], 1)


CANDIDATES: dict[str, tuple[str, Any, bool]] = {
    "as in preprocess.json": ("chosen", chosen, True),
    "probability": ("probability", None, False),
    "pixels, one normal": ("pixels", one_normal, True),
    "last, class means, full": ("last", class_means, True),
    "last, class means, diag": ("last", class_means, False),
    "last, one normal, full": ("last", one_normal, True),
    "last, one normal, diag": ("last", one_normal, False),
    "last+pixels, class means, full": ("last+pixels", class_means, True),
    "last+pixels, one normal, full": ("last+pixels", one_normal, True),
    "last+pixels, class means, diag": ("last+pixels", class_means, False),
    "all+pixels, one normal, full": ("all+pixels", one_normal, True),
    "all+pixels, one normal, diag": ("all+pixels", one_normal, False),
}


def table(folder: Path, sets: dict[str, list[NDArray[np.uint8]]]) -> None:
    """Prints the detection rates of every candidate for one network."""
    network = TrainedNetwork.load(folder, device="cpu")
    recipe = Recipe.load(str(folder / "recipe.yaml"))
    dataset = load(recipe.data, recipe.reading)
    split = make_split(dataset, recipe.seed, recipe.reading)

    def pixels(images: list[NDArray[np.uint8]]) -> Tensor:
        return torch.stack([network_pixels(image, network.preprocess) for image in images])

    chosen_images = {"train": split.train[:3000], "limit": split.val[::2], "other": split.val[1::2]}
    prepared = {name: pixels([np.asarray(dataset.images[i]) for i in some]) for name, some in chosen_images.items()}
    near = {name: features(network, images) for name, images in prepared.items()}
    far = {name: features(network, pixels(images)) for name, images in sets.items() if name != folder.name}
    far |= {name: features(network, images) for name, images in changed(prepared["other"]).items()}
    labels = dataset.labels[split.train[:3000]]
    print(f"\n{folder.name}: {len(labels)} training and {len(split.val)} validation images")
    print(f"{'candidate':32}{'alarms':>7}" + "".join(f"{name:>10}" for name in far))
    for name, (parts, fit, full) in CANDIDATES.items():
        if fit is None:
            score: Score = lambda rows: 1 - rows.max(1)  # noqa: E731
        else:
            score = fit(joined(near["train"], parts), labels, full=full)
        limit = np.quantile(score(joined(near["limit"], parts)), LIMIT, method="higher")
        shares = [float((score(joined(rows, parts)) > limit).mean()) for rows in (near["other"], *far.values())]
        print(f"{name:32}{shares[0]:7.1%}" + "".join(f"{share:10.0%}" for share in shares[1:]), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with fashion_mnist.npz and msld_v1")
    parser.add_argument("--out", type=Path, default=Path("runs/unlikeness"))
    arguments = parser.parse_args()
    kinds = {"digits": ("digits", 16, 1, 10, 6), "lesions": ("synthetic-lesions:count=600", 32, 3, 2, 6)}
    if arguments.data:
        kinds["clothes"] = (str(clothes(arguments.data / "fashion_mnist.npz", arguments.out)), 16, 1, 10, 4)
        kinds["skin"] = (str(arguments.data / "msld_v1" / "groups.csv"), 48, 3, 2, 10)
    folders = [train(*kind, arguments.out / name) for name, kind in kinds.items()]
    sets = {}
    for name, kind in kinds.items():
        dataset = load(kind[0], Reading(resplit=True))
        sets[name] = sample(dataset, np.arange(len(dataset.labels)), IMAGES)
    for folder in folders:
        table(folder, sets)


if __name__ == "__main__":
    main()
