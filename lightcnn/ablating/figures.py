"""The charts of an ablation: scores over costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from lightcnn.budget import human
from lightcnn.output.charts.figures import BLUE, GREY, ORANGE, blank, label_text, logarithmic, pareto, percent
from lightcnn.output.charts.labels import label_points
from lightcnn.output.charts.plotting import ScaledTranslation
from lightcnn.output.charts.svg import Chart, chart

SIZE = (4.3, 3.3)
"""Inches of a chart, which has names beside its points."""
BESIDE_POINTS = 7
"""Points from one of several recipes of equal cost to the next."""


class ScoredRecipe(NamedTuple):
    """A trained recipe: its cost, and its score with its 95 % interval, if known.

    `shown` is whether it is shown to differ from the unchanged recipe; None for that recipe itself.
    """

    name: str
    cost: int
    score: float
    low: float | None
    high: float | None
    shown: bool | None

    @property
    def colour(self) -> str:
        """Blue for the unchanged recipe, orange for those that are shown to differ from it."""
        return BLUE if self.shown is None else ORANGE if self.shown else GREY


def score_over_cost(recipes: Sequence[ScoredRecipe], score: str, cost: str) -> Chart:
    """The score of each recipe over its cost, with the front of the best; those of equal cost are side by side.

    `score` and `cost` label the axes.
    """
    figure, axes = blank(cost, score, SIZE)
    ends = [(recipe.cost, end) for recipe in recipes for end in recipe[2:5] if end is not None]
    axes.plot(*zip(*ends, strict=True), linestyle="none")  # shifted points do not count for the limits of the axes
    drawn = [_draw(axes, recipe, shift) for recipe, shift in zip(recipes, _shifts(recipes), strict=True)]
    marks, intervals = [lines[-1] for lines in drawn], [line for lines in drawn for line in lines[:-1]]
    front = pareto([(recipe.cost, recipe.score) for recipe in recipes])
    if len(front) > 1:
        axes.plot(*zip(*front, strict=True), color=GREY, drawstyle="steps-post", linewidth=1, zorder=1)
    axes.margins(x=0.15)
    logarithmic(axes.xaxis, counts=True)
    percent(axes)
    label_points(axes, marks, [label_text(recipe.name) for recipe in recipes], size=8, avoid=intervals)
    texts = [_format(recipe, cost) for recipe in recipes]
    return chart(
        figure, f"{score.capitalize()} over {cost} of {len(recipes)} recipes. {'; '.join(texts[:3])}.",
        list(zip(marks, texts, strict=True)),
    )  # fmt: skip


def _shifts(recipes: Sequence[ScoredRecipe]) -> list[float]:
    """How many points each recipe is drawn beside its cost, so that equal costs do not hide each other."""
    costs = [recipe.cost for recipe in recipes]
    places = [costs[:place].count(cost) - (costs.count(cost) - 1) / 2 for place, cost in enumerate(costs)]
    return [BESIDE_POINTS * place for place in places]


def _draw(axes: Any, recipe: ScoredRecipe, shift: float) -> list[Any]:
    """Draws the interval of a recipe and its point, which is last, `shift` points beside its cost."""
    beside = axes.transData + ScaledTranslation(shift / 72, 0, axes.figure.dpi_scale_trans)
    point = axes.plot([recipe.cost], [recipe.score], "o", color=recipe.colour, markersize=6, transform=beside)
    if recipe.low is None or recipe.high is None:
        return list(point)
    ends = [recipe.low, recipe.high]
    return [*axes.plot([recipe.cost] * 2, ends, color=recipe.colour, linewidth=1.4, transform=beside), *point]


def _format(recipe: ScoredRecipe, cost: str) -> str:
    known = recipe.low is not None and recipe.high is not None
    interval = f" ({recipe.low:.2%} to {recipe.high:.2%})" if known else ""
    return f"{recipe.name}: {recipe.score:.2%}{interval}, {human(recipe.cost)} {cost}"
