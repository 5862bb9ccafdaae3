"""Near duplicates of a data set: searched for once, then read from the cache."""

from __future__ import annotations

import hashlib
import io
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lightcnn.data.dataset import Dataset
from lightcnn.data.files.cache import cache_folder
from lightcnn.data.grouping import similar as search
from lightcnn.data.grouping.similar import SimilarImages
from lightcnn.output.warnings import ReportWarning
from lightcnn.progress import DUPLICATES_STEP, Progress, no_progress
from lightcnn.recipe import DuplicatesEffort
from lightcnn.run_files import replace_file, tidy_abandoned

MAX_IMAGES_BY_DEFAULT = 5_000
"""Most images among which a training without `--thorough` searches for near duplicates.

2,000 took 27 ms of processor time each: 13 for features, 13 for comparing them and 1 for verifying. Comparing grows
with the root of the number of images: extrapolated, this many take 90 s of two cores; 4,317 took 180 s of shared ones.
"""
MAX_IMAGES = 50_000
"""Most images among which an audit, and a training with `--thorough`, searches for near duplicates.

The memory does not grow above two blocks of BLOCK_IMAGES, but the time does: comparing N images in blocks of B takes as
long as N² / √B. Extrapolated from 2,000 photographs (above), this many take 2.2 hours of processor time.
"""
SEARCH_VERSION = 2
"""Increase it when the search changes, so that cached results of the earlier search are not used."""


@dataclass(frozen=True)
class NearDuplicates:
    """The near duplicates of a data set, None if they were not searched for, and a clause on the result or reason.

    `warnings` states how many images were not compared, unless they are too small to be compared.
    """

    similar: SimilarImages | None
    reason: str
    warnings: tuple[ReportWarning, ...] = ()


def find_near_duplicates(
    dataset: Dataset, effort: DuplicatesEffort, *, progress: Progress = no_progress
) -> NearDuplicates:
    """Searches for near duplicates: never (`none`), or among up to MAX_IMAGES_BY_DEFAULT (`some`) or MAX_IMAGES.

    The effort and the number of images decide, never the clock or the cache, so that the same images give the same
    groups on any machine, whatever was searched before.
    """
    if effort == "none":
        return _not_searched(len(dataset), "near duplicates were not searched for (--fast)")
    if dataset.size < search.MIN_PIXELS:
        return NearDuplicates(
            None,
            f"near duplicates were not searched for: images of {dataset.size} pixels are too small to recognise them",
        )
    limit = MAX_IMAGES_BY_DEFAULT if effort == "some" else MAX_IMAGES
    if len(dataset) > limit:
        remedy = "; --thorough does that" if len(dataset) <= MAX_IMAGES else ""
        reason = f"near duplicates were not searched for among more than {limit:,} images{remedy}"
        return _not_searched(len(dataset), reason)
    file = cache_folder("groups") / f"{_fingerprint(dataset)}.npz"
    similar = _read(file, len(dataset))
    if similar is None:
        progress(DUPLICATES_STEP, 0, len(dataset))
        similar = search.find_similar(dataset.images, progress=progress)
        _write(file, similar)
    clusters, images = _sizes(similar.clusters)
    noun = "cluster" if clusters == 1 else "clusters"
    reason = f"{images:,} images are near duplicates in {clusters:,} {noun}" if clusters else "no near duplicates found"
    return NearDuplicates(similar, reason)


def _not_searched(images: int, reason: str) -> NearDuplicates:
    """No result, with a warning that states which images were not compared."""
    message = (
        f"{reason[0].upper()}{reason[1:]}: {images:,} images were not compared with each other, and copies of one "
        "photograph may be in both the training set and the test set."
    )
    return NearDuplicates(None, reason, (ReportWarning("near_duplicates_not_searched", message, images),))


def _sizes(clusters: NDArray[np.int64]) -> tuple[int, int]:
    """The number of clusters of two or more images, and of the images in them."""
    counts = np.unique(clusters, return_counts=True)[1]
    return int((counts > 1).sum()), int(counts[counts > 1].sum())


def _fingerprint(dataset: Dataset) -> str:
    """SHA-256 over the pixels in order, whatever the labels, splits and names."""
    text = f"near duplicates {SEARCH_VERSION} {dataset.channels} ".encode()
    return hashlib.sha256(text + dataset.pixel_hashes.tobytes()).hexdigest()


def _read(file: Path, count: int) -> SimilarImages | None:
    """The result in the cache; None if there is none, or it is invalid."""
    try:
        with open(file, "rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            pairs, strength, clusters = (arrays[name] for name in ("pairs", "strength", "clusters"))
    except Exception:  # a damaged file can cause any error in numpy and zipfile
        return None
    is_valid = (
        all(array.dtype == np.int64 for array in (pairs, strength, clusters))
        and pairs.shape == (len(strength), 2)
        and strength.ndim == 1
        and clusters.shape == (count,)
        and bool((clusters >= 0).all() and (clusters <= np.arange(count)).all())
        and bool((pairs >= 0).all() and (pairs < count).all() and (pairs[:, 0] < pairs[:, 1]).all())
    )
    return SimilarImages(pairs, strength, clusters) if is_valid else None


def _write(file: Path, similar: SimilarImages) -> None:
    """Writes the arrays atomically; without a writable cache, nothing is written."""
    content = io.BytesIO()
    np.savez(content, pairs=similar.pairs, strength=similar.strength, clusters=similar.clusters)
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        tidy_abandoned(file.parent)
        replace_file(file, content.getvalue())
