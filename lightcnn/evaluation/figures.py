"""Figures of the predictions for one set, as PNG bytes: confusion matrix, curves over thresholds, reliability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn.evaluation.calibration import calibration_error
from lightcnn.evaluation.roc import BAND_GRID, RocCurve, Trace, curve, precision_recall, roc
from lightcnn.output.charts.figures import BLUE, COLOURS, GREY, ORANGE, blank, label_text, name_axes, png
from lightcnn.output.charts.plotting import Axes, Figure, MaxNLocator

Labels = NDArray[np.int64]
Probabilities = NDArray[np.float64]
MAX_BANDED = 4
"""Maximum number of curves with bands; more bands would hide each other."""
MAX_LISTED = 2 * len(COLOURS)
"""Maximum number of curves in a legend, those with the smallest areas."""
MAX_SIDE_BY_SIDE = 10
"""Maximum number of classes for which the two panels of a confusion matrix are next to each other."""
MAX_TICK_LETTERS = 30
"""Letters of class names that fit side by side below a confusion matrix."""
MAX_NUMBERED, MAX_TICKED = 30, 60
"""Maximum numbers of classes for which a confusion matrix has numbers in its cells, and names at its axes."""
BINS = 15
"""Number of bins of confidence, as in the expected calibration error."""


def confusion(matrix: Sequence[Sequence[int]], classes: Sequence[str]) -> bytes:
    """Two panels, labels in rows, predictions in columns: counts, and per cent of the row, which shades both."""
    counts = np.asarray(matrix)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    inches = min(10.0, max(4.6, 0.3 * len(classes) + 2.2))
    side_by_side = len(classes) <= MAX_SIDE_BY_SIDE
    figure = Figure(
        figsize=(2 * inches, inches + 0.4) if side_by_side else (inches, 2 * inches + 0.4), layout="constrained"
    )
    left, right = figure.subplots(1, 2) if side_by_side else figure.subplots(2, 1)
    for axes, cells, title in (
        (left, [[f"{n:,}" for n in row] for row in counts], "images"),
        (right, [[f"{100 * share:.0f}" for share in row] for row in shares], "per cent of the row's images"),
    ):
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("predicted")
        axes.set_ylabel("actual")
        _name_classes(axes, classes)
        if len(classes) <= MAX_NUMBERED:
            _write_cells(axes, cells, shares > 0.5, 72 * (inches - 1.6) / len(classes))
    return png(figure)


def _name_classes(axes: Axes, classes: Sequence[str]) -> None:
    """Labels the ticks with the names of the classes: columns with numbers if the names do not fit side by side."""
    if len(classes) > MAX_TICKED:
        return
    ticks, names, size = range(len(classes)), [label_text(name) for name in classes], 9 if len(classes) <= 20 else 7
    numbers = [str(number) for number in range(1, len(names) + 1)]
    if max(map(len, names)) * len(names) <= MAX_TICK_LETTERS:
        numbers = names
    else:
        names = [f"{name}  {number}" for name, number in zip(names, numbers, strict=True)]
        axes.set_xlabel("predicted, numbered as the rows")
    axes.set_xticks(ticks, numbers, fontsize=size)
    axes.set_yticks(ticks, names, fontsize=size)


def _write_cells(axes: Axes, cells: Sequence[Sequence[str]], dark: NDArray[np.bool_], width: float) -> None:
    """Writes the cells, which are `width` points wide: white on dark cells, zeros in grey."""
    longest = max(len(text) for row in cells for text in row)
    size = min(12.0, 0.5 * width, 1.2 * width / longest)
    for row, column in np.ndindex(dark.shape):
        colour = "white" if dark[row, column] else "#aaaaaa" if cells[row][column] == "0" else "black"
        axes.text(column, row, cells[row][column], ha="center", va="center", color=colour, fontsize=size)


@dataclass(frozen=True)
class CurveKind:
    """A curve over all thresholds: how it is traced, its title, its axis labels, and the name of its area."""

    trace: Trace
    title: str
    x: str
    y: str
    area: str


ROC = CurveKind(
    roc,
    "ROC curve",
    "1 − specificity: share of the other images that are predicted as the class",
    "sensitivity: share of the class that is predicted correctly",
    "area",
)
PRECISION_RECALL = CurveKind(
    precision_recall,
    "Precision-recall curve",
    "recall (sensitivity): share of the class that is predicted correctly",
    "precision: share of predictions of the class that are correct",
    "average precision",
)


def over_thresholds(
    kind: CurveKind,
    labels: Labels,
    probabilities: Probabilities,
    classes: Sequence[str],
    groups: NDArray[np.str_],
    intervals: Mapping[str, tuple[float, float]],
) -> bytes | None:
    """The curve of the second of two classes, or of each of more classes against the rest; None if none is defined.

    Up to `MAX_BANDED` curves have a pointwise 95 % band from a bootstrap of the groups (N,). `intervals` are those of
    the areas by class, if known.
    """
    defined = [c for c in ([1] if len(classes) == 2 else range(len(classes))) if 0 < (labels == c).sum() < len(labels)]
    if not defined:
        return None
    banded = len(defined) <= MAX_BANDED
    curves = {c: curve(kind.trace, labels == c, probabilities[:, c], groups if banded else None) for c in defined}
    figure, axes = blank(kind.x, kind.y, (8.6, 5.0))
    for place, (label, line) in enumerate(sorted(curves.items(), key=lambda item: item[1].area)):
        _draw(axes, line, place)
        _add_to_legend(axes, line, label_text(classes[label]), intervals.get(classes[label]), place)
    shares = [float((labels == c).mean()) for c in defined]
    _draw_chance(axes, shares if kind is PRECISION_RECALL else None)
    mean = float(np.mean([line.area for line in curves.values()]))
    of = f" of {label_text(classes[1])}" if len(classes) == 2 else f", mean {kind.area} {mean:.3f}"
    axes.set_title(kind.title + of, fontsize=10, loc="left")
    count = len(np.unique(groups))
    unit = "images" if count == len(groups) else f"{count:,} groups"
    note = (
        f"95 % interval;\nbands pointwise, bootstrap of {unit}"
        if banded
        else "smallest first,\neach class against the rest"
    )
    _legend(figure, f"{kind.area}, {note}")
    return png(figure)


def _legend(figure: Figure, title: str) -> None:
    """A legend to the right of the axes."""
    figure.legend(loc="outside right upper", frameon=False, fontsize=8, title=title, title_fontsize=8, alignment="left")


def _draw(axes: Axes, line: RocCurve, place: int) -> None:
    """Draws one curve and its band."""
    style = "steps-pre" if line.stepped else "default"
    axes.plot(line.x, line.y, **_line_style(place), drawstyle=style, zorder=3 if place < MAX_LISTED else 2)
    if line.low is not None and line.high is not None:
        axes.fill_between(BAND_GRID, line.low, line.high, color=_line_style(place)["color"], alpha=0.15, linewidth=0)


def _add_to_legend(axes: Axes, line: RocCurve, name: str, interval: tuple[float, float] | None, place: int) -> None:
    """Adds a curve to the legend if that is not full."""
    if place < MAX_LISTED:
        spread = f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else ""
        axes.plot([], [], **_line_style(place), label=f"{line.area:.3f}{spread}  {name}")


def _line_style(place: int) -> dict[str, Any]:
    """Colour and dashes of the curve at this place in the order of areas."""
    if place >= MAX_LISTED:
        return {"color": "#cccccc"}
    return {"color": COLOURS[place % len(COLOURS)], "linestyle": "-" if place < len(COLOURS) else "--"}


def _draw_chance(axes: Axes, shares: Sequence[float] | None) -> None:
    """Draws what guessing achieves: the diagonal, or the mean of the classes' `shares` of the images."""
    if shares is None:
        axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="guessing")
    else:
        share = float(np.mean(shares))
        description = "the class's share of the images" if len(shares) == 1 else "mean share of a class"
        axes.axhline(share, color=GREY, linestyle=":", label=f"guessing: {share:.3f}, {description}")
    for set_limits in (axes.set_xlim, axes.set_ylim):
        set_limits(-0.02, 1.02)


