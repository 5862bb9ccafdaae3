"""One image file to pixels. Files are hostile until read: formats are few, sizes bounded, everything else refused."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from lightcnn.errors import DataError

SUFFIXES = {".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff"}
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF")
MAX_PIXELS = 100_000_000
SHORTER_SIDE = 256
"""Photographs whose shorter side is longer are reduced to it on decoding, in pixels: small networks see no more."""


def decode(path: Path) -> NDArray[np.uint8]:
    """The pixels of an image, upright, uint8 (H, W, 1) for grey files and (H, W, 3) for all others.

    Raises: DataError for a file that is no image, is damaged, or is larger than 100 megapixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise DataError(
                        f"data {path}: {image.width}×{image.height} is over 100 megapixels; reduce or remove it"
                    )
                if image.format == "JPEG":
                    image.draft(None, (SHORTER_SIDE, SHORTER_SIDE))
                upright = ImageOps.exif_transpose(_eight_bit(image))
    except UnidentifiedImageError:
        raise DataError(f"data {path}: not a readable image ({', '.join(FORMATS)}); repair or remove it") from None
    except Image.DecompressionBombError:
        raise DataError(f"data {path}: is over 100 megapixels; reduce or remove it") from None
    except PermissionError:
        raise DataError(f"data {path}: cannot be read (Permission denied); check its permissions") from None
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"data {path}: damaged image ({error}); repair or remove it") from None
    shorter = min(upright.size)
    if shorter > SHORTER_SIDE:
        scale = SHORTER_SIDE / shorter
        upright = upright.resize(
            (round(upright.width * scale), round(upright.height * scale)), Image.Resampling.BILINEAR
        )
    pixels = np.asarray(upright, dtype=np.uint8)
    return pixels[..., None] if pixels.ndim == 2 else pixels


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
