"""Which images have features in common: one nearest-neighbour index, and votes for a rotation and a scale.

A mirrored image needs no second look: mirroring permutes a SIFT descriptor, so the index is asked twice instead.
"""

from __future__ import annotations

import itertools
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from lightcnn.data.grouping.sift import Features
from lightcnn.progress import Progress

NEIGHBOURS = 12
NEAR = 0.2
"""Squared distance of two unit RootSIFT descriptors, at most."""
VOTES = 5
"""Matches that agree on rotation (within 60°) and scale (within two octaves) before a pair is looked at."""
FIRST_VOTES = 3
"""Of these, those that one image's own questions must bring, before what others ask is added."""
EXACT = 20_000
"""Descriptors up to which every one is compared."""
CHUNK = 50_000
MIRROR = np.arange(128).reshape(4, 4, 8)[::-1][:, :, -np.arange(8) % 8].ravel()
"""What mirroring an image does to its descriptors, 4×4 places of 8 directions each, along the keypoint's direction."""


def candidates(found: Features, progress: Progress) -> list[NDArray[np.int64]]:
    """For each pair of images with enough votes its matches: rows of (image i, image j, mirrored, keypoint of i,
    keypoint of j), i < j, that agree on a rotation and a scale."""
    parts = [np.zeros((0, 5), dtype=np.int64)]
    if len(found.points):
        index = _index(found.descriptors)
        bounds = [*range(0, len(found.points), CHUNK), len(found.points)]
        # A chunk ends where an image does, so that all votes of one image are counted together.
        bounds = sorted({int(np.searchsorted(found.owners, found.owners[at])) for at in bounds[:-1]}) + bounds[-1:]
        for start, end in itertools.pairwise(bounds):
            for mirrored in (0, 1):
                matches = _asked(found, index, start, end, mirrored)
                agrees, _ = _agreeing(found, matches, FIRST_VOTES)
                parts.append(matches[agrees])
            progress("comparing features", end, len(found.points))
    matches = _unique(np.concatenate(parts), len(found.points))
    agrees, pair = _agreeing(found, matches, VOTES)
    rows = np.flatnonzero(agrees)
    rows = rows[np.argsort(pair[rows], kind="stable")]
    return np.split(matches[rows], np.flatnonzero(np.diff(pair[rows])) + 1) if len(rows) else []


def _index(descriptors: NDArray[np.uint8]) -> Any:
    """Exact for few descriptors; for many, inverted lists of which the four nearest are looked through, in bytes."""
    count = len(descriptors)
    index: Any = faiss.IndexFlatL2(128)
    if count > EXACT:
        lists = int(2 * count**0.5)
        index = faiss.IndexIVFScalarQuantizer(index, 128, lists, faiss.ScalarQuantizer.QT_8bit)
        index.nprobe = 4
        sample = np.random.default_rng(0).choice(count, min(count, 40 * lists), replace=False)
        index.train(_root(descriptors[np.sort(sample)]))
    for start in range(0, count, CHUNK):
        index.add(_root(descriptors[start : start + CHUNK]))
    return index


def _root(descriptors: NDArray[np.uint8]) -> NDArray[np.float32]:
    """RootSIFT (Arandjelovic and Zisserman, CVPR 2012): unit vectors whose distance is Hellinger's."""
    values = descriptors.astype(np.float32)
    return np.asarray(np.sqrt(values / np.maximum(values.sum(axis=1, keepdims=True), 1e-6)), dtype=np.float32)


def _asked(found: Features, index: Any, start: int, end: int, mirrored: int) -> NDArray[np.int64]:
    """The matches that the keypoints from `start` to `end` find, as they are or mirrored."""
    descriptors = found.descriptors[start:end]
    distances, near = index.search(_root(descriptors[:, MIRROR] if mirrored else descriptors), NEIGHBOURS)
    rows, columns = np.nonzero((near >= 0) & (distances < NEAR))
    one, other = rows + start, near[rows, columns]
    apart = found.owners[one] != found.owners[other]
    one, other = one[apart], other[apart]
    swapped = one > other  # keypoints are in the order of their images
    one, other = np.where(swapped, other, one), np.where(swapped, one, other)
    owners = found.owners
    return np.stack([owners[one], owners[other], np.full_like(one, mirrored), one, other], axis=1)


def _agreeing(found: Features, matches: NDArray[np.int64], least: int) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which matches agree with at least so many of their pair of images, and the number of each one's pair."""
    first, second, mirrored = matches[:, 0], matches[:, 1], matches[:, 2]
    one, other = found.points[matches[:, 3]], found.points[matches[:, 4]]
    turn = other[:, 3] - np.where(mirrored == 1, -one[:, 3], one[:, 3])
    turns = (turn % 360 // 30).astype(np.int64) % 12
    scales = np.clip(np.rint(np.log2(other[:, 2] / one[:, 2])), -3, 3).astype(np.int64) + 3
    count = int(found.owners[-1]) + 1 if len(found.owners) else 0
    keys, pair = np.unique((first * count + second) * 2 + mirrored, return_inverse=True)
    votes = np.zeros((len(keys), 12, 7), dtype=np.uint16)
    np.add.at(votes, (pair, turns, scales), 1)
    votes += np.roll(votes, 1, axis=1)
    votes[:, :, 1:] += votes[:, :, :-1].copy()
    flat = votes.reshape(len(keys), 84)
    most, best = flat.max(axis=1, initial=0), flat.argmax(axis=1)
    same = ((best[pair] // 7 - turns) % 12 <= 1) & (scales <= best[pair] % 7) & (scales >= best[pair] % 7 - 1)
    return same & (most[pair] >= least), pair


def _unique(matches: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """The matches without repetitions, which both images of a pair bring."""
    _, kept = np.unique((matches[:, 3] * count + matches[:, 4]) * 2 + matches[:, 2], return_index=True)
    return matches[kept]
