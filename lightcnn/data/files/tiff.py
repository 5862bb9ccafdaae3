"""Channels of TIFF files, which may have more of them than are read."""

from __future__ import annotations

from typing import IO

from PIL import Image, TiffImagePlugin

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
WIDTH, BITS, PHOTOMETRIC, SAMPLES, PLANES = 256, 258, 262, 277, 284
COLOURS = {2: 3, 5: 4, 6: 3, 8: 3}
"""Channels of colour by the photometric interpretation (TIFF 6.0, section 8): RGB, CMYK, YCbCr, CIELAB; else 1."""


def dropped_channels(image: Image.Image) -> int:
    """How many channels of an open file are neither colour nor transparency, so that they are not read."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return 0
    colours = COLOURS.get(image.tag_v2.get(PHOTOMETRIC, 0), 1)
    alpha = image.mode in ("LA", "PA", "RGBA", "La", "RGBa")
    return max(0, int(image.tag_v2.get(SAMPLES, colours)) - colours - alpha)


def is_inverted(image: Image.Image) -> bool:
    """Whether 0 is white in an open grey file with more than 8 bits; Pillow corrects that for 8 bits only."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return False
    return image.mode.startswith(("I", "F")) and image.tag_v2.get(PHOTOMETRIC, 1) == 0


def has_deep_planes(image: Image.Image) -> bool:
    """Whether an open file stores each of several channels of 16 bits in a plane of its own."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile) or image.tag_v2.get(PLANES, 1) != 2:
        return False
    return max(image.tag_v2.get(BITS, (1,))) > 8 and len(image.getbands()) > 1


def channel_layout(file: IO[bytes]) -> str:
    """The channels of an open TIFF file that Pillow cannot read: "5 channels of 8 bits", or empty if unknown."""
    try:
        file.seek(0)
        head = file.read(8)
        directory = TiffImagePlugin.ImageFileDirectory_v2(head + (file.read(8) if head[2:3] == b"+" else b""))
        file.seek(directory.next)
        directory.load(file)
        samples = int(directory.get(SAMPLES, 1))
        bits = "/".join(str(value) for value in sorted(set(directory.get(BITS, (1,)))))
    except Exception:  # an untrusted file can cause any error in Pillow
        return ""
    if WIDTH not in directory:  # the file is cut off
        return ""
    return f"{samples} {'channel' if samples == 1 else 'channels'} of {bits[:20]} bits"
