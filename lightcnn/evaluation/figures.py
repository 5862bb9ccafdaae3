"""What a network answered on one side, as PNG bytes: where it is right, how sure it is, what a threshold would do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from lightcnn.evaluation.calibration import calibration_error
from lightcnn.evaluation.roc import BAND_GRID, RocCurve, Trace, curve, precision_recall, roc
from lightcnn.output.figures import BLUE, COLOURS, GREY, ORANGE, blank, label_text, name_axes, png

Labels = NDArray[np.int64]
Probabilities = NDArray[np.float64]
MAX_BANDED = 4
"""Classes whose curves are drawn with bands; more would hide each other."""
MAX_LISTED = 2 * len(COLOURS)
"""Curves that a legend names: those of the smallest areas."""
MAX_SIDE_BY_SIDE = 10
"""Classes up to which the two panels of a confusion matrix stand side by side."""
MAX_NUMBERED, MAX_TICKED = 30, 60
"""Classes up to which a confusion matrix has numbers in its cells, and names at its sides."""
BINS = 15
"""Of confidence, as in the expected calibration error."""


def confusion(matrix: Sequence[Sequence[int]], classes: Sequence[str]) -> bytes:
    """Labels in rows and predictions in columns: counts, and per cent of the row, which shades both."""
    counts = np.asarray(matrix)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(10.0, max(4.6, 0.3 * len(classes) + 2.2))
    beside = len(classes) <= MAX_SIDE_BY_SIDE
    figure = Figure(figsize=(2 * side, side + 0.4) if beside else (side, 2 * side + 0.4), layout="constrained")
    left, right = figure.subplots(1, 2) if beside else figure.subplots(2, 1)
    for axes, cells, title in (
        (left, [[f"{n:,}" for n in row] for row in counts], "images"),
        (right, [[f"{100 * share:.0f}" for share in row] for row in shares], "per cent of the row's images"),
    ):
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("predicted")
        axes.set_ylabel("actual")
        _classes(axes, classes)
        if len(classes) <= MAX_NUMBERED:
            _write(axes, cells, shares > 0.5, 72 * (side - 1.6) / len(classes))
    return png(figure)


def _classes(axes: Axes, classes: Sequence[str]) -> None:
    """Names at the ticks, as many as can be read; numbers where they cannot."""
    if len(classes) > MAX_TICKED:
        return
    ticks, names, size = range(len(classes)), [label_text(one) for one in classes], 9 if len(classes) <= 20 else 7
    turned = max(map(len, names)) * len(names) > 30
    axes.set_xticks(ticks, names, fontsize=size)
    if turned:
        slanted = len(names) <= MAX_SIDE_BY_SIDE
        axes.tick_params(axis="x", rotation=40 if slanted else 90)
        for one in axes.get_xticklabels():
            one.set_horizontalalignment("right" if slanted else "center")
            one.set_rotation_mode("anchor" if slanted else "default")
    axes.set_yticks(ticks, names, fontsize=size)


def _write(axes: Axes, cells: Sequence[Sequence[str]], dark: NDArray[np.bool_], room: float) -> None:
    """Cells' texts, white on dark ones, noughts faint, as large as a cell has `room` for, in points."""
    longest = max(len(text) for row in cells for text in row)
    size = min(12.0, 0.5 * room, 1.2 * room / longest)
    for row, column in np.ndindex(dark.shape):
        colour = "white" if dark[row, column] else "#aaaaaa" if cells[row][column] == "0" else "black"
        axes.text(column, row, cells[row][column], ha="center", va="center", color=colour, fontsize=size)


@dataclass(frozen=True)
class CurveKind:
    """A curve over all thresholds: how it is traced, and its words."""

    trace: Trace
    title: str
    x: str
    y: str
    area: str


