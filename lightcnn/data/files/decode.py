"""Decodes one image file. Files are untrusted: few formats are read, sizes are limited, anything else is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, UnidentifiedImageError

from lightcnn.errors import DataError
from lightcnn.text import first_line

FORMAT_OF = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".jfif": "JPEG", ".jpe": "JPEG", ".png": "PNG", ".bmp": "BMP", ".webp": "WEBP",
    ".tif": "TIFF", ".tiff": "TIFF",
}  # fmt: skip
SUFFIXES = frozenset(FORMAT_OF)
SUFFIX_OF = {"JPEG": ".jpg", "PNG": ".png", "BMP": ".bmp", "WEBP": ".webp", "TIFF": ".tif"}
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF")
Image.init()  # Pillow registers its formats on first use, which is not safe in threads
MAX_PIXELS = Image.MAX_IMAGE_PIXELS or 89_478_485
SHORTER_SIDE = 256
"""Shorter side of decoded images, in pixels: larger images are reduced to it, since small networks see no more."""
LONGEST_SIDE = 4096
"""Largest longer side of an image that is decoded to be shown, in pixels."""
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
"""The operation that turns an image upright, for each EXIF orientation (CIPA DC-008, 4.6.4)."""
ORIENTATION = 0x0112
OTHER_FORMATS = (
    (0, b"GIF8", "GIF"),
    (4, b"ftyp", "HEIC, AVIF or video"),
    (0, b"%PDF", "PDF"),
    (0, b"8BPS", "Photoshop"),
)
"""Common formats that are not read: offset and value of the bytes that identify them, and the name."""


@dataclass(frozen=True)
class Decoded:
    """The pixels of an image file, uint8 (H, W, 1) or (H, W, 3), and the file's own format, Pillow mode and size.

    `multi_frame`: the file holds several pages or frames, of which the first was read.
    """

    pixels: NDArray[np.uint8]
    format: str
    mode: str
    width: int
    height: int
    multi_frame: bool = False


def decode(path: Path) -> Decoded:
    """Decodes a file to an upright image, reduced to SHORTER_SIDE: one channel if the file is grey, else three.

    Raises: DataError if the file is not an image, is damaged, has the suffix of another format, or more than 89
    megapixels; the message does not name the file. Pillow's warnings about bombs and damaged tags pass through: callers
    that read many files silence them once, since silencing them is not safe in threads.
    """
    with _opened(path) as (image, kind):
        width, height, mode = image.width, image.height, image.mode
        multi_frame = image.format != "MPO" and bool(getattr(image, "is_animated", False))
        if kind == "JPEG":
            image.draft(None, (SHORTER_SIDE, SHORTER_SIDE))
        pixels = np.asarray(_resized_down(_eight_bit(_displayed(image, kind))), dtype=np.uint8)
    return Decoded(_with_channel_axis(pixels), kind, mode, width, height, multi_frame)


def decode_whole(path: Path) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """The same image in full resolution, uint8 (H, W, 1 or 3), and height and width of the upright image in the file.

    It is reduced if its longer side exceeds LONGEST_SIDE. Raises: DataError, as `decode` does.
    """
    with _opened(path) as (image, kind):
        upright = _eight_bit(_displayed(image, kind))
        size = upright.height, upright.width
        upright.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.BILINEAR)
        return _with_channel_axis(np.asarray(upright, dtype=np.uint8)), size


def decode_mask(path: Path) -> NDArray[np.bool_]:
    """A mask image, upright: bool (H, W), true for pixels that are neither black nor fully transparent.

    Raises: DataError, as `decode` does.
    """
    with _opened(path) as (image, _):
        upright = _upright(image)
        values = np.asarray(upright.convert("RGBA") if upright.mode in ("P", "PA") else upright)
        if values.ndim == 2:
            return np.asarray(values != 0)
        if upright.mode in ("LA", "RGBA", "P", "PA"):
            return np.asarray((values[..., :-1] != 0).any(axis=2) & (values[..., -1] != 0))
        return np.asarray((values != 0).any(axis=2))


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Image.Image, str]]:
    """An open image file and its format. Raises: DataError for every fault, also those found while pixels are read."""
    try:
        # Given a path, Pillow 13 memory-maps uncompressed files, and swaps height and width of rotated TIFFs.
        with path.open("rb") as file, Image.open(file, formats=FORMATS) as image:
            kind = "JPEG" if image.format == "MPO" else str(image.format)
            _require_readable(path, kind, image.width * image.height)
            yield image, kind
    except DataError:
        raise
    except UnidentifiedImageError:
        raise DataError(_unidentified(path)) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(f"has more than {MAX_PIXELS / 1e6:.0f} megapixels") from None
    except PermissionError:
        raise DataError("cannot be read (Permission denied)") from None
    except FileNotFoundError:
        raise DataError("is a link to a missing file" if path.is_symlink() else "is missing") from None
    except Exception as error:  # an untrusted file can cause any error in Pillow
        raise DataError(f"is damaged ({first_line(error)})") from None


def _require_readable(path: Path, kind: str, count: int) -> None:
    """Raises: DataError if a file has too many pixels, or the suffix of another format."""
    if count > MAX_PIXELS:
        raise DataError(f"has more than {MAX_PIXELS / 1e6:.0f} megapixels")
    if FORMAT_OF.get(path.suffix.lower(), kind) != kind:
        raise DataError(f"contains a {kind} image; rename it to {path.stem}{SUFFIX_OF[kind]}")


def _unidentified(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(16)
    if not head:
        return "is empty"
    for offset, signature, name in OTHER_FORMATS:
        if head[offset:].startswith(signature):
            return f"is a {name} file, which is not supported; convert it to PNG"
    return f"is not an image of a supported format ({', '.join(SUFFIX_OF)})"


def _upright(image: Image.Image) -> Image.Image:
    """The image turned as its EXIF orientation says; with damaged EXIF as it is stored, like image viewers do."""
    image.load()  # a PNG may have its EXIF after the pixels; Pillow turns TIFFs on loading and removes the tag
    try:
        orientation = image.getexif().get(ORIENTATION)
    except Exception:  # as above; the pixels themselves are intact
        return image
    return image.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else image


def _displayed(image: Image.Image, kind: str) -> Image.Image:
    """The upright image, with inverted CMYK corrected."""
    upright = _upright(image)
    if kind == "JPEG" and upright.mode == "CMYK" and "adobe" not in image.info:
        return ImageChops.invert(upright)  # Pillow assumes Adobe's convention, in which inks are stored inverted
    return upright


def _with_channel_axis(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W) → (H, W, 1); (H, W, 3) unchanged."""
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _resized_down(image: Image.Image) -> Image.Image:
    """The image with a shorter side of at most SHORTER_SIDE."""
    shorter = min(image.size)
    if shorter <= SHORTER_SIDE:
        return image
    size = (round(image.width * SHORTER_SIDE / shorter), round(image.height * SHORTER_SIDE / shorter))
    return image.resize(size, Image.Resampling.BILINEAR)


