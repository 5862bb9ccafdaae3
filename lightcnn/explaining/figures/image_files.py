"""The files of one explained image: maps, overlays on the whole image, the panel and the curves."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from lightcnn.explaining.explanation import Explanation
from lightcnn.explaining.figures.colours import Pixels
from lightcnn.explaining.figures.curves import curves_chart
from lightcnn.explaining.figures.panels import Canvas, overlay_map, panel
from lightcnn.explaining.images.image import ExplainedImage
from lightcnn.output.charts.figures import add_warning_bar, label_text, png, without_mathematics
from lightcnn.output.charts.plotting import Figure
from lightcnn.output.charts.svg import Chart
from lightcnn.text import visible

MAX_NAME_LENGTH = 34
"""Characters of an image's name in its panel; the end of the name is kept."""


@dataclass(frozen=True)
class FigureFiles:
    """The files of an image: `contents` by their names in the run folder, and the names of the files of each method.

    `chart` is that of the file `curves`, if it was drawn in this session.
    """

    contents: dict[str, bytes]
    panel: str
    curves: str | None
    maps: dict[str, str]
    overlays: dict[str, str]
    segments: dict[str, str]
    notes: tuple[str, ...] = ()
    chart: Chart | None = None


def make_files(number: int, image: ExplainedImage, explanations: Sequence[Explanation], warning: str) -> FigureFiles:
    """All files of the image with that number; a `warning` is drawn on its figures."""
    whole, size = image.whole()
    canvas = Canvas(whole, image.frame, image.mask)
    contents: dict[str, bytes] = {}
    maps, overlays, segments = {}, {}, {}
    for explanation in explanations:
        attribution = explanation.attribution
        method, name = attribution.method, f"{number:03}-{attribution.method}"
        maps[method], overlays[method] = f"maps/{name}.npy", f"overlays/{name}.png"
        contents[maps[method]] = _npy_bytes(attribution.map.astype(np.float32))
        contents[overlays[method]] = _png_bytes(overlay_map(canvas, explanation))
        if attribution.segments is not None:
            segments[method] = f"maps/{name}-segments.npy"
            contents[segments[method]] = _npy_bytes(attribution.segments)
    panel_name = f"panels/{number:03}.png"
    contents[panel_name] = figure_bytes(panel(canvas, explanations, _heading(image, explanations[0])), warning)
    drawn, curves_name = curves_chart(explanations), f"curves/{number:03}.png"
    if drawn is not None:
        contents[curves_name] = drawn.with_warning(warning).png
    notes = () if whole.shape[:2] == size else (f"overlays are reduced from {size[1]}×{size[0]} pixels",)
    curves = curves_name if drawn is not None else None
    return FigureFiles(contents, panel_name, curves, maps, overlays, segments, notes, drawn)


def figure_bytes(figure: Figure, warning: str) -> bytes:
    """A figure as a PNG file, with the warning drawn on it, if any."""
    content = png(figure)
    return add_warning_bar(content, warning) if warning else content


def _heading(image: ExplainedImage, explanation: Explanation) -> list[str]:
    """The lines below the image in its panel."""
    label = [f"labelled {label_text(image.label)}"] if image.label is not None else []
    prediction = f"predicted {label_text(explanation.prediction)}"
    target = f"explained: {label_text(explanation.target)}, p = {explanation.probability:.4f}"
    name = visible(image.name.rpartition("/")[2])
    name = name if len(name) <= MAX_NAME_LENGTH else f"…{name[1 - MAX_NAME_LENGTH :]}"
    return [without_mathematics(name), *label, prediction, target]


def _npy_bytes(values: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


def _png_bytes(pixels: Pixels) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG", compress_level=3)
    return stream.getvalue()
