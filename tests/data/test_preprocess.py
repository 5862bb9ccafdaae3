"""Preprocessing and stores: every way to the pixels gives the same bytes, and each step does what it promises."""

from __future__ import annotations

import builtins
import json
import multiprocessing
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image
from test_layers import loaded_after

from lightcnn.data import background, store
from lightcnn.data.files.decode import decode
from lightcnn.data.pipeline import Pipeline
from lightcnn.data.preprocess import Preprocess
from lightcnn.data.sources.lesion_painter import paint_lesions
from lightcnn.data.sources.load import load
from lightcnn.data.split import make_split
from lightcnn.data.tensors import network_pixels, prepare
from lightcnn.errors import InputError
from lightcnn.recipe import Preparation

CPU = torch.device("cpu")
PREPARATIONS = (
    Preparation(),
    Preparation(fit="crop", clahe=2.0),
    Preparation(fit="pad"),
    Preparation(background="grabcut", clahe=4.0),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images of several sizes, JPEG and PNG, in two class folders."""
    root = tmp_path_factory.mktemp("photographs")
    lesions = paint_lesions(count=24, size=64)
    for index, image in enumerate(lesions.images):
        target = root / lesions.classes[lesions.labels[index]] / f"x{'abcdefghijklmnopqrstuvwxyz'[index]}"
        target.parent.mkdir(exist_ok=True)
        resized = Image.fromarray(image).resize((64 + 5 * (index % 3), 64))
        resized.save(target.with_suffix(".jpg" if index % 2 else ".png"))
    return root


@pytest.mark.parametrize("preparation", PREPARATIONS, ids=str)
@pytest.mark.parametrize("tier", ["memory", "disk", "stream"])
def test_all_ways_to_the_pixels_give_the_same_bytes(folder, preparation, tier, tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTCNN_CACHE", str(tmp_path))
    monkeypatch.setattr(store, "MEMORY_BYTES", 1e9 if tier == "memory" else 0)
    monkeypatch.setattr(store, "DISK_BYTES", 1e9 if tier == "disk" else 0)
    data = load(str(folder))
    pipeline = Pipeline(data, make_split(data, 0), CPU, preparation)
    training = pipeline.images(pipeline.split.train, 32)
    document = json.loads(json.dumps(pipeline.preprocess(32).model_dump(mode="json")))
    saved = Preprocess.model_validate_json(json.dumps(document))
    assert saved == pipeline.preprocess(32)
    alone = torch.stack([network_pixels(decode(folder / data.paths[i]).pixels, saved) for i in pipeline.split.train])
    assert torch.equal(training[:], alone)
    assert torch.equal(training[torch.tensor([3, 0])], alone[[3, 0]])
    assert len(list(tmp_path.rglob("*.npy"))) == (tier == "disk")


def test_the_cache_is_used_again_for_the_same_preparation(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTCNN_CACHE", str(tmp_path))
    monkeypatch.setattr(store, "MEMORY_BYTES", 0)
    data = load(str(folder))
    first = store.make_store(data, Preparation(), 16, CPU)
    (file,) = tmp_path.rglob("*.npy")
    inode = file.stat().st_ino
    first[torch.tensor([0])][:] = 0
    assert torch.equal(store.make_store(data, Preparation(), 16, CPU)[:], first[:])
    assert file.stat().st_ino == inode
    store.make_store(data, Preparation(clahe=2), 16, CPU)
    assert len(list(tmp_path.rglob("*.npy"))) == 2


def test_the_cache_removes_the_least_recently_used_file(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTCNN_CACHE", str(tmp_path))
    monkeypatch.setattr(store, "MEMORY_BYTES", 0)
    data = load(str(folder))
    size = len(data) * 3 * 16 * 16
    monkeypatch.setattr(store, "DISK_BYTES", 2 * size + 1_000)
    preparations = [Preparation(clahe=clip) for clip in (0, 1, 2)]
    first = store.make_store(data, preparations[0], 16, CPU)
    names = {file.name for file in tmp_path.rglob("*.npy")}
    pixels = first[:].clone()
    for preparation in preparations[1:]:
        store.make_store(data, preparation, 16, CPU)
    left = {file.name for file in tmp_path.rglob("*.npy")}
    assert len(left) == 2
    assert not left & names
    assert torch.equal(first[:], pixels)


def build(folder: str) -> int:
    store.MEMORY_BYTES = 0
    return int(store.make_store(load(folder), Preparation(), 24, CPU)[:].sum())


def test_without_a_writable_cache_images_are_prepared_when_read(folder, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LIGHTCNN_CACHE", str(tmp_path / "file"))
    data = load(str(folder))
    in_memory = store.make_store(data, Preparation(), 16, CPU)
    monkeypatch.setattr(store, "MEMORY_BYTES", 0)
    streamed = store.make_store(data, Preparation(), 16, CPU)
    indices = torch.arange(len(data))
    assert isinstance(streamed, store.StreamedImages)
    assert torch.equal(streamed[indices], in_memory[indices])


def test_two_processes_may_build_the_cache_at_once(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTCNN_CACHE", str(tmp_path))
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        first, second = pool.map(build, [str(folder)] * 2)
    assert first == second > 0
    assert len(list(tmp_path.rglob("*.npy"))) == 1
    assert not list(tmp_path.rglob("*.making"))


def test_fit_stretches_crops_or_pads():
    image = np.zeros((20, 40, 3), np.uint8)
    image[:, 10:30] = 200
    stretched, cropped, padded = (prepare(image, Preparation(fit=fit), 20) for fit in ("stretch", "crop", "pad"))
    assert (cropped == 200).all()
    assert (stretched[0, :, 0] == 0).all()
    assert (stretched[0, :, 10] == 200).all()
    assert (padded[0, 0] == 0).all()
    assert (padded[0, 10, 10]) == 200


def test_clahe_spreads_a_narrow_range_and_keeps_hues():
    random = np.random.default_rng(0)
    image = random.integers(100, 130, (64, 64, 1), dtype=np.uint8)
    assert prepare(image, Preparation(clahe=4), 64).float().std() > 1.5 * image.std()
    red = np.repeat(image, 3, axis=2)
    red[..., 1:] //= 4
    changed = prepare(red, Preparation(clahe=4), 64).float()
    assert (changed[0] > changed[1] + 30).float().mean() > 0.99


@pytest.mark.parametrize("channels", [1, 3])
def test_grabcut_makes_the_surroundings_black_and_is_the_same_in_every_thread(channels):
    random = np.random.default_rng(0)
    image = random.integers(0, 30, (100, 120, channels), dtype=np.uint8)
    image[30:70, 40:80] = random.integers(180, 220, (40, 40, channels), dtype=np.uint8)
    cut = background.remove(image, "grabcut")
    assert (cut[:20] == 0).all()
    assert (cut[35:65, 45:75] == image[35:65, 45:75]).all()
    with ThreadPoolExecutor(2) as pool:
        assert all(np.array_equal(cut, other) for other in pool.map(background.remove, [image] * 6, ["grabcut"] * 6))


@pytest.mark.parametrize("value", [0, 128])
def test_where_no_object_is_found_the_image_stays(value):
    flat = np.full((50, 50, 3), value, np.uint8)
    assert np.array_equal(background.remove(flat, "grabcut"), flat)
    assert background.remove(flat, "none") is flat


def test_missing_rembg_is_reported_in_one_line(monkeypatch):
    original = builtins.__import__

    def without(name, *rest):
        if name == "rembg":
            raise ImportError(name)
        return original(name, *rest)

    background._session.cache_clear()
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"rembg is not installed; pip install 'lightcnn\[background\]'"):
        background.remove(np.zeros((9, 9, 3), np.uint8), "rembg")


def test_images_get_the_networks_number_of_channels():
    preprocess = Preprocess(size=8, channels=1, shorter_side=256, mean=(0.5,), deviation=(0.2,), classes=("a", "b"))
    colour = np.full((8, 8, 3), 100, np.uint8)
    assert network_pixels(colour, preprocess).shape == (1, 8, 8)
    assert (network_pixels(colour, preprocess) == 100).all()
    wide = preprocess.model_copy(update={"channels": 3})
    assert network_pixels(colour[..., :1], wide).shape == (3, 8, 8)


def test_the_preprocessing_of_a_run_loads_without_torch():
    loaded = loaded_after("import lightcnn.data.preprocess")
    assert {"cv2", "PIL", "pydantic", "numpy"} <= loaded
    assert "torch" not in loaded
