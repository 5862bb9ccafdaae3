"""Near duplicates: images that show the same photograph, turned, mirrored, cropped, relit, blurred or recompressed.

Local features (SIFT, Lowe, IJCV 2004; RootSIFT, Arandjelovic and Zisserman, CVPR 2012) of every image go into one
nearest-neighbour index. Neighbours vote for pairs of images that agree on a rotation and a scale; each such pair is
verified by an affine map (RANSAC) and by the pixels that the map lays over each other. A mirrored image needs no second
look: mirroring permutes a SIFT descriptor, so the index is asked twice instead.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import cv2
import faiss
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from lightcnn.data.read import Progress, silent

LEAST_SIDE = 48
"""Images whose longer side is shorter (in the median) are not searched: too few pixels to tell copies from likes."""
SIDE = 192
"""Pixels of the longer side that features are found on; SIFT itself doubles them once."""
BLUR = 2.2
"""Pixels of it: finer structure is noise, or the marks of a recompression, as often as it is the picture."""
FEATURES = 180
CONTRAST = 0.001
"""SIFT's threshold, 40 times under its default: smooth skin has few features above that."""
NEIGHBOURS = 12
NEAR = 0.2
"""Squared distance of two unit RootSIFT descriptors, at most."""
VOTES = 5
"""Matches that agree on rotation (within 60°) and scale (within two octaves) before a pair is looked at."""
PLACES = 6
"""Distinct places that one affine map must bring together, at least."""
THUMBNAIL = 96
"""Pixels of the longer side that two images are laid over each other at."""
LEAST_COVERED = 90
"""Pixels of it that must be covered for that to say anything."""
MIRROR = np.arange(128).reshape(4, 4, 8)[::-1][:, :, -np.arange(8) % 8].ravel()
"""What mirroring an image does to its descriptors, 4×4 places of 8 directions each, along the keypoint's direction."""


@dataclass(frozen=True)
class Similar:
    """What was found among N images.

    `pairs` (M, 2), i < j: verified to show the same photograph, by `strength` (M,) places that one affine map brings
    together. `clusters` (N,): for every image the lowest index that pairs lead to.
    """

    pairs: NDArray[np.int64]
    strength: NDArray[np.int64]
    clusters: NDArray[np.int64]


@dataclass(frozen=True)
class _Features:
    """All images' keypoints: place in pixels, size, angle (K, 4); descriptors (K, 128); the image of each (K,)."""

    points: NDArray[np.float32]
    descriptors: NDArray[np.float32]
    owners: NDArray[np.int64]
    thumbnails: list[NDArray[np.float32]]


def similar(images: Sequence[NDArray[np.uint8]], *, progress: Progress = silent) -> Similar:
    """Verified pairs and clusters of uint8 images (H, W, C) that show the same photograph."""
    features = _features(images, progress)
    matches = _matches(features)
    pairs, strength = _verified(features, matches, progress)
    return Similar(pairs, strength, clusters_of(pairs, len(images)))


