"""Searched networks against MicroMPoxNet, at most a twentieth of its multiply-adds and a fifth of its parameters.

    python tests/benchmarks/reference.py FOLDER
    python tests/benchmarks/reference.py FOLDER --photographs groups.csv [--teacher timm:tf_efficientnet_lite0=FILE]

On synthetic lesions, both are trained on the same images and compared on others, which neither has seen. Of photographs
with patients there are five folds, as of `lightcnn train --folds 5`: patients with the same photograph are one group,
each fold has a search on its own training images, and the predictions for all folds are pooled, so that each photograph
is tested once by each network. MicroMPoxNet is trained by its own recipe. With `--teacher`, both also learn from a
network that was trained on the same images first.

The difference is that of the searched network, with its 95 % interval over patients; beside it is the smallest one that
would be shown in 80 % of such comparisons. Everything is written into FOLDER: finished runs there are kept, interrupted
ones resumed. A fold takes the time of its search, and some minutes for MicroMPoxNet.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

import lightcnn
from lightcnn import Recipe, Run, overrides
from lightcnn.comparing.pairs import Pair, compare_pair
from lightcnn.comparing.run_predictions import RunPredictions, read_run
from lightcnn.data.sources.lesion_painter import paint_lesions
from lightcnn.recipe import Reading
from lightcnn.searching.trainings.judge import paired_error

BUDGET = "22.9MFLOPs,125.937kparams"
LESIONS = "synthetic-lesions:count=1000"
OTHERS, OTHER_SEED = 2_000, 2
"""Lesions on which the networks are compared."""
FOLDS = 5
INTERVAL, DETECTABLE = 1.96, 2.8
"""Standard errors of half a 95 % interval, and of the difference that is shown in 80 % of comparisons."""


def searched(out: Path, data: str, reading: Reading, options: argparse.Namespace) -> Run:
    """The run of the search in `out`."""
    if (out / "report.json").exists():
        return Run.load(out)
    print(out, file=sys.stderr, flush=True)
    if out.exists():
        return lightcnn.search(out=out, resume=True)
    return lightcnn.search(BUDGET, data=data, reading=reading, time=options.time, teacher=options.teacher, out=out)


def reference(out: Path, data: str, reading: Reading, changes: Sequence[str]) -> Run:
    """The run of the training of MicroMPoxNet in `out`."""
    if (out / "report.json").exists():
        return Run.load(out)
    print(out, file=sys.stderr, flush=True)
    recipe = Recipe.load("micrompoxnet").model_copy(update={"reading": reading})
    assignments = [overrides.parse_assignment(change) for change in changes]
    recipe = overrides.validate(Recipe, recipe.model_dump(mode="json"), "micrompoxnet", assignments)
    return lightcnn.train(recipe, data=data, out=out, resume=out.exists())


def trained(folder: Path, data: str, reading: Reading, options: argparse.Namespace) -> tuple[Run, Run]:
    """The runs of both networks on the same split of the same images."""
    ours = searched(folder / "searched", data, reading, options)
    taught = [f"distill.teacher={ours / 'teacher'}"] if options.teacher else []
    return ours, reference(folder / "micrompoxnet", data, reading, [*options.changes, *taught])


def pooled(runs: Sequence[Run]) -> RunPredictions:
    """The predictions of the runs of all folds as those of one run."""
    parts = [read_run(run) for run in runs]
    return replace(
        parts[0],
        images=tuple(image for part in parts for image in part.images),
        labels=np.concatenate([part.labels for part in parts]),
        groups=np.concatenate([part.groups for part in parts]),
        correct=np.concatenate([part.correct for part in parts], axis=1),
        probabilities=np.concatenate([part.probabilities for part in parts], axis=1),
        folds=np.concatenate([np.full(part.folds.shape, fold) for fold, part in enumerate(parts, 1)], axis=1),
        pixels=tuple(pixels for part in parts for pixels in part.pixels),
    )


def print_lesions(ours: Run, theirs: Run) -> None:
    """Prints the row of both networks on other synthetic lesions than those that they were trained and chosen on."""
    lesions = paint_lesions(count=OTHERS, seed=OTHER_SEED)
    names = np.array(lesions.classes)[lesions.labels]
    correct = [np.array(run.predict(list(lesions.images)).predictions) == names for run in (ours, theirs)]
    first, second = (float(each.mean()) for each in correct)
    error, difference = paired_error(*correct, lesions.patients), first - second
    title = f"synthetic lesions, {OTHERS:,} images of {len(set(lesions.patients)):,} patients, accuracy"
    ends = difference - INTERVAL * error, difference + INTERVAL * error
    print_row(title, first, second, difference, ends, DETECTABLE * error, [ours])


def print_pair(title: str, pair: Pair, runs: Sequence[Run]) -> None:
    """Prints the row of one metric of pooled predictions."""
    estimate = pair.estimate
    ends = estimate.low, estimate.high
    title = f"{title}, {pair.metric}"
    print_row(title, pair.value_a, pair.value_b, estimate.difference, ends, pair.detectable, runs)


def print_teachers(runs: Sequence[Run]) -> None:
    """Prints how often the teachers are right on the test images of their folds."""
    correct = pooled(runs).correct
    print(f"\nthe teachers: {correct.sum():.0f} of {correct.size} correct ({correct.mean():.2%})")


def print_row(
    title: str,
    first: float,
    second: float,
    difference: float,
    ends: tuple[float, float],
    detectable: float | None,
    runs: Sequence[Run],
) -> None:
    """Prints the scores, their difference in points with its interval, and the largest costs of the searched `runs`."""
    costs = [run.report["network"]["cost"] for run in runs]
    macs, params = (max(cost[name] for cost in costs) for name in ("macs", "params"))
    low, high = (100 * end for end in ends)
    shown = "–" if detectable is None else f"{100 * detectable:.2f}"
    print(
        f"| {title} | {first:.2%} | {second:.2%} | {100 * difference:+.2f} ({low:+.2f} to {high:+.2f}) | {shown} | "
        f"{macs:,} | {params:,} |",
        flush=True,
    )


def main() -> None:
    """Trains what is not trained yet, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--photographs", metavar="SOURCE", help="photographs with groups, such as a manifest")
    parser.add_argument("--teacher", metavar="timm:NAME[=FILE]")
    parser.add_argument("--time", default="10m", help="time of each search")
    parser.add_argument("--set", action="append", default=[], dest="changes", help="changes of the recipe, for a trial")
    options = parser.parse_args()
    os.environ.setdefault("LIGHTCNN_CACHE", str(options.folder / "cache"))
    names = ("images", "searched", "MicroMPoxNet", "difference", "would be shown", "multiply-adds", "parameters")
    print(f"| {' | '.join(names)} |\n{'|---' * len(names)}|", flush=True)
    kind = "with a teacher" if options.teacher else "from scratch"
    folder = options.folder / kind.replace(" ", "-")
    if options.photographs is None:
        print_lesions(*trained(folder / "lesions", LESIONS, Reading(), options))
        return
    folds = [
        trained(folder / f"fold-{fold}", options.photographs, Reading(folds=FOLDS, fold=fold, split_seed=0), options)
        for fold in range(1, FOLDS + 1)
    ]
    ours, theirs = zip(*folds, strict=True)
    for pair in compare_pair(pooled(ours), pooled(theirs)):
        print_pair(f"photographs, {kind}", pair, ours)
    if options.teacher:
        print_teachers([Run.load(run / "teacher") for run in ours])


if __name__ == "__main__":
    main()
