"""A stream of images needs memory for a few images only."""

from __future__ import annotations

import os
import threading
from functools import partial

import numpy as np

from lightcnn.data.preprocess import Preprocess
from lightcnn.data.stream import prepare_stream
from lightcnn.data.tensors import network_pixels

PLAIN = Preprocess(size=8, channels=1, shorter_side=256, mean=(0.5,), deviation=(0.25,), classes=("dark", "bright"))


def test_a_stream_holds_few_images_at_a_time():
    taken, lock = 0, threading.Lock()

    def source():
        nonlocal taken
        for _ in range(400):
            with lock:
                taken += 1
            yield np.zeros((8, 8, 1), np.uint8)

    bound = max(8, os.cpu_count() or 1)
    prepare = partial(network_pixels, preprocess=PLAIN)
    for returned, (_, image) in enumerate(prepare_stream(source(), prepare, None, ahead=8)):
        assert image.pixels.shape == (1, 8, 8)
        assert (image.channels, image.shorter_side) == (1, 8)
        assert taken - returned <= bound
    assert taken == 400
