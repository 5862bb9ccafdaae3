"""The lower halves of 16-bit colour channels, which Pillow drops: it has no mode for them."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from PIL import ImageFile

from lightcnn.data.files.tiff import has_deep_planes
from lightcnn.errors import DataError

GREY_ALPHA = "LA;16B"
"""Pillow's name for the 16-bit grey and alpha of a PNG, which it reads as RGBA of 8 bits."""
OTHER_HALF = {"16B": "16L", "16L": "16B", "16N": "16B" if sys.byteorder == "little" else "16L"}
"""Pillow reads the upper byte of a channel; with the byte order reversed, it reads the lower one."""


@dataclass(frozen=True)
class LowBytes:
    """How to read the lower bytes: Pillow's layout for it, and which channels of the result they are, in order."""

    layout: str
    channels: tuple[int, ...]


def low_bytes_of(image: ImageFile.ImageFile) -> LowBytes | None:
    """The lower bytes that Pillow would drop of an open image that is not loaded yet; None if there are none.

    Raises: DataError for a layout that Pillow reads wrongly.
    """
    layout = _layout(image)
    colour, _, bits = layout.partition(";")
    if has_deep_planes(image):
        raise DataError("has 16 bits per channel and a plane for each channel; save it with 8 bits per channel")
    if bits not in OTHER_HALF or colour == "I":
        return None
    if colour == "RGBa":
        raise DataError("has 16 bits per channel and premultiplied transparency; save it with 8 bits per channel")
    if layout == GREY_ALPHA:  # its four bytes are read as if they were four channels
        return LowBytes("RGBA", (1, 1, 1, 3))
    return LowBytes(f"{colour};{OTHER_HALF[bits]}", tuple(range(len(image.getbands()))))


def select_low_bytes(image: ImageFile.ImageFile, low_bytes: LowBytes) -> None:
    """Makes an open image that is not loaded yet load the lower bytes instead of the upper ones."""
    image.tile = [tile._replace(args=_with_layout(tile.args, low_bytes.layout)) for tile in image.tile]


def _layout(image: ImageFile.ImageFile) -> str:
    """How Pillow unpacks the bytes of an open file, such as "RGB;16B"; empty if unknown."""
    args = image.tile[0].args if image.tile else ""
    return str(args[0] if isinstance(args, tuple) and args else args)


def _with_layout(args: tuple[object, ...] | str | None, layout: str) -> tuple[object, ...] | str:
    return (layout, *args[1:]) if isinstance(args, tuple) else layout
