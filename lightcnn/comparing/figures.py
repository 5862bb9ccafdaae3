"""The charts of a comparison: forest plots of the differences of all pairs, and of the scores of the runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from lightcnn.comparing.pairs import Pair
from lightcnn.comparing.settings import METRICS
from lightcnn.comparing.wording import format_signed, sentence
from lightcnn.output.charts.figures import GREY, INK, ORANGE, SIZE, name_axes, percent_ticks, without_mathematics
from lightcnn.output.charts.forest import NAMED_ROW_INCHES, ForestRow, draw_forest
from lightcnn.output.charts.plotting import Axes, Figure
from lightcnn.output.charts.svg import Chart, chart
from lightcnn.text import visible

MAX_DRAWN = 12
"""Pairs or runs of a metric that are drawn: pairs with the largest differences, runs with the largest scores."""
NAME_LENGTH = 26
"""Characters of a run's name."""
PANEL_INCHES = 0.8
"""Height of a metric without its rows."""

Scores = Mapping[str, tuple[float, float, float] | None]
"""Value, low and high (95 %) by metric; None for an undefined AUC."""
Row = TypeVar("Row")
Draw = Callable[[Axes, str], Sequence[tuple[object, str]]]
"""Draws the rows of a metric, and returns its marks with their tips."""


def difference_chart(pairs: Sequence[Pair]) -> Chart:
    """The differences of all pairs, one panel per metric; those shown after Holm's correction are orange."""
    drawn = {
        metric: _largest([pair for pair in pairs if pair.metric == metric], lambda pair: abs(pair.estimate.difference))
        for metric in dict.fromkeys(pair.metric for pair in pairs)
    }

    def draw(axes: Axes, metric: str) -> Sequence[tuple[object, str]]:
        marks = draw_forest(axes, [_difference_row(pair) for pair in drawn[metric]], names_above=True)
        axes.axvline(0, color=INK, linewidth=1)
        name_axes(axes, f"difference in {METRICS[metric]}" + ("" if metric == "auc" else ", points"), "")
        if metric != "auc":
            percent_ticks(axes.xaxis, unit="")
        return list(zip(marks, map(sentence, drawn[metric]), strict=True))

    largest = max(pairs, key=lambda pair: (pair.metric == pairs[0].metric, abs(pair.estimate.difference)))
    description = f"Differences with 95 % intervals of {len(pairs)} pairs and metrics. {sentence(largest)}"
    return _panels({metric: len(rows) for metric, rows in drawn.items()}, draw, description)


def score_chart(runs: Mapping[str, Scores], metrics: Sequence[str]) -> Chart:
    """The scores of runs, one panel per metric."""
    drawn = {
        metric: _largest([(name, score) for name, scores in runs.items() if (score := scores[metric])],
                         lambda run: run[1][0])
        for metric in metrics
    }  # fmt: skip

    def draw(axes: Axes, metric: str) -> Sequence[tuple[object, str]]:
        rows = [ForestRow(_shorten(name), *score, _format(metric, score[0])) for name, score in drawn[metric]]
        texts = [
            f"{name}: {_format(metric, value)} ({_format(metric, low)} to {_format(metric, high)})"
            for name, (value, low, high) in drawn[metric]
        ]
        marks = draw_forest(axes, rows, names_above=True)
        name_axes(axes, METRICS[metric], "")
        if metric != "auc":
            percent_ticks(axes.xaxis)
        return list(zip(marks, texts, strict=True))

    best = ", ".join(f"{name} {_format(metrics[0], score[0])}" for name, score in drawn[metrics[0]][:3])
    description = f"Scores of {len(runs)} runs with 95 % intervals; {METRICS[metrics[0]]}: {best}."
    return _panels({metric: len(rows) for metric, rows in drawn.items()}, draw, description)


def _panels(rows: Mapping[str, int], draw: Draw, description: str) -> Chart:
    """A chart with a panel per metric, as high as its number of rows needs."""
    heights = [PANEL_INCHES + NAMED_ROW_INCHES * count for count in rows.values()]
    figure = Figure(figsize=(SIZE[0], sum(heights)), layout="constrained")
    panels = figure.subplots(len(rows), 1, squeeze=False, height_ratios=heights)
    tips = [tip for (axes,), metric in zip(panels, rows, strict=True) for tip in draw(axes, metric)]
    return chart(figure, description, tips)


def _largest(rows: Sequence[Row], size: Callable[[Row], float]) -> list[Row]:
    """The `MAX_DRAWN` largest rows, in their order."""
    kept = sorted(range(len(rows)), key=lambda place: -size(rows[place]))[:MAX_DRAWN]
    return [rows[place] for place in sorted(kept)]


def _difference_row(pair: Pair) -> ForestRow:
    estimate = pair.estimate
    text = format_signed(pair, estimate.difference).removesuffix(" points")
    name = f"{_shorten(pair.a)} − {_shorten(pair.b)}"
    return ForestRow(name, estimate.difference, estimate.low, estimate.high, text, ORANGE if pair.shown else GREY)


def _format(metric: str, value: float) -> str:
    return f"{value:.4f}" if metric == "auc" else f"{value:.2%}"


def _shorten(name: str) -> str:
    """The end of a name, without mathematics: runs in one folder differ there."""
    text = visible(name)
    return without_mathematics(text if len(text) <= NAME_LENGTH else "…" + text[1 - NAME_LENGTH :])
