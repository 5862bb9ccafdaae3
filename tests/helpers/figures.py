"""Figures in tests."""

from __future__ import annotations

import io

from PIL import Image

UNTRUSTED_NAMES = ("$\\frac{", "_hidden", "a\nb | <b>*_`", "健康", "x" * 300, "$1 and $2")
"""Names that are hard to draw: mathematics, control characters, markup, letters that the font lacks, long ones."""


def read_image(png: bytes) -> Image.Image:
    """The image in a PNG file, which must not be empty."""
    image = Image.open(io.BytesIO(png))
    assert len(image.convert("RGB").getcolors(1 << 24) or []) > 10
    return image
