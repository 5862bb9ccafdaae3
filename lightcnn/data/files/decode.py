"""Decodes one image file. Files are untrusted: few formats are read, sizes are limited, anything else is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageFile, UnidentifiedImageError

from lightcnn.data.files import tiff
from lightcnn.data.files.conversion import Conversion, to_eight_bit_image
from lightcnn.data.files.intensity import OWN_SCALE, IntensityScale
from lightcnn.data.files.pixel_limit import PixelLimit
from lightcnn.data.files.sixteen_bits import LowBytes, low_bytes_of, select_low_bytes
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
DECODING = PixelLimit(MAX_PIXELS)
"""Decoding needs up to 20 bytes per pixel: 1.8 GB in all, and not for each core."""
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


class ImageSource(Protocol):
    """What is needed of a file to decode it: a `Path` has it, and so has an image that is in memory only."""

    @property
    def suffix(self) -> str: ...
    @property
    def stem(self) -> str: ...
    def open(self, mode: Literal["rb"], /) -> IO[bytes]: ...
    def is_symlink(self) -> bool: ...


@dataclass(frozen=True)
class Decoded:
    """The pixels of an image file, uint8 (H, W, 1) or (H, W, 3), and the file's own format, Pillow mode and size."""

    pixels: NDArray[np.uint8]
    format: str
    mode: str
    width: int
    height: int
    conversion: Conversion


def decode(path: ImageSource, scale: IntensityScale | None = OWN_SCALE, *, max_pixels: int = MAX_PIXELS) -> Decoded:
    """Decodes a file to an upright image, reduced to SHORTER_SIDE: one channel if the file is grey, else three.

    `scale` is that of the data set, or None for the rule of runs that have none.
    Raises: DataError if the file is not an image, is damaged, has the suffix of another format, or more than
    `max_pixels`; the message does not name the file. Pillow's warnings about bombs and damaged tags pass through:
    callers that read many files silence them once, since silencing them is not safe in threads.
    """
    with _opened(path, reduced=True, max_pixels=max_pixels) as opened:
        eight_bit, conversion = _converted(opened, scale)
        pixels = np.asarray(_resized_down(eight_bit), dtype=np.uint8)
    return Decoded(_with_channel_axis(pixels), opened.format, opened.mode, opened.width, opened.height, conversion)


def decode_whole(
    path: ImageSource, scale: IntensityScale | None = OWN_SCALE
) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """The same image in full resolution, uint8 (H, W, 1 or 3), and height and width of the upright image in the file.

    It is reduced if its longer side exceeds LONGEST_SIDE. Raises: DataError, as `decode` does.
    """
    with _opened(path) as opened:
        upright = _converted(opened, scale)[0]
        size = upright.height, upright.width
        upright.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.BILINEAR)
        return _with_channel_axis(np.asarray(upright, dtype=np.uint8)), size


def decode_mask(path: Path) -> NDArray[np.bool_]:
    """A mask image, upright: bool (H, W), true for pixels that are neither black nor transparent.

    If all pixels are transparent, their colours alone count. Raises: DataError, as `decode` does.
    """
    with _opened(path) as opened:
        image = _upright(opened.image)
        values = np.asarray(image.convert("RGBA") if image.mode in ("P", "PA") else image) != 0
        if opened.low_bytes is not None:
            values |= _low_bytes(opened.path, opened.low_bytes) != 0
        if values.ndim == 2:
            return np.asarray(values)
        if image.mode in ("LA", "RGBA", "P", "PA"):
            visible = values[..., -1] if values[..., -1].any() else True
            return np.asarray(values[..., :-1].any(axis=2) & visible)
        return np.asarray(values.any(axis=2))


def pixels_of(image: Image.Image, name: str) -> NDArray[np.uint8]:
    """The pixels of an image of Pillow, turned upright: uint8 (H, W) or (H, W, 3), in full resolution.

    Raises: DataError if it is neither grey nor RGB, or its file is damaged; the message begins with its `name`.
    """
    if image.mode not in ("L", "RGB"):
        raise DataError(f"{name} has the mode {image.mode}; convert it with .convert('RGB') or .convert('L')")
    try:
        return np.asarray(_upright(image), dtype=np.uint8)
    except Exception as error:  # Pillow reads the file of an image only now
        raise DataError(f"{name} is damaged ({first_line(error)})") from None


@dataclass(frozen=True, eq=False)
class _Opened:
    """An open image file that is not loaded yet, with the facts that loading changes.

    `low_bytes`: how to read the lower bytes of 16-bit colours; None if there are none.
    """

    path: ImageSource
    image: ImageFile.ImageFile
    low_bytes: LowBytes | None
    format: str
    mode: str
    width: int
    height: int


