"""Near duplicates: images that show the same photograph, turned, mirrored, cropped, relit, blurred or recompressed.

Pairs of images that have local features in common are verified by an affine map (RANSAC) and by the pixels that the map
lays over each other.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from lightcnn.data.grouping.matching import candidates
from lightcnn.data.grouping.sift import SIDE, THUMBNAIL, Features, features
from lightcnn.progress import Progress, no_progress

LEAST_SIDE = 48
"""Images whose longer side is shorter (in the median) are not searched: too few pixels to tell copies from likes."""
PLACES = 6
"""Distinct places that one affine map must bring together, at least."""
LEAST_COVERED = 90
"""Pixels of a small picture that must be covered for likeness to say anything."""


@dataclass(frozen=True)
class Similar:
    """What was found among N images.

    `pairs` (M, 2), i < j: verified to show the same photograph, by `strength` (M,) places that one affine map brings
    together. `clusters` (N,): for every image the lowest index that pairs lead to.
    """

    pairs: NDArray[np.int64]
    strength: NDArray[np.int64]
    clusters: NDArray[np.int64]


def similar(images: Sequence[NDArray[np.uint8]], *, progress: Progress = no_progress) -> Similar:
    """Verified pairs and clusters of uint8 images (H, W, C) that show the same photograph."""
    found = features(images, progress)
    pairs, strength = _verified(found, candidates(found, progress), progress)
    return Similar(pairs, strength, clusters_of(pairs, len(images)))


def clusters_of(pairs: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """For each of `count` things the lowest one that pairs (M, 2) lead to."""
    graph = coo_matrix((np.ones(len(pairs), dtype=np.int8), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    labels = connected_components(graph, directed=False)[1]
    lowest = np.full(count, count, dtype=np.int64)
    np.minimum.at(lowest, labels, np.arange(count))
    firsts: NDArray[np.int64] = lowest[labels]
    return firsts


def _verified(
    found: Features, rows: Sequence[NDArray[np.int64]], progress: Progress
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of images that an affine map brings together, and how many places it does."""
    strengths = np.zeros(len(rows), dtype=np.int64)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, strength in enumerate(pool.map(lambda matches: _same_photograph(found, matches), rows)):
            strengths[done] = strength
            progress("verifying near duplicates", done + 1, len(rows))
    pairs = np.array([matches[0, :2] for matches in rows], dtype=np.int64).reshape(-1, 2)[strengths > 0]
    unique, first = np.unique(pairs, axis=0, return_index=True)
    return unique, strengths[strengths > 0][first]


def _same_photograph(found: Features, rows: NDArray[np.int64]) -> int:
    """How many places of two images one affine map brings together; 0 where that does not show one photograph."""
    one, other, mirrored = rows[0, :3]
    places = found.points[rows[:, 3], :2], found.points[rows[:, 4], :2]
    affine, inside = cv2.estimateAffine2D(
        *places, method=cv2.RANSAC, ransacReprojThreshold=4, maxIters=500, confidence=0.995, refineIters=5
    )
    if affine is None or not _plausible(affine, bool(mirrored)):
        return 0
    first, second = (place[inside.ravel() > 0] for place in places)
    count = min(_distinct(first), _distinct(second))
    if count < PLACES:
        return 0
    likeness = _likeness(found.thumbnails[one], found.thumbnails[other], affine, second)
    return count if _shows_one(count, _spread(first), likeness) else 0


def _shows_one(count: int, spread: float, likeness: float) -> bool:
    """Whether so many places, spread over such a share of the picture, are of one photograph.

    Close together they may be of a watermark or a ruler that many photographs carry, and few may agree by chance: then
    the rest of the picture has to agree too.
    """
    if spread >= 0.08 and count >= 10:
        return True
    return likeness > 0.85 or (count > PLACES and (likeness > 0.7 or (spread >= 0.1 and likeness > 0.3)))


def _plausible(affine: NDArray[np.float64], mirrored: bool) -> bool:
    """No more than a fourfold change of size, and sides that stay within a factor of 2.5 of each other."""
    long, short = np.linalg.svd(affine[:, :2], compute_uv=False)
    return bool((np.linalg.det(affine[:, :2]) < 0) == mirrored and long < 4 and short > 0.25 and long < 2.5 * short)


def _distinct(places: NDArray[np.float32]) -> int:
    """How many of the places lie in different squares of four pixels."""
    return len(np.unique((places // 4).astype(np.int64), axis=0))


def _spread(places: NDArray[np.float32]) -> float:
    """The share of the picture that lies between the places: the area of their convex hull."""
    return float(cv2.contourArea(cv2.convexHull(places))) / SIDE**2


def _likeness(
    one: NDArray[np.float16], other: NDArray[np.float16], affine: NDArray[np.float64], places: NDArray[np.float32]
) -> float:
    """How the two correlate where `one` is laid over `other`, away from the places where that leaves enough."""
    small = affine.copy()
    small[:, 2] *= THUMBNAIL / SIDE
    size = (other.shape[1], other.shape[0])
    covered = cv2.warpAffine(np.ones(one.shape, np.float32), small, size) > 0.99
    away = np.ones(other.shape, dtype=np.uint8)
    cv2.fillConvexPoly(away, cv2.convexHull(places * (THUMBNAIL / SIDE)).astype(np.int32), 0)
    away = covered & (cv2.erode(away, np.ones((31, 31), np.uint8)) > 0)
    if away.sum() > 0.3 * covered.sum():
        covered = away
    if covered.sum() < LEAST_COVERED:
        return 0.0
    first, second = cv2.warpAffine(one.astype(np.float32), small, size)[covered], other[covered].astype(np.float32)
    first, second = first - first.mean(), second - second.mean()
    norm = float(np.sqrt((first @ first) * (second @ second)))
    return float(first @ second) / norm if norm > 1e-3 else 0.0
