"""Small valid image files in every format and mode that is read."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

TURNED = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
"""The EXIF orientation 6."""
OPTIONS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("PNG", "L", {}), ("PNG", "RGB", {}), ("PNG", "RGBA", {}), ("PNG", "LA", {}), ("PNG", "P", {}), ("PNG", "1", {}),
    ("PNG", "I;16", {}), ("JPEG", "L", {}), ("JPEG", "RGB", {}), ("JPEG", "CMYK", {}),
    ("JPEG", "RGB", {"progressive": True}), ("JPEG", "RGB", {"exif": TURNED}),
    ("BMP", "L", {}), ("BMP", "RGB", {}), ("BMP", "P", {}), ("BMP", "RGBA", {}), ("WEBP", "RGB", {}),
    ("WEBP", "RGBA", {"lossless": True}), ("TIFF", "L", {}), ("TIFF", "RGB", {}), ("TIFF", "RGBA", {}),
    ("TIFF", "I;16", {}), ("TIFF", "F", {}), ("TIFF", "RGB", {"compression": "tiff_lzw"}),
    ("TIFF", "L", {"compression": "tiff_adobe_deflate"}), ("TIFF", "1", {"compression": "group4"}),
    ("TIFF", "RGB", {"compression": "jpeg"}),
)  # fmt: skip
SUFFIXES = {"PNG": ".png", "JPEG": ".jpg", "BMP": ".bmp", "WEBP": ".webp", "TIFF": ".tif"}


def image_files() -> list[tuple[str, bytes]]:
    """Suffix and content of a 12×9 image in each format and mode."""
    pixels = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    files = []
    for kind, mode, options in OPTIONS:
        image = Image.fromarray(pixels)
        if mode == "I;16":
            image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 200)
        content = io.BytesIO()
        (image if mode == "I;16" else image.convert(mode)).save(content, kind, **options)
        files.append((SUFFIXES[kind], content.getvalue()))
    return files