@contextmanager
def _opened(path: ImageSource, *, reduced: bool = False, max_pixels: int = MAX_PIXELS) -> Iterator[_Opened]:
    """An open image file. Raises: DataError for every fault, also those found while pixels are read.

    `reduced`: a JPEG may be decoded at a smaller size, of which the shorter side is SHORTER_SIDE or more.
    """
    try:
        # Given a path, Pillow 13 memory-maps uncompressed files, and swaps height and width of rotated TIFFs.
        with path.open("rb") as file, Image.open(file, formats=FORMATS) as image:
            kind = "JPEG" if image.format == "MPO" else str(image.format)
            _require_readable(path, kind, image.width * image.height, max_pixels)
            opened = _Opened(path, image, low_bytes_of(image), kind, image.mode, image.width, image.height)
            if kind == "JPEG" and reduced:
                image.draft(None, (SHORTER_SIDE, SHORTER_SIDE))
            with DECODING.hold(image.width * image.height):
                yield opened
    except DataError:
        raise
    except UnidentifiedImageError:
        raise DataError(_unidentified(path)) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(f"has more than {max_pixels / 1e6:.2g} megapixels") from None
    except PermissionError:
        raise DataError("cannot be read (Permission denied)") from None
    except FileNotFoundError:
        raise DataError("is a link to a missing file" if path.is_symlink() else "is missing") from None
    except Exception as error:  # an untrusted file can cause any error in Pillow
        raise DataError(f"is damaged ({first_line(error)})") from None


def _require_readable(path: ImageSource, kind: str, count: int, max_pixels: int) -> None:
    """Raises: DataError if a file has too many pixels, or the suffix of another format."""
    if count > max_pixels:
        raise DataError(f"has more than {max_pixels / 1e6:.2g} megapixels")
    if FORMAT_OF.get(path.suffix.lower(), kind) != kind:
        raise DataError(f"contains a {kind} image; rename it to {path.stem}{SUFFIX_OF[kind]}")


def _unidentified(path: ImageSource) -> str:
    with path.open("rb") as file:
        head = file.read(16)
        layout = tiff.channel_layout(file) if head.startswith(tiff.SIGNATURES) else ""
    if not head:
        return "is empty"
    for offset, signature, name in OTHER_FORMATS:
        if head[offset:].startswith(signature):
            return f"is a {name} file, which is not supported; convert it to PNG"
    if layout:
        return f"is a TIFF file with {layout}, a kind that is not supported; save it with 1 or 3 channels of 8 bits"
    return f"is not an image of a supported format ({', '.join(SUFFIX_OF)})"


def _upright(image: Image.Image) -> Image.Image:
    """The image turned as its EXIF orientation says; with damaged EXIF as it is stored, like image viewers do."""
    image.load()  # a PNG may have its EXIF after the pixels; Pillow turns TIFFs on loading and removes the tag
    try:
        orientation = image.getexif().get(ORIENTATION)
    except Exception:  # as above; the pixels themselves are intact
        return image
    return image.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else image


def _converted(opened: _Opened, scale: IntensityScale | None) -> tuple[Image.Image, Conversion]:
    """The upright image in mode L or RGB, and what was done to its values."""
    image, dropped = opened.image, tiff.dropped_channels(opened.image)
    inverted = scale is not None and tiff.is_inverted(image)
    multi_frame = image.format != "MPO" and bool(getattr(image, "is_animated", False))
    upright = _upright(image)
    if opened.format == "JPEG" and upright.mode == "CMYK" and "adobe" not in image.info:
        upright = ImageChops.invert(upright)  # Pillow assumes Adobe's convention, in which inks are stored inverted
    low_bytes = None if opened.low_bytes is None or scale is None else _low_bytes(opened.path, opened.low_bytes)
    eight_bit, conversion = to_eight_bit_image(upright, scale, low_bytes)
    eight_bit = ImageChops.invert(eight_bit) if inverted else eight_bit
    return eight_bit, replace(conversion, dropped_channels=dropped, multi_frame=multi_frame)


def _low_bytes(path: ImageSource, low_bytes: LowBytes) -> NDArray[np.uint8]:
    """The lower bytes of an upright image with 16 bits per channel, (H, W, C)."""
    with path.open("rb") as file, Image.open(file, formats=FORMATS) as image:
        select_low_bytes(image, low_bytes)
        return np.asarray(_upright(image))[..., low_bytes.channels]


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


def reduce_all(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same for images (N, H, W, 1 or 3) of one size, N at least 1."""
    return images if min(images.shape[1:3]) <= SHORTER_SIDE else np.stack([reduce_pixels(image) for image in images])
