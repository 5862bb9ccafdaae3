"""Does choosing a metric get a better value of that metric, if one class is larger than the others?

    python tests/benchmarks/imbalance.py run rows.jsonl [--time 1m] [--seeds 3] [--shares 90:10 70:20:10]
    python tests/benchmarks/imbalance.py table rows.jsonl

A row is a search of synthetic lesions in classes of unequal size by one metric, and the values of all metrics that its
network has on other lesions of the same shares, which it has not seen. Each seed has other training images; those on
which networks are judged are always the same, and nothing is chosen by them. Finished rows are kept in the file, and
skipped when the script is started again.

The table has the mean over seeds and its standard error. The last column is the value of the metric that was chosen,
less that of the search by accuracy with the same seed: below 0 is better for the log loss, above 0 for the others.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from search_rows import append_row, read_rows

import lightcnn
from lightcnn.data.sources.lesion_painter import paint_lesions
from lightcnn.evaluation.labelled_predictions import labelled_predictions
from lightcnn.evaluation.score_values import over_classes, point_values
from lightcnn.recipe import Reading
from lightcnn.searching.metric_names import METRICS, format_value, metric_label
from lightcnn.searching.trainings.judge import CLASS_METRICS

SHARES = ("90:10", "70:20:10")
"""Percent of the images in each class."""
BUDGET, SIZE = "1MFLOPs", 64
IMAGES, OTHERS, OTHER_SEED = 2_000, 3_000, 10_000
"""Images of a search, and those on which its network is judged, from another seed than that of any search."""


@dataclass(frozen=True, order=True)
class Row:
    """A search for so long, by one metric, of images in classes of these shares."""

    shares: str
    metric: Any
    time: str
    seed: int


class Lesions(NamedTuple):
    """Images (N, H, W, 3), the names of their classes (N,), and their patients (N,)."""

    images: NDArray[np.uint8]
    names: NDArray[np.str_]
    patients: NDArray[np.str_]


@lru_cache(maxsize=4)
def lesions(shares: str, count: int, seed: int) -> Lesions:
    """Synthetic lesions in classes of these shares: the first ones of each class, which are painted equally often."""
    images_of = [count * int(percent) // 100 for percent in shares.split(":")]
    painted = paint_lesions(max(images_of) * len(images_of), SIZE, len(images_of), seed)
    chosen = [np.flatnonzero(painted.labels == label)[:images] for label, images in enumerate(images_of)]
    kept = np.sort(np.concatenate(chosen))
    return Lesions(painted.images[kept], np.array(painted.classes)[painted.labels[kept]], painted.patients[kept])


def search(row: Row) -> dict[str, float]:
    """The value of each metric that the network of a search has on other lesions."""
    train = lesions(row.shares, IMAGES, row.seed)
    with tempfile.TemporaryDirectory() as folder:
        run = lightcnn.search(
            BUDGET, data=(train.images, train.names), groups=train.patients, metric=row.metric, time=row.time,
            seed=row.seed, reading=rare_is_positive(train.names), out=Path(folder) / "run",
        )  # fmt: skip
        return values(run, lesions(row.shares, OTHERS, OTHER_SEED))


def rare_is_positive(names: NDArray[np.str_]) -> Reading | None:
    """F1 and AUC of two classes are those of the smaller one."""
    classes, counts = np.unique(names, return_counts=True)
    return Reading(positive=str(classes[counts.argmin()])) if len(classes) == 2 else None


def values(run: lightcnn.Run, others: Lesions) -> dict[str, float]:
    """The value of each metric of a run on images."""
    predicted = run.predict(list(others.images))
    labels, decided = (
        np.array([predicted.classes.index(name) for name in names]) for names in (others.names, predicted.predictions)
    )
    of_all = point_values(
        labelled_predictions(labels, predicted.probabilities, predicted=decided, classes=predicted.classes)
    )
    return {name: float(over_classes(of_all[name]) if name in CLASS_METRICS else of_all[name]) for name in METRICS}


def print_tables(rows: Sequence[dict[str, Any]]) -> None:
    """Prints a table for all shares and times."""
    for shares, time in dict.fromkeys((row["shares"], row["time"]) for row in rows):
        searches = {
            metric: {
                row["seed"]: row["values"]
                for row in rows
                if (row["shares"], row["time"], row["metric"]) == (shares, time, metric)
            }
            for metric in METRICS
        }
        print(f"\nclasses {shares}, {time}, {BUDGET}\n")
        print(f"| search by | seeds | {' | '.join(map(metric_label, METRICS))} | that metric, less by accuracy |")
        print("|---" * (len(METRICS) + 3) + "|")
        for metric, by_seed in searches.items():
            cells = [mean(name, [scores[name] for scores in by_seed.values()]) for name in METRICS]
            both = sorted(by_seed.keys() & searches["accuracy"].keys())
            gains = [by_seed[seed][metric] - searches["accuracy"][seed][metric] for seed in both]
            gain = "" if metric == "accuracy" else mean(metric, gains)
            print(f"| {metric_label(metric)} | {len(by_seed)} | {' | '.join(cells)} | {gain} |")


def mean(metric: str, numbers: Sequence[float]) -> str:
    """The mean of a metric over seeds, with its standard error if there are several."""
    if not numbers:
        return "–"
    text = format_value(metric, float(np.mean(numbers)))
    if len(numbers) == 1:
        return text
    return f"{text} ({format_value(metric, float(np.std(numbers, ddof=1)) / len(numbers) ** 0.5)})"


def main() -> None:
    """Runs the rows that are not finished, seed by seed so that slow drift of a machine meets all; prints tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["run", "table"])
    parser.add_argument("file", type=Path, metavar="FILE", help="JSON lines, one row per search")
    parser.add_argument("--time", default="1m", help="time of each search")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--shares", nargs="+", default=list(SHARES), metavar="A:B[:C]", help="percent of each class")
    options = parser.parse_args()
    if options.what == "run":
        finished = read_rows(options.file, Row)
        for seed, shares, metric in product(range(options.seeds), options.shares, METRICS):
            row = Row(shares, metric, options.time, seed)
            if row not in finished:
                scores = search(row)
                append_row(options.file, row, {"values": scores})
                print(f"{shares} by {metric}, seed {seed}: {format_value(metric, scores[metric])}", flush=True)
    print_tables(list(read_rows(options.file, Row).values()))


if __name__ == "__main__":
    main()
