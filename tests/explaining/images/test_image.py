"""Images of files that are explained, read as the network of the run reads them."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.deep_images import RAMP, deep

from lightcnn.data.files.intensity import IntensityScale
from lightcnn.data.preprocess import Preprocess
from lightcnn.data.sources.load import load
from lightcnn.explaining.images.image import ImageReading, from_dataset, from_file

PLAIN = Preprocess(size=24, channels=1, shorter_side=256, mean=(0.5,), deviation=(0.25,), classes=("a", "b"),
                   fit="crop")  # fmt: skip


@pytest.mark.parametrize(("scale", "white"), [(IntensityScale(integers=16_383), 16_383), (None, 65_535)])
def test_the_scale_of_the_run_is_used_for_the_network_and_for_people(tmp_path, scale, white):
    for name in ("a/0", "a/1", "b/2", "b/3"):
        deep(tmp_path / f"{name}.png", RAMP)
    preprocess = PLAIN.model_copy(update={"scale": scale})
    expected = np.rint(RAMP.astype(float) * 255 / white)
    explained = from_file(tmp_path / "a" / "0.png", ImageReading.of(preprocess))
    assert explained.conversion is not None
    assert explained.conversion.largest == RAMP.max()
    of_set = from_dataset(load(str(tmp_path)).with_scale(scale), 0, ImageReading.of(preprocess))
    for image in (explained, of_set):
        assert np.array_equal(image.seen[..., 0], expected[:, 4:28])
        assert np.array_equal(image.whole()[0][..., 0], expected)
