"""One image file to pixels. Files are hostile until read: formats are few, sizes bounded, everything else refused."""

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
Image.init()  # Pillow loads its formats when first needed, which several threads at once get wrong
MAX_PIXELS = Image.MAX_IMAGE_PIXELS or 89_478_485
SHORTER_SIDE = 256
"""Photographs whose shorter side is longer are reduced to it on decoding, in pixels: small networks see no more."""
LONGEST_SIDE = 4096
"""Of a photograph that is shown whole, in pixels."""


UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
"""What turns a picture upright, by EXIF's orientation (CIPA DC-008, 4.6.4)."""
ORIENTATION = 0x0112
UNREAD = ((0, b"GIF8", "GIF"), (4, b"ftyp", "HEIC, AVIF or video"), (0, b"%PDF", "PDF"), (0, b"8BPS", "Photoshop"))
"""Kinds of file that people take for images of ours: place and bytes that tell them."""


@dataclass(frozen=True)
class Decoded:
    """An image file as pixels, uint8 (H, W, 1) or (H, W, 3), and what the file said of itself before.

    `several` where it holds more pages or frames, of which the first was read.
    """

    pixels: NDArray[np.uint8]
    format: str
    mode: str
    width: int
    height: int
    several: bool = False


def decode(path: Path) -> Decoded:
    """The image in a file, upright, grey files with one channel and all others with three.

    Raises: DataError whose text says what is wrong with the file, without naming it: no image, damaged, named as
    another format, or larger than 89 megapixels. Warns: of bombs and damaged tags, as Pillow does; reading many files
    silences that once, since silencing is not safe in threads.
    """
    with _opened(path) as (image, kind):
        width, height, mode = image.width, image.height, image.mode
        several = image.format != "MPO" and bool(getattr(image, "is_animated", False))
        if kind == "JPEG":
            image.draft(None, (SHORTER_SIDE, SHORTER_SIDE))
        pixels = np.asarray(_reduced(_eight_bit(_shown(image, kind))), dtype=np.uint8)
    return Decoded(_channelled(pixels), kind, mode, width, height, several)


def decode_whole(path: Path) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """The same picture in all its pixels, uint8 (H, W, 1 or 3), and height and width of the upright picture.

    It is reduced where its longer side is over LONGEST_SIDE. Raises: DataError, as `decode` does.
    """
    with _opened(path) as (image, kind):
        picture = _eight_bit(_shown(image, kind))
        size = picture.height, picture.width
        picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.BILINEAR)
        return _channelled(np.asarray(picture, dtype=np.uint8)), size


def decode_mask(path: Path) -> NDArray[np.bool_]:
    """The pixels of an upright picture, bool (H, W), that are not 0 (not black, nor see-through) in any channel.

    Raises: DataError, as `decode` does.
    """
    with _opened(path) as (image, _):
        picture = _upright(image)
        values = np.asarray(picture.convert("RGBA") if picture.mode in ("P", "PA") else picture)
        if values.ndim == 2:
            return np.asarray(values != 0)
        if picture.mode in ("LA", "RGBA", "P", "PA"):
            return np.asarray((values[..., :-1] != 0).any(axis=2) & (values[..., -1] != 0))
        return np.asarray((values != 0).any(axis=2))


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Image.Image, str]]:
    """An image file and its format. Raises: DataError that says what is wrong with it, however its pixels are read."""
    try:
        # By path Pillow 13 maps uncompressed files into memory, with height for width in TIFFs that lie on their side.
        with path.open("rb") as file, Image.open(file, formats=FORMATS) as image:
            kind = "JPEG" if image.format == "MPO" else str(image.format)
            _require_sound(path, kind, image.width * image.height)
            yield image, kind
    except DataError:
        raise
    except UnidentifiedImageError:
        raise DataError(_unidentified(path)) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(f"has over {MAX_PIXELS / 1e6:.0f} megapixels") from None
    except PermissionError:
        raise DataError("cannot be read (Permission denied)") from None
    except FileNotFoundError:
        raise DataError("is a link to a file that is not there" if path.is_symlink() else "is missing") from None
    except Exception as error:  # Pillow raises whatever a hostile file leads it into
        raise DataError(f"is damaged ({first_line(error)})") from None


def _require_sound(path: Path, kind: str, count: int) -> None:
    """Raises: DataError where a file has too many pixels or another format's name."""
    if count > MAX_PIXELS:
        raise DataError(f"has over {MAX_PIXELS / 1e6:.0f} megapixels")
    if FORMAT_OF.get(path.suffix.lower(), kind) != kind:
        raise DataError(f"is a {kind} file inside; rename it to {path.stem}{SUFFIX_OF[kind]}")


def _unidentified(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(16)
    if not head:
        return "is empty"
    for place, sign, name in UNREAD:
        if head[place:].startswith(sign):
            return f"is a {name} file inside, which is not read; convert it to PNG"
    return f"is no image that is read ({', '.join(SUFFIX_OF)})"


def _upright(image: Image.Image) -> Image.Image:
    """The picture as its EXIF orientation says; of damaged EXIF as it is stored, as viewers show it."""
    image.load()  # PNG may have its EXIF after the pixels; TIFF is turned by Pillow on loading, and its tag taken away
    try:
        orientation = image.getexif().get(ORIENTATION)
    except Exception:  # as above: the pixels are whole
        return image
    return image.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else image


def _shown(image: Image.Image, kind: str) -> Image.Image:
    """The picture upright, and its inks the right way round."""
    picture = _upright(image)
    if kind == "JPEG" and picture.mode == "CMYK" and "adobe" not in image.info:
        return ImageChops.invert(picture)  # Pillow takes all for Adobe's, whose inks are stored inverted
    return picture


def _channelled(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W) as (H, W, 1); (H, W, 3) as it is."""
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _reduced(image: Image.Image) -> Image.Image:
    shorter = min(image.size)
    if shorter <= SHORTER_SIDE:
        return image
    size = (round(image.width * SHORTER_SIDE / shorter), round(image.height * SHORTER_SIDE / shorter))
    return image.resize(size, Image.Resampling.BILINEAR)


def reduce_pixels(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pixels (H, W, 1 or 3) as `decode` would give them, had they been read from a file that is stored exactly."""
    if min(pixels.shape[:2]) <= SHORTER_SIDE:
        return pixels
    smaller = np.asarray(_reduced(Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)), dtype=np.uint8)
    return _channelled(smaller)


def _eight_bit(image: Image.Image) -> Image.Image:
    """Grey as L, all else as RGB; numbers of more than 8 bits are scaled, transparency laid on white."""
    if image.mode.startswith("I") or image.mode == "F":
        return _scaled(image)
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        layer = image.convert("RGBA")
        flat = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
        return flat.convert("L" if image.mode in ("1", "L", "LA", "La") else "RGB")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def _scaled(image: Image.Image) -> Image.Image:
    """16-bit grey by its range; whole numbers up to 255 as they are, up to 65,535 as 16 bits; floats in 0..1 or 0..255.

    Raises: DataError for other numbers, which no rule could scale alike in every file.
    """
    values = np.asarray(image, dtype=np.float64)
    low, high = float(values.min(initial=0)), float(values.max(initial=0))
    if not (low >= 0 and high <= (255 if image.mode == "F" else 65_535)):
        raise DataError(f"has values from {low:g} to {high:g}; save it with 8 bits a channel")
    if image.mode == "F":
        values = values * 255 if high <= 1 else values
    elif image.mode.startswith("I;16") or high > 255:
        values = values / 257
    return Image.fromarray(np.rint(values).astype(np.uint8))