def clusters_of(pairs: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """For each of `count` things the lowest one that pairs (M, 2) lead to."""
    graph = coo_matrix((np.ones(len(pairs), dtype=np.int8), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    labels = connected_components(graph, directed=False)[1]
    lowest = np.full(count, count, dtype=np.int64)
    np.minimum.at(lowest, labels, np.arange(count))
    return lowest[labels]


def _features(images: Sequence[NDArray[np.uint8]], progress: Progress) -> _Features:
    points, descriptors, counts, thumbnails = [], [], [], []
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # the images are shared out over the cores, not the rows of one
    try:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for done, (place, descriptor, thumbnail) in enumerate(pool.map(_described, images)):
                points.append(place)
                descriptors.append(descriptor)
                counts.append(len(place))
                thumbnails.append(thumbnail)
                progress("looking for near duplicates", done + 1, len(images))
    finally:
        cv2.setNumThreads(threads)
    return _Features(
        np.concatenate(points),
        np.concatenate(descriptors),
        np.repeat(np.arange(len(images), dtype=np.int64), counts),
        thumbnails,
    )


def _described(image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Keypoints (K, 4), RootSIFT descriptors (K, 128) and a small blurred grey picture of one image."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.shape[2] == 3 else image[..., 0]
    scale = SIDE / max(grey.shape)
    size = (max(16, round(grey.shape[1] * scale)), max(16, round(grey.shape[0] * scale)))
    grey = _denoised(grey)
    grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    grey = cv2.GaussianBlur(grey, (0, 0), BLUR)
    sift = cv2.SIFT.create(nfeatures=FEATURES, contrastThreshold=CONTRAST)
    found, descriptors = sift.detectAndCompute(grey, None)
    small = cv2.resize(grey, None, fx=THUMBNAIL / SIDE, fy=THUMBNAIL / SIDE, interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(small.astype(np.float32), (0, 0), 1.2)
    thumbnail = blurred - cv2.GaussianBlur(blurred, (0, 0), 5)
    if descriptors is None:
        return np.zeros((0, 4), np.float32), np.zeros((0, 128), np.float32), thumbnail
    places = np.array([(*point.pt, point.size, point.angle) for point in found], dtype=np.float32)
    return places, np.sqrt(descriptors / np.maximum(descriptors.sum(axis=1, keepdims=True), 1e-6)), thumbnail


def _denoised(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A noisy image blurred a little, so that its features are those of the picture and not of the noise.

    The noise is estimated as by Immerkær (CVIU 1996): by a filter that leaves out what is smooth.
    """
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)
    noise = float(np.median(np.abs(cv2.filter2D(grey, cv2.CV_32F, kernel)))) / 6 / 0.6745
    return grey if noise < 4 else cv2.GaussianBlur(grey, (0, 0), min(0.5 + noise / 16, 1.6))


def _matches(features: _Features) -> NDArray[np.int64]:
    """Rows of (image i, image j, mirrored, keypoint of i, keypoint of j), i < j, of near descriptors, sorted."""
    index = _index(features.descriptors)
    count = len(features.descriptors)
    found = []
    for mirrored in (0, 1):
        for start in range(0, count, 100_000):
            asked = features.descriptors[start : start + 100_000]
            distances, near = index.search(np.ascontiguousarray(asked[:, MIRROR] if mirrored else asked), NEIGHBOURS)
            rows, columns = np.nonzero((near >= 0) & (distances < NEAR))
            one, other = rows + start, near[rows, columns]
            apart = features.owners[one] != features.owners[other]
            one, other = one[apart], other[apart]
            swapped = features.owners[one] > features.owners[other]
            one, other = np.where(swapped, other, one), np.where(swapped, one, other)
            owners = features.owners
            found.append(np.stack([owners[one], owners[other], np.full_like(one, mirrored), one, other], axis=1))
    return np.unique(np.concatenate(found), axis=0)


def _index(descriptors: NDArray[np.float32]) -> Any:
    """Exact for few descriptors; for many, inverted lists of which the four nearest are looked through, in bytes."""
    count = len(descriptors)
    index: Any
    if count < 20_000:
        index = faiss.IndexFlatL2(128)
    else:
        lists = int(2 * count**0.5)
        index = faiss.IndexIVFScalarQuantizer(faiss.IndexFlatL2(128), 128, lists, faiss.ScalarQuantizer.QT_8bit)
        index.nprobe = 4
        sample = np.random.default_rng(0).choice(count, min(count, 40 * lists), replace=False)
        index.train(descriptors[np.sort(sample)])
    index.add(descriptors)
    return index


def _verified(
    features: _Features, matches: NDArray[np.int64], progress: Progress
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of images that an affine map brings together, and how many places it does."""
    candidates = _agreeing(features, matches)
    pairs, strength = [], []
    for done, rows in enumerate(candidates):
        inliers = _same_photograph(features, matches[rows])
        if inliers:
            pairs.append(matches[rows[0], :2])
            strength.append(inliers)
        progress("verifying near duplicates", done + 1, len(candidates))
    if not pairs:
        return np.zeros((0, 2), np.int64), np.zeros(0, np.int64)
    unique, first = np.unique(np.stack(pairs), axis=0, return_index=True)
    return unique, np.array(strength)[first]


def _agreeing(features: _Features, matches: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """For each pair of images with enough votes, the rows of its matches that agree on a rotation and a scale."""
    points = features.points
    mirrored, one, other = matches[:, 2], points[matches[:, 3]], points[matches[:, 4]]
    turn = other[:, 3] - np.where(mirrored == 1, -one[:, 3], one[:, 3])
    turns = (turn % 360 // 30).astype(np.int64) % 12
    scales = np.clip(np.rint(np.log2(other[:, 2] / one[:, 2])), -3, 3).astype(np.int64) + 3
    _, starts, pair, sizes = np.unique(
        matches[:, :3], axis=0, return_index=True, return_inverse=True, return_counts=True
    )
    votes = np.zeros((len(starts), 12, 7), dtype=np.int32)
    np.add.at(votes, (pair, turns, scales), 1)
    votes += np.roll(votes, 1, axis=1)
    votes[:, :, 1:] += votes[:, :, :-1].copy()
    flat = votes.reshape(len(starts), -1)
    most, best = flat.max(axis=1), flat.argmax(axis=1)
    agrees = ((best[pair] // 7 - turns) % 12 <= 1) & (scales <= best[pair] % 7) & (scales >= best[pair] % 7 - 1)
    chosen = np.flatnonzero(most >= VOTES)
    return [starts[i] + np.flatnonzero(agrees[starts[i] : starts[i] + sizes[i]]) for i in chosen]


def _same_photograph(features: _Features, rows: NDArray[np.int64]) -> int:
    """How many places of two images one affine map brings together; 0 where that does not show one photograph."""
    one, other, mirrored = rows[0, :3]
    places = features.points[rows[:, 3], :2], features.points[rows[:, 4], :2]
    affine, inside = cv2.estimateAffine2D(
        *places, method=cv2.RANSAC, ransacReprojThreshold=4, maxIters=500, confidence=0.995, refineIters=5
    )
    if affine is None or not _plausible(affine, bool(mirrored)):
        return 0
    first, second = (place[inside.ravel() > 0] for place in places)
    count = min(_distinct(first), _distinct(second))
    if count < PLACES:
        return 0
    likeness = _likeness(features.thumbnails[one], features.thumbnails[other], affine, second)
    return count if _shows_one(count, _spread(first), likeness) else 0


def _shows_one(count: int, spread: float, likeness: float) -> bool:
    """Whether so many places, spread over such a share of the picture, are of one photograph.

    Close together they may be of a watermark or a ruler that many photographs carry: then the rest has to agree too.
    """
    return likeness > 0.6 or (count >= 8 and spread >= 0.15 and likeness > 0.25) or (count >= 12 and spread >= 0.1)


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
    one: NDArray[np.float32], other: NDArray[np.float32], affine: NDArray[np.float64], places: NDArray[np.float32]
) -> float:
    """How the two correlate where `one` is laid over `other`, away from the places where that leaves enough."""
    small = affine.copy()
    small[:, 2] *= THUMBNAIL / SIDE
    size = (other.shape[1], other.shape[0])
    covered = cv2.warpAffine(np.ones_like(one), small, size) > 0.99
    away = np.ones(other.shape, dtype=np.uint8)
    cv2.fillConvexPoly(away, cv2.convexHull(places * (THUMBNAIL / SIDE)).astype(np.int32), 0)
    away = covered & (cv2.erode(away, np.ones((31, 31), np.uint8)) > 0)
    if away.sum() > 0.3 * covered.sum():
        covered = away
    if covered.sum() < LEAST_COVERED:
        return 0.0
    first, second = cv2.warpAffine(one, small, size)[covered], other[covered]
    first, second = first - first.mean(), second - second.mean()
    norm = float(np.sqrt((first @ first) * (second @ second)))
    return float(first @ second) / norm if norm > 1e-3 else 0.0
