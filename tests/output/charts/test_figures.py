"""Labels, the front, and the warning bar."""

from __future__ import annotations

from typing import Any

import pytest
from helpers.figures import read_image
from matplotlib.layout_engine import ConstrainedLayoutEngine

from lightcnn.evaluation import figures
from lightcnn.output.charts import fonts
from lightcnn.output.charts.figures import MAX_LABEL_LETTERS, add_warning_bar, blank, label_text, pareto, png
from lightcnn.output.charts.plotting import Figure, mpl
from lightcnn.output.charts.svg import Chart, chart


def test_names_are_short_single_lines_without_mathematics() -> None:
    assert label_text("a\nb") == "a\\nb"
    assert label_text("$x$") == r"\$x\$"
    assert label_text("x" * 300) == "x" * (MAX_LABEL_LETTERS - 1) + "…"


def test_characters_that_no_font_has_are_escaped_and_the_figure_explains_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "_drawable_characters", lambda: frozenset(range(0x250)))
    assert label_text("良性") == r"\u826f\u6027"
    assert label_text("caf\xe9") == "caf\xe9"
    figure, axes = blank("x", "y")
    png(figure)
    assert figure.get_supxlabel() == ""
    axes.set_title(label_text("😀"))
    png(figure)
    assert axes.get_title() == r"\U0001f600"
    assert figure.get_supxlabel() == fonts.NOTE


@pytest.mark.parametrize("engine", ["figure.autolayout", "figure.constrained_layout.use"])
def test_a_chart_does_not_depend_on_the_layout_engine_of_the_user(engine: str) -> None:
    def drawn() -> Chart:
        figure, axes = blank("x", "y")
        figure.colorbar(axes.imshow([[0, 1], [2, 3]]))
        return chart(figure, "a map")

    expected = drawn()
    with mpl.rc_context({engine: True}):
        assert drawn() == expected


def test_a_chart_is_laid_out_once_and_drawn_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    for owner, name in ((Figure, "draw"), (ConstrainedLayoutEngine, "execute")):
        original = getattr(owner, name)

        def counted(*arguments: Any, name: str = name, original: Any = original) -> object:
            calls.append(name)
            return original(*arguments)

        monkeypatch.setattr(owner, name, counted)
    chart(blank("x", "y")[0], "empty")
    assert sorted(calls) == ["draw", "draw", "execute"]


def test_installed_fonts_complete_that_of_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "fallback_families", lambda: ("DejaVu Serif",))
    figure, axes = blank("é", "y")
    fonts.use_fallbacks(figure)
    assert axes.xaxis.get_label().get_fontfamily()[-1] == "DejaVu Serif"


def test_no_point_is_both_cheaper_and_better_than_one_on_the_front() -> None:
    points = [(30, 0.8), (10, 0.7), (20, 0.6), (30, 0.9), (40, 0.9), (10, 0.5)]
    assert pareto(points) == [(10, 0.7), (30, 0.9)]
    assert pareto(points[:1]) == points[:1]


def test_a_warning_bar_is_red_and_above_the_image() -> None:
    plain = figures.confusion([[1, 2], [3, 4]], ("a", "b")).png
    before, after = read_image(plain), read_image(add_warning_bar(plain, "STAND-IN"))
    assert after.size == (before.size[0], before.size[1] + 26)
    assert after.getpixel((after.size[0] - 1, 5)) == (176, 0, 32)
