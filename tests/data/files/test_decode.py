"""Image files, usual and faulty: each is decoded correctly, or refused in one line."""

from __future__ import annotations

import contextlib
import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lightcnn.data.files.decode import FORMAT_OF, SUFFIXES, UPRIGHT, decode
from lightcnn.data.sources.load import load
from lightcnn.errors import DataError
from lightcnn.recipe import Reading

SIZE = (48, 32)
GRADIENT = np.linspace(40, 200, SIZE[0], dtype=np.uint8)[None, :].repeat(SIZE[1], 0)
COLOUR = np.stack([GRADIENT, GRADIENT // 2, np.full_like(GRADIENT, 90)], axis=2)
CORNER = COLOUR.copy()
CORNER[:16, :16] = (250, 10, 10)


def rgb(pixels=COLOUR):
    return Image.fromarray(pixels)


def grey(pixels=GRADIENT):
    return Image.fromarray(pixels)


def half_transparent(image):
    """The image with a transparent left half."""
    image.putalpha(Image.fromarray(np.where(np.arange(SIZE[0]) < 24, 0, 255).astype(np.uint8)[None].repeat(32, 0)))
    return image


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width, height, depth, colour, rows, *, before=(), interlace=0):
    """A PNG file made by hand: `rows` are the bytes of the image, each row preceded by its filter's number."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(before) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def jpeg(image, **options):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=95, **options)
    return file.getvalue()


def deep_rgb():
    rows = b"".join(b"\0" + (row.astype(">u2") * 257).tobytes() for row in COLOUR)
    return png(*SIZE, 16, 2, rows)


def interlaced():
    """Adam7: seven passes over every eighth, fourth and second pixel."""
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    parts = [COLOUR[y::down, x::across] for x, y, across, down in passes]
    return png(*SIZE, 8, 2, b"".join(b"\0" + row.tobytes() for part in parts for row in part), interlace=1)


def without_adobe(content):
    """A JPEG without its APP14 segment."""
    start = content.index(b"\xff\xee")
    return content[:start] + content[start + 2 + struct.unpack(">H", content[start + 2 : start + 4])[0] :]


def plain_cmyk():
    """CMYK that is not inverted, without Adobe's marker: Pillow inverts it on saving, so it is inverted before."""
    return without_adobe(
        jpeg(Image.merge("CMYK", [band.point(lambda v: 255 - v) for band in rgb().convert("CMYK").split()]))
    )


def save(folder, name, content, **options):
    file = folder / name
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        content.save(file, **options)
    return file


WHITE_LEFT = np.where((np.arange(SIZE[0]) < 24)[None, :, None], 255, COLOUR)
GREY_WHITE_LEFT = WHITE_LEFT[..., :1]
BITS = np.where(GRADIENT > 120, 255, 0)[..., None]
LOSSY, EXACT = 6, 0
FILES = {
    "rgb.jpg": (lambda: rgb(), {"quality": 95}, COLOUR, LOSSY, "RGB"),
    "grey.JPG": (lambda: grey(), {"quality": 95, "format": "JPEG"}, GRADIENT[..., None], LOSSY, "L"),
    "cmyk.jpeg": (lambda: rgb().convert("CMYK"), {"quality": 95}, COLOUR, LOSSY, "CMYK"),
    "plain.jpg": (plain_cmyk, {}, COLOUR, LOSSY, "CMYK"),
    "progressive.jfif": (lambda: jpeg(rgb(), progressive=True), {}, COLOUR, LOSSY, "RGB"),
    "rgb.png": (lambda: rgb(), {}, COLOUR, EXACT, "RGB"),
    "RGB.PNG": (lambda: rgb(), {"format": "PNG"}, COLOUR, EXACT, "RGB"),
    "grey.png": (lambda: grey(), {}, GRADIENT[..., None], EXACT, "L"),
    "palette.png": (lambda: rgb().quantize(256), {}, COLOUR, 3, "P"),
    "clear palette.png": (lambda: half_transparent(rgb()).quantize(256), {}, WHITE_LEFT, 20, "P"),
    "rgba.png": (lambda: half_transparent(rgb()), {}, WHITE_LEFT, EXACT, "RGBA"),
    "la.png": (lambda: half_transparent(grey()), {}, GREY_WHITE_LEFT, EXACT, "LA"),
    "bits.png": (lambda: grey(BITS[..., 0].astype(np.uint8)).convert("1"), {}, BITS, EXACT, "1"),
    "deep.png": (lambda: Image.fromarray(GRADIENT.astype(np.uint16) * 257), {}, GRADIENT[..., None], EXACT, "I;16"),
    "deep rgb.png": (deep_rgb, {}, COLOUR, EXACT, "RGB"),
    "interlaced.png": (interlaced, {}, COLOUR, EXACT, "RGB"),
    "key.png": (lambda: grey(), {"transparency": 40}, np.where(GRADIENT == 40, 255, GRADIENT)[..., None], EXACT, "L"),
    "rgb.bmp": (lambda: rgb(), {}, COLOUR, EXACT, "RGB"),
    "grey.bmp": (lambda: grey(), {}, GRADIENT[..., None], EXACT, "L"),
    "lossy.webp": (lambda: rgb(), {"quality": 95}, COLOUR, 16, "RGB"),
    "alpha.webp": (lambda: half_transparent(rgb()), {"lossless": True}, WHITE_LEFT, EXACT, "RGBA"),
    "rgb.tif": (lambda: rgb(), {}, COLOUR, EXACT, "RGB"),
    "packed.TIFF": (lambda: rgb(), {"format": "TIFF", "compression": "tiff_lzw"}, COLOUR, EXACT, "RGB"),
    "grey.tiff": (lambda: grey(), {}, GRADIENT[..., None], EXACT, "L"),
    "cmyk.tif": (lambda: rgb().convert("CMYK"), {}, COLOUR, 2, "CMYK"),
    "deep.tif": (lambda: Image.fromarray(GRADIENT.astype(np.uint16) * 257), {}, GRADIENT[..., None], EXACT, "I;16"),
    "share.tif": (lambda: Image.fromarray((GRADIENT / 255).astype(np.float32)), {}, GRADIENT[..., None], 1, "F"),
    "float.tif": (lambda: Image.fromarray(GRADIENT.astype(np.float32)), {}, GRADIENT[..., None], EXACT, "F"),
    "whole.tif": (lambda: Image.fromarray(GRADIENT.astype(np.int32) * 257), {}, GRADIENT[..., None], EXACT, "I"),
    "häutchen é.png": (lambda: rgb(), {}, COLOUR, EXACT, "RGB"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_formats_and_modes(tmp_path, name):
    make, options, expected, tolerance, mode = FILES[name]
    read = decode(save(tmp_path, name, make(), **options))
    assert read.pixels.dtype == np.uint8
    assert read.pixels.shape == expected.shape
    assert (read.mode, read.width, read.height, read.conversion.multi_frame) == (mode, *SIZE, False)
    assert np.abs(read.pixels.astype(int) - expected.astype(int)).max() <= tolerance


def test_all_formats_are_tested():
    assert {FORMAT_OF[Path(name).suffix.lower()] for name in FILES} == set(FORMAT_OF.values())
    assert len(SUFFIXES) == 9


MODES = {"jpg": ("RGB", "L"), "webp": ("RGB", "RGBA"), "png": ("RGB", "RGBA", "L", "I;16"),
         "tif": ("RGB", "RGBA", "L", "I;16")}  # fmt: skip


@pytest.mark.parametrize(("suffix", "mode"), [(suffix, mode) for suffix, modes in MODES.items() for mode in modes])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_gives_the_same_upright_image(tmp_path, suffix, mode, orientation):
    upright = rgb(CORNER).convert("L" if mode == "I;16" else mode)
    # An image that UPRIGHT[n] turns upright was turned by its inverse, which is the same except for quarter turns.
    inverse = {6: UPRIGHT[8], 8: UPRIGHT[6]}.get(orientation, UPRIGHT.get(orientation))
    stored = upright if inverse is None else upright.transpose(inverse)
    if mode == "I;16":
        stored = Image.fromarray(np.asarray(stored).astype(np.uint16) * 257)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"webp": {"lossless": True}, "jpg": {"quality": 95}}.get(suffix, {})
    read = decode(save(tmp_path, f"x.{suffix}", stored, exif=exif, **options)).pixels
    expected = np.asarray(upright.convert("L" if mode in ("L", "I;16") else "RGB")).reshape(read.shape)
    blocks = np.abs(read.astype(int) - expected)[2:14, 2:14], np.abs(read.astype(int) - expected)[18:, 18:]
    assert max(block.max() for block in blocks) <= (12 if suffix == "jpg" else 0)


def test_large_photographs_are_reduced_to_the_shorter_side(tmp_path):
    read = decode(save(tmp_path, "x.png", rgb().resize((900, 600))))
    assert read.pixels.shape == (256, 384, 3)
    assert (read.width, read.height) == (900, 600)


@pytest.mark.parametrize(("suffix", "multi_frame"), [("tif", True), ("webp", True), ("png", True)])
def test_only_the_first_of_several_frames_is_read_and_a_warning_reports_it_once(tmp_path, suffix, multi_frame):
    for folder in "ab":
        (tmp_path / folder).mkdir()
        for index in range(3):
            save(tmp_path / folder, f"{index}.png", grey())
    options = {"lossless": True} if suffix == "webp" else {}
    file = save(tmp_path / "a", f"9.{suffix}", rgb(), save_all=True, append_images=[rgb(CORNER)], **options)
    assert decode(file).conversion.multi_frame is multi_frame
    np.testing.assert_array_equal(decode(file).pixels, COLOUR)
    data = load(str(tmp_path))
    assert [(warning.code, warning.count) for warning in data.warnings] == [("dropped_frames", 1)]
    assert data.note == "", "the warning states it once"


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (0.0, 3000.0), (float("nan"), 1.0), (0.0, float("inf"))])
def test_floats_of_an_unknown_scale_are_refused(tmp_path, low, high):
    values = np.full((8, 8), high, dtype=np.float32)
    values[0, 0] = low
    with pytest.raises(DataError, match=r"has values from .* to .*; save it with 8 bits per channel"):
        decode(save(tmp_path, "x.tif", Image.fromarray(values)))


