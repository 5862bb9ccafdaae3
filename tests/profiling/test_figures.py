"""Figures of a profile, and the page that shows them."""

from __future__ import annotations

from io import BytesIO

from helpers.pages import read_page
from helpers.profile_rows import report_of, rows
from PIL import Image

from lightcnn.profiling.figures import draw_figures
from lightcnn.profiling.page import CAPTIONS, profile_page


def test_every_figure_is_drawn_and_has_a_caption() -> None:
    assert draw_figures(rows()).keys() == CAPTIONS.keys()
    assert draw_figures(rows()[2:]).keys() == {"disk"}
    assert all(figure.png.startswith(b"\x89PNG") for figure in draw_figures(rows()[:1]).values())
    assert "lightcnn profile" in read_page(profile_page(report_of([]), {}, {}))


def test_every_point_and_bar_has_its_text_where_it_is_drawn() -> None:
    drawn_rows = rows()[:2]
    for name, figure in draw_figures(drawn_rows).items():
        assert len(figure.spots) == (4 if name == "score_time" else 2)
        assert [spot.text.split(",")[0] for spot in figure.spots[:2]] == ["one|$&", "other"]
        assert all(0 <= edge <= 1 for s in figure.spots for edge in (s.left, s.top, s.left + s.width, s.top + s.height))
        image = Image.open(BytesIO(figure.png)).convert("RGB")
        for spot in figure.spots:
            middle = (spot.left + spot.width / 2) * image.width, (spot.top + spot.height / 2) * image.height
            red, green, blue = image.getpixel((int(middle[0]), int(middle[1])))  # type: ignore[misc]
            assert max(red, green, blue) - min(red, green, blue) > 40, f"{name}: no colour at the spot of {spot.text}"
    page = profile_page(report_of(drawn_rows), draw_figures(drawn_rows), {}).decode()
    assert page.count('aria-label="one|$&amp;, ') == len(CAPTIONS) + 1