ROC = CurveKind(
    roc,
    "ROC curve",
    "1 − specificity: share of the others that are taken for the class",
    "sensitivity: share of the class that is found",
    "area",
)
PRECISION_RECALL = CurveKind(
    precision_recall,
    "Precision-recall curve",
    "recall (sensitivity): share of the class that is found",
    "precision: share of the answers “this class” that are right",
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
    """The curve of the second of two classes, of each class against the rest for more; None where none is defined.

    Up to `BANDED` curves have a pointwise 95 % band, a bootstrap of the groups (N,). `intervals` are those of the
    areas, by class, as far as they are known.
    """
    defined = [c for c in ([1] if len(classes) == 2 else range(len(classes))) if 0 < (labels == c).sum() < len(labels)]
    if not defined:
        return None
    banded = len(defined) <= MAX_BANDED
    curves = {c: curve(kind.trace, labels == c, probabilities[:, c], groups if banded else None) for c in defined}
    figure, axes = blank(kind.x, kind.y, (8.6, 5.0))
    for place, (label, drawn) in enumerate(sorted(curves.items(), key=lambda item: item[1].area)):
        _draw(axes, drawn, place)
        _list(axes, drawn, label_text(classes[label]), intervals.get(classes[label]), place)
    shares = [float((labels == c).mean()) for c in defined]
    _chance(axes, shares if kind is PRECISION_RECALL else None)
    mean = float(np.mean([drawn.area for drawn in curves.values()]))
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
    """To the right of the axes, where it hides nothing."""
    figure.legend(loc="outside right upper", frameon=False, fontsize=8, title=title, title_fontsize=8, alignment="left")


def _draw(axes: Axes, drawn: RocCurve, place: int) -> None:
    """One curve and its band."""
    style = "steps-pre" if drawn.stepped else "default"
    axes.plot(drawn.x, drawn.y, **_look(place), drawstyle=style, zorder=3 if place < MAX_LISTED else 2)
    if drawn.low is not None and drawn.high is not None:
        axes.fill_between(BAND_GRID, drawn.low, drawn.high, color=_look(place)["color"], alpha=0.15, linewidth=0)


def _list(axes: Axes, drawn: RocCurve, name: str, interval: tuple[float, float] | None, place: int) -> None:
    """A curve's line in the legend, where that is not full."""
    if place < MAX_LISTED:
        spread = f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else ""
        axes.plot([], [], **_look(place), label=f"{drawn.area:.3f}{spread}  {name}")


def _look(place: int) -> dict[str, Any]:
    """Colour and dashes of the curve at that place."""
    if place >= MAX_LISTED:
        return {"color": "#cccccc"}
    return {"color": COLOURS[place % len(COLOURS)], "linestyle": "-" if place < len(COLOURS) else "--"}


def _chance(axes: Axes, shares: Sequence[float] | None) -> None:
    """What guessing reaches: the diagonal, or the classes' `shares` of the images."""
    if shares is None:
        axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="guessing")
    else:
        share = float(np.mean(shares))
        words = "the class's share of the images" if len(shares) == 1 else "mean share of a class"
        axes.axhline(share, color=GREY, linestyle=":", label=f"guessing: {share:.3f}, {words}")
    for set_limits in (axes.set_xlim, axes.set_ylim):
        set_limits(-0.02, 1.02)


def reliability(labels: Labels, before: Probabilities, after: Probabilities) -> bytes:
    """Share of right answers over their probability, before and after calibration, and how many answers that are."""
    figure = Figure(figsize=(8.6, 5.4), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="as sure as right")
    lowest = 1.0
    for name, values, colour, marker in (("before", before, ORANGE, "s"), ("after", after, BLUE, "o")):
        confidence, right = values.max(axis=1), values.argmax(axis=1) == labels
        place = np.minimum((confidence * BINS).astype(int), BINS - 1)
        counts = np.bincount(place, minlength=BINS)
        used = np.flatnonzero(counts)
        means, shares = (np.bincount(place, weights=kind)[used] / counts[used] for kind in (confidence, right))
        error = calibration_error(labels, values, BINS)
        upper.plot(means, shares, color=colour, linewidth=1, label=f"{error:.3f}  {name}")
        upper.scatter(means, shares, s=10 + 90 * counts[used] / len(labels), color=colour, marker=marker, zorder=3)
        lower.stairs(counts, np.linspace(0, 1, BINS + 1), color=colour, linewidth=1.5)
        lowest = min(lowest, used[0] / BINS)
    name_axes(upper, "", "share of right answers")
    name_axes(lower, "probability of the answer", "images")
    upper.set_xlim(lowest - 0.02, 1.02)
    upper.set_ylim(-0.02, 1.02)
    _legend(figure, "expected calibration error\nbefore and after temperature scaling")
    return png(figure)


def probabilities_by_class(
    labels: Labels, probabilities: Probabilities, classes: Sequence[str], threshold: float
) -> bytes:
    """How the probabilities are spread: of the second of two classes by true class; for more, of the true class."""
    edges = np.linspace(0, 1, 21).tolist()
    if len(classes) == 2:
        figure, axes = blank(f"probability of {label_text(classes[1])}", "images")
        parts = [(f"is {label_text(one)}", probabilities[labels == c, 1]) for c, one in enumerate(classes)]
        axes.axvline(threshold, color="black", linestyle="--", linewidth=1, label=f"threshold {threshold:.3f}")
    else:
        figure, axes = blank("probability of the true class", "images")
        own, right = probabilities[np.arange(len(labels)), labels], probabilities.argmax(axis=1) == labels
        parts = [("answer is wrong", own[~right]), ("answer is right", own[right])]
    for (name, values), colour in zip(parts, (BLUE, ORANGE) if len(classes) == 2 else (ORANGE, BLUE), strict=True):
        label = f"{name}: {len(values):,}"
        axes.hist(values, edges, color=colour, alpha=0.35)
        axes.hist(values, edges, color=colour, histtype="step", linewidth=1.5, label=label)
    axes.set_xlim(0, 1)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    figure.legend(loc="outside upper left", ncols=3, frameon=False, fontsize=8)
    return png(figure)
