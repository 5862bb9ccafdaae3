"""Finds pairs of images that share features: a nearest-neighbour index, and votes for a rotation and a scale.

Mirrored images need no features of their own: mirroring permutes a SIFT descriptor, so the index is searched twice.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from lightcnn.data.grouping.feature_file import Features

NEIGHBOURS = 12
MAX_DISTANCE = 0.2
"""Largest squared distance of two unit RootSIFT descriptors that match."""
MIN_VOTES = 5
"""Fewest matches of a candidate pair that agree on rotation (within 60°) and scale (within two octaves)."""
MIN_VOTES_PER_SEARCH = 3
"""Least number of these in the search for one image's keypoints, before those of other searches are added."""
MAX_EXACT = 20_000
"""Most descriptors that are all compared with each other; above it, the search is approximate."""
CHUNK = 50_000
MIRROR = np.arange(128).reshape(4, 4, 8)[::-1][:, :, -np.arange(8) % 8].ravel()
"""How mirroring an image permutes a descriptor: 4×4 cells of 8 directions each, along the keypoint's direction."""


def candidate_pairs(
    features: Features, compared: Callable[[int], object], boundary: int | None = None
) -> list[NDArray[np.int64]]:
    """The matches of each pair of images with enough votes, as rows (matches, 5).

    The columns are image i, image j, mirrored (0 or 1), keypoint of i and keypoint of j, with i < j. All rows of a pair
    agree on a rotation and a scale. `boundary`: images from this one on are another block, and only pairs of an image
    of each block are searched for. `compared` is called with the number of images whose keypoints were searched for.
    """
    count = len(features.points)
    middle = None if boundary is None else int(np.searchsorted(features.owners, boundary))
    everything = range(count)
    searches = [(everything, everything)] if middle is None else [(range(middle), range(middle, count)),
                                                                  (range(middle, count), range(middle))]  # fmt: skip
    parts = [np.zeros((0, 5), dtype=np.int64)]
    for queries, targets in searches:
        if queries and targets:
            parts += _searched(features, queries, targets, compared)
    matches = _frequent(features, _unique(np.concatenate(parts), count), MIN_VOTES)
    agrees, pair = _agreeing(features, matches, MIN_VOTES)
    rows = np.flatnonzero(agrees)
    rows = rows[np.argsort(pair[rows], kind="stable")]
    return np.split(matches[rows], np.flatnonzero(np.diff(pair[rows])) + 1) if len(rows) else []


def _searched(
    features: Features, queries: range, targets: range, compared: Callable[[int], object]
) -> Iterator[NDArray[np.int64]]:
    """The matches (M, 5) of the keypoints `queries` among the keypoints `targets`, by chunks of the former."""
    index = _index(features.descriptors[targets.start : targets.stop])
    # A chunk ends at the end of an image, so that all votes of one image are counted together.
    owners = features.owners
    bounds = sorted({int(np.searchsorted(owners, owners[start])) for start in queries[::CHUNK]})
    for start, end in itertools.pairwise([*bounds, queries.stop]):
        for mirrored in (0, 1):
            matches = _matches(features, index, range(start, end), targets.start, mirrored)
            matches = _frequent(features, matches, MIN_VOTES_PER_SEARCH)
            agrees, _ = _agreeing(features, matches, MIN_VOTES_PER_SEARCH)
            yield matches[agrees]
        compared(int(owners[end - 1]) + 1)


def _index(descriptors: NDArray[np.uint8]) -> Any:
    """A faiss index: exact for few descriptors, else inverted lists of 8-bit vectors, of which four are searched.

    Lists of integers without residuals are searched in 73 % of the time but built in 180 %, which saves 6 % of a search
    for near duplicates among 2,000 photographs: too little to change the results of earlier searches.
    """
    count = len(descriptors)
    index: Any = faiss.IndexFlatL2(128)
    if count > MAX_EXACT:
        lists = int(2 * count**0.5)
        index = faiss.IndexIVFScalarQuantizer(index, 128, lists, faiss.ScalarQuantizer.QT_8bit)
        index.nprobe = 4
        sample = np.random.default_rng(0).choice(count, min(count, 40 * lists), replace=False)
        index.train(_root(descriptors[np.sort(sample)]))
    for start in range(0, count, CHUNK):
        index.add(_root(descriptors[start : start + CHUNK]))
    return index


