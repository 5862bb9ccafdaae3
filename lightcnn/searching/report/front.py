"""The Pareto front of a search with `--pareto`: its networks, what report.json says of them, and their files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lightcnn import document
from lightcnn.budget import Resource
from lightcnn.data.pipeline import Pipeline
from lightcnn.evaluation.scores import chosen_scores
from lightcnn.inference import probabilities
from lightcnn.output.charts.figures import pareto
from lightcnn.run_folder import RunFolder
from lightcnn.searching.latency.models import MeasuredLatency
from lightcnn.searching.trainings.choice import Choice, Weights
from lightcnn.weights import weights_file

FOLDER = "front"
FILE = re.compile(r"trial-\d+\.(yaml|safetensors)")


@dataclass(frozen=True, eq=False)
class FrontPoint:
    """A network of the front: the weights after its final training, its cost on the axis, and its measured times."""

    weights: Weights
    count: float
    latencies: tuple[MeasuredLatency, ...] = ()

    @property
    def trial(self) -> int:
        """The trial that proposed it."""
        return self.weights.finalist.outcome.number

    def file(self, ending: str) -> str:
        """The name of one of its files in the run folder."""
        return f"{FOLDER}/trial-{self.trial}.{ending}"


def front_points(
    choice: Choice, resource: Resource, latencies: Mapping[int, tuple[MeasuredLatency, ...]]
) -> list[FrontPoint]:
    """The networks that were trained to the end, and that no other one beats in both cost and score; cheapest first."""
    points = [
        FrontPoint(weights, front_cost_of(weights, resource, latencies), latencies[weights.finalist.outcome.number])
        for weights in choice.networks
    ]
    best = pareto([(point.count, point.weights.judged.score) for point in points])
    by_place = {(point.count, point.weights.judged.score): point for point in reversed(points)}  # the first of equals
    return [by_place[place] for place in best]


def front_document(
    points: Sequence[FrontPoint], pipeline: Pipeline, choice: Choice, images: Mapping[int, int]
) -> list[dict[str, Any]]:
    """`front` of report.json. All networks are evaluated on the test set here; `images` are those of their trainings.

    Nothing depends on these test scores.
    """
    return [
        {
            "cost": point.weights.finalist.candidate.cost.document(),
            **{name: score["value"] for name, score in of_sets["val"].items()},
            "trial": point.trial,
            "delivered": point.weights is choice.best,
            "images": images[point.trial],
            **of_sets,
            **({"measured": _times(point)} if point.latencies else {}),
            "spec": point.file("yaml"),
            "weights": point.file("safetensors"),
        }
        for point in points
        for of_sets in [_scores(point, pipeline, choice)]
    ]


def write_front(run: RunFolder, points: Sequence[FrontPoint], *, stand_in: bool) -> None:
    """Writes the spec and the weights of each network; removes those of an earlier session."""
    folder = run / FOLDER
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if FILE.fullmatch(path.name):
            run.remove(f"{FOLDER}/{path.name}")
    for point in points:
        spec = point.weights.finalist.candidate.spec
        run.write_bytes(point.file("yaml"), document.dump(spec).encode())
        run.write_bytes(point.file("safetensors"), weights_file(point.weights.model, spec, stand_in=stand_in))


def front_cost_of(weights: Weights, resource: Resource, latencies: Mapping[int, Sequence[MeasuredLatency]]) -> float:
    """The cost of a network on the axis of the front; a time is the measured one."""
    measured = {each.resource: each.microseconds for each in latencies[weights.finalist.outcome.number]}
    return measured.get(resource.name, resource.largest_count(weights.finalist.candidate.cost))


def _scores(point: FrontPoint, pipeline: Pipeline, choice: Choice) -> dict[str, dict[str, Any]]:
    """The accuracy and the metric, with intervals: on validation as networks are compared, on the test set in float."""
    weights, dataset = point.weights, pipeline.dataset
    size = weights.finalist.candidate.spec.input[1]
    test = probabilities(weights.model, pipeline.images(pipeline.split.test, size), pipeline.preprocess(size))
    names = tuple(dict.fromkeys(("accuracy", choice.metric)))
    return {
        name: {metric: {end: score[end] for end in ("value", "low", "high")} for metric, score in of_set.items()}
        for name, indices, predicted in (
            ("val", pipeline.split.val, weights.judged.probabilities),
            ("test", pipeline.split.test, test),
        )
        for of_set in [
            chosen_scores(
                dataset.labels[indices], predicted, names, groups=dataset.groups[indices], classes=dataset.classes,
                threshold=pipeline.preprocess(size).threshold,
            )
        ]
    }  # fmt: skip


def _times(point: FrontPoint) -> dict[str, float]:
    return {each.resource: round(each.microseconds, 1) for each in point.latencies}