def gif():
    file = io.BytesIO()
    grey().save(file, "GIF")
    return file.getvalue()


BOMB_TIFF = struct.pack("<2sHI", b"II", 42, 8) + struct.pack("<H", 8) + b"".join(
    struct.pack("<HHII", tag, 4, 1, value)
    for tag, value in ((256, 60_000), (257, 60_000), (258, 8), (259, 1), (262, 1), (273, 8), (278, 60_000), (279, 4))
) + struct.pack("<I", 0)  # fmt: skip
FAULTY = {
    "empty.jpg": (b"", "is empty"),
    "text.png": (b"these are not the pixels", "is not an image of a supported format"),
    "random.jpg": (np.random.default_rng(3).bytes(5000), "is not an image of a supported format"),
    "moving.jpg": (gif(), "is a GIF file, which is not supported; convert it to PNG"),
    "phone.jpg": (b"\0\0\0\x18ftypheic" + bytes(100), "is a HEIC, AVIF or video file, which"),
    "png.jpg": (png(1, 1, 8, 0, b"\0\0"), "contains a PNG image; rename it to png.png"),
    "jpeg.bmp": (jpeg(rgb()), "contains a JPEG image; rename it to jpeg.jpg"),
    "bomb.png": (png(60_000, 60_000, 1, 0, b""), "has more than 89 megapixels"),
    "wide.png": (png(9_000, 10_000, 8, 6, b""), "has more than 89 megapixels"),
    "bomb.tif": (BOMB_TIFF, "has more than 89 megapixels"),
    "flat.png": (png(0, 5, 8, 0, b""), "is (damaged|not an image)"),
    "profile.png": (
        png(1, 1, 8, 0, b"\0\0", before=[chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(50_000_000)))]),
        "is damaged .*Decompressed data too large",
    ),
    "zipped.png": (
        png(1, 1, 8, 0, b"\0\0", before=[chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(2_000_000)))] * 60),
        "is damaged",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTY)
