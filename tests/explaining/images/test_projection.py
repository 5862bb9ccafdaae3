"""Maps projected onto the image, and masks brought to the input: marked pixels in both directions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from PIL import Image

from lightcnn.data.files.decode import LONGEST_SIDE, UPRIGHT, decode, decode_mask, decode_whole
from lightcnn.data.preprocess import Preprocess
from lightcnn.data.tensors import network_pixels
from lightcnn.errors import DataError
from lightcnn.explaining.images.projection import Frame

SHAPES = ((64, 64), (90, 64), (64, 90), (91, 64), (700, 301))
FITS = ("stretch", "crop", "pad")


def preprocess(fit: str, size: int = 32) -> Preprocess:
    return Preprocess(
        size=size, channels=1, shorter_side=256, mean=(0.5,), deviation=(0.5,), classes=("a", "b"), fit=fit
    )  # type: ignore[arg-type]


def marked(shape: tuple[int, int], y: int, x: int, radius: int) -> np.ndarray:
    """A black image with a white square around a position."""
    image = np.zeros((*shape, 1), np.uint8)
    image[max(0, y - radius) : y + radius, max(0, x - radius) : x + radius] = 255
    return image


def centre(values: np.ndarray) -> tuple[float, float]:
    """The centre of the bright pixels, as shares of height and width."""
    rows, columns = np.indices(values.shape)
    return tuple(
        float((values * (positions + 0.5)).sum() / values.sum() / length)
        for positions, length in zip((rows, columns), values.shape, strict=True)
    )  # type: ignore[return-value]


@pytest.mark.parametrize(("shape", "fit"), list(itertools.product(SHAPES, FITS)))
def test_a_mark_seen_by_the_network_is_projected_back_onto_the_mark(shape, fit):
    y, x, radius = shape[0] // 2 + 9, shape[1] // 2 - 7, min(shape) // 8
    image = marked(shape, y, x, radius)
    seen = network_pixels(image, preprocess(fit))[0].numpy().astype(np.float32) / 255
    frame = Frame.of(image.shape, preprocess(fit))
    back = frame.onto(seen, *shape)
    assert back.shape == shape
    projected = np.nan_to_num(back)
    step = max(shape) / 32  # largest size of an input pixel, in pixels of the image
    for position, true, length in zip(centre(projected), centre(image[..., 0]), shape, strict=True):
        assert abs(position - true) * length < 0.25 * step
    assert (projected[image[..., 0] > 0] > 0.4).mean() > 0.9


@pytest.mark.parametrize(("shape", "fit"), list(itertools.product(SHAPES, FITS)))
def test_a_mask_is_transformed_like_its_image(shape, fit):
    image = marked(shape, shape[0] // 2 - 11, shape[1] // 2 + 8, min(shape) // 6)
    seen = network_pixels(image, preprocess(fit))[0].numpy() > 127
    mask = Frame.of(image.shape, preprocess(fit)).mask(image[..., 0] > 0)
    assert mask.shape == (32, 32)
    assert mask.any()
    assert (mask ^ seen).sum() <= 0.02 * seen.size


def test_a_frame_applies_to_every_resolution():
    frame = Frame(90, 64, 32, "crop")
    values = np.random.default_rng(0).random((32, 32), dtype=np.float32)
    small, large = frame.onto(values, 90, 64), frame.onto(values, 900, 640)
    assert (np.isnan(small) == np.isnan(large[5::10, 5::10])).all()
    np.testing.assert_allclose(
        np.nan_to_num(large[4::10, 4::10] + large[5::10, 5::10]) / 2, np.nan_to_num(small), atol=0.04
    )


def test_there_is_no_map_outside_of_a_crop_and_none_of_the_padding_is_projected():
    ones = np.ones((32, 32), np.float32)
    cropped = Frame(90, 64, 32, "crop").onto(ones, 90, 64)
    assert np.isnan(cropped[:13]).all()
    assert np.isnan(cropped[-13:]).all()
    assert (cropped[13:77] == 1).all()
    numbers = Frame(90, 64, 32, "crop").nearest(np.arange(1024).reshape(32, 32), 90, 64)
    assert (numbers[:13] == -1).all()
    assert set(np.unique(numbers[13:77])) == set(range(1024))
    bars = np.zeros((32, 32), np.float32)
    bars[:, 5:-5] = 1  # 64 of 90 columns in 32, without one column at each end that overlaps the padding
    assert Frame(90, 64, 32, "pad").onto(bars, 90, 64)[:, 3:-3].min() == 1
    assert (Frame(64, 64, 64).onto(bars.repeat(2, 0).repeat(2, 1), 64, 64) == bars.repeat(2, 0).repeat(2, 1)).all()


def test_a_tiny_mask_is_kept_and_an_empty_one_stays_empty():
    mask = np.zeros((3000, 2000), bool)
    frame = Frame(384, 256, 32)
    assert not frame.mask(mask).any()
    mask[1600, 500] = True
    positions = np.argwhere(frame.mask(mask))
    assert 1 <= len(positions) <= 4
    assert np.abs(positions - (1600 / 3000 * 32, 500 / 2000 * 32)).max() <= 1
    mask[:] = False
    mask[10] = True
    assert not Frame(384, 256, 32, "crop").mask(mask).any(), "above the part that the network sees"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_complete_and_upright_for_every_exif_orientation(tmp_path, orientation):
    upright = np.full((600, 400, 3), 30, np.uint8)
    upright[80:160, 280:360] = 250
    image = Image.fromarray(upright)
    backwards = {
        Image.Transpose.ROTATE_90: Image.Transpose.ROTATE_270,
        Image.Transpose.ROTATE_270: Image.Transpose.ROTATE_90,
    }
    if orientation in UPRIGHT:
        image = image.transpose(backwards.get(UPRIGHT[orientation], UPRIGHT[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / "x.jpg", exif=exif, quality=95)
    whole, size = decode_whole(tmp_path / "x.jpg")
    assert whole.shape == (600, 400, 3)
    assert size == (600, 400)
    assert np.abs(whole.astype(int) - upright).mean() < 3
    decoded = decode(tmp_path / "x.jpg").pixels
    for fit in FITS:
        seen = network_pixels(decoded, preprocess(fit))[0].numpy().astype(np.float32) / 255
        back = np.nan_to_num(Frame.of(decoded.shape, preprocess(fit)).onto(seen, *size))
        assert back[100:140, 300:340].min() > 0.8, "the map lies on the mark of the upright image"
        assert back[440:520, 40:120].max() < 0.3


def test_a_very_large_image_is_reduced_and_its_size_is_kept(tmp_path):
    Image.fromarray(np.zeros((60, 2 * LONGEST_SIDE), np.uint8)).save(tmp_path / "wide.png")
    whole, size = decode_whole(tmp_path / "wide.png")
    assert whole.shape == (30, LONGEST_SIDE, 1)
    assert size == (60, 2 * LONGEST_SIDE)


def test_a_mask_is_nonzero_pixels_in_every_file_format(tmp_path):
    inside = np.zeros((20, 30), bool)
    inside[3:9, 11:17] = True
    grey = inside.astype(np.uint8)
    images_by_name = {
        "one.png": Image.fromarray(grey),
        "full.png": Image.fromarray(grey * 255),
        "deep.png": Image.fromarray(grey.astype(np.uint16)),
        "bits.png": Image.fromarray(inside),
        "blue.png": Image.fromarray(np.dstack([0 * grey, 0 * grey, grey])),
        "clear.png": Image.fromarray(np.dstack([grey * 0 + 200] * 3 + [grey * 255])),
    }
    palette = Image.fromarray(grey).convert("P")
    palette.putpalette([0, 0, 0, 128, 0, 0])
    images_by_name["palette.png"] = palette
    for name, image in images_by_name.items():
        image.save(tmp_path / name)
        assert (decode_mask(tmp_path / name) == inside).all(), name
    (tmp_path / "text.png").write_text("no mask")
    with pytest.raises(DataError, match="is not an image of a supported format"):
        decode_mask(tmp_path / "text.png")
