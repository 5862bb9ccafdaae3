"""An explained image as a page shows it: the image, and the maps as layers above it whose opacity can be changed."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lightcnn.explaining.explanation import Explanation
from lightcnn.explaining.figures.colours import MASK_BLUE, Pixels, Scale, layer_pixels, outline, strongest_regions
from lightcnn.explaining.figures.curves import curves_chart
from lightcnn.explaining.figures.panels import Canvas, empty_reason
from lightcnn.explaining.images.image import ExplainedImage
from lightcnn.output.charts.svg import Chart

PHOTOGRAPH_QUALITY, PANEL_QUALITY = 88, 75
"""JPEG qualities; the text of a panel is legible at 75, and its file is half as large as at 88."""


@dataclass(frozen=True, eq=False)
class PageImage:
    """What the page shows of an image.

    `photograph` and `panel` are JPEG files, the latter that of panels/; `layers` are transparent PNG files by method,
    `empty` states why a map shows nothing, and `mask` is the outline of the ground truth, if known.
    """

    width: int
    height: int
    photograph: bytes
    layers: dict[str, bytes]
    empty: dict[str, str]
    mask: bytes | None
    panel: bytes
    curves: Chart | None


def page_image(
    image: ExplainedImage, explanations: Sequence[Explanation], panel: bytes, curves: Chart | None = None
) -> PageImage:
    """The image with its maps; `panel` is the PNG file of its panel, `curves` its chart if that is drawn already."""
    canvas = Canvas(image.whole()[0], image.frame, image.mask).fitted()
    empty = {each.attribution.method: reason for each in explanations if (reason := empty_reason(each))}
    layers = {
        each.attribution.method: _png(_layer(canvas, each))
        for each in explanations
        if each.attribution.method not in empty
    }
    pixels = canvas.image
    mask = None
    if image.mask is not None:
        inside = np.nan_to_num(canvas.project(image.mask.astype(np.float32))) >= 0.5
        mask = _png(outline(np.zeros((*pixels.shape[:2], 4), np.uint8), inside.astype(np.int32), MASK_BLUE))
    return PageImage(
        width=pixels.shape[1], height=pixels.shape[0],
        photograph=_jpeg(Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels), PHOTOGRAPH_QUALITY),
        layers=layers, empty=empty, mask=mask, panel=_jpeg(Image.open(io.BytesIO(panel)).convert("RGB"), PANEL_QUALITY),
        curves=curves or curves_chart(explanations),
    )  # fmt: skip


def _layer(canvas: Canvas, explanation: Explanation) -> Pixels:
    """The map alone, (H, W, 4): transparent where it is 0; the outlines of LIME are opaque."""
    attribution = explanation.attribution
    pixels = layer_pixels(canvas.map_of(attribution), Scale.of(attribution.method, [attribution.map]))
    if attribution.segments is None:
        return pixels
    chosen = strongest_regions(attribution.map, attribution.segments)
    regions = canvas.regions(attribution.segments)
    return outline(pixels, np.where(np.isin(regions, chosen), regions + 1, 0))


def _png(pixels: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG", optimize=True)
    return stream.getvalue()


def _jpeg(image: Image.Image, quality: int) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format="JPEG", quality=quality)
    return stream.getvalue()
