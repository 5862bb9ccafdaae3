"""The two mpox data sets: archives and folders in the data folder, and their downloads."""

from __future__ import annotations

import shutil
import sys
import types

import pytest
from helpers.published_files import PHOTOGRAPHS, image_file, reading, remaining, write_zip

from lightcnn.data.sources.load import load
from lightcnn.errors import DataChanged, DataError, DataMissing
from lightcnn.recipe import Reading

JUNK = {"archive/": b"", "archive/readme.txt": b"x", "__MACOSX/archive/._0.png": b"x", "archive/run.sh": b"x",
        "archive/Mpox set/mpox/.hidden.png": b"x"}  # fmt: skip


def test_a_zip_in_the_data_folder_is_unpacked_once_and_its_class_folders_are_found(tmp_path):
    write_zip(tmp_path / "mpox2025.zip", PHOTOGRAPHS | JUNK)
    data = load("mpox2025", reading(tmp_path))
    assert (data.source, data.classes, len(data)) == ("mpox2025", ("mpox", "normal"), 6)
    assert data.paths[0] == "mpox/0.png"
    assert data.note == "6 images, 696 in the paper"
    assert not data.stand_in
    files = [name for name in remaining(tmp_path) if "." in name]
    assert files == sorted(["mpox2025.zip", *(f"mpox2025/{name}" for name in PHOTOGRAPHS)])
    (tmp_path / "mpox2025.zip").unlink()
    assert load("mpox2025", reading(tmp_path)).fingerprint == data.fingerprint


def test_a_folder_in_the_data_folder_is_read_and_differences_from_the_paper_are_noted(tmp_path):
    for name, content in PHOTOGRAPHS.items():
        file = tmp_path / "mpox2022" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    data = load("mpox2022", reading(tmp_path))
    assert data.note == "2 classes, 6 in the paper"
    (tmp_path / "mpox2022" / "archive" / "Mpox set" / "mpox" / "0.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"mpox/0\.png is empty"):
        load("mpox2022", reading(tmp_path))
    assert len(load("mpox2022", Reading(data_dir=str(tmp_path), skip_corrupt=True))) == 5


def test_class_folders_at_several_depths_are_refused(tmp_path):
    write_zip(
        tmp_path / "mpox2022.zip", {f"{name}/{i}.png": image_file() for name in ("a/x", "a/y", "b/c/x") for i in "01"}
    )
    with pytest.raises(
        DataError, match=r"images are at several depths \(a/x and b/c/x\), so it is not clear which folders"
    ):
        load("mpox2022", reading(tmp_path))


def test_given_splits_in_an_archive_are_used(tmp_path):
    names = [f"set/{name}/{label}/{index}.png" for name in ("train", "test") for label in "ab" for index in range(2)]
    write_zip(tmp_path / "mpox2025.zip", {name: image_file() for name in names})
    assert load("mpox2025", reading(tmp_path)).split.tolist() == ["train"] * 4 + ["test"] * 4


def test_the_optional_libraries_download_the_right_files(tmp_path, monkeypatch):
    def drive(*, id, output, quiet):
        assert id == "1P3ZZ01TSJS4v9uhBy0USzfbMXWbO8QIh"
        write_zip(output, PHOTOGRAPHS)
        return output

    def kaggle(handle):
        assert handle == "maxmelichov/monkeypox-2022-remastered"
        for name, content in (PHOTOGRAPHS | {"archive/readme.txt": b"x"}).items():
            file = tmp_path / "kaggle" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        return str(tmp_path / "kaggle")

    monkeypatch.setitem(sys.modules, "gdown", types.SimpleNamespace(download=drive))
    monkeypatch.setitem(sys.modules, "kagglehub", types.SimpleNamespace(dataset_download=kaggle))
    for source in ("mpox2025", "mpox2022"):
        assert len(load(source, reading(tmp_path / "data"))) == 6
    names = {name.split("/")[0] for name in remaining(tmp_path / "data")}
    assert names == {"mpox2022", "mpox2022.sha256", "mpox2025", "mpox2025.sha256"}
    assert not [name for name in remaining(tmp_path / "data") if name.endswith(".txt")]
    monkeypatch.setitem(sys.modules, "gdown", types.SimpleNamespace(download=lambda **_: None))
    with pytest.raises(DataMissing, match=r"the download from gdown failed \(it returned no file\); pip install"):
        load("mpox2025", reading(tmp_path / "other"))


@pytest.mark.parametrize("source", ["mpox2025", "mpox2022"])
def test_a_later_download_must_have_the_recorded_checksum(source, tmp_path, monkeypatch):
    served = dict(PHOTOGRAPHS)

    def drive(*, id, output, quiet):
        write_zip(output, served)
        return output

    def kaggle(handle):
        shutil.rmtree(tmp_path / "kaggle", ignore_errors=True)
        for name, content in served.items():
            file = tmp_path / "kaggle" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        return str(tmp_path / "kaggle")

    monkeypatch.setitem(sys.modules, "gdown", types.SimpleNamespace(download=drive))
    monkeypatch.setitem(sys.modules, "kagglehub", types.SimpleNamespace(dataset_download=kaggle))
    home, record = tmp_path / "data" / source, tmp_path / "data" / f"{source}.sha256"
    data = load(source, reading(tmp_path / "data"))
    assert f"the download had the SHA-256 {record.read_text().strip()}" in data.note
    shutil.rmtree(home)
    assert load(source, reading(tmp_path / "data")).fingerprint == data.fingerprint
    shutil.rmtree(home)
    served[next(iter(served))] = image_file(99)
    with pytest.raises(DataChanged, match=f"an earlier one had {record.read_text().strip()}"):
        load(source, reading(tmp_path / "data"))
    assert not home.exists()
    record.unlink()
    assert len(load(source, reading(tmp_path / "data"))) == 6
    record.write_text("nonsense")
    with pytest.raises(DataError, match="is not a SHA-256 in hexadecimal; remove it"):
        load(source, reading(tmp_path / "data"))
