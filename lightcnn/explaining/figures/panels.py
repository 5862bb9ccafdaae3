"""The figure of one image: the picture, each method's map with its colour bar, the overlay, and the checks in words."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image

from lightcnn.explaining.checks.map_sanity import WORDS, energy, fault
from lightcnn.explaining.checks.summary import TITLES
from lightcnn.explaining.explanation import Explanation
from lightcnn.explaining.figures.colours import RECTIFIED, Map, Pixels, Scale, outlined, overlay, strongest
from lightcnn.explaining.images.projection import Frame
from lightcnn.explaining.methods.attribution import Attribution
from lightcnn.explaining.terminal import brief, ordered
from lightcnn.output.figures import BLUE, COLOURS, GREY, label_text, name_axes, without_mathematics
from lightcnn.text import visible

SIDE = 420
"""Pixels of the longer side in which a picture is drawn in a figure."""
COLUMN = 2.7
"""Width of a column, in inches."""
LETTERS = 38
"""Of a line of text under a column."""
UNITS = {"ig": "of the logit, by pixel", "lime": "of the probability", "occlusion": "of the logit"}
"""What the numbers of a map are shares of; those of Grad-CAM and its kin have no unit, and the layer is told."""
CONTROLS = {"random": ":", "centre": "--", "edges": "-."}


@dataclass(frozen=True, eq=False)
class Canvas:
    """A picture (H, W, 1 or 3) that maps of the input are laid on, by its frame; without one they are its size.

    Everything is `zoom` times as large: lines on small pictures are then thinner than their pixels, and a map that is
    finer than its picture is seen in full.
    """

    pixels: Pixels
    frame: Frame | None = None
    mask: NDArray[np.bool_] | None = None
    zoom: int = 1

    def fitted(self) -> Canvas:
        """The same for a figure: with a frame at most SIDE pixels, and none smaller than half of that."""
        pixels = self.pixels
        if self.frame is not None:
            picture = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
            picture.thumbnail((SIDE, SIDE), Image.Resampling.BILINEAR)
            pixels = np.asarray(picture, dtype=np.uint8).reshape(picture.height, picture.width, -1)
        return replace(self, pixels=pixels, zoom=max(1, SIDE // max(pixels.shape)))

    @property
    def picture(self) -> Pixels:
        """The picture, zoomed."""
        return self._zoomed(self.pixels)

    def lay(self, found: Map) -> Map:
        """A map of the input over the picture, nan where the network saw nothing."""
        if self.frame is None:
            return self._zoomed(found)
        height, width = (self.zoom * side for side in self.pixels.shape[:2])
        return self.frame.onto(found.astype(np.float32), height, width)

    def regions(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Regions of the input over the picture, -1 where the network saw nothing."""
        if self.frame is None:
            return self._zoomed(numbers)
        height, width = (self.zoom * side for side in self.pixels.shape[:2])
        return self.frame.nearest(numbers, height, width)

    def _zoomed(self, values: NDArray[Any]) -> NDArray[Any]:
        return values if self.zoom == 1 else values.repeat(self.zoom, axis=0).repeat(self.zoom, axis=1)


def laid_over(canvas: Canvas, one: Explanation, scale: Scale | None = None) -> Pixels:
    """The picture under a map, uint8 (H, W, 3), LIME's with outlines; a map without an order leaves it grey."""
    found = one.attribution
    if silence(one):
        grey = canvas.picture.mean(axis=2, keepdims=True).astype(np.uint8)
        return np.repeat(grey, 3, axis=2)
    scale = scale or Scale.of(found.method, [found.map])
    picture = overlay(canvas.picture, _laid(canvas, found), scale)
    if found.segments is None:
        return picture
    return outlined(picture, canvas.regions(found.segments), strongest(found.map, found.segments))


def _laid(canvas: Canvas, found: Attribution) -> Map:
    """A map over the picture; LIME's superpixel by superpixel, since between two of them there is nothing."""
    if found.segments is None:
        return canvas.lay(found.map)
    regions = canvas.regions(found.segments)
    weights = np.full(int(found.segments.max()) + 1, np.nan, dtype=np.float32)
    weights[found.segments] = found.map
    return np.where(regions < 0, np.nan, weights[regions])


def silence(one: Explanation) -> str:
    """Why a map shows nothing, in words; empty where it does."""
    found = one.attribution
    if why := fault(found.map):
        return WORDS[why]
    return WORDS["negative"] if found.method in RECTIFIED and not energy(found.map).any() else ""


