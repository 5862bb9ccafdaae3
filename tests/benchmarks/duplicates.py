"""Precision and recall of near-duplicate search on copies whose original is known.

    python tests/benchmarks/duplicates.py [--data SOURCE] [--size 128] [--copies 5] [--photographs 240]
        [--seed 0] [--one-a-group] [--drop GROUP ...] [--compare] [--misses]

Every photograph gets augmented copies with one to three changes each. The copies of one photograph in ten get a wrong
class. The pairs and clusters of the search are compared with the truth, and each step's time per image is printed;
`--copies 0` measures different photographs. `--compare` adds a perceptual hash (difference hash of 8×8 bits, Hamming
distance 10 or less).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from lightcnn.data.dataset import Dataset
from lightcnn.data.grouping.similar import SimilarImages, find_similar
from lightcnn.data.sources.load import load

Image = NDArray[np.uint8]
BORDERS = (cv2.BORDER_CONSTANT, cv2.BORDER_REPLICATE, cv2.BORDER_REFLECT_101)


def warp(image: Image, random: np.random.Generator, angle: float, shear: float, scale: float, shift: float) -> Image:
    height, width = image.shape[:2]
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.array([[cosine, -sine + shear * cosine], [sine, cosine + shear * sine]])
    centre = np.array([width / 2, height / 2])
    moved = centre - linear @ centre + shift * random.uniform(-1, 1, 2) * [width, height]
    matrix = np.hstack([linear, moved[:, None]])
    border = BORDERS[random.integers(len(BORDERS))]
    return cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=border)


def crop(image: Image, random: np.random.Generator) -> Image:
    height, width = image.shape[:2]
    share = random.uniform(0.6, 0.95)
    h, w = int(height * share), int(width * share)
    top, left = random.integers(0, height - h + 1), random.integers(0, width - w + 1)
    return cv2.resize(image[top : top + h, left : left + w], (width, height))


def recompress(image: Image, random: np.random.Generator) -> Image:
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(20, 70))])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


def noisy(image: Image, random: np.random.Generator) -> Image:
    noise = random.normal(0, random.uniform(0.02, 0.08) * 255, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def lit(image: Image, gain: float, offset: float) -> Image:
    return np.clip((image.astype(np.float64) - 128) * gain + 128 + offset, 0, 255).astype(np.uint8)


CHANGES: dict[str, Callable[[Image, np.random.Generator], Image]] = {
    "flip": lambda i, r: np.ascontiguousarray(i[:, ::-1]),
    "flip vertically": lambda i, r: np.ascontiguousarray(i[::-1]),
    "quarter turn": lambda i, r: np.ascontiguousarray(np.rot90(i, r.integers(1, 4))),
    "rotation": lambda i, r: warp(i, r, np.radians(r.uniform(-40, 40)), 0, 1, 0),
    "shift": lambda i, r: warp(i, r, 0, 0, 1, 0.2),
    "shear": lambda i, r: warp(i, r, 0, r.uniform(-0.35, 0.35), 1, 0),
    "zoom": lambda i, r: warp(i, r, 0, 0, r.uniform(0.75, 1.35), 0),
    "crop": crop,
    "blur": lambda i, r: cv2.GaussianBlur(i, (0, 0), r.uniform(0.5, 1.5) * i.shape[0] / 128),
    "noise": noisy,
    "brightness": lambda i, r: lit(i, 1, r.uniform(-60, 60)),
    "contrast": lambda i, r: lit(i, r.uniform(0.5, 1.6), 0),
    "recompression": recompress,
    "grey": lambda i, r: np.repeat(cv2.cvtColor(i, cv2.COLOR_BGR2GRAY)[..., None], 3, axis=2),
}


def augmented_set(photographs: list[Image], copies: int, seed: int) -> tuple[list[Image], NDArray[np.int64], list[str]]:
    """All images, the number of the original of each, and the changes that were made to it."""
    images, sources, changes = list(photographs), list(range(len(photographs))), [""] * len(photographs)
    names = list(CHANGES)
    for source, photograph in enumerate(photographs):
        for copy in range(copies):
            random = np.random.default_rng([seed, source, copy])
            chosen = random.choice(len(names), random.integers(1, 4), replace=False)
            image = photograph
            for index in chosen:
                image = CHANGES[names[index]](image, random)
            images.append(image)
            sources.append(source)
            changes.append("+".join(names[i] for i in chosen))
    return images, np.array(sources), changes


def pairs_within(clusters: NDArray[np.int64]) -> set[tuple[int, int]]:
    order = np.argsort(clusters, kind="stable")
    bounds = np.flatnonzero(np.diff(clusters[order])) + 1
    return {
        (int(a), int(b)) for members in np.split(order, bounds) for i, a in enumerate(members) for b in members[i + 1 :]
    }


def difference_hash(images: list[Image], bits: int) -> NDArray[np.int64]:
    """For comparison: clusters of images whose difference hashes differ by at most `bits`, mirrored or not."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    def hashes(mirrored: bool) -> NDArray[np.float32]:
        small = [cv2.resize(cv2.cvtColor(i, cv2.COLOR_BGR2GRAY)[:, :: -1 if mirrored else 1], (9, 8)) for i in images]
        return np.array([(s[:, 1:] > s[:, :-1]).ravel() * 2.0 - 1 for s in small], dtype=np.float32)

    plain = hashes(False)
    near = sum(((64 - plain @ other.T) / 2 <= bits) for other in (plain, hashes(True)))
    return connected_components(coo_matrix(near > 0), directed=False)[1].astype(np.int64)