def reliability(labels: Labels, before: Probabilities, after: Probabilities) -> bytes:
    """Accuracy over confidence before and after calibration, and the number of images in each bin."""
    figure = Figure(figsize=(8.6, 5.4), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="perfectly calibrated")
    lowest = 1.0
    for name, values, colour, marker in (("before", before, ORANGE, "s"), ("after", after, BLUE, "o")):
        confidence, correct = values.max(axis=1), values.argmax(axis=1) == labels
        place = np.minimum((confidence * BINS).astype(int), BINS - 1)
        counts = np.bincount(place, minlength=BINS)
        used = np.flatnonzero(counts)
        means, shares = (np.bincount(place, weights=kind)[used] / counts[used] for kind in (confidence, correct))
        error = calibration_error(labels, values, BINS)
        upper.plot(means, shares, color=colour, linewidth=1, label=f"{error:.3f}  {name}")
        upper.scatter(means, shares, s=10 + 90 * counts[used] / len(labels), color=colour, marker=marker, zorder=3)
        lower.stairs(counts, np.linspace(0, 1, BINS + 1), color=colour, linewidth=1.5)
        lowest = min(lowest, used[0] / BINS)
    name_axes(upper, "", "accuracy")
    name_axes(lower, "confidence (highest probability)", "images")
    upper.set_xlim(lowest - 0.02, 1.02)
    upper.set_ylim(-0.02, 1.02)
    _legend(figure, "expected calibration error\nbefore and after temperature scaling")
    return png(figure)


def probabilities_by_class(
    labels: Labels, probabilities: Probabilities, classes: Sequence[str], threshold: float
) -> bytes:
    """Histograms of the probability: of the second of two classes, by true class; of more, of the true class."""
    edges = np.linspace(0, 1, 21).tolist()
    if len(classes) == 2:
        figure, axes = blank(f"probability of {label_text(classes[1])}", "images")
        parts = [(f"is {label_text(name)}", probabilities[labels == c, 1]) for c, name in enumerate(classes)]
        axes.axvline(threshold, color="black", linestyle="--", linewidth=1, label=f"threshold {threshold:.3f}")
    else:
        figure, axes = blank("probability of the true class", "images")
        true_class = probabilities[np.arange(len(labels)), labels]
        correct = probabilities.argmax(axis=1) == labels
        parts = [("prediction is wrong", true_class[~correct]), ("prediction is correct", true_class[correct])]
    for (name, values), colour in zip(parts, (BLUE, ORANGE) if len(classes) == 2 else (ORANGE, BLUE), strict=True):
        label = f"{name}: {len(values):,}"
        axes.hist(values, edges, color=colour, alpha=0.35)
        axes.hist(values, edges, color=colour, histtype="step", linewidth=1.5, label=label)
    axes.set_xlim(0, 1)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    figure.legend(loc="outside upper left", ncols=3, frameon=False, fontsize=8)
    return png(figure)
