"""From a loaded image of any mode to one of 8 bits, grey or RGB; states what that did to the values of the file."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

from lightcnn.data.files.intensity import (
    FLOAT_SCALES,
    INTEGER_SCALES,
    OWN_SCALE,
    IntensityScale,
    Number,
    to_eight_bits,
)
from lightcnn.errors import DataError
from lightcnn.output.warnings import ReportWarning, WarningCode

ALPHA_MODES = ("LA", "PA", "RGBA", "La", "RGBa")


@dataclass(frozen=True)
class Conversion:
    """What was done to the values of a file to get 8 bits per channel, grey or RGB.

    `number` and `largest` are the kind and the largest of its values if it has more than 8 bits per channel, else None
    and 0. `transparency`: it changed pixels, which were blended with white; or all of them are transparent, and it was
    ignored. `dropped_channels` were not read. `multi_frame`: of several pages or frames, the first was read.
    """

    number: Number | None = None
    largest: float = 0
    transparency: Literal["none", "blended", "ignored"] = "none"
    dropped_channels: int = 0
    multi_frame: bool = False

    def is_on(self, scale: IntensityScale) -> bool:
        """Whether the file's own scale is the given one."""
        if self.number is None:
            return True
        return scale.white(self.number, self.largest) == OWN_SCALE.white(self.number, self.largest)


def to_eight_bit_image(
    image: Image.Image, scale: IntensityScale | None, low_bytes: NDArray[np.uint8] | None = None
) -> tuple[Image.Image, Conversion]:
    """The image in mode L or RGB, with transparent pixels blended with white unless all are transparent.

    `low_bytes` (H, W, C) are the lower halves of 16-bit channels, of which `image` has the upper ones. `scale` is None
    for the rule of earlier versions, in which files with values above 255 have 16 bits.
    Raises: DataError if the values are on no known scale.
    """
    conversion = Conversion()
    if image.mode.startswith("I") or image.mode == "F":
        image, conversion = _scaled_grey(image, scale)
    elif low_bytes is not None and scale is not None:
        image, conversion = _scaled_channels(image, low_bytes, scale)
    flat, transparency = _flattened(image)
    return flat, replace(conversion, transparency=transparency)


def _scaled_grey(image: Image.Image, scale: IntensityScale | None) -> tuple[Image.Image, Conversion]:
    """A grey image with more than 8 bits, as L, or as LA if one of its values means transparent."""
    number: Number = "floats" if image.mode == "F" else "integers"
    values = np.asarray(image)
    low, high = float(values.min(initial=0)), float(values.max(initial=0))
    if not (low >= 0 and high <= (FLOAT_SCALES if number == "floats" else INTEGER_SCALES)[-1]):
        raise DataError(f"has values from {low:g} to {high:g}; save it with 8 bits per channel")
    if number == "integers":
        values = values.astype(np.uint16)
    conversion = Conversion(number, high)
    if scale is None:
        return Image.fromarray(to_eight_bits(values, _earlier_white(image.mode, high))), conversion
    grey = Image.fromarray(to_eight_bits(values, scale.white(number, high)))
    return _with_key(grey, values, image.info.get("transparency")), conversion


def _earlier_white(mode: str, largest: float) -> int:
    """White in the rule of earlier versions, which looked at each file by itself."""
    if mode == "F":
        return 1 if largest <= 1 else 255
    return 65_535 if mode.startswith("I;16") or largest > 255 else 255


def _scaled_channels(
    image: Image.Image, low_bytes: NDArray[np.uint8], scale: IntensityScale
) -> tuple[Image.Image, Conversion]:
    """An image of several 16-bit channels, in the mode of `image`, or as RGBA if one of its colours is transparent."""
    values = np.asarray(image).astype(np.uint16) << 8 | low_bytes
    colours = values[..., :3] if image.mode == "RGBA" else values
    largest = float(colours.max(initial=0))
    planes = [to_eight_bits(colours[..., i], scale.white("integers", largest)) for i in range(colours.shape[2])]
    if image.mode == "RGBA":
        alpha = values[..., 3]
        planes.append(to_eight_bits(alpha, OWN_SCALE.white("integers", float(alpha.max(initial=0)))))
    scaled = Image.merge(image.mode, [Image.fromarray(plane) for plane in planes])
    return _with_key(scaled, values, image.info.get("transparency")), Conversion("integers", largest)


