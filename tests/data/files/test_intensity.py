"""The scale of intensities, and the files with more than 8 bits per channel that it serves."""

from __future__ import annotations

import json
import zlib

import numpy as np
import pytest
from helpers.deep_images import RAMP, deep, grey_alpha_png, tiff
from PIL import Image

from lightcnn.data.files.decode import decode, decode_mask, decode_whole
from lightcnn.data.files.intensity import OWN_SCALE, IntensityScale, smallest_scale, to_eight_bits
from lightcnn.data.preprocess import Preprocess, read_preprocess
from lightcnn.errors import DataError, RunError

COLOUR = np.stack([RAMP, RAMP // 2, RAMP // 3], axis=2)
OPAQUE = np.full_like(RAMP, 65_535)


@pytest.mark.parametrize(
    ("number", "largest", "scale"),
    [
        ("integers", 0, 255), ("integers", 255, 255), ("integers", 256, 1023), ("integers", 1023, 1023),
        ("integers", 1024, 4095), ("integers", 4096, 16_383), ("integers", 16_384, 65_535),
        ("integers", 65_535, 65_535), ("floats", 1.0, 1), ("floats", 1.01, 255), ("floats", 255.0, 255),
    ],
)  # fmt: skip
def test_the_scale_is_the_smallest_that_is_not_below_the_largest_value(number, largest, scale):
    assert smallest_scale(number, largest) == scale
    assert getattr(IntensityScale.covering([(number, 0), (number, largest)]), number) == scale


def test_white_becomes_255_and_values_above_it_are_clipped():
    # 2048 · 255 / 4095 = 127.53
    assert to_eight_bits(np.array([0, 2048, 4095, 5000], np.uint16), 4095).tolist() == [0, 128, 255, 255]
    assert to_eight_bits(np.array([0.0, 0.5, 1.0, 1.5], np.float32), 1).tolist() == [0, 128, 255, 255]


def test_a_scale_agrees_with_those_that_read_the_same_files_equally():
    twelve = IntensityScale(integers=4095)
    assert twelve.agrees(IntensityScale(integers=4095, floats=1))
    assert not twelve.agrees(IntensityScale())
    assert not twelve.agrees(None)
    assert IntensityScale(integers=65_535).agrees(None)
    assert OWN_SCALE.agrees(None)


GREY_FILES = {
    "grey.png": deep,
    "grey.tif": deep,
    "big endian.tif": lambda path, values: tiff(path, values[..., None], order=">"),
    "32 bits.tif": lambda path, values: Image.fromarray(values.astype(np.int32)).save(path) or path,
    "grey and alpha.png": lambda path, values: grey_alpha_png(path, values, OPAQUE),
}
COLOUR_FILES = {
    "colour.png": deep,
    "packed.tif": deep,
    "raw.tif": lambda path, values: tiff(path, values, photometric=2),
    "big endian raw.tif": lambda path, values: tiff(path, values, photometric=2, order=">"),
    "colour and alpha.png": lambda path, values: deep(path, np.dstack([values, OPAQUE])),
    "further channel.tif": lambda path, values: tiff(path, np.dstack([values, OPAQUE]), (0,), photometric=2),
}


@pytest.mark.parametrize("name", [*GREY_FILES, *COLOUR_FILES])
def test_files_of_12_bits_in_16_are_scaled_alike(tmp_path, name):
    values = RAMP if name in GREY_FILES else COLOUR
    file = (GREY_FILES | COLOUR_FILES)[name](tmp_path / name, values)
    expected = np.rint(np.atleast_3d(values).astype(float) * 255 / 4095)
    for decoded in (decode(file), decode(file, IntensityScale(integers=4095))):
        assert (decoded.conversion.number, decoded.conversion.largest) == ("integers", 3835)
        assert np.array_equal(decoded.pixels, np.broadcast_to(expected, decoded.pixels.shape))
    assert np.array_equal(decode_whole(file)[0], decode(file).pixels)


def test_without_a_scale_the_rule_of_earlier_versions_applies(tmp_path):
    grey, colour = deep(tmp_path / "grey.png", RAMP), deep(tmp_path / "colour.png", COLOUR)
    assert np.array_equal(decode(grey, None).pixels[..., 0], np.rint(RAMP / 257))
    assert np.array_equal(decode(colour, None).pixels, COLOUR >> 8)


def test_the_orientation_of_deep_colours_is_used(tmp_path):
    file = deep(tmp_path / "x.png", COLOUR)
    exif = Image.Exif()
    exif[0x0112] = 6
    content = file.read_bytes()
    body = exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = len(body).to_bytes(4, "big") + b"eXIf" + body
    chunk += zlib.crc32(b"eXIf" + body).to_bytes(4, "big")
    file.write_bytes(content[:33] + chunk + content[33:])
    upright = np.rot90(np.rint(COLOUR.astype(float) * 255 / 4095), -1)
    assert np.array_equal(decode(file).pixels, upright)


def test_a_value_that_means_transparent_is_compared_with_all_16_bits(tmp_path):
    file = tmp_path / "key.png"
    Image.fromarray(RAMP).save(file, transparency=700)
    expected = np.where(RAMP == 700, 255, np.rint(RAMP.astype(float) * 255 / 4095))
    decoded = decode(file)
    assert decoded.conversion.transparency == "blended"
    assert np.array_equal(decoded.pixels[..., 0], expected)


def test_zero_is_white_if_a_deep_tiff_says_so(tmp_path):
    file = tiff(tmp_path / "x.tif", RAMP[..., None], photometric=0)
    expected = np.rint(RAMP.astype(float) * 255 / 4095)
    assert np.array_equal(decode(file).pixels[..., 0], 255 - expected)
    assert np.array_equal(decode(file, None).pixels[..., 0], np.rint(RAMP / 257))


def test_masks_keep_values_below_256_of_16_bits(tmp_path):
    mask = np.zeros((8, 8, 3), np.uint16)
    mask[2:4, 2:4] = 1
    assert decode_mask(deep(tmp_path / "x.png", mask)).sum() == 4


@pytest.mark.parametrize(("extra", "planar"), [((1,), False), ((), True)])
def test_layouts_that_pillow_reads_wrongly_are_refused(tmp_path, extra, planar):
    values = np.dstack([COLOUR, OPAQUE]) if extra else COLOUR
    with pytest.raises(DataError, match=r"has 16 bits per channel and .*; save it with 8 bits per channel"):
        decode(tiff(tmp_path / "x.tif", values, extra, photometric=2, planar=planar))


def test_preprocess_json_without_a_scale_is_read_and_one_with_a_wrong_scale_refused(tmp_path):
    plain = Preprocess(size=8, channels=1, shorter_side=256, mean=(0.5,), deviation=(0.25,), classes=("a", "b"))
    document = plain.model_dump(mode="json")
    del document["scale"]
    file = tmp_path / "preprocess.json"
    file.write_text(json.dumps(document))
    assert read_preprocess(file).scale is None
    file.write_text(json.dumps(document | {"scale": {"integers": 4095, "floats": None}}))
    assert read_preprocess(file).scale == IntensityScale(integers=4095)
    file.write_text(json.dumps(document | {"scale": {"integers": 100}}))
    with pytest.raises(RunError, match=r"preprocess\.json: scale\.integers: .*255, 1023, 4095, 16383 or 65535"):
        read_preprocess(file)
