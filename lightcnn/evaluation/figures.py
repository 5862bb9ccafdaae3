"""Charts of the predictions for one set: confusion matrix, and curves over thresholds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn.evaluation.roc import BAND_GRID, RocCurve, Trace, curve, precision_recall, roc
from lightcnn.output.charts.figures import (
    BLUE,
    COLOURS,
    GREY,
    GRID,
    LABEL_POINTS,
    ORANGE,
    SQUARE,
    blank,
    label_text,
)
from lightcnn.output.charts.plotting import Axes, Rectangle
from lightcnn.output.charts.svg import Chart, chart
from lightcnn.text import visible

Labels = NDArray[np.int64]
Probabilities = NDArray[np.float64]
MAX_BANDED = 4
"""Maximum number of curves with a colour and a band, those with the smallest areas; more bands hide each other."""
MAX_TICK_LETTERS = 30
"""Letters of class names that fit side by side below a confusion matrix."""
MAX_NUMBERED, MAX_TICKED = 30, 60
"""Maximum numbers of classes for which a confusion matrix has numbers in its cells, and names at its axes."""
MAX_SHARES = 5
"""Maximum number of classes for which the cells of a confusion matrix have percentages too."""
DARKEST, LIGHTEST = 0.55, 0.10
"""Opacity of a cell with all images of its row, and of one with almost none: text is readable on both in both modes."""


def confusion(matrix: Sequence[Sequence[int]], classes: Sequence[str]) -> Chart:
    """The number of images by true class (rows) and predicted class (columns), shaded by their share of the row."""
    counts = np.asarray(matrix)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    inches = min(9.0, max(SQUARE[1], 0.26 * len(classes) + 2))
    figure, axes = blank("predicted class", "true class", (max(SQUARE[0], inches), inches))
    axes.grid(False)
    _name_classes(axes, classes)
    for set_limits, ends in ((axes.set_xlim, (-0.5, len(classes) - 0.5)), (axes.set_ylim, (len(classes) - 0.5, -0.5))):
        set_limits(*ends)
    axes.set_aspect("equal")
    for ticks in (axes.set_xticks, axes.set_yticks):
        ticks([place - 0.5 for place in range(len(classes) + 1)] if len(classes) <= MAX_TICKED else [], minor=True)
    axes.grid(which="minor", color=GRID, linewidth=0.8)
    tips = _shade_cells(axes, counts, shares, classes) if len(classes) <= MAX_TICKED else _shade_image(axes, shares)
    if len(classes) <= MAX_NUMBERED:
        _write_cells(axes, counts, shares, 72 * (inches - 1.6) / len(classes))
    correct, total = int(counts.trace()), int(counts.sum())
    return chart(figure, f"Confusion matrix of {len(classes)} classes: {correct:,} of {total:,} images are predicted "
                 f"correctly.{_largest_confusion(counts, classes)}", tips)  # fmt: skip


def _largest_confusion(counts: NDArray[np.int64], classes: Sequence[str]) -> str:
    """The most frequent mistake as a sentence; empty if there is none."""
    wrong = counts * (1 - np.eye(len(classes), dtype=np.int64))
    row, column = divmod(int(wrong.argmax()), len(classes))
    images = int(wrong[row, column])
    if not images:
        return ""
    return (
        f" Most frequent mistake: {visible(classes[row])} is predicted as {visible(classes[column])}, {images:,} times."
    )


def _name_classes(axes: Axes, classes: Sequence[str]) -> None:
    """Labels the ticks with the names of the classes: columns with numbers if the names do not fit side by side."""
    if len(classes) > MAX_TICKED:
        axes.set_xticks([])
        axes.set_yticks([])
        return
    ticks, names, size = range(len(classes)), [label_text(name) for name in classes], 9 if len(classes) <= 20 else 7
    numbers = [str(number) for number in range(1, len(names) + 1)]
    if max(map(len, names)) * len(names) <= MAX_TICK_LETTERS:
        numbers = names
    else:
        names = [f"{name}  {number}" for name, number in zip(names, numbers, strict=True)]
        axes.set_xlabel("predicted class, numbered as the rows", loc="right")  # it is wider than two cells
    axes.set_xticks(ticks, numbers, fontsize=size)
    axes.set_yticks(ticks, names, fontsize=size)


def _shade_cells(
    axes: Axes, counts: NDArray[np.int64], shares: Probabilities, classes: Sequence[str]
) -> list[tuple[Any, str]]:
    """Fills the cells that have images: blue if they are predicted correctly, else orange. Returns their texts."""
    tips = []
    for row, column in np.argwhere(counts):
        share, colour = float(shares[row, column]), BLUE if row == column else ORANGE
        cell = Rectangle((column - 0.5, row - 0.5), 1, 1, color=colour, alpha=LIGHTEST + (DARKEST - LIGHTEST) * share)
        cell.set_linewidth(0)
        axes.add_patch(cell)
        text = f"true class {classes[row]}, predicted {classes[column]}: {counts[row, column]:,} images"
        tips.append((cell, f"{text}, {share:.1%} of the class"))
    return tips


def _shade_image(axes: Axes, shares: Probabilities) -> list[tuple[Any, str]]:
    """The same for many classes, as an image."""
    blue = [int(BLUE[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    axes.imshow(np.dstack([*(np.full(shares.shape, part) for part in blue), shares**0.5]), interpolation="nearest")
    return []


def _write_cells(axes: Axes, counts: NDArray[np.int64], shares: Probabilities, width: float) -> None:
    """Writes the numbers that are not 0 into the cells, which are `width` points wide."""
    longest = max(3, len(f"{counts.max():,}"))
    size = min(12.0, 0.5 * width, 1.2 * width / longest)
    for row, column in np.argwhere(counts):
        text = f"{counts[row, column]:,}" + (f"\n{shares[row, column]:.0%}" if len(counts) <= MAX_SHARES else "")
        axes.text(column, row, text, ha="center", va="center", fontsize=size)


@dataclass(frozen=True)
class CurveKind:
    """A curve over all thresholds: how it is traced, its title, its axis labels, and the name of its area."""

    trace: Trace
    title: str
    x: str
    y: str
    area: str


ROC = CurveKind(roc, "ROC curve", "1 − specificity", "sensitivity", "area")
PRECISION_RECALL = CurveKind(
    precision_recall, "Precision-recall curve", "recall (sensitivity)", "precision", "average precision"
)


def over_thresholds(
    kind: CurveKind,
    labels: Labels,
    probabilities: Probabilities,
    classes: Sequence[str],
    groups: NDArray[np.str_],
    intervals: Mapping[str, tuple[float, float]],
) -> Chart | None:
    """The curve of the second of two classes, or of each of more classes against the rest; None if none is defined.

    The `MAX_BANDED` curves with the smallest areas have a colour and a pointwise 95 % band from a bootstrap of the
    groups (N,), the others are grey. `intervals` are those of the areas by class, if known.
    """
    defined = [c for c in ([1] if len(classes) == 2 else range(len(classes))) if 0 < (labels == c).sum() < len(labels)]
    if not defined:
        return None
    curves = {c: curve(kind.trace, labels == c, probabilities[:, c]) for c in defined}
    order = sorted(curves, key=lambda c: curves[c].area)
    curves |= {c: curve(kind.trace, labels == c, probabilities[:, c], groups) for c in order[:MAX_BANDED]}
    texts = {c: _area_text(curves[c].area, intervals.get(classes[c])) for c in order}
    figure, axes = blank(kind.x, kind.y, SQUARE)
    tips = [
        (
            _draw(axes, curves[c], place, f"{label_text(classes[c])}  {texts[c]}"),
            f"{classes[c]}: {kind.area} {texts[c]}",
        )
        for place, c in enumerate(order)
    ]
    if len(order) > MAX_BANDED:
        axes.plot([], [], color=GREY, linewidth=1, label=f"{len(order) - MAX_BANDED} other classes")
    _draw_chance(axes, [float((labels == c).mean()) for c in defined] if kind is PRECISION_RECALL else None)
    figure.legend(loc="outside upper left", frameon=False, fontsize=LABEL_POINTS, ncols=1 if len(order) > 1 else 2)
    worst = f"{visible(classes[order[0]])}: {kind.area} {texts[order[0]]}"
    description = worst if len(order) == 1 else f"smallest of {len(order)} areas, {worst}"
    return chart(figure, f"{kind.title}. {description[0].upper()}{description[1:]}.", tips)


def _area_text(area: float, interval: tuple[float, float] | None) -> str:
    return f"{area:.3f}" + (f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else "")


def _draw(axes: Axes, line: RocCurve, place: int, label: str) -> Any:
    """Draws the curve at this place in the order of areas, and its band. Returns its line."""
    style = "steps-pre" if line.stepped else "default"
    if line.low is None or line.high is None:
        return axes.plot(line.x, line.y, color=GREY, linewidth=1, alpha=0.6, drawstyle=style, zorder=2)[0]
    colour = COLOURS[place]
    axes.fill_between(BAND_GRID, line.low, line.high, color=colour, alpha=0.15, linewidth=0)
    return axes.plot(line.x, line.y, color=colour, linewidth=2, drawstyle=style, zorder=3, label=label)[0]


def _draw_chance(axes: Axes, shares: Sequence[float] | None) -> None:
    """Draws what guessing achieves: the diagonal, or the mean of the classes' `shares` of the images."""
    if shares is None:
        axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="guessing")
    else:
        share = float(np.mean(shares))
        axes.axhline(share, color=GREY, linestyle=":", label=f"guessing  {share:.3f}")
    for set_limits in (axes.set_xlim, axes.set_ylim):
        set_limits(-0.02, 1.02)