def reduce_pixels(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Reduces pixels (H, W, 1 or 3) exactly as `decode` reduces those of a lossless file."""
    if min(pixels.shape[:2]) <= SHORTER_SIDE:
        return pixels
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    return _with_channel_axis(np.asarray(_resized_down(image), dtype=np.uint8))


def _eight_bit(image: Image.Image) -> Image.Image:
    """Grey images as L, all others as RGB, with 8 bits; transparency is blended with white."""
    if image.mode.startswith("I") or image.mode == "F":
        return _scaled(image)
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        layer = image.convert("RGBA")
        flat = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
        return flat.convert("L" if image.mode in ("1", "L", "LA", "La") else "RGB")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def _scaled(image: Image.Image) -> Image.Image:
    """An image with more than 8 bits per channel, scaled to 8 bits as L.

    Integers up to 255 are kept, larger ones and 16-bit modes count as 16 bits; floats are in 0..1 or 0..255.
    Raises: DataError for other values, which no rule could scale equally in every file.
    """
    values = np.asarray(image, dtype=np.float64)
    low, high = float(values.min(initial=0)), float(values.max(initial=0))
    if not (low >= 0 and high <= (255 if image.mode == "F" else 65_535)):
        raise DataError(f"has values from {low:g} to {high:g}; save it with 8 bits per channel")
    if image.mode == "F":
        values = values * 255 if high <= 1 else values
    elif image.mode.startswith("I;16") or high > 255:
        values = values / 257
    return Image.fromarray(np.rint(values).astype(np.uint8))
