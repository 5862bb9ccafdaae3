"""Brings runs on the same test images into one order of images and of classes, whatever their files are called.

Images are matched by the hashes of their pixels. Runs of earlier versions have none: they are matched by path, or by
file name if the fingerprints of their data are equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from lightcnn.comparing.run_predictions import RunPredictions


def aligned(runs: Sequence[RunPredictions]) -> list[RunPredictions]:
    """The runs with the images and classes in the order of the first; those that do not match are left as they are."""
    matched = [runs[0], *(_in_order_of(runs[0], run) for run in runs[1:])]
    if any(not run.pixels or run.images != runs[0].images for run in matched):
        return matched
    return _with_joint_groups(matched)


def _in_order_of(first: RunPredictions, run: RunPredictions) -> RunPredictions:
    run = _with_classes(run, first.classes) if sorted(run.classes) == sorted(first.classes) else run
    names = None if run.images == first.images else _names(first, run)
    if names is None:
        return run
    keys = [
        list(zip(name, of_run.labels.tolist(), strict=True)) for name, of_run in zip(names, (first, run), strict=True)
    ]
    orders = [sorted(range(len(of_run)), key=of_run.__getitem__) for of_run in keys]
    if sorted(names[0]) != sorted(names[1]):
        return run
    places = np.empty(len(first.images), dtype=np.int64)
    places[orders[0]] = orders[1]
    return _reordered(replace(run, images=first.images), places)


def _names(first: RunPredictions, run: RunPredictions) -> list[tuple[str, ...]] | None:
    """What the images of both runs are recognised by; None if there is nothing."""
    if first.pixels and run.pixels:
        return [first.pixels, run.pixels]
    if first.report.data.fingerprint != run.report.data.fingerprint:
        return None
    names = [tuple(PurePosixPath(path).name for path in of_run.images) for of_run in (first, run)]
    return names if all(len(set(of_run)) == len(of_run) for of_run in names) else None


def _reordered(run: RunPredictions, places: NDArray[np.int64]) -> RunPredictions:
    """The run with its images in another order; `run.images` are in that order already."""
    return replace(
        run,
        labels=run.labels[places],
        groups=run.groups[places],
        correct=run.correct[:, places],
        probabilities=run.probabilities[:, places],
        folds=run.folds[:, places],
        pixels=tuple(run.pixels[place] for place in places) if run.pixels else (),
    )


def _with_classes(run: RunPredictions, classes: tuple[str, ...]) -> RunPredictions:
    """The run with its classes, which are the same, in another order."""
    old_places = [run.classes.index(name) for name in classes]
    return replace(
        run,
        classes=classes,
        labels=np.argsort(old_places)[run.labels],
        probabilities=run.probabilities[:, :, old_places],
    )


def _with_joint_groups(runs: Sequence[RunPredictions]) -> list[RunPredictions]:
    """The runs with the same groups: images that are one group in any run count as one group.

    The names of groups depend on how the data were read, and a csv may know patients that a folder does not.
    """
    known = [run for run in runs if run.groups_known]
    if not known:
        return list(runs)
    if all((run.groups == runs[0].groups).all() for run in runs):
        return [replace(run, groups_known=True) for run in runs]
    joint = np.arange(len(runs[0].images))
    changed = True
    while changed:
        before = joint
        for run in known:
            _, codes = np.unique(run.groups, return_inverse=True)
            lowest = np.full(codes.max() + 1, len(joint))
            np.minimum.at(lowest, codes, joint)
            joint = lowest[codes]
        changed = bool((joint != before).any())
    names = joint.astype(np.str_)
    return [replace(run, groups=names, groups_known=True) for run in runs]
