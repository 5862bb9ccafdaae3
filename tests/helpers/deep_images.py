"""Image files with more than 8 bits or more than 3 channels, and TIFF files of any layout."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

RAMP = np.arange(24 * 32, dtype=np.uint16).reshape(24, 32) * 5
"""Grey values from 0 to 3835: 12 bits."""


def deep(path, values):
    """Writes uint16 values (H, W), or (H, W, 3 or 4) as RGB or RGBA."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if values.ndim == 2:
        Image.fromarray(values).save(path)
    else:
        assert cv2.imwrite(str(path), values[..., [2, 1, 0, *range(3, values.shape[2])]])
    return path


def tiff(path, values, extra=(), *, order="<", photometric=1, planar=False):
    """Writes values (H, W, C) of 8 or 16 bits as an uncompressed TIFF; `extra` is the meaning of further channels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width, channels = values.shape
    depth = values.dtype.itemsize * 8
    data = values.astype(values.dtype.newbyteorder(order)).tobytes()
    lists = {258: [depth] * channels, 338: list(extra)}
    ones = {256: width, 257: height, 259: 1, 262: photometric, 273: 8, 277: channels, 278: height, 279: len(data)}
    tags = {key: [value] for key, value in ones.items()} | {key: value for key, value in lists.items() if value}
    tags |= {284: [2]} if planar else {}
    table_at = 8 + len(data)
    lists_at = table_at + 2 + 12 * len(tags) + 4
    entries, tail = b"", b""
    for key, numbers in sorted(tags.items()):
        kind, letter = (4, "I") if key in (273, 279) else (3, "H")
        packed = struct.pack(f"{order}{len(numbers)}{letter}", *numbers)
        if len(packed) > 4:
            place = struct.pack(f"{order}I", lists_at + len(tail))
            tail += packed
        else:
            place = packed.ljust(4, b"\0")
        entries += struct.pack(f"{order}HHI", key, kind, len(numbers)) + place
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, table_at)
    table = struct.pack(f"{order}H", len(tags)) + entries + bytes(4)
    Path(path).write_bytes(head + data + table + tail)
    return path


def grey_alpha_png(path, values, alpha):
    """Writes uint16 grey values and transparency (H, W) as a PNG with two channels of 16 bits."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in np.stack([values, alpha], axis=2))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 4, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
    return path