def panel(canvas: Canvas, found: Sequence[Explanation], heading: Sequence[str] = ()) -> Figure:
    """The picture, and what the network saw of it; of every method the map, the overlay and the checks in words."""
    canvas = canvas.fitted()
    height, width = canvas.pixels.shape[:2]
    tall = min(2.2, max(0.5, height / width)) * (COLUMN - 0.5)
    texts = [_lines(one) for one in found]
    room = 0.14 * max([len(lines) for lines in texts], default=1) + 0.1
    figure = Figure(figsize=(COLUMN * (1 + len(found)), 2 * tall + room + 0.7), layout="constrained")
    grid = figure.subplots(3, 1 + len(found), height_ratios=(tall, tall, room), squeeze=False)
    _picture(grid[0, 0], canvas)
    _show(grid[1, 0], found[0].seen)
    grid[1, 0].set_xlabel("as the network saw it", fontsize=7, labelpad=2)
    grid[2, 0].axis("off")
    grid[2, 0].text(0, 1, "\n".join(heading), va="top", fontsize=8, linespacing=1.4)
    for column, (one, lines) in enumerate(zip(found, texts, strict=True), 1):
        _map(figure, grid[0, column], canvas, one)
        _show(grid[1, column], laid_over(canvas, one))
        grid[2, column].axis("off")
        grid[2, column].text(0, 1, "\n".join(lines), va="top", fontsize=7, linespacing=1.35)
    return figure


def curves(found: Sequence[Explanation]) -> Figure | None:
    """Deletion and insertion of all methods, with the controls in grey; None where no check has curves."""
    with_curves = [one for one in found if "deletion" in one.checks and one.checks["deletion"]["curves"]]
    if not with_curves:
        return None
    figure = Figure(figsize=(7.4, 2.7), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2, sharey=True), ("deletion", "insertion"), strict=True):
        verb = "taken away" if name == "deletion" else "shown"
        name_axes(axes, f"share of the pixels {verb}", f"probability of {label_text(found[0].target)}")
        axes.set_title(name, fontsize=9)
        for place, one in enumerate(with_curves):
            points = one.checks[name]["curves"]
            title = TITLES.get(one.attribution.method, one.attribution.method)
            # The later, the thinner: curves that lie on each other are all seen.
            width = 1.2 + 0.9 * (len(with_curves) - 1 - place)
            colour = COLOURS[place % len(COLOURS)]
            axes.plot(points["fractions"], points["map"], color=colour, linewidth=width, label=title)
        for control, style in CONTROLS.items():
            axes.plot(
                points["fractions"], points[control], style, color=GREY, linewidth=1.2, label=f"{control} control"
            )
        axes.set_ylim(-0.02, 1.02)
    axes.set_ylabel("")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right center", frameon=False, fontsize=8)
    return figure


def _picture(axes: Axes, canvas: Canvas) -> None:
    """The picture, with a line round the truth where it is known."""
    _show(axes, canvas.picture)
    axes.set_title("image", fontsize=9)
    if canvas.mask is not None:
        inside = np.nan_to_num(canvas.lay(canvas.mask.astype(np.float32)))
        axes.contour(inside, [0.5], colors=["white"], linewidths=2.2)
        axes.contour(inside, [0.5], colors=[BLUE], linewidths=1.2)


def _map(figure: Figure, axes: Axes, canvas: Canvas, one: Explanation) -> None:
    """A map with its colour bar, or in words why there is none to see."""
    found = one.attribution
    title = TITLES.get(found.method, found.method)
    axes.set_title(title, fontsize=9)
    layer = textwrap.wrap(without_mathematics(visible(f"at {found.layer}")), LETTERS)
    axes.set_xlabel("\n".join(layer) if found.layer else UNITS.get(found.method, ""), fontsize=7, labelpad=2)
    if why := silence(one):
        _bare(axes)
        axes.set_facecolor("#e1e1e1")
        axes.text(
            0.5, 0.5, "\n".join(textwrap.wrap(why, 24)), transform=axes.transAxes, ha="center", va="center", fontsize=8
        )
        return
    scale = Scale.of(found.method, [found.map])
    bar(figure, axes, axes_image(axes, _laid(canvas, found), scale))


def axes_image(axes: Axes, values: Map, scale: Scale) -> object:
    """A map on a scale; what the network did not see is grey."""
    axes.set_facecolor("#cccccc")
    _bare(axes)
    return axes.imshow(values, cmap=scale.colours, vmin=scale.low, vmax=scale.high, interpolation="nearest")


def bar(figure: Figure, axes: Axes | Sequence[Axes], image: object) -> None:
    """The colour bar of an image, with few numbers."""
    held = figure.colorbar(image, ax=axes, fraction=0.046, pad=0.02)  # type: ignore[arg-type]
    held.locator = MaxNLocator(4)
    held.formatter.set_powerlimits((-2, 3))  # type: ignore[attr-defined]
    held.ax.tick_params(labelsize=6)
    held.ax.yaxis.get_offset_text().set_fontsize(6)
    held.update_ticks()


def _show(axes: Axes, pixels: Pixels) -> None:
    _bare(axes)
    if pixels.shape[2] == 1:
        axes.imshow(pixels[..., 0], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    else:
        axes.imshow(pixels, interpolation="nearest")


def _bare(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])


def _lines(one: Explanation) -> list[str]:
    """The checks and the notes of a map, broken into lines."""
    told = [brief(name, check) for name, check in ordered(one.checks)]
    told += [f"note: {note}" for note in one.attribution.notes]
    return [
        without_mathematics(line) for text in told for line in textwrap.wrap(text, LETTERS, subsequent_indent="   ")
    ]