def _root(descriptors: NDArray[np.uint8]) -> NDArray[np.float32]:
    """RootSIFT (Arandjelovic and Zisserman, CVPR 2012): unit vectors (K, 128) with the Hellinger distance."""
    values = descriptors.astype(np.float32)
    return np.asarray(np.sqrt(values / np.maximum(values.sum(axis=1, keepdims=True), 1e-6)), dtype=np.float32)


def _matches(features: Features, index: Any, queries: range, offset: int, mirrored: int) -> NDArray[np.int64]:
    """The matches (M, 5) of the keypoints `queries`, mirrored or not; `offset` is the first keypoint in the index."""
    descriptors = features.descriptors[queries.start : queries.stop]
    distances, neighbours = index.search(_root(descriptors[:, MIRROR] if mirrored else descriptors), NEIGHBOURS)
    rows, columns = np.nonzero((neighbours >= 0) & (distances < MAX_DISTANCE))
    first, second = rows + queries.start, neighbours[rows, columns] + offset
    owners = features.owners
    apart = owners[first] != owners[second]
    first, second = first[apart], second[apart]
    swapped = first > second  # keypoints are in the order of their images
    first, second = np.where(swapped, second, first), np.where(swapped, first, second)
    return np.stack([owners[first], owners[second], np.full_like(first, mirrored), first, second], axis=1)


def _pair_keys(features: Features, matches: NDArray[np.int64]) -> NDArray[np.int64]:
    """A number for the pair of images of each match, mirrored or not, (M,)."""
    images = len(features.thumbnails)
    return (matches[:, 0] * images + matches[:, 1]) * 2 + matches[:, 2]


def _frequent(features: Features, matches: NDArray[np.int64], min_votes: int) -> NDArray[np.int64]:
    """The matches of pairs that have as many; without the others, counting votes needs little memory."""
    _, pair, counts = np.unique(_pair_keys(features, matches), return_inverse=True, return_counts=True)
    return matches[counts[pair] >= min_votes]


def _agreeing(
    features: Features, matches: NDArray[np.int64], min_votes: int
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Whether each match is among `min_votes` or more that agree within its pair of images, and its pair's number."""
    mirrored = matches[:, 2]
    from_points, to_points = features.points[matches[:, 3]], features.points[matches[:, 4]]
    turn = to_points[:, 3] - np.where(mirrored == 1, -from_points[:, 3], from_points[:, 3])
    turns = (turn % 360 // 30).astype(np.int64) % 12
    scales = np.clip(np.rint(np.log2(to_points[:, 2] / from_points[:, 2])), -3, 3).astype(np.int64) + 3
    keys, pair = np.unique(_pair_keys(features, matches), return_inverse=True)
    votes = np.zeros((len(keys), 12, 7), dtype=np.uint16)
    np.add.at(votes, (pair, turns, scales), 1)
    votes += np.roll(votes, 1, axis=1)
    votes[:, :, 1:] += votes[:, :, :-1].copy()
    flat = votes.reshape(len(keys), 84)
    votes_of_best, best = flat.max(axis=1, initial=0), flat.argmax(axis=1)
    same = ((best[pair] // 7 - turns) % 12 <= 1) & (scales <= best[pair] % 7) & (scales >= best[pair] % 7 - 1)
    return same & (votes_of_best[pair] >= min_votes), pair


def _unique(matches: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """The matches without those that were found twice, once from each image of a pair."""
    _, kept = np.unique((matches[:, 3] * count + matches[:, 4]) * 2 + matches[:, 2], return_index=True)
    return matches[kept]
