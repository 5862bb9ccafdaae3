"""Figures of a profile, and the page that shows them."""

from __future__ import annotations

import re

from helpers.pages import read_page
from helpers.profile_rows import report_of, rows
from matplotlib.collections import LineCollection

from lightcnn.output.charts.figures import BLUE
from lightcnn.output.charts.plotting import Figure
from lightcnn.profiling.figures import BARS, _bars, draw_figures
from lightcnn.profiling.page import CAPTIONS, profile_page


def test_every_figure_is_drawn_and_has_a_caption() -> None:
    assert draw_figures(rows()).keys() == CAPTIONS.keys()
    assert draw_figures(rows()[2:]).keys() == {"disk"}
    assert all(figure.png.startswith(b"\x89PNG") for figure in draw_figures(rows()[:1]).values())
    assert "lightcnn profile" in read_page(profile_page(report_of([]), {}, {}))


def test_every_point_and_bar_has_its_text() -> None:
    drawn_rows = rows()[:2]
    charts = draw_figures(drawn_rows)
    for name, chart in charts.items():
        texts = re.findall(r'class="tip"[^>]*>.*?<title>(.*?)</title>', str(chart.svg))
        assert [text.split(",")[0] for text in texts][:2] == ["one|$&amp;", "other"], name
        assert len(texts) == (4 if name in BARS else 2)
        assert "one|$&" in chart.description and chart.description.endswith(".")
    page = read_page(profile_page(report_of(drawn_rows), charts, {}))
    assert page.count('<svg class="chart"') == len(CAPTIONS)


def test_times_are_drawn_up_to_their_95th_percentile() -> None:
    figure = Figure()
    bars = _bars(figure.add_subplot(), [2.0, 4.0], BLUE, tails=[0.5, 0.0])
    (lines,) = [item for item in figure.axes[0].collections if isinstance(item, LineCollection)]
    assert [bar.get_width() for bar in bars] == [2.0, 4.0]
    assert [segment[:, 0].tolist() for segment in lines.get_segments()] == [[2.0, 2.5], [4.0, 4.0]]


def test_the_best_network_by_each_measure_is_named_first() -> None:
    page = read_page(profile_page(report_of(rows()), draw_figures(rows()), {}))
    first = page.partition("<table")[0]
    assert "Best of these networks" in first and "<dt>most accurate</dt><dd>one|$&: 90.00%</dd>" in first
    alone = read_page(profile_page(report_of(rows()[2:]), {}, {}))
    assert "<h1>bare</h1>" in alone and "Best of these networks" not in alone