def _with_key(scaled: Image.Image, values: NDArray[Any], key: Any) -> Image.Image:
    """The image with an alpha channel that is 0 where the unscaled values equal `key`, if there is one."""
    if key is None or scaled.mode not in ("L", "RGB"):
        return scaled
    equal = values == np.asarray(key)
    alpha = np.where(equal.all(axis=2) if equal.ndim == 3 else equal, 0, 255).astype(np.uint8)
    scaled.putalpha(Image.fromarray(alpha))
    return scaled


def _flattened(image: Image.Image) -> tuple[Image.Image, Literal["none", "blended", "ignored"]]:
    """The image as L or RGB, and what its transparency did."""
    mode = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    if image.mode not in ALPHA_MODES and "transparency" not in image.info:
        return image.convert(mode), "none"
    layer = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    least, most = layer.getchannel("A").getextrema()
    colours = layer.convert("RGB").convert(mode)
    if least == 255:
        return colours, "none"
    if most == 0 and any(low < high for low, high in np.reshape(colours.getextrema(), (-1, 2))):  # they show something
        return colours, "ignored"
    flat = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert(mode)
    return flat, "blended" if ImageChops.difference(flat, colours).getbbox() else "none"


def pixel_warnings(conversions: Iterable[Conversion], scale: IntensityScale | None) -> tuple[ReportWarning, ...]:
    """What the conversions changed that no one would assume. `scale`: that of the training images."""
    kinds = list(conversions)
    return *conversion_warnings(kinds), *intensity_warnings(kinds, scale)


def conversion_warnings(kinds: Collection[Conversion]) -> tuple[ReportWarning, ...]:
    """What the conversions changed, except the scale of intensities."""
    return _counted(
        (
            "ignored_transparency",
            sum(kind.transparency == "ignored" for kind in kinds),
            "all pixels transparent: the transparency was ignored and the colours were used; check what the images "
            "show",
        ),
        (
            "blended_transparency",
            sum(kind.transparency == "blended" for kind in kinds),
            "transparent pixels, which were blended with white; save the images without transparency to use their "
            "colours",
        ),
        (
            "dropped_channels",
            sum(kind.dropped_channels > 0 for kind in kinds),
            "more channels than are read, grey or RGB: the others were dropped; save the channels that matter as RGB",
        ),
        (
            "dropped_frames",
            sum(kind.multi_frame for kind in kinds),
            "several pages or frames, of which only the first was read; save each as a file if they matter",
        ),
    )


def intensity_warnings(conversions: Iterable[Conversion], scale: IntensityScale | None) -> tuple[ReportWarning, ...]:
    """How values of more than 8 bits per channel were scaled. `scale`: that of the training images."""
    deep = [conversion for conversion in conversions if conversion.number is not None]
    if scale is None:
        rule = "more than 8 bits per channel: 65,535 became white, since this run has no scale of its training images"
        return _counted(("intensity_scale", len(deep), f"{rule}; train again to have one"))
    covered = [conversion for conversion in deep if getattr(scale, conversion.number or "") is not None]
    whites = sorted({f"{getattr(scale, conversion.number or ''):,}" for conversion in covered})
    return _counted(
        (
            "intensity_scale",
            len(covered),
            f"more than 8 bits per channel: {' and '.join(whites)} became white, the smallest scale that covers the "
            "training images",
        ),
        (
            "clipped_intensities",
            sum(conversion.largest > getattr(scale, conversion.number or "") for conversion in covered),
            "values above the scale of the training images, which were clipped to white; check whether another camera "
            "took them",
        ),
        (
            "own_intensity_scale",
            len(deep) - len(covered),
            "more than 8 bits per channel, in a format that no training image has: each was scaled by its own largest "
            "value; save the images in the format of the training images",
        ),
    )


def _counted(*counts: tuple[WarningCode, int, str]) -> tuple[ReportWarning, ...]:
    """The warnings that concern any image. Each count is followed by what the images have."""
    return tuple(
        ReportWarning(code, f"{count:,} {'image has' if count == 1 else 'images have'} {text}.", count)
        for code, count, text in counts
        if count
    )
