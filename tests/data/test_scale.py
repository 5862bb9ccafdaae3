"""One scale of intensities for a data set: that of its training images."""

from __future__ import annotations

import numpy as np
import torch
from helpers.deep_images import deep, tiff

from lightcnn.data.files.intensity import OWN_SCALE, IntensityScale
from lightcnn.data.pipeline import Pipeline
from lightcnn.data.sources.load import load
from lightcnn.data.split import Split, folds

CPU = torch.device("cpu")


def values_of(index, largest=4000):
    """Distinct 12-bit images, whose largest value is given."""
    values = np.random.default_rng(index).integers(0, largest, (16, 16), dtype=np.uint16)
    values[0, 0] = largest
    return values


def write(folder, largest):
    """Two classes of 16-bit images with these largest values, in a manifest; the first half is for training."""
    rows = ["path,label,split"]
    for index, value in enumerate(largest):
        deep(folder / f"{index:02}.png", values_of(index, value))
        rows.append(f"{index:02}.png,{'ab'[index % 2]},{'train' if index < len(largest) // 2 else 'test'}")
    (folder / "set.csv").write_text("\n".join(rows))
    return str(folder / "set.csv")


def halves(count):
    indices = np.arange(count)
    return Split(indices[: count // 2], indices[:0], indices[count // 2 :])


def codes(dataset):
    return {warning.code: warning.count for warning in dataset.warnings}


def test_dim_images_are_on_the_scale_of_the_data_set(tmp_path):
    data = load(write(tmp_path, [200, 4000, 200, 4000]))
    assert data.scale == IntensityScale(integers=4095)
    assert codes(data) == {"intensity_scale": 4}
    for index, largest in enumerate([200, 4000, 200, 4000]):
        expected = np.rint(values_of(index, largest).astype(float) * 255 / 4095)
        assert np.array_equal(data.images[index][..., 0], expected)


def test_test_images_above_the_scale_of_the_training_images_are_clipped_and_counted(tmp_path):
    data = load(write(tmp_path, [4000, 4095, 4000, 4000, 4096, 65_535, 4000, 2000]))
    pipeline = Pipeline(data, halves(8), CPU)
    assert pipeline.preprocess(16).scale == IntensityScale(integers=4095)
    assert codes(pipeline.dataset) == {"intensity_scale": 8, "clipped_intensities": 2}
    pixels = pipeline.images(np.arange(8), 16)[:].numpy()
    for index, largest in enumerate([4000, 4095, 4000, 4000, 4096, 65_535, 4000, 2000]):
        expected = np.rint(np.minimum(values_of(index, largest), 4095).astype(float) * 255 / 4095)
        assert np.array_equal(pixels[index, 0], expected)
    documented = {entry["code"]: entry["count"] for entry in pipeline.document()["warnings"]}
    assert documented == {"intensity_scale": 8, "clipped_intensities": 2}


def test_the_fingerprint_is_about_the_data_and_not_about_a_split(tmp_path):
    data = load(write(tmp_path, [4000, 4000, 4000, 20_000]))
    low, high = Pipeline(data, halves(4), CPU), Pipeline(data, Split(*[np.arange(4)] * 3), CPU)
    assert (low.dataset.scale, high.dataset.scale) == (IntensityScale(integers=4095), IntensityScale(integers=65_535))
    assert low.dataset.fingerprint == high.dataset.fingerprint == data.fingerprint


def test_every_fold_has_the_scale_of_its_training_images(tmp_path):
    data = load(write(tmp_path, [20_000] + [4000] * 11))
    pipeline = Pipeline(data, halves(12), CPU)
    scales = []
    for split in folds(data, 3, 0):
        other = pipeline.with_split(split)
        expected = IntensityScale(integers=65_535 if 0 in split.train else 4095)
        assert other.preprocess(16).scale == expected
        first = int(split.train[-1])
        assert np.array_equal(other.images(split.train[-1:], 16)[:].numpy()[0, 0],
                              np.rint(values_of(first).astype(float) * 255 / expected.integers))  # fmt: skip
        scales.append(expected.integers)
    assert sorted(set(scales)) == [4095, 65_535]


def test_files_of_8_bits_beside_deeper_ones_keep_their_values(tmp_path):
    source = write(tmp_path, [4000, 4000, 4000, 4000])
    grey = np.random.default_rng(9).integers(0, 256, (16, 16, 1), dtype=np.uint8)
    tiff(tmp_path / "02.tif", grey)
    csv = tmp_path / "set.csv"
    csv.write_text(csv.read_text().replace("02.png", "02.tif"))
    data = load(source)
    assert codes(data) == {"intensity_scale": 3}
    assert np.array_equal(data.images[2], grey)


def test_deep_images_that_no_training_image_resembles_have_their_own_scale(tmp_path):
    source = write(tmp_path, [4000, 4000, 900, 4000])
    for index in range(2):
        tiff(tmp_path / f"{index:02}.tif", np.full((16, 16, 1), [10, 20][index], np.uint8))
    csv = tmp_path / "set.csv"
    csv.write_text(csv.read_text().replace("00.png", "00.tif").replace("01.png", "01.tif"))
    dataset = Pipeline(load(source), halves(4), CPU).dataset
    assert dataset.scale == OWN_SCALE
    assert codes(dataset) == {"one_colour_images": 2, "own_intensity_scale": 2}
    assert np.array_equal(dataset.images[2][..., 0], np.rint(values_of(2, 900).astype(float) * 255 / 1023))


def test_images_on_disk_are_cached_for_each_scale(tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTCNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("lightcnn.data.store.MEMORY_BYTES", 0)
    data = load(write(tmp_path, [4000, 4000, 4000, 20_000]))
    stored = [Pipeline(data, split, CPU).images(np.arange(4), 16)[:].numpy()
              for split in (halves(4), Split(*[np.arange(4)] * 3))]  # fmt: skip
    assert stored[0][0].max() == 249  # 4000 · 255 / 4095
    assert stored[1][0].max() == 16  # 4000 · 255 / 65535


def test_a_data_set_takes_the_scale_of_a_run(tmp_path):
    data = load(write(tmp_path, [4000] * 4)).with_scale(IntensityScale(integers=65_535))
    assert data.images[0].max() == 16
    earlier = load(write(tmp_path, [4000] * 4)).with_scale(None)
    assert earlier.images[0].max() == 16
    assert codes(earlier) == {"intensity_scale": 4}
