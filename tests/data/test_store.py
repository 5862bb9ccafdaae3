"""Stores of prepared images: memory, cache and streaming give the same bytes."""

from __future__ import annotations

import json
import multiprocessing

import pytest
import torch
from PIL import Image

from lightcnn.data import store
from lightcnn.data.files.decode import decode
from lightcnn.data.pipeline import Pipeline
from lightcnn.data.preprocess import Preprocess
from lightcnn.data.sources.lesion_painter import paint_lesions
from lightcnn.data.sources.load import load
from lightcnn.data.split import make_split
from lightcnn.data.tensors import network_pixels
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
    assert not list(tmp_path.rglob("*.part"))
