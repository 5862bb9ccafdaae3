"""How long the areas under curves take in the draws of a bootstrap, against scikit-learn and against sorted images.

    python tests/benchmarks/areas.py

Each group has three images. Per setup, the seconds for ROC-AUC and average precision of all classes in 2,000 draws: by
lightcnn, which counts images between the scores of the class by group; by the same sums over images in the order of
their scores, as an earlier version had them; and by two functions of scikit-learn for each draw and class. The last two
are measured in fewer draws and scaled. All must give the same areas.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from lightcnn.evaluation.bootstrap import DRAWS, RankedScores, draw_counts

SETUPS = ((500, 2), (2_000, 7), (10_000, 10), (5_000, 100), (5_000, 1_000))
"""Images and classes."""
ROWS, SORTED_DRAWS, PEER_DRAWS = 200, 20, 2
"""Draws at once; draws by sorted images and by scikit-learn."""
Numbers = NDArray[np.float64]


def predictions(images: int, classes: int) -> tuple[NDArray[np.int64], Numbers, NDArray[np.int64]]:
    """Labels (N,), probabilities (N, K) with ties, and numbers of groups (N,)."""
    random = np.random.default_rng(0)
    labels = np.concatenate([np.arange(classes), random.integers(0, classes, images - classes)])
    rows = random.dirichlet(np.ones(classes), images) + 0.3 * np.eye(classes)[labels]
    return labels, np.round(rows, 3), np.arange(images) // 3


def by_groups(labels: NDArray[np.int64], rows: Numbers, codes: NDArray[np.int64], times: Numbers) -> Numbers:
    """ROC-AUC and average precision (draws, 2, K), as lightcnn has them."""
    curves = [RankedScores.of(labels == c, rows[:, c], codes) for c in range(rows.shape[1])]
    parts = [times[first : first + ROWS].T.astype(np.float32, order="C") for first in range(0, len(times), ROWS)]
    return np.concatenate([np.stack([np.stack(curve.areas(part), 1) for curve in curves], 2) for part in parts])


def by_sorting(labels: NDArray[np.int64], rows: Numbers, codes: NDArray[np.int64], times: Numbers) -> Numbers:
    """The same from cumulative sums over the images in the order of their scores."""
    weights, areas = times.astype(np.float32)[:, codes], []
    for c in range(rows.shape[1]):
        order = np.argsort(-rows[:, c], kind="stable")
        scores, positive = rows[order, c], np.flatnonzero(labels[order] == c)
        values, first = np.unique(-scores[positive], return_index=True)
        start, end = (np.searchsorted(-scores, values, side=side) for side in ("left", "right"))  # type: ignore[call-overload]
        ranked = weights[:, order]
        total = np.concatenate([np.zeros((len(times), 1), ranked.dtype), ranked.cumsum(axis=1)], axis=1)
        hits = np.add.reduceat(ranked[:, positive], first, axis=1)
        found = hits.cumsum(axis=1)  # float32 is exact for counts
        others = total[:, -1] - found[:, -1]
        below = others[:, None] - (total[:, end] - found + total[:, start] - (found - hits)) / 2
        with np.errstate(invalid="ignore", divide="ignore"):
            roc = (hits * below).sum(axis=1) / (found[:, -1] * others)
            precision = (hits * found / np.maximum(total[:, end], 1)).sum(axis=1) / found[:, -1]
        areas.append(np.stack([roc, precision], axis=1))
    return np.stack(areas, axis=2)


def by_scikit_learn(labels: NDArray[np.int64], rows: Numbers, codes: NDArray[np.int64], times: Numbers) -> Numbers:
    """The same, each area from weighted images."""
    areas = np.full((len(times), 2, rows.shape[1]), np.nan)
    for draw, weights in enumerate(times[:, codes]):
        for c in range(rows.shape[1]):
            of_class = labels == c
            if 0 < weights[of_class].sum() < weights.sum():
                areas[draw, :, c] = [
                    area(of_class, rows[:, c], sample_weight=weights)
                    for area in (roc_auc_score, average_precision_score)
                ]
    return areas


def measured(
    areas: Callable[..., Numbers], setup: tuple[NDArray[np.int64], Numbers, NDArray[np.int64]], times: Numbers
) -> tuple[float, Numbers]:
    """The seconds for `DRAWS` draws, and the areas in those that were measured."""
    start = time.perf_counter()
    values = areas(*setup, times)
    return (time.perf_counter() - start) * DRAWS / len(times), values


def main() -> None:
    """Prints the table."""
    print("| images | classes | by groups | sorted images | scikit-learn | ratios |\n|---|---|---|---|---|---|")
    for images, classes in SETUPS:
        setup = predictions(images, classes)
        times = np.concatenate([*draw_counts(int(setup[2].max()) + 1, ROWS)])
        ours, values = measured(by_groups, setup, times)
        seconds = []
        for areas, draws in ((by_sorting, SORTED_DRAWS), (by_scikit_learn, PEER_DRAWS)):
            took, others = measured(areas, setup, times[:draws])
            seconds.append(took)
            defined = ~np.isnan(others)
            np.testing.assert_allclose(values[:draws][defined], others[defined], atol=1e-6)
        shown = " | ".join(f"{each:,.2f} s" for each in (ours, *seconds))
        print(
            f"| {images:,} | {classes:,} | {shown} | {', '.join(f'{each / ours:.1f}' for each in seconds)} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
