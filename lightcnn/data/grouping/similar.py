"""Finds near duplicates: images of one photograph, turned, mirrored, cropped, brightened, blurred or recompressed.

Pairs of images that share local features are verified by an affine map (RANSAC), and by comparing the pixels that the
map brings together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from lightcnn.data.grouping.feature_file import FeatureFile, Features
from lightcnn.data.grouping.matching import candidate_pairs
from lightcnn.data.grouping.sift import IMAGE_PIXELS, THUMBNAIL_PIXELS, extract_features
from lightcnn.data.parallel import map_in_order
from lightcnn.progress import Progress, no_progress

MIN_PIXELS = 48
"""Smallest median longer side of images that are searched: below it, copies and similar motifs look alike."""
BLOCK_IMAGES = 10_000
"""Images of a block. Two blocks are in memory, with up to 180 keypoints per image, which need 27 kB, and 25 kB in an
index. Smaller blocks need less memory; the time grows with the root of their number."""
COMPARING, VERIFYING = "comparing features", "verifying near duplicates"
MIN_POSITIONS = 6
"""Fewest distinct positions that one affine map must bring together."""
MIN_OVERLAP_PIXELS = 90
"""Fewest overlapping pixels of two thumbnails from which their similarity is computed."""


@dataclass(frozen=True)
class SimilarImages:
    """Near duplicates among N images.

    `pairs` (M, 2), i < j, are verified to show the same photograph; `strength` (M,) is the number of positions that one
    affine map brings together. `clusters` (N,) is the lowest index that each image is linked to by pairs.
    """

    pairs: NDArray[np.int64]
    strength: NDArray[np.int64]
    clusters: NDArray[np.int64]


def find_similar(
    images: Sequence[NDArray[np.uint8]], *, progress: Progress = no_progress, block: int = BLOCK_IMAGES
) -> SimilarImages:
    """Verified pairs and clusters of uint8 images (H, W, C) that show the same photograph.

    Each block of so many images is compared with itself and with every other block, so that the features of at most two
    blocks are in memory.
    """
    pairs, strengths = [np.zeros((0, 2), dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    with FeatureFile() as features:
        extract_features(images, features, progress)
        steps = block_pairs(len(images), block)
        total = sum(map(_queries, steps))
        for number, step in enumerate(steps):
            compared = _counter(progress, sum(map(_queries, steps[:number])), total)
            compared(0)
            joined = features.read(*step)
            rows = candidate_pairs(joined, compared, None if len(step) == 1 else len(step[0]))
            within, strength = _verified(joined, rows, progress if len(steps) == 1 else no_progress)
            pairs.append(np.concatenate(step)[within])
            strengths.append(strength)
        progress(COMPARING, total, total)
        progress(VERIFYING, len(images), len(images))
    verified = np.concatenate(pairs)
    order = np.lexsort(verified.T[::-1])
    return SimilarImages(verified[order], np.concatenate(strengths)[order], clusters_of(verified, len(images)))


def block_pairs(count: int, block: int) -> list[tuple[range, ...]]:
    """What is compared of `count` images: each block of at most `block` images alone, and each pair of blocks."""
    blocks = [range(start, min(start + block, count)) for start in range(0, count, block)]
    return [(first,) if first is second else (first, second) for i, first in enumerate(blocks) for second in blocks[i:]]


def _counter(progress: Progress, before: int, total: int) -> Callable[[int], None]:
    """Reports that so many images more than `before` were compared."""
    return lambda done: progress(COMPARING, before + done, total)


def _queries(step: tuple[range, ...]) -> int:
    """The number of images whose keypoints are searched for."""
    return sum(map(len, step))


def clusters_of(pairs: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """For each of `count` indices the lowest index that pairs (M, 2) link it to, (count,)."""
    graph = coo_matrix((np.ones(len(pairs), dtype=np.int8), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    labels = connected_components(graph, directed=False)[1]
    lowest = np.full(count, count, dtype=np.int64)
    np.minimum.at(lowest, labels, np.arange(count))
    firsts: NDArray[np.int64] = lowest[labels]
    return firsts


def _verified(
    features: Features, rows: Sequence[NDArray[np.int64]], progress: Progress
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of images that an affine map brings together, and the number of positions; `rows` are their matches."""
    strengths = np.zeros(len(rows), dtype=np.int64)
    for index, strength in enumerate(map_in_order(lambda matches: _matching_positions(features, matches), rows)):
        strengths[index] = strength
        progress(VERIFYING, int(rows[index][0, 0]), len(features.thumbnails))
    pairs = np.array([matches[0, :2] for matches in rows], dtype=np.int64).reshape(-1, 2)[strengths > 0]
    unique, first = np.unique(pairs, axis=0, return_index=True)
    return unique, strengths[strengths > 0][first]


