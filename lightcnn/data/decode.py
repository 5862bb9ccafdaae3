"""One image file to pixels. Files are hostile until read: formats are few, sizes bounded, everything else refused."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from lightcnn.errors import DataError

FORMAT_OF = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".jfif": "JPEG", ".jpe": "JPEG", ".png": "PNG", ".bmp": "BMP", ".webp": "WEBP",
    ".tif": "TIFF", ".tiff": "TIFF",
}  # fmt: skip
SUFFIXES = frozenset(FORMAT_OF)
SUFFIX_OF = {"JPEG": ".jpg", "PNG": ".png", "BMP": ".bmp", "WEBP": ".webp", "TIFF": ".tif"}
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF")
Image.init()  # Pillow loads its formats when first needed, which several threads at once get wrong
MAX_PIXELS = Image.MAX_IMAGE_PIXELS or 89_478_485
SHORTER_SIDE = 256
"""Photographs whose shorter side is longer are reduced to it on decoding, in pixels: small networks see no more."""


@dataclass(frozen=True)
class Decoded:
    """An image file as pixels, uint8 (H, W, 1) or (H, W, 3), and what the file said of itself before."""

    pixels: NDArray[np.uint8]
    format: str
    mode: str
    width: int
    height: int


def decode(path: Path) -> Decoded:
    """The image in a file, upright, grey files with one channel and all others with three.

    Raises: DataError whose text says what is wrong with the file, without naming it: no image, damaged, named as
    another format, or larger than 89 megapixels. Warns: of damaged EXIF and of bombs, as Pillow does; reading many
    files silences that once, since silencing is not safe in threads.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            width, height, mode = image.width, image.height, image.mode
            kind = "JPEG" if image.format == "MPO" else str(image.format)
            if width * height > MAX_PIXELS:
                raise DataError(f"has {width}×{height} pixels, over {MAX_PIXELS / 1e6:.0f} megapixels")
            if FORMAT_OF.get(path.suffix.lower(), kind) != kind:
                raise DataError(f"is a {kind} file inside; rename it to {path.stem}{SUFFIX_OF[kind]}")
            if kind == "JPEG":
                image.draft(None, (SHORTER_SIDE, SHORTER_SIDE))
            upright = ImageOps.exif_transpose(_eight_bit(image))
    except UnidentifiedImageError:
        empty = path.stat().st_size == 0
        raise DataError("is empty" if empty else f"is no image that is read ({', '.join(SUFFIX_OF)})") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(f"has over {MAX_PIXELS / 1e6:.0f} megapixels") from None
    except PermissionError:
        raise DataError("cannot be read (Permission denied)") from None
    except FileNotFoundError:
        raise DataError("is missing") from None
    except (OSError, ValueError, SyntaxError, struct.error, MemoryError, OverflowError) as error:
        raise DataError(f"is damaged ({str(error).splitlines()[0] if str(error) else type(error).__name__})") from None
    pixels = np.asarray(_reduced(upright), dtype=np.uint8)
    return Decoded(pixels[..., None] if pixels.ndim == 2 else pixels, kind, mode, width, height)


def _reduced(image: Image.Image) -> Image.Image:
    shorter = min(image.size)
    if shorter <= SHORTER_SIDE:
        return image
    size = (round(image.width * SHORTER_SIDE / shorter), round(image.height * SHORTER_SIDE / shorter))
    return image.resize(size, Image.Resampling.BILINEAR)


def _eight_bit(image: Image.Image) -> Image.Image:
    """Grey as L, all else as RGB; 16-bit grey is scaled down, transparency laid on white."""
    if image.mode in ("1", "L"):
        return image.convert("L")
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, dtype=np.float64)
        scaled = values / 257 if image.mode.startswith("I;16") or values.max(initial=0) > 255 else values
        return Image.fromarray(np.clip(scaled, 0, 255).astype(np.uint8))
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")
