"""Features on disk: any blocks of images are read back as they were written, and nothing stays behind."""

from __future__ import annotations

import numpy as np
import pytest

from lightcnn.data.grouping import feature_file
from lightcnn.data.grouping.feature_file import FeatureFile
from lightcnn.errors import DataError

RANDOM = np.random.default_rng(0)


def described(count, shape):
    """Keypoints, descriptors and a thumbnail with random values."""
    return (
        RANDOM.random((count, 4), dtype=np.float32),
        RANDOM.integers(0, 256, (count, 128), dtype=np.uint8),
        RANDOM.random(shape).astype(np.float16),
    )


IMAGES = [described(count, shape) for count, shape in ((3, (96, 40)), (0, (8, 96)), (180, (96, 96)), (1, (5, 7)))]


@pytest.fixture(params=[3, 10**9], ids=["on disk", "in memory"])
def features(tmp_path, monkeypatch, request):
    monkeypatch.setenv("LIGHTCNN_CACHE", str(tmp_path))
    monkeypatch.setattr(feature_file, "SPOOLED_BYTES", request.param)
    with FeatureFile() as opened:
        for image in IMAGES:
            opened.append(*image)
        yield opened


@pytest.mark.parametrize("blocks", [(range(4),), (range(1),), (range(2, 4), range(2)), (range(1, 2),)])
def test_blocks_are_read_as_they_were_written(features, blocks):
    chosen = [image for block in blocks for image in block]
    read = features.read(*blocks)
    for number, column in enumerate((read.points, read.descriptors)):
        expected = np.concatenate([IMAGES[image][number] for image in chosen])
        assert np.array_equal(column, expected)
        assert column.dtype == expected.dtype
    assert read.owners.tolist() == [place for place, image in enumerate(chosen) for _ in IMAGES[image][0]]
    assert len(read.thumbnails) == len(chosen)
    for place, image in enumerate(chosen):
        assert np.array_equal(read.thumbnails[place], IMAGES[image][2])


def test_the_files_have_no_name_and_need_no_cache(features, tmp_path, monkeypatch):
    assert len(features) == 4
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LIGHTCNN_CACHE", str(tmp_path / "file"))
    with FeatureFile() as elsewhere:
        elsewhere.append(*IMAGES[0])
        assert np.array_equal(elsewhere.read(range(1)).points, IMAGES[0][0])


def test_a_full_disk_is_one_clear_error(features, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(features._thumbnails, "write", full)
    message = r"features of image 5 cannot be written to the cache \(No space left on device\); make room .*--fast"
    with pytest.raises(DataError, match=message):
        features.append(*IMAGES[0])
