"""The figure of one image: the image, each method's map with its colour bar, the overlay, and the checks in words."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lightcnn.explaining.checks.map_sanity import WARNINGS, energy, missing_order
from lightcnn.explaining.explanation import Explanation
from lightcnn.explaining.figures.colours import Map, Pixels, Scale, outline_regions, overlay, strongest_regions
from lightcnn.explaining.images.projection import Frame
from lightcnn.explaining.methods.attribution import Attribution
from lightcnn.explaining.methods.catalogue import is_rectified, title_of, unit_of
from lightcnn.explaining.terminal import format_check, ordered_checks
from lightcnn.output.charts.figures import BLUE, without_mathematics
from lightcnn.output.charts.plotting import Axes, Figure, MaxNLocator
from lightcnn.text import visible

IMAGE_PIXELS = 420
"""Pixels of the larger of height and width of an image in a figure."""
COLUMN_INCHES = 2.7
LINE_LENGTH = 38
"""Characters of a line of text below a column."""


@dataclass(frozen=True, eq=False)
class Canvas:
    """An image (H, W, 1 or 3) on which maps of the network's input are drawn.

    `frame` describes where the input lies in the image; without it a map has the size of the image. Everything is
    enlarged `zoom` times, so that lines are thinner than the pixels of a small image, and every pixel of a map that is
    finer than its image is visible.
    """

    pixels: Pixels
    frame: Frame | None = None
    mask: NDArray[np.bool_] | None = None
    zoom: int = 1

    def fitted(self) -> Canvas:
        """The same at the size of a figure: with a frame at most IMAGE_PIXELS, and never less than half of that."""
        pixels = self.pixels
        if self.frame is not None:
            image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
            image.thumbnail((IMAGE_PIXELS, IMAGE_PIXELS), Image.Resampling.BILINEAR)
            pixels = np.asarray(image, dtype=np.uint8).reshape(image.height, image.width, -1)
        return replace(self, pixels=pixels, zoom=max(1, IMAGE_PIXELS // max(pixels.shape)))

    @property
    def image(self) -> Pixels:
        """The image, enlarged."""
        return self._enlarged(self.pixels)

    def project(self, values: Map) -> Map:
        """A map of the input at the size of the image; nan where the network saw nothing."""
        if self.frame is None:
            return self._enlarged(values)
        height, width = (self.zoom * length for length in self.pixels.shape[:2])
        return self.frame.onto(values.astype(np.float32), height, width)

    def regions(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Numbers of regions of the input at the size of the image; -1 where the network saw nothing."""
        if self.frame is None:
            return self._enlarged(numbers)
        height, width = (self.zoom * length for length in self.pixels.shape[:2])
        return self.frame.nearest(numbers, height, width)

    def map_of(self, attribution: Attribution) -> Map:
        """A map at the size of the image; LIME's by superpixel, since there is nothing between two of them."""
        if attribution.segments is None:
            return self.project(attribution.map)
        regions = self.regions(attribution.segments)
        weights = np.full(int(attribution.segments.max()) + 1, np.nan, dtype=np.float32)
        weights[attribution.segments] = attribution.map
        return np.where(regions < 0, np.nan, weights[regions])

    def _enlarged(self, values: NDArray[Any]) -> NDArray[Any]:
        return values if self.zoom == 1 else values.repeat(self.zoom, axis=0).repeat(self.zoom, axis=1)


def overlay_map(canvas: Canvas, explanation: Explanation, scale: Scale | None = None) -> Pixels:
    """The image with a map over it, uint8 (H, W, 3), and outlines for LIME; grey for a map that shows nothing."""
    attribution = explanation.attribution
    if empty_reason(explanation):
        grey = canvas.image.mean(axis=2, keepdims=True).astype(np.uint8)
        return np.repeat(grey, 3, axis=2)
    scale = scale or Scale.of(attribution.method, [attribution.map])
    image = overlay(canvas.image, canvas.map_of(attribution), scale)
    if attribution.segments is None:
        return image
    regions = canvas.regions(attribution.segments)
    return outline_regions(image, regions, strongest_regions(attribution.map, attribution.segments))


def empty_reason(explanation: Explanation) -> str:
    """Why a map shows nothing, in words; empty if it shows something."""
    attribution = explanation.attribution
    if why := missing_order(attribution.map):
        return WARNINGS[why]
    return WARNINGS["negative"] if is_rectified(attribution.method) and not energy(attribution.map).any() else ""


