"""An overview of a test set: the mean maps of each class, and the most and least confident predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lightcnn.explaining.explanation import Explanation
from lightcnn.explaining.figures.colours import Map, Pixels, Scale
from lightcnn.explaining.figures.panels import Canvas, add_colour_bar, draw_scaled_map, empty_reason, overlay_map
from lightcnn.explaining.methods.catalogue import is_rectified, title_of
from lightcnn.output.charts.figures import label_text
from lightcnn.output.charts.plotting import Axes, Figure, Normalize, ScalarMappable
from lightcnn.output.charts.svg import Chart, chart

IMAGE_INCHES = 1.75
CASE_LABELS = {
    "sure_right": "correct, most confident", "unsure_right": "correct, least confident",
    "sure_wrong": "wrong, most confident", "unsure_wrong": "wrong, least confident",
}  # fmt: skip
MAX_CLASSES = 12
"""Number of classes whose mean maps are drawn, those with the most images first."""


@dataclass(frozen=True, eq=False)
class Case:
    """The most or least confident image of its kind, with its maps at the size of the network's input."""

    confidence: float
    pixels: Pixels
    label: str
    explanations: Sequence[Explanation]


class Overview:
    """Collects images as they are explained; only sums of maps and the extreme cases are kept."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, str], tuple[Map, int]] = {}
        self._cases: dict[str, Case] = {}

    def add(self, explanations: Sequence[Explanation], label: str) -> None:
        """Adds an image with a label, and its explanations."""
        for explanation in explanations:
            values = explanation.attribution.map
            if np.isfinite(values).all():
                key = explanation.attribution.method, explanation.target
                total, count = self._sums.get(key, (np.zeros(values.shape), 0))
                self._sums[key] = total + _as_shown(explanation), count + 1
        if explanations and explanations[0].target == explanations[0].prediction:
            first = explanations[0]
            case = Case(first.probability, first.seen, label, explanations)
            kind = "right" if first.prediction == label else "wrong"
            self._keep_extreme(f"sure_{kind}", case, 1)
            self._keep_extreme(f"unsure_{kind}", case, -1)

    def _keep_extreme(self, kind: str, case: Case, sign: int) -> None:
        current = self._cases.get(kind)
        if current is None or sign * case.confidence > sign * current.confidence:
            self._cases[kind] = case

    def figures(self) -> dict[str, Figure]:
        """The figures `means` and `cases`, each if there is something to draw."""
        figures = {}
        if self._sums:
            figures["means"] = mean_maps(self._sums)
        if self._cases:
            figures["cases"] = extreme_cases(self._shown_cases())
        return figures

    def charts(self) -> dict[str, Chart]:
        """The same as charts of the page, with descriptions."""
        classes = ", ".join(dict.fromkeys(name for _, name in self._sums))
        cases = "; ".join(f"{CASE_LABELS[kind]}: {_describe(case)}" for kind, case in self._shown_cases().items())
        texts = {"means": f"Mean maps of the explained classes: {classes}.", "cases": f"Images with maps. {cases}."}
        return {name: chart(figure, texts[name]) for name, figure in self.figures().items()}

    def _shown_cases(self) -> dict[str, Case]:
        """The cases in their order: a single correct or wrong prediction, which is both extremes, only once."""
        kinds = [(kind, self._cases[kind]) for kind in CASE_LABELS if kind in self._cases]
        first = {id(case): kind for kind, case in reversed(kinds)}
        return {kind: case for kind, case in kinds if first[id(case)] == kind}


def _describe(case: Case) -> str:
    """The label, the prediction and its probability."""
    return f"labelled {case.label}, predicted {case.explanations[0].prediction} ({case.confidence:.3f})"


def mean_maps(sums: Mapping[tuple[str, str], tuple[Map, int]]) -> Figure:
    """One row per class and one column per method; the maps of a method have one scale."""
    methods = list(dict.fromkeys(method for method, _ in sums))
    counts = {name: max(count for (_, target), (_, count) in sums.items() if target == name) for _, name in sums}
    classes = sorted(counts, key=lambda name: -counts[name])[:MAX_CLASSES]
    size = (IMAGE_INCHES * len(methods) + 1.6, IMAGE_INCHES * len(classes) + 0.5)
    figure = Figure(figsize=size, layout="compressed")
    grid = figure.subplots(len(classes), len(methods), squeeze=False)
    for column, method in enumerate(methods):
        maps = {name: sums[method, name][0] / sums[method, name][1] for name in classes if (method, name) in sums}
        scale = Scale.of(method, list(maps.values()))
        for row, name in enumerate(classes):
            axes = grid[row, column]
            image = draw_scaled_map(axes, maps.get(name, np.full((1, 1), np.nan)), scale)
            if not scale.signed and name in maps and maps[name].max() <= 0:
                axes.text(0.5, 0.5, "nowhere above 0", color="white", ha="center", transform=axes.transAxes, fontsize=7)
            if column == 0:
                axes.set_ylabel(f"{label_text(name)}\nn = {counts[name]}", fontsize=8)
        grid[0, column].set_title(title_of(method), fontsize=9)
        add_colour_bar(figure, list(grid[:, column]), image)
    return figure


def extreme_cases(cases: Mapping[str, Case]) -> Figure:
    """One row per case: the image as the network saw it, then the overlay of every method; one scale per method."""
    methods = list(
        dict.fromkeys(explanation.attribution.method for case in cases.values() for explanation in case.explanations)
    )
    width = IMAGE_INCHES + (IMAGE_INCHES + 0.5) * len(methods) + 1.0
    figure = Figure(figsize=(width, (IMAGE_INCHES + 0.3) * len(cases) + 0.3), layout="compressed")
    grid = figure.subplots(len(cases), 1 + len(methods), squeeze=False)
    scales = {name: _scale(name, cases) for name in methods}
    for row, (kind, case) in zip(grid, cases.items(), strict=True):
        _draw_case(row, kind, case, scales)
    for column, method in zip(grid[:, 1:].T, methods, strict=True):
        column[0].set_title(title_of(method), fontsize=9)
        scale = scales[method]
        add_colour_bar(figure, list(column), ScalarMappable(Normalize(scale.low, scale.high), scale.colours))
    return figure


def _draw_case(row: Sequence[Axes], kind: str, case: Case, scales: Mapping[str, Scale]) -> None:
    """One row of the figure: the image, then one overlay per method."""
    for axes in row:
        axes.set_xticks([])
        axes.set_yticks([])
    prediction = case.explanations[0].prediction
    pixels = case.pixels if case.pixels.shape[2] == 3 else case.pixels[..., 0]
    row[0].imshow(pixels, cmap="gray", vmin=0, vmax=255)
    row[0].set_ylabel(CASE_LABELS[kind], fontsize=8)
    row[0].set_xlabel(
        f"labelled {label_text(case.label)}\npredicted {label_text(prediction)}, {case.confidence:.3f}", fontsize=7
    )
    by_method = {explanation.attribution.method: explanation for explanation in case.explanations}
    for axes, (method, scale) in zip(row[1:], scales.items(), strict=True):
        explanation = by_method.get(method)
        if explanation is None:
            axes.axis("off")
            continue
        axes.imshow(overlay_map(Canvas(case.pixels).fitted(), explanation, scale))
        axes.set_xlabel("nothing to show" if empty_reason(explanation) else "", fontsize=7)


def _as_shown(explanation: Explanation) -> Map:
    """A map as it is shown: rectified if its method is, so that values below 0 do not cancel those above."""
    attribution = explanation.attribution
    return np.maximum(attribution.map, 0) if is_rectified(attribution.method) else attribution.map


def _scale(method: str, cases: Mapping[str, Case]) -> Scale:
    maps = [
        explanation.attribution.map
        for case in cases.values()
        for explanation in case.explanations
        if explanation.attribution.method == method
    ]
    return Scale.of(method, maps)
