"""The figure of a comparison: the scores of the runs next to the differences of all pairs, with 95 % intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lightcnn.comparing.pairs import Pair
from lightcnn.comparing.settings import METRICS
from lightcnn.output.charts.figures import BLUE, GREY, ORANGE, png, without_mathematics
from lightcnn.output.charts.plotting import Axes, Figure, PercentFormatter
from lightcnn.text import visible

MAX_DRAWN = 40
"""Pairs of a metric that are drawn: those with the largest differences."""
NAME_LENGTH = 28
"""Characters of a run's name."""

Scores = Mapping[str, tuple[float, float, float] | None]
"""Value, low and high (95 %) by metric; None for an undefined AUC."""


def difference_figure(runs: Mapping[str, Scores], pairs: Sequence[Pair]) -> bytes:
    """A PNG file with one row per metric: the scores of `runs` on the left, the differences on the right.

    Differences that are shown after Holm's correction are orange.
    """
    metrics = list(dict.fromkeys(pair.metric for pair in pairs))
    drawn = {metric: _largest([pair for pair in pairs if pair.metric == metric]) for metric in metrics}
    heights = [0.9 + 0.3 * max(len(runs), len(drawn[metric])) for metric in metrics]
    figure = Figure(figsize=(10.5, sum(heights)), layout="constrained")
    grid = figure.subplots(len(metrics), 2, squeeze=False, height_ratios=heights)
    for (left, right), metric in zip(grid, metrics, strict=True):
        _draw_scores(left, runs, metric)
        _draw_differences(right, drawn[metric])
        left.set_xlabel(METRICS[metric])
        right.set_xlabel(f"difference in {METRICS[metric]}" + ("" if metric == "auc" else ", points"))
        if metric != "auc":
            left.xaxis.set_major_formatter(PercentFormatter(1))
            right.xaxis.set_major_formatter(PercentFormatter(1, symbol=""))
    return png(figure)


def _largest(pairs: Sequence[Pair]) -> list[Pair]:
    """The `MAX_DRAWN` pairs with the largest differences, in their order."""
    largest = sorted(pairs, key=lambda pair: -abs(pair.estimate.difference))[:MAX_DRAWN]
    return [pair for pair in pairs if pair in largest]


def _draw_scores(axes: Axes, runs: Mapping[str, Scores], metric: str) -> None:
    for row, scores in enumerate(runs.values()):
        if (score := scores[metric]) is not None:
            _draw_interval(axes, row, score, BLUE)
    _name_rows(axes, [_shorten(name) for name in runs])


def _draw_differences(axes: Axes, pairs: Sequence[Pair]) -> None:
    axes.axvline(0, color=GREY, linewidth=1)
    for row, pair in enumerate(pairs):
        estimate, colour = pair.estimate, ORANGE if pair.shown else GREY
        low, high = (estimate.difference if edge is None else edge for edge in (estimate.low, estimate.high))
        _draw_interval(axes, row, (estimate.difference, low, high), colour)
    _name_rows(axes, [f"{_shorten(pair.a)} − {_shorten(pair.b)}" for pair in pairs])


def _draw_interval(axes: Axes, row: int, score: tuple[float, float, float], colour: str) -> None:
    value, low, high = score
    axes.plot([low, high], [row, row], color=colour, linewidth=1.6)
    axes.plot([value], [row], "o", color=colour, markersize=5)


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), [without_mathematics(name) for name in names], fontsize=8)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)


def _shorten(name: str) -> str:
    """The end of a name: runs in one folder differ there."""
    text = visible(name)
    return text if len(text) <= NAME_LENGTH else "…" + text[1 - NAME_LENGTH :]
