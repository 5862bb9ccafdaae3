"""A test side at a glance: what maps of a class have in common, and the surest and least sure answers with theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from lightcnn.explaining.checks.summary import TITLES
from lightcnn.explaining.explanation import Explanation
from lightcnn.explaining.figures.colours import RECTIFIED, Map, Pixels, Scale
from lightcnn.explaining.figures.panels import Canvas, axes_image, bar, laid_over, silence
from lightcnn.output.figures import label_text

SIDE = 1.75
"""Of a picture in these figures, in inches."""
KINDS = {
    "sure_right": "right, surest", "unsure_right": "right, least sure", "sure_wrong": "wrong, surest",
    "unsure_wrong": "wrong, least sure",
}  # fmt: skip
MOST = 12
"""Classes of which mean maps are drawn, those with the most images first."""


@dataclass(frozen=True, eq=False)
class Case:
    """An image that stands out, with its maps at the size of the input."""

    confidence: float
    pixels: Pixels
    label: str
    found: Sequence[Explanation]


class Overview:
    """Gathers images as they are explained; only sums and the cases that stand out are kept."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, str], tuple[Map, int]] = {}
        self._cases: dict[str, Case] = {}

    def add(self, found: Sequence[Explanation], label: str) -> None:
        """An image with a label, and its explanations."""
        for one in found:
            if np.isfinite(one.attribution.map).all():
                key = one.attribution.method, one.target
                total, count = self._sums.get(key, (np.zeros(one.attribution.map.shape), 0))
                self._sums[key] = total + _shown(one), count + 1
        if found and found[0].target == found[0].prediction:
            first = found[0]
            case = Case(first.probability, first.seen, label, found)
            kind = "right" if first.prediction == label else "wrong"
            self._keep(f"sure_{kind}", case, 1)
            self._keep(f"unsure_{kind}", case, -1)

    def _keep(self, kind: str, case: Case, sign: int) -> None:
        held = self._cases.get(kind)
        if held is None or sign * case.confidence > sign * held.confidence:
            self._cases[kind] = case

    def figures(self) -> dict[str, Figure]:
        """The mean maps by class, and the cases that stand out, where there are any."""
        drawn = {}
        if self._sums:
            drawn["means"] = means(self._sums)
        if self._cases:
            held = [(kind, self._cases[kind]) for kind in KINDS if kind in self._cases]
            # A lone right or wrong answer is both the surest and the least sure one.
            first = {id(case): kind for kind, case in reversed(held)}
            drawn["cases"] = cases({kind: case for kind, case in held if first[id(case)] == kind})
        return drawn


def means(sums: Mapping[tuple[str, str], tuple[Map, int]]) -> Figure:
    """A row a class, a column a method, the maps of a method on one scale."""
    methods = list(dict.fromkeys(method for method, _ in sums))
    counts = {name: max(count for (_, held), (_, count) in sums.items() if held == name) for _, name in sums}
    classes = sorted(counts, key=lambda name: -counts[name])[:MOST]
    figure = Figure(figsize=(SIDE * len(methods) + 1.6, SIDE * len(classes) + 0.5), layout="compressed")
    grid = figure.subplots(len(classes), len(methods), squeeze=False)
    for column, method in enumerate(methods):
        maps = {name: sums[method, name][0] / sums[method, name][1] for name in classes if (method, name) in sums}
        scale = Scale.of(method, list(maps.values()))
        for row, name in enumerate(classes):
            axes = grid[row, column]
            image = axes_image(axes, maps.get(name, np.full((1, 1), np.nan)), scale)
            if not scale.signed and name in maps and maps[name].max() <= 0:
                axes.text(0.5, 0.5, "nowhere above 0", color="white", ha="center", transform=axes.transAxes, fontsize=7)
            if column == 0:
                axes.set_ylabel(f"{label_text(name)}\nn = {counts[name]}", fontsize=8)
        grid[0, column].set_title(TITLES.get(method, method), fontsize=9)
        bar(figure, list(grid[:, column]), image)
    return figure


def cases(held: Mapping[str, Case]) -> Figure:
    """A row a case: the image as the network saw it, and under every method's map; a method's maps on one scale."""
    methods = list(dict.fromkeys(one.attribution.method for case in held.values() for one in case.found))
    figure = Figure(
        figsize=(SIDE + (SIDE + 0.5) * len(methods) + 1.0, (SIDE + 0.3) * len(held) + 0.3), layout="compressed"
    )
    grid = figure.subplots(len(held), 1 + len(methods), squeeze=False)
    scales = {name: _scale(name, held) for name in methods}
    for row, (kind, case) in zip(grid, held.items(), strict=True):
        for axes in row:
            axes.set_xticks([])
            axes.set_yticks([])
        first = case.found[0]
        row[0].imshow(case.pixels if case.pixels.shape[2] == 3 else case.pixels[..., 0], cmap="gray", vmin=0, vmax=255)
        row[0].set_ylabel(KINDS[kind], fontsize=8)
        row[0].set_xlabel(
            f"is {label_text(case.label)}\nsaid {label_text(first.prediction)}, {case.confidence:.3f}", fontsize=7
        )
        for axes, method in zip(row[1:], methods, strict=True):
            one = next((one for one in case.found if one.attribution.method == method), None)
            if one is None:
                axes.axis("off")
                continue
            axes.imshow(laid_over(Canvas(case.pixels).fitted(), one, scales[method]))
            axes.set_xlabel("nothing to see" if silence(one) else "", fontsize=7)
    for column, method in zip(grid[:, 1:].T, methods, strict=True):
        column[0].set_title(TITLES.get(method, method), fontsize=9)
        scale = scales[method]
        bar(figure, list(column), ScalarMappable(Normalize(scale.low, scale.high), scale.colours))
    return figure


def _shown(one: Explanation) -> Map:
    """A map as it is shown: of Grad-CAM and its kin from 0 up, so that what speaks against does not outweigh it."""
    found = one.attribution
    return np.maximum(found.map, 0) if found.method in RECTIFIED else found.map


def _scale(method: str, held: Mapping[str, Case]) -> Scale:
    found = [one for case in held.values() for one in case.found if one.attribution.method == method]
    return Scale.of(method, [one.attribution.map for one in found])