def panel(canvas: Canvas, explanations: Sequence[Explanation], heading: Sequence[str] = ()) -> Figure:
    """The image and what the network saw of it; for every method the map, the overlay and the checks in words."""
    canvas = canvas.fitted()
    height, width = canvas.pixels.shape[:2]
    tall = min(2.2, max(0.5, height / width)) * (COLUMN_INCHES - 0.5)
    texts = [_text_lines(explanation) for explanation in explanations]
    room = 0.14 * max([len(lines) for lines in texts], default=1) + 0.1
    size = (COLUMN_INCHES * (1 + len(explanations)), 2 * tall + room + 0.7)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(3, 1 + len(explanations), height_ratios=(tall, tall, room), squeeze=False)
    _draw_image(grid[0, 0], canvas)
    _draw_pixels(grid[1, 0], explanations[0].seen)
    grid[1, 0].set_xlabel("as the network saw it", fontsize=7, labelpad=2)
    grid[2, 0].axis("off")
    grid[2, 0].text(0, 1, "\n".join(heading), va="top", fontsize=8, linespacing=1.4)
    for column, (explanation, lines) in enumerate(zip(explanations, texts, strict=True), 1):
        _draw_map(figure, grid[0, column], canvas, explanation)
        _draw_pixels(grid[1, column], overlay_map(canvas, explanation))
        grid[2, column].axis("off")
        grid[2, column].text(0, 1, "\n".join(lines), va="top", fontsize=7, linespacing=1.35)
    return figure


def _draw_image(axes: Axes, canvas: Canvas) -> None:
    """The image, with the outline of its ground-truth mask if there is one."""
    _draw_pixels(axes, canvas.image)
    axes.set_title("image", fontsize=9)
    if canvas.mask is not None:
        inside = np.nan_to_num(canvas.project(canvas.mask.astype(np.float32)))
        axes.contour(inside, [0.5], colors=["white"], linewidths=2.2)
        axes.contour(inside, [0.5], colors=[BLUE], linewidths=1.2)


def _draw_map(figure: Figure, axes: Axes, canvas: Canvas, explanation: Explanation) -> None:
    """A map with its colour bar, or the reason why it shows nothing."""
    attribution = explanation.attribution
    axes.set_title(title_of(attribution.method), fontsize=9)
    layer = textwrap.wrap(without_mathematics(visible(f"at {attribution.layer}")), LINE_LENGTH)
    axes.set_xlabel("\n".join(layer) if attribution.layer else unit_of(attribution.method), fontsize=7, labelpad=2)
    if why := empty_reason(explanation):
        _remove_ticks(axes)
        axes.set_facecolor("#e1e1e1")
        axes.text(
            0.5, 0.5, "\n".join(textwrap.wrap(why, 24)), transform=axes.transAxes, ha="center", va="center", fontsize=8
        )
        return
    scale = Scale.of(attribution.method, [attribution.map])
    add_colour_bar(figure, axes, draw_scaled_map(axes, canvas.map_of(attribution), scale))


def draw_scaled_map(axes: Axes, values: Map, scale: Scale) -> object:
    """Draws a map on a scale; what the network did not see is grey."""
    axes.set_facecolor("#cccccc")
    _remove_ticks(axes)
    return axes.imshow(values, cmap=scale.colours, vmin=scale.low, vmax=scale.high, interpolation="nearest")


def add_colour_bar(figure: Figure, axes: Axes | Sequence[Axes], image: object) -> None:
    """Adds the colour bar of a map, with few numbers."""
    bar = figure.colorbar(image, ax=axes, fraction=0.046, pad=0.02)  # type: ignore[arg-type]
    bar.locator = MaxNLocator(4)
    bar.formatter.set_powerlimits((-2, 3))  # type: ignore[attr-defined]
    bar.ax.tick_params(labelsize=6)
    bar.ax.yaxis.get_offset_text().set_fontsize(6)
    bar.update_ticks()


def _draw_pixels(axes: Axes, pixels: Pixels) -> None:
    _remove_ticks(axes)
    if pixels.shape[2] == 1:
        axes.imshow(pixels[..., 0], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    else:
        axes.imshow(pixels, interpolation="nearest")


def _remove_ticks(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])


def _text_lines(explanation: Explanation) -> list[str]:
    """The checks and the notes of a map, wrapped into lines."""
    texts = [format_check(name, check) for name, check in ordered_checks(explanation.checks)]
    texts += [f"note: {note}" for note in explanation.attribution.notes]
    return [
        without_mathematics(line)
        for text in texts
        for line in textwrap.wrap(text, LINE_LENGTH, subsequent_indent="   ")
    ]
