"""Transparency and channels that are not read: what reading a file did to it is stated."""

from __future__ import annotations

import numpy as np
import PIL
import pytest
from helpers.deep_images import tiff
from PIL import Image

from lightcnn.data.files.conversion import Conversion, pixel_warnings
from lightcnn.data.files.decode import decode, decode_mask
from lightcnn.data.files.intensity import OWN_SCALE, IntensityScale
from lightcnn.errors import DataError

SHAPE = (24, 32)
COLOUR = np.random.default_rng(0).integers(0, 200, (*SHAPE, 3), dtype=np.uint8)
GREY = COLOUR[..., :1]


def with_alpha(colour, alpha):
    channel = np.broadcast_to(np.uint8(alpha), SHAPE)
    return np.dstack([colour, channel])


def bmp_v4(path, pixels):
    """Writes RGBA pixels as a BMP with a V4 header, whose fourth mask is transparency."""
    height, width = SHAPE
    masks = b"".join(value.to_bytes(4, "little") for value in (0xFF0000, 0xFF00, 0xFF, 0xFF000000))
    sizes = (108).to_bytes(4, "little") + width.to_bytes(4, "little") + height.to_bytes(4, "little")
    info = sizes + b"\1\0\x20\0\3\0\0\0" + bytes(20) + masks + bytes(52)
    data = np.ascontiguousarray(pixels[::-1][..., [2, 1, 0, 3]]).tobytes()
    offset = 14 + len(info)
    path.write_bytes(b"BM" + (offset + len(data)).to_bytes(4, "little") + bytes(4) + offset.to_bytes(4, "little")
                     + info + data)  # fmt: skip


@pytest.mark.parametrize("name", ["rgba.png", "rgba.webp", "rgba.tif", "grey.png", "palette.png", "v4.bmp"])
def test_the_colours_of_a_fully_transparent_image_are_used(tmp_path, name):
    file, colour = tmp_path / name, GREY if name == "grey.png" else COLOUR
    if name == "v4.bmp":
        bmp_v4(file, with_alpha(COLOUR, 0))
    elif name == "palette.png":
        image = Image.fromarray(COLOUR).quantize(256)
        colour = np.asarray(image.convert("RGB"))
        image.save(file, transparency=bytes(256))
    else:
        options = {"lossless": True, "exact": True} if name.endswith("webp") else {}
        Image.fromarray(with_alpha(colour, 0)).save(file, **options)
    decoded = decode(file)
    assert decoded.conversion.transparency == "ignored"
    assert np.array_equal(decoded.pixels, colour)


@pytest.mark.parametrize(
    ("colour", "alpha", "transparency"),
    [(100, 255, "none"), (100, 128, "blended"), (255, 128, "none"), (100, 0, "blended")],
)
def test_only_transparency_that_changes_pixels_counts(tmp_path, colour, alpha, transparency):
    Image.fromarray(with_alpha(np.full((*SHAPE, 3), colour, np.uint8), alpha)).save(tmp_path / "x.png")
    decoded = decode(tmp_path / "x.png")
    assert decoded.conversion.transparency == transparency
    # 100 · 128 / 255 + 255 · 127 / 255 = 177.2; where all is transparent and the colours show nothing, white remains.
    assert decoded.pixels[0, 0, 0] == {128: 177, 0: 255}.get(alpha if colour == 100 else 255, colour)


def test_a_fully_transparent_mask_is_read_by_its_colours(tmp_path):
    mask = np.zeros((*SHAPE, 3), np.uint8)
    mask[:4] = 255
    Image.fromarray(with_alpha(mask, 0)).save(tmp_path / "x.png")
    assert decode_mask(tmp_path / "x.png").sum() == 4 * SHAPE[1]


OLD_PILLOW = pytest.mark.skipif(int(PIL.__version__.split(".")[0]) < 13, reason="Pillow before 13 cannot read the file")


@pytest.mark.parametrize(
    ("channels", "extra", "photometric", "dropped"),
    [
        *[(1, (), 1, 0), (2, (2,), 1, 0), (3, (), 2, 0), (4, (0,), 2, 1), (6, (0, 0, 0), 2, 3)],
        pytest.param(2, (0,), 1, 1, marks=OLD_PILLOW),
    ],
)
def test_channels_that_are_not_read_are_counted(tmp_path, channels, extra, photometric, dropped):
    pixels = np.random.default_rng(1).integers(0, 256, (*SHAPE, channels), dtype=np.uint8)
    decoded = decode(tiff(tmp_path / "x.tif", pixels, extra, photometric=photometric))
    assert decoded.conversion.dropped_channels == dropped


@pytest.mark.parametrize(("channels", "order"), [(5, "<"), (3, ">")])
def test_a_tiff_with_other_channels_is_named_by_them(tmp_path, channels, order):
    file = tiff(tmp_path / "x.tif", np.zeros((*SHAPE, channels), np.uint8), (0,) * (channels - 3), order=order)
    with pytest.raises(DataError, match=f"^is a TIFF file with {channels} channels of 8 bits, a kind that is not supp"):
        decode(file)


def test_warnings_count_images_and_state_the_scale():
    kinds = [
        *[Conversion(number="integers", largest=4000)] * 3,
        Conversion(number="integers", largest=5000),
        Conversion(number="floats", largest=1),
        Conversion(transparency="ignored"),
        *[Conversion(transparency="blended")] * 2,
        Conversion(dropped_channels=1),
        Conversion(multi_frame=True),
    ]
    warnings = {warning.code: warning for warning in pixel_warnings(kinds, IntensityScale(integers=4095))}
    assert {code: warning.count for code, warning in warnings.items()} == {
        "ignored_transparency": 1, "blended_transparency": 2, "dropped_channels": 1, "dropped_frames": 1,
        "intensity_scale": 4, "clipped_intensities": 1, "own_intensity_scale": 1,
    }  # fmt: skip
    assert warnings["intensity_scale"].message.startswith("4 images have more than 8 bits per channel: 4,095 became")
    assert warnings["clipped_intensities"].message.startswith("1 image has values above the scale")
    assert pixel_warnings([Conversion()] * 3, OWN_SCALE) == ()
    (earlier,) = pixel_warnings(kinds[:3], None)
    assert (earlier.code, earlier.count) == ("intensity_scale", 3)
    assert "65,535 became white" in earlier.message