def _matching_positions(features: Features, rows: NDArray[np.int64]) -> int:
    """How many positions one affine map brings together in two images; 0 if they are not the same photograph."""
    first_image, second_image, mirrored = rows[0, :3]
    positions = features.points[rows[:, 3], :2], features.points[rows[:, 4], :2]
    affine, inside = cv2.estimateAffine2D(
        *positions, method=cv2.RANSAC, ransacReprojThreshold=4, maxIters=500, confidence=0.995, refineIters=5
    )
    if affine is None or not _plausible(affine, bool(mirrored)):
        return 0
    first, second = (points[inside.ravel() > 0] for points in positions)
    count = min(_distinct(first), _distinct(second))
    if count < MIN_POSITIONS:
        return 0
    similarity = _similarity(features.thumbnails[first_image], features.thumbnails[second_image], affine, second)
    return count if _same_photograph(count, _spread(first), similarity) else 0


def _same_photograph(count: int, spread: float, similarity: float) -> bool:
    """Whether `count` matching positions, spread over that share of the image, are evidence of the same photograph.

    Positions close together may belong to a watermark or a ruler that many photographs contain, and few may match by
    chance: then the rest of the image has to be similar too.
    """
    if spread >= 0.08 and count >= 10:
        return True
    return similarity > 0.85 or (count > MIN_POSITIONS and (similarity > 0.7 or (spread >= 0.1 and similarity > 0.3)))


def _plausible(affine: NDArray[np.float64], mirrored: bool) -> bool:
    """Whether a map mirrors as expected, scales at most fourfold, and stretches by a factor of at most 2.5."""
    long, short = np.linalg.svd(affine[:, :2], compute_uv=False)
    return bool((np.linalg.det(affine[:, :2]) < 0) == mirrored and long < 4 and short > 0.25 and long < 2.5 * short)


def _distinct(positions: NDArray[np.float32]) -> int:
    """The number of squares of 4 × 4 pixels that contain one of the positions (K, 2)."""
    return len(np.unique((positions // 4).astype(np.int64), axis=0))


def _spread(positions: NDArray[np.float32]) -> float:
    """The area of the convex hull of the positions (K, 2), as a share of the image."""
    return float(cv2.contourArea(cv2.convexHull(positions))) / IMAGE_PIXELS**2


def _similarity(
    first_thumbnail: NDArray[np.float16],
    second_thumbnail: NDArray[np.float16],
    affine: NDArray[np.float64],
    positions: NDArray[np.float32],
) -> float:
    """Correlation of two thumbnails where they overlap under the map, without the positions' hull if possible."""
    small = affine.copy()
    small[:, 2] *= THUMBNAIL_PIXELS / IMAGE_PIXELS
    size = (second_thumbnail.shape[1], second_thumbnail.shape[0])
    covered = cv2.warpAffine(np.ones(first_thumbnail.shape, np.float32), small, size) > 0.99
    away = np.ones(second_thumbnail.shape, dtype=np.uint8)
    cv2.fillConvexPoly(away, cv2.convexHull(positions * (THUMBNAIL_PIXELS / IMAGE_PIXELS)).astype(np.int32), 0)
    away = covered & (cv2.erode(away, np.ones((31, 31), np.uint8)) > 0)
    if away.sum() > 0.3 * covered.sum():
        covered = away
    if covered.sum() < MIN_OVERLAP_PIXELS:
        return 0.0
    first = cv2.warpAffine(first_thumbnail.astype(np.float32), small, size)[covered]
    second = second_thumbnail[covered].astype(np.float32)
    first, second = first - first.mean(), second - second.mean()
    norm = float(np.sqrt((first @ first) * (second @ second)))
    return float(first @ second) / norm if norm > 1e-3 else 0.0