def timed_search(images: list[Image]) -> tuple[SimilarImages, dict[str, tuple[float, float]]]:
    """The result, and the wall-clock and processor seconds of each step and of the whole search."""
    start = np.array([time.perf_counter(), time.process_time()])
    ends: dict[str, NDArray[np.float64]] = {}

    def progress(step: str, done: int, total: int) -> None:
        ends[step] = np.array([time.perf_counter(), time.process_time()])

    similar = find_similar(images, progress=progress)
    times = np.diff([start, *ends.values()], axis=0)
    seconds = {step: (float(wall), float(processor)) for step, (wall, processor) in zip(ends, times, strict=True)}
    return similar, seconds | {"whole search": tuple(times.sum(axis=0).tolist())}


def score(pairs: set[tuple[int, int]], true: set[tuple[int, int]]) -> tuple[float, float]:
    """Precision and recall of pairs of images."""
    hits = len(pairs & true)
    return hits / max(1, len(pairs)), hits / max(1, len(true))


def chosen_photographs(dataset: Dataset, options: argparse.Namespace) -> NDArray[np.int64]:
    """Indices of `--photographs` images, in order, without `--drop`; with `--one-a-group` one per group."""
    indices = np.flatnonzero(~np.isin(dataset.groups, options.drop))
    if options.one_a_group:
        indices = np.sort(indices[np.unique(dataset.groups[indices], return_index=True)[1]])
    return np.sort(np.random.default_rng(options.seed).permutation(indices)[: options.photographs])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="synthetic-lesions")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--copies", type=int, default=5)
    parser.add_argument("--photographs", type=int, default=240)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--one-a-group", action="store_true", help="Use one photograph of each patient.")
    parser.add_argument(
        "--drop", nargs="*", default=[], help="Leave out these groups, whose photographs are copies already."
    )
    parser.add_argument("--compare", action="store_true", help="Compare with a perceptual hash.")
    parser.add_argument("--misses", action="store_true", help="List the changes of the copies that were missed.")
    options = parser.parse_args()

    dataset = load(options.data)
    size = (options.size, options.size)
    chosen = chosen_photographs(dataset, options)
    photographs = [cv2.resize(dataset.images[i], size, interpolation=cv2.INTER_AREA) for i in chosen.tolist()]
    groups = dataset.groups[chosen]
    images, sources, changes = augmented_set(photographs, options.copies, options.seed)
    labels = dataset.labels[chosen][sources].copy()
    random = np.random.default_rng([options.seed, 1])
    planted = random.permutation(len(photographs))[: len(photographs) // 10]
    wrong = np.isin(sources, planted) & (np.arange(len(images)) >= len(photographs))
    labels[wrong] = (labels[wrong] + 1) % len(dataset.classes)

    matches, seconds = timed_search(images)
    true = pairs_within(sources)
    same_patient = pairs_within(np.unique(groups, return_inverse=True)[1][sources])
    print(f"{options.data}: {len(photographs)} photographs at {options.size} px, {len(images)} images")
    for step, (wall, processor) in seconds.items():
        per_image = (
            f"{1000 * wall / len(images):.1f} ms per image ({1000 * processor / len(images):.1f} ms of processor time)"
        )
        print(f"{step:34}{wall:10.1f} s, {per_image}")
    print(f"{'':34}{'precision':>10}{'recall':>10}{'precision by patient':>24}")
    rows = {"pairs that were verified": {(int(i), int(j)) for i, j in matches.pairs}}
    rows["pairs within clusters"] = pairs_within(matches.clusters)
    if options.compare:
        rows["difference hash, 10 bits"] = pairs_within(difference_hash(images, 10))
        rows["difference hash, 4 bits"] = pairs_within(difference_hash(images, 4))
    for name, pairs in rows.items():
        precision, recall = score(pairs, true)
        print(f"{name:34}{precision:10.4f}{recall:10.4f}{score(pairs, same_patient)[0]:24.4f}")
    mixed = {int(c) for c in np.unique(matches.clusters) if len(set(labels[matches.clusters == c].tolist())) > 1}
    flagged = {int(s) for s in np.unique(sources[np.isin(matches.clusters, list(mixed))])}
    truly = set(planted.tolist())
    print(
        f"{'wrong-class sources':34}{len(flagged & truly) / max(1, len(flagged)):10.4f}"
        f"{len(flagged & truly) / len(truly):10.4f}   ({len(truly)} planted, {len(flagged)} found)"
    )
    if options.misses:
        biggest = [np.bincount(matches.clusters[sources == s]).argmax() for s in range(len(photographs))]
        for index in np.flatnonzero(matches.clusters != np.array(biggest)[sources]):
            print("missed", index, int(sources[index]), changes[index])


if __name__ == "__main__":
    main()