@pytest.mark.timeout(60)
def test_faulty_files_are_refused_in_one_line(tmp_path, name):
    content, message = FAULTY[name]
    with pytest.raises(DataError, match=message) as caught, quiet():
        decode(save(tmp_path, name, content))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@contextlib.contextmanager
def quiet():
    """Ignores Pillow's warnings about damaged files, as `read` does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize(
    "block",
    [
        b"Exif\0\0" + b"\xff" * 40,
        b"Exif\0\0II*\0\xff\xff\xff\x7f",
        b"Exif\0\0",
        b"Exif\0\0MM\0*" + b"\0\0\0\x08\xff\xff" * 9,
    ],
)
def test_damaged_exif_does_not_prevent_decoding(tmp_path, block):
    for name, content in (("x.jpg", jpeg(rgb(), exif=block)), ("y.jpg", jpeg(rgb(), exif=block[:60_000]))):
        with quiet():
            read = decode(save(tmp_path, name, content))
        assert np.abs(read.pixels.astype(int) - COLOUR).max() <= LOSSY


def test_the_largest_exif_and_profile_of_a_jpeg(tmp_path):
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = "x" * 60_000, 3
    content = jpeg(rgb(), exif=exif.tobytes(), icc_profile=bytes(3_000_000))
    assert len(content) > 3_000_000
    assert decode(save(tmp_path, "x.jpg", content)).pixels.shape == COLOUR.shape


def content_of(name, image=None):
    """The bytes of one of `FILES`, or of another image saved in the same way."""
    make, options, *_ = FILES[name]
    content = make() if image is None else image
    if isinstance(content, bytes):
        return content
    file = io.BytesIO()
    content.save(file, **({"format": FORMAT_OF[Path(name).suffix.lower()]} | options))
    return file.getvalue()


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    "name",
    ["rgb.jpg", "rgb.png", "rgb.bmp", "lossy.webp", "rgb.tif", "packed.TIFF"],
)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9])
def test_truncated_files_are_refused(tmp_path, name, share):
    content = content_of(name, NOISE)
    with pytest.raises(DataError, match=r"is (damaged|not an image)"), quiet():
        decode(save(tmp_path, name, content[: int(share * len(content))]))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.timeout(120)
def test_changed_and_truncated_bytes_give_pixels_or_one_line(tmp_path, name):
    random, content = np.random.default_rng(len(name)), content_of(name)
    outcomes = set()
    with quiet():
        for _ in range(60):
            broken = bytearray(content)
            for position in random.integers(0, len(broken) if random.random() < 0.5 else min(120, len(broken)), 4):
                broken[position] = random.integers(256)
            if random.random() < 0.3:
                del broken[random.integers(1, len(broken)) :]
            try:
                read = decode(save(tmp_path, name, bytes(broken)))
                assert read.pixels.dtype == np.uint8
                assert read.pixels.shape[2] in (1, 3)
                outcomes.add("read")
            except DataError as error:
                assert "\n" not in str(error)
                outcomes.add("refused")
    assert "refused" in outcomes


def test_usual_file_names_are_read(tmp_path):
    for folder in ("Mpox vélo", "other skin"):
        (tmp_path / folder).mkdir()
        for index, name in enumerate(("IMG 1.JPG", "b.Jpeg", "c.jfif", "日本.PNG", "e.TIF")):
            kind = FORMAT_OF[Path(name).suffix.lower()]
            save(tmp_path / folder, name, rgb(COLOUR // (index + 1)), format=kind)
    data = load(str(tmp_path))
    assert (len(data), data.skipped, data.note) == (10, (), "")


def test_a_broken_link_is_a_faulty_file(tmp_path):
    for folder in "ab":
        (tmp_path / folder).mkdir()
        save(tmp_path / folder, "0.png", grey())
        save(tmp_path / folder, "1.png", grey())
    (tmp_path / "a" / "2.png").symlink_to("gone.png")
    with pytest.raises(DataError, match=r"1 of 5 files cannot be used: a/2\.png is a link to a missing file"):
        load(str(tmp_path))
    assert len(load(str(tmp_path), Reading(skip_corrupt=True))) == 4


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path):
    for name, width in (("large.png", 11_000), ("bomb.png", 40_000)):
        header = struct.pack(">IIBBBBB", width, width, 1, 0, 0, 0, 0)
        chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
        body = b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
        (tmp_path / name).write_bytes(b"\x89PNG\r\n\x1a\n" + body)
        with pytest.raises(DataError, match=r"more than 89 megapixels"):
            decode(tmp_path / name)


def test_decoding_of_modes_and_orientation(tmp_path):
    colour = Image.fromarray(np.full((4, 6, 3), 200, dtype=np.uint8))
    colour.save(tmp_path / "rgb.png")
    colour.convert("CMYK").save(tmp_path / "cmyk.tif")
    colour.convert("P").save(tmp_path / "palette.png")
    Image.new("RGBA", (6, 4), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    Image.fromarray(np.full((4, 6), 200 * 257, dtype=np.uint16)).save(tmp_path / "deep.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    colour.save(tmp_path / "turned.jpg", exif=exif)
    assert decode(tmp_path / "rgb.png").pixels.shape == (4, 6, 3)
    assert abs(int(decode(tmp_path / "cmyk.tif").pixels.mean()) - 200) <= 2
    assert decode(tmp_path / "palette.png").pixels.shape == (4, 6, 3)
    assert decode(tmp_path / "clear.png").pixels.min() == 255
    assert decode(tmp_path / "deep.png").pixels.shape == (4, 6, 1)
    assert set(decode(tmp_path / "deep.png").pixels.ravel().tolist()) == {200}
    assert decode(tmp_path / "turned.jpg").pixels.shape == (6, 4, 3)
