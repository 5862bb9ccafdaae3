"""Scores of several runs over what they cost, as PNG bytes."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullFormatter
from matplotlib.transforms import ScaledTranslation

from lightcnn.output.figures import COLOURS, GREY, MARKERS, blank, label_text, pareto, percent, png


def score_against_cost(
    points: Sequence[tuple[str, int, float, float | None, float | None]],
    score: str,
    cost: str = "multiply-adds, one image",
) -> bytes:
    """Runs as (name, cost, score, low, high), their 95 % intervals where known, and the front of the best.

    Runs of one cost stand side by side, and the axis says so. `score` and `cost` name the axes.
    """
    costs = [spent for _, spent, *_ in points]
    beside = " (runs of one cost stand side by side)" if len(set(costs)) < len(costs) else ""
    figure, axes = blank(cost + beside, score, (8.6, 4.6))
    ends = [(spent, end) for _, spent, *values in points for end in values if end is not None]
    axes.plot(*zip(*ends, strict=True), linestyle="none")  # what is shifted aside does not count for the limits
    for place, (name, spent, value, low, high) in enumerate(points):
        same = [other for other, cost_of in enumerate(costs) if cost_of == spent]
        aside = ScaledTranslation((same.index(place) - (len(same) - 1) / 2) * 7 / 72, 0, figure.dpi_scale_trans)
        bars = None if low is None or high is None else [[max(0.0, value - low)], [max(0.0, high - value)]]
        axes.errorbar(
            [spent], [value], yerr=bars, fmt=MARKERS[place // len(COLOURS) % len(MARKERS)], label=label_text(name),
            color=COLOURS[place % len(COLOURS)], markersize=6, linewidth=1.2, capsize=2,
            transform=axes.transData + aside,
        )  # fmt: skip
    best = pareto([(spent, value) for _, spent, value, *_ in points])
    if len(best) > 1:
        named = "front: none is both\ncheaper and better"
        axes.plot(*zip(*best, strict=True), color=GREY, drawstyle="steps-post", zorder=1, label=named)
    axes.set_xscale("log")
    axes.margins(x=0.12)
    _few_ticks(axes)
    percent(axes)
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    return png(figure)


def _few_ticks(axes: Axes) -> None:
    """Labels of a horizontal log axis that keep apart: even steps on a short one, 1, 2 and 5 or 1 alone on a long one.

    To be called when everything is drawn, since it looks at the axis's ends.
    """
    low, high = axes.get_xlim()
    even = MaxNLocator(5, steps=[1, 2, 5, 10]) if high < 5 * low else None
    axes.xaxis.set_major_locator(even or LogLocator(subs=(1, 2, 5) if high < 300 * low else (1,)))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_minor_formatter(NullFormatter())
