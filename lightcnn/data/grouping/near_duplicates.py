"""Near duplicates of a data set: looked for once, kept in the cache, found there again."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lightcnn.data.dataset import Dataset
from lightcnn.data.files.cache import cache_folder
from lightcnn.data.grouping import similar as search
from lightcnn.data.grouping.similar import Similar
from lightcnn.progress import Progress, no_progress

NEAR_BY_ITSELF = 5_000
"""Images in which a training looks for near duplicates by itself; in more, an audit does."""
VERSION = 1
"""Of the search: another one finds other pairs, so that what is in the cache counts no more."""


@dataclass(frozen=True)
class Near:
    """The near duplicates of a data set, None where they were not looked for, and a clause that says which and why."""

    found: Similar | None
    why: str


def near(dataset: Dataset, effort: Literal["none", "some", "all"], *, progress: Progress = no_progress) -> Near:
    """Looks for near duplicates: not at all, up to NEAR_BY_ITSELF images, or whatever it costs."""
    if effort == "none":
        return Near(None, "near duplicates were not looked for (--fast)")
    if dataset.size < search.LEAST_SIDE:
        return Near(None, f"near duplicates were not looked for, {dataset.size} pixels are too few to tell them")
    file = cache_folder("groups") / f"{_fingerprint(dataset)}.npz"
    found = _kept(file, len(dataset))
    if found is None:
        if effort == "some" and len(dataset) > NEAR_BY_ITSELF:
            return Near(
                None,
                f"near duplicates were not looked for among more than {NEAR_BY_ITSELF:,} images, which "
                "`lightcnn audit` does",
            )
        found = search.similar(dataset.images, progress=progress)
        _keep(file, found)
    clusters, images = _sizes(found.clusters)
    kind = "cluster" if clusters == 1 else "clusters"
    said = f"{images:,} images are near duplicates in {clusters:,} {kind}" if clusters else "no near duplicates found"
    return Near(found, said)


def _sizes(clusters: NDArray[np.int64]) -> tuple[int, int]:
    """Clusters of two or more, and the images in them."""
    counts = np.unique(clusters, return_counts=True)[1]
    return int((counts > 1).sum()), int(counts[counts > 1].sum())


def _fingerprint(dataset: Dataset) -> str:
    """SHA-256 over the pixels in their order: labels, sides and names may change."""
    text = f"near duplicates {VERSION} {dataset.channels} " + "".join(dataset.pixel_hashes)
    return hashlib.sha256(text.encode()).hexdigest()


def _kept(file: Path, count: int) -> Similar | None:
    """What is in the cache; None where there is nothing, or nothing sound."""
    try:
        with open(file, "rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            pairs, strength, clusters = (arrays[name] for name in ("pairs", "strength", "clusters"))
    except Exception:  # numpy and zipfile raise whatever a damaged file leads them into
        return None
    sound = (
        all(array.dtype == np.int64 for array in (pairs, strength, clusters))
        and pairs.shape == (len(strength), 2)
        and strength.ndim == 1
        and clusters.shape == (count,)
        and bool((clusters >= 0).all() and (clusters <= np.arange(count)).all())
        and bool((pairs >= 0).all() and (pairs < count).all() and (pairs[:, 0] < pairs[:, 1]).all())
    )
    return Similar(pairs, strength, clusters) if sound else None


def _keep(file: Path, found: Similar) -> None:
    """Writes the arrays under a temporary name and renames it; a cache that cannot be written is none."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as stream:
            np.savez(stream, pairs=found.pairs, strength=found.strength, clusters=found.clusters)
        temporary.replace(file)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
