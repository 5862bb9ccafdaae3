"""The figure of a comparison: the runs' scores, and beside them the differences of all pairs, with 95 % intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lightcnn.comparing.pairs import Pair
from lightcnn.comparing.settings import TITLES
from lightcnn.output.figures import BLUE, GREY, ORANGE, png, without_mathematics
from lightcnn.text import visible

SHOWN = 40
"""Pairs of a metric that are drawn: those of the largest differences."""
NAME = 28
"""Characters of a run's name."""

Scores = Mapping[str, tuple[float, float, float] | None]


def forest(runs: Mapping[str, Scores], pairs: Sequence[Pair]) -> bytes:
    """A row a metric: scores of the runs on the left, differences on the right; shown ones in orange."""
    metrics = list(dict.fromkeys(pair.metric for pair in pairs))
    drawn = {metric: _largest([pair for pair in pairs if pair.metric == metric]) for metric in metrics}
    heights = [0.9 + 0.3 * max(len(runs), len(drawn[metric])) for metric in metrics]
    figure = Figure(figsize=(10.5, sum(heights)), layout="constrained")
    grid = figure.subplots(len(metrics), 2, squeeze=False, height_ratios=heights)
    for (left, right), metric in zip(grid, metrics, strict=True):
        _scores(left, runs, metric)
        _differences(right, drawn[metric])
        left.set_xlabel(TITLES[metric])
        right.set_xlabel(f"difference in {TITLES[metric]}" + ("" if metric == "auc" else ", points"))
        if metric != "auc":
            left.xaxis.set_major_formatter(PercentFormatter(1))
            right.xaxis.set_major_formatter(PercentFormatter(1, symbol=""))
    return png(figure)


def _largest(pairs: Sequence[Pair]) -> list[Pair]:
    kept = sorted(pairs, key=lambda pair: -abs(pair.estimate.difference))[:SHOWN]
    return [pair for pair in pairs if pair in kept]


def _scores(axes: Axes, runs: Mapping[str, Scores], metric: str) -> None:
    for place, scores in enumerate(runs.values()):
        if (score := scores[metric]) is not None:
            _interval(axes, place, score, BLUE)
    _rows(axes, [_short(name) for name in runs])


def _differences(axes: Axes, pairs: Sequence[Pair]) -> None:
    axes.axvline(0, color=GREY, linewidth=1)
    for place, pair in enumerate(pairs):
        found, colour = pair.estimate, ORANGE if pair.shown else GREY
        low, high = (found.difference if edge is None else edge for edge in (found.low, found.high))
        _interval(axes, place, (found.difference, low, high), colour)
    _rows(axes, [f"{_short(pair.a)} − {_short(pair.b)}" for pair in pairs])


def _interval(axes: Axes, place: int, score: tuple[float, float, float], colour: str) -> None:
    value, low, high = score
    axes.plot([low, high], [place, place], color=colour, linewidth=1.6)
    axes.plot([value], [place], "o", color=colour, markersize=5)


def _rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), [without_mathematics(name) for name in names], fontsize=8)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)


def _short(name: str) -> str:
    shown = visible(name)
    return shown if len(shown) <= NAME else "…" + shown[1 - NAME :]
