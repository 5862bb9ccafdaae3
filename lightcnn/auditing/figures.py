"""Figures of an audit, as PNG bytes."""

from __future__ import annotations

from collections.abc import Sequence

from lightcnn.output.figures import BLUE, blank, png


def sizes(sides: Sequence[int]) -> bytes:
    """How many images have longer sides of so many pixels."""
    figure, axes = blank("longer side, pixels", "images")
    axes.hist(sides, bins=50, range=(0, 1.1 * max(sides)), color=BLUE)
    return png(figure)
