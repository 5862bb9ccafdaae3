"""How long the areas under curves take in the draws of a bootstrap, against scikit-learn and against sorted images.

    python tests/benchmarks/areas.py

Each group has three images. Per setup, the seconds for ROC-AUC and average precision of all classes in 2,000 draws: by
lightcnn, which has counted the images between the scores of each class by group; by sums over images that have been
sorted, as an earlier version had them; and by two functions of scikit-learn for each draw and class. The second is
measured in as many draws as are computed at once, the third in two, and both are scaled. What is prepared once is not
measured. All must give the same areas.
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from lightcnn.evaluation.bootstrap import DRAWS, MAX_NUMBERS, GroupedScores, draw_counts

SETUPS = ((500, 2), (2_000, 7), (10_000, 10), (5_000, 100), (5_000, 1_000))
"""Images and classes."""
PEER_DRAWS = 2
"""Draws by scikit-learn."""
Numbers = NDArray[np.float64]


def predictions(images: int, classes: int) -> tuple[NDArray[np.int64], Numbers, NDArray[np.int64]]:
    """Labels (N,), probabilities (N, K) with ties, and numbers of groups (N,)."""
    random = np.random.default_rng(0)
    labels = np.concatenate([np.arange(classes), random.integers(0, classes, images - classes)])
    rows = random.dirichlet(np.ones(classes), images) + 0.3 * np.eye(classes)[labels]
    return labels, np.round(rows, 3), np.arange(images) // 3


class ByGroups:
    """ROC-AUC and average precision as lightcnn has them."""

    def __init__(self, labels: NDArray[np.int64], rows: Numbers, codes: NDArray[np.int64]) -> None:
        self.curves = [GroupedScores.of(labels == c, rows[:, c], codes) for c in range(rows.shape[1])]

    def areas(self, times: Numbers) -> Numbers:
        """Both areas (draws, 2, K) if each group is drawn so often (draws, groups)."""
        weights = times.T.astype(np.float32, order="C")
        return np.stack([np.stack(curve.areas(weights), axis=1) for curve in self.curves], axis=2)


class BySorting:
    """The same from cumulative sums over the images, which were sorted before."""

    def __init__(self, labels: NDArray[np.int64], rows: Numbers, codes: NDArray[np.int64]) -> None:
        self.codes, self.orders = codes, [self._order(labels == c, rows[:, c]) for c in range(rows.shape[1])]

    @staticmethod
    def _order(positive: NDArray[np.bool_], scores: Numbers) -> tuple[NDArray[np.intp], ...]:
        order = np.argsort(-scores, kind="stable")
        positives = np.flatnonzero(positive[order])
        values, first = np.unique(-scores[order][positives], return_index=True)
        start, end = np.searchsorted(-scores[order], values, "left"), np.searchsorted(-scores[order], values, "right")
        return order, positives, first, start, end

    def areas(self, times: Numbers) -> Numbers:
        """Both areas (draws, 2, K)."""
        weights, areas = times.astype(np.float32)[:, self.codes], []  # float32 is exact for counts
        for order, positives, first, start, end in self.orders:
            ranked = weights[:, order]
            total = np.concatenate([np.zeros((len(times), 1), ranked.dtype), ranked.cumsum(axis=1)], axis=1)
            hits = np.add.reduceat(ranked[:, positives], first, axis=1)
            reached = hits.cumsum(axis=1)
            others = total[:, -1] - reached[:, -1]
            below = others[:, None] - (total[:, end] - reached + total[:, start] - (reached - hits)) / 2
            with np.errstate(invalid="ignore", divide="ignore"):
                roc = (hits * below).sum(axis=1, dtype=np.float64) / (reached[:, -1].astype(np.float64) * others)
                precision = (hits * (reached / np.maximum(total[:, end], 1))).sum(axis=1) / reached[:, -1]
            areas.append(np.stack([roc, precision], axis=1))
        return np.stack(areas, axis=2)


class ByScikitLearn:
    """The same, each area of each class from weighted images."""

    def __init__(self, labels: NDArray[np.int64], rows: Numbers, codes: NDArray[np.int64]) -> None:
        self.labels, self.rows, self.codes = labels, rows, codes

    def areas(self, times: Numbers) -> Numbers:
        """Both areas (draws, 2, K)."""
        areas = np.full((len(times), 2, self.rows.shape[1]), np.nan)
        for draw, weights in enumerate(times[:, self.codes]):
            for c in range(self.rows.shape[1]):
                of_class = self.labels == c
                if 0 < weights[of_class].sum() < weights.sum():
                    areas[draw, :, c] = [
                        area(of_class, self.rows[:, c], sample_weight=weights)
                        for area in (roc_auc_score, average_precision_score)
                    ]
        return areas


def measured(ways: ByGroups | BySorting | ByScikitLearn, times: Numbers, rows: int) -> tuple[float, Numbers]:
    """The seconds for `DRAWS` draws, `rows` of them at once, and the areas in those that were measured."""
    start = time.perf_counter()
    values = np.concatenate([ways.areas(times[first : first + rows]) for first in range(0, len(times), rows)])
    return (time.perf_counter() - start) * DRAWS / len(times), values


def main() -> None:
    """Prints the table."""
    print("| images | classes | by groups | sorted images | scikit-learn | ratios |\n|---|---|---|---|---|---|")
    for images, classes in SETUPS:
        labels, scores, codes = predictions(images, classes)
        times = np.concatenate([*draw_counts(int(codes.max()) + 1, DRAWS)])
        rows = max(1, MAX_NUMBERS // images)  # as many as lightcnn takes at once
        ours, values = measured(ByGroups(labels, scores, codes), times, rows)
        seconds = []
        for way, draws in ((BySorting, rows), (ByScikitLearn, PEER_DRAWS)):
            took, others = measured(way(labels, scores, codes), times[:draws], rows)
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
