"""The files of one explained image: maps as they are, overlays on the whole picture, the panel and the curves."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from lightcnn.explaining.explanation import Explanation
from lightcnn.explaining.figures.colours import Pixels
from lightcnn.explaining.figures.panels import Canvas, curves, laid_over, panel
from lightcnn.explaining.images.image import Picture
from lightcnn.output.figures import add_warning_bar, label_text, png, without_mathematics
from lightcnn.text import visible

NAME = 34
"""Letters of an image's name in its panel, the last ones."""


@dataclass(frozen=True)
class Drawn:
    """The files of an image by their names in the run folder, and under which of them a method's are found."""

    files: dict[str, bytes]
    panel: str
    curves: str | None
    maps: dict[str, str]
    overlays: dict[str, str]
    segments: dict[str, str]
    notes: tuple[str, ...] = ()


def draw(number: int, picture: Picture, found: Sequence[Explanation], warning: str) -> Drawn:
    """All files of the image of that number; a `warning` is add_warning_bar on its figures."""
    whole, size = picture.whole()
    canvas = Canvas(whole, picture.frame, picture.mask)
    names = [f"{number:03}-{one.attribution.method}" for one in found]
    maps = {name: f"maps/{name}.npy" for name in names}
    overlays = {name: f"overlays/{name}.png" for name in names}
    files, segments = {}, {}
    for name, one in zip(names, found, strict=True):
        files[maps[name]] = _array(one.attribution.map.astype(np.float32))
        files[overlays[name]] = _picture(laid_over(canvas, one))
        if one.attribution.segments is not None:
            segments[one.attribution.method] = f"maps/{name}-segments.npy"
            files[f"maps/{name}-segments.npy"] = _array(one.attribution.segments)
    panel_name, curve_name = f"panels/{number:03}.png", f"curves/{number:03}.png"
    files[panel_name] = figure_bytes(panel(canvas, found, _heading(picture, found[0])), warning)
    lines = curves(found)
    if lines is not None:
        files[curve_name] = figure_bytes(lines, warning)
    told = () if whole.shape[:2] == size else (f"overlays are reduced from {size[1]}×{size[0]} pixels",)
    by_method = [one.attribution.method for one in found]
    return Drawn(
        files,
        panel_name,
        curve_name if lines is not None else None,
        dict(zip(by_method, maps.values(), strict=True)),
        dict(zip(by_method, overlays.values(), strict=True)),
        segments,
        told,
    )


def figure_bytes(figure: Figure, warning: str) -> bytes:
    """A figure as a PNG file, under a warning where there is one."""
    picture = png(figure)
    return add_warning_bar(picture, warning) if warning else picture


def _heading(picture: Picture, one: Explanation) -> list[str]:
    """What stands under the picture in its panel."""
    label = [f"labelled {label_text(picture.label)}"] if picture.label is not None else []
    said = f"predicted {label_text(one.prediction)}"
    asked = f"explained: {label_text(one.target)}, p = {one.probability:.4f}"
    name = visible(picture.name.rpartition("/")[2])
    return [without_mathematics(name if len(name) <= NAME else f"…{name[1 - NAME :]}"), *label, said, asked]


def _array(values: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


def _picture(pixels: Pixels) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG", compress_level=3)
    return stream.getvalue()
