"""Scores of several runs against their cost, as PNG bytes."""

from __future__ import annotations

from collections.abc import Sequence

from lightcnn.output.charts.figures import COLOURS, GREY, MARKERS, blank, label_text, pareto, percent, png
from lightcnn.output.charts.plotting import (
    Axes,
    EngFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    ScaledTranslation,
)


def score_against_cost(
    points: Sequence[tuple[str, int, float, float | None, float | None]],
    score: str,
    cost: str = "multiply-adds, one image",
) -> bytes:
    """Draws runs as (name, cost, score, low, high) with their 95 % intervals, if known, and the front of the best.

    Runs of equal cost are drawn side by side, and the axis label states that. `score` and `cost` label the axes.
    """
    costs = [point[1] for point in points]
    beside = " (runs of equal cost side by side)" if len(set(costs)) < len(costs) else ""
    figure, axes = blank(cost + beside, score, (8.6, 4.6))
    ends = [(run_cost, end) for _, run_cost, *values in points for end in values if end is not None]
    axes.plot(*zip(*ends, strict=True), linestyle="none")  # shifted points do not count for the limits of the axes
    for place, (name, run_cost, value, low, high) in enumerate(points):
        equal = [index for index, other_cost in enumerate(costs) if other_cost == run_cost]
        shift = ScaledTranslation((equal.index(place) - (len(equal) - 1) / 2) * 7 / 72, 0, figure.dpi_scale_trans)
        bars = None if low is None or high is None else [[max(0.0, value - low)], [max(0.0, high - value)]]
        axes.errorbar(
            [run_cost], [value], yerr=bars, fmt=MARKERS[place // len(COLOURS) % len(MARKERS)], label=label_text(name),
            color=COLOURS[place % len(COLOURS)], markersize=6, linewidth=1.2, capsize=2,
            transform=axes.transData + shift,
        )  # fmt: skip
    front = pareto([(run_cost, value) for _, run_cost, value, *_ in points])
    if len(front) > 1:
        label = "front: no other run is\nboth cheaper and better"
        axes.plot(*zip(*front, strict=True), color=GREY, drawstyle="steps-post", zorder=1, label=label)
    axes.set_xscale("log")
    axes.margins(x=0.12)
    _space_ticks(axes)
    percent(axes)
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    return png(figure)


def _space_ticks(axes: Axes) -> None:
    """Labels of a logarithmic x axis that do not overlap: even steps on a short axis; 1, 2, 5 or only 1 on a long one.

    Call it after everything is drawn, since it reads the limits of the axis.
    """
    low, high = axes.get_xlim()
    even = MaxNLocator(5, steps=[1, 2, 5, 10]) if high < 5 * low else None
    axes.xaxis.set_major_locator(even or LogLocator(subs=(1, 2, 5) if high < 300 * low else (1,)))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_minor_formatter(NullFormatter())
