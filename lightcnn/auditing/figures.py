"""The figure of an audit, as PNG bytes."""

from __future__ import annotations

from collections.abc import Sequence

from lightcnn.output.charts.figures import BLUE, blank, png


def size_histogram(longer_sides: Sequence[int]) -> bytes:
    """The number of images by the length of their longer side in pixels."""
    figure, axes = blank("longer side, pixels", "images")
    axes.hist(longer_sides, bins=50, range=(0, 1.1 * max(longer_sides)), color=BLUE)
    return png(figure)
