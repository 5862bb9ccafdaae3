"""The pixels that all threads together decode at the same time are limited."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Lock

import pytest
from PIL import Image

from lightcnn.data.files import decode as decoding
from lightcnn.data.files.decode import DECODING, MAX_PIXELS, decode
from lightcnn.data.files.pixel_limit import PixelLimit


def test_no_more_pixels_than_the_limit_are_held():
    limit, lock = PixelLimit(10), Lock()
    current, largest = 0, 0

    def work(pixels):
        nonlocal current, largest
        with limit.hold(pixels):
            with lock:
                current += pixels
                largest = max(largest, current)
            with lock:
                current -= pixels

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [4, 3, 7, 10, 1, 5] * 40))
    assert current == 0
    assert 0 < largest <= 10


def test_an_image_above_the_limit_is_held_alone_and_errors_release_it():
    limit = PixelLimit(10)
    with pytest.raises(ValueError, match="damaged"), limit.hold(25):
        raise ValueError("damaged")
    with limit.hold(10):
        pass


def test_every_file_is_counted_while_it_is_decoded(tmp_path, monkeypatch):
    counted = []

    class Recorder(PixelLimit):
        def hold(self, pixels):
            counted.append(pixels)
            return super().hold(pixels)

    monkeypatch.setattr(decoding, "DECODING", Recorder(MAX_PIXELS))
    for name in ("x.png", "x.jpg"):
        Image.new("RGB", (2048, 1024)).save(tmp_path / name)
        decode(tmp_path / name)
        decoding.decode_whole(tmp_path / name)
    # A JPEG that is reduced while it is decoded needs less: 2048 × 1024 by an eighth or a quarter, 256 pixels or more.
    assert counted == [2048 * 1024, 2048 * 1024, 512 * 256, 2048 * 1024]
    assert isinstance(DECODING, PixelLimit)
