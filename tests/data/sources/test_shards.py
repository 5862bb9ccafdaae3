"""Shards as a source: the same data as the folder that they were made of, in a reproducible order, split by group."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from helpers.data_sets import photos
from helpers.shards import image_bytes, sample, write_samples, write_tar

from lightcnn.cli.main import run
from lightcnn.data.grouping.groups import find_groups
from lightcnn.data.pipeline import Pipeline
from lightcnn.data.sources import read_files
from lightcnn.data.sources.load import load
from lightcnn.data.split import make_split
from lightcnn.errors import DataError
from lightcnn.recipe import Reading


def from_folder(folder, target, per_shard=5):
    """Shards of the images of a folder of class folders, in its order."""
    files = sorted(folder.glob("*/*"))
    samples = [
        {
            f"{file.parent.name}/{file.name}": file.read_bytes(),
            f"{file.parent.name}/{file.stem}.cls": file.parent.name.encode(),
        }
        for file in files
    ]
    for number, start in enumerate(range(0, len(samples), per_shard)):
        write_samples(target / f"s-{number:03}.tar", samples[start : start + per_shard])
    return target


def grouped(target, groups, split=None):
    """One shard with an image of two classes in turn for each group."""
    documents = [json.dumps({"label": f"c{i % 2}", "group": group}).encode() for i, group in enumerate(groups)]
    return str(write_samples(target / f"{split or 'x'}.tar", [
        sample(f"{i:04}", None, i, document) for i, document in enumerate(documents)
    ]))  # fmt: skip


@pytest.mark.parametrize("kept_bytes", [0, 10**9])
def test_shards_are_the_same_data_as_the_folder_that_they_were_made_of(tmp_path, monkeypatch, kept_bytes):
    monkeypatch.setattr(read_files, "KEPT_BYTES", kept_bytes)
    photos(tmp_path / "set", [f"{name}/{i}" for name in ("cat", "dog") for i in range(6)])
    folder = load(str(tmp_path / "set"))
    shards = load(str(from_folder(tmp_path / "set", tmp_path / "shards")))
    assert shards.paths[0] == "s-000.tar/cat/0.png"
    assert [path.split("/", 1)[1] for path in shards.paths] == list(folder.paths)
    assert shards.fingerprint == folder.fingerprint
    assert all(np.array_equal(first, second) for first, second in zip(shards.images, folder.images, strict=True))
    sets, batches = [], []
    for data in (folder, shards):
        split = make_split(find_groups(data, "none"), 0)
        sets.append([split.train.tolist(), split.val.tolist(), split.test.tolist()])
        pipeline = Pipeline(data, split, torch.device("cpu"))
        batches.append(pipeline.images(split.train, 8)[torch.tensor([3, 0, 2])])
    assert sets[0] == sets[1]
    assert torch.equal(*batches)


def test_numbers_are_sorted_by_value_and_names_alphabetically(tmp_path):
    write_samples(tmp_path / "x.tar", [sample(f"a{i}", str(label), i) for i, label in enumerate((10, 9, 2))])
    data = load(str(tmp_path / "x.tar"))
    assert (data.classes, data.labels.tolist()) == (("2", "9", "10"), [2, 1, 0])
    write_samples(tmp_path / "x.tar", [sample(f"a{i}", label, i) for i, label in enumerate(("b", "a", "b"))])
    data = load(str(tmp_path / "x.tar"))
    assert (data.classes, data.labels.tolist()) == (("a", "b"), [1, 0, 1])


def test_groups_of_the_json_are_never_split(tmp_path):
    data = find_groups(load(grouped(tmp_path, [f"p{i // 4}" for i in range(80)])), "none")
    assert (data.groups_from, len(set(data.groups.tolist()))) == ("manifest", 20)
    split = make_split(data, 0)
    assert split.groups_shared(data) == 0
    assert all(split.counts().values())


def test_keys_name_patients_and_shards_do_not(tmp_path):
    for shard in range(3):
        write_samples(tmp_path / f"t-{shard:03}.tar", [
            sample(f"patient{shard * 6 + i // 2}/{i}", "ab"[i % 2], 100 * shard + i) for i in range(12)
        ])  # fmt: skip
    data = find_groups(load(str(tmp_path)), "none")
    assert (data.groups_from, len(set(data.groups.tolist()))) == ("names", 18)
    for shard in range(3):
        write_samples(
            tmp_path / f"t-{shard:03}.tar", [sample(f"{shard}{i}", "ab"[i % 2], 50 * shard + i) for i in range(12)]
        )
    data = find_groups(load(str(tmp_path)), "none")
    assert data.groups_from == "none"
    assert [warning.code for warning in data.warnings] == ["near_duplicates_not_searched"]


def test_a_key_of_the_json_that_looks_like_patients_is_a_warning(tmp_path):
    documents = [json.dumps({"label": f"c{i % 2}", "patient_id": i // 4}).encode() for i in range(40)]
    write_samples(tmp_path / "x.tar", [sample(f"{i:04}", None, i, document) for i, document in enumerate(documents)])
    (warning,) = load(str(tmp_path / "x.tar")).warnings
    assert (warning.code, warning.count) == ("identity_columns", 1)
    assert "'patient_id' with 10 values" in warning.message


def test_shards_named_by_sets_give_the_split(tmp_path):
    for split_name, first, count in (("train", 0, 6), ("val", 10, 2), ("test", 20, 4)):
        write_samples(tmp_path / f"{split_name}-0.tar", [
            sample(f"{first + i}", "ab"[i % 2], first + i) for i in range(count)
        ])  # fmt: skip
    data = load(str(tmp_path))
    assert make_split(data, 0).counts() == {"train": 6, "val": 2, "test": 4}
    assert load(str(tmp_path / "train-{0..0}.tar")).split.tolist() == ["train"] * 6


def test_files_that_belong_to_no_image_are_a_warning(tmp_path):
    files = [*sample("a", "0").items(), ("a.txt", b"x"), *sample("b", "1", 1).items(), ("README.md", b"x")]
    (warning,) = load(str(write_tar(tmp_path / "x.tar", files))).warnings
    assert (warning.code, warning.count) == ("files_ignored", 2)
    assert "were not read: 2 (x.tar/a.txt, x.tar/README.md); if they are images" in warning.message


def test_faulty_images_are_named_or_left_out(tmp_path):
    files = [sample(f"{i}", "ab"[i % 2], i) for i in range(6)]
    files[3]["3.png"] = b"GIF89a"
    path = str(write_samples(tmp_path / "x.tar", files))
    with pytest.raises(DataError, match=r"1 of 6 files cannot be used: x\.tar/3\.png is a GIF file.*--skip-corrupt"):
        load(path)
    data = load(path, Reading(skip_corrupt=True))
    assert (len(data), [name for name, _ in data.skipped]) == (5, ["x.tar/3.png"])
    assert data.labels.tolist() == [0, 1, 0, 0, 1]


def test_an_image_with_too_many_pixels_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("lightcnn.data.files.decode.decode.__kwdefaults__", {"max_pixels": 100})
    path = str(write_samples(tmp_path / "x.tar", [sample("a", "0"), sample("b", "1", 1)]))
    with pytest.raises(DataError, match=r"2 of 2 files cannot be used: .* has more than .* megapixels"):
        load(path)


def test_an_image_that_was_cut_off_after_it_was_indexed_is_one_clear_error(tmp_path, monkeypatch):
    monkeypatch.setattr(read_files, "KEPT_BYTES", 0)
    path = write_samples(tmp_path / "x.tar", [sample("a", "0"), sample("b", "1", 1)])
    data = load(str(path))
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(DataError, match=r"data x\.tar/b\.png is cut off, since its shard has changed, and could be"):
        _ = data.images[1]
    path.unlink()
    with pytest.raises(DataError, match=r"data x\.tar/a\.png is missing, and could be read before; put the file back"):
        _ = data.images[0]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([{"notes.txt": b"x"}], "contains no image; name the files of a sample"),
        ([sample("a", "0"), sample("b", "0", 1)], "only one class, '0'"),
        ([sample("a", "cat"), sample("b", "Cat", 1)], "label: the classes 'cat' and 'Cat' differ only in case"),
        (
            [sample("a", None, 0, b'{"label": 0, "group": "p1"}'), sample("b", "1", 1)],
            r"group: 1 of 2 images have none, but the others do \(the first: x\.tar/b\.png\); add it to every \.json",
        ),
    ],
)
def test_faulty_shards_are_one_clear_error(tmp_path, files, message):
    with pytest.raises(DataError, match=message) as caught:
        load(str(write_samples(tmp_path / "x.tar", files)))
    assert "\n" not in str(caught.value)


def test_nothing_is_written_next_to_the_shards(tmp_path):
    files = [*sample("a", "0").items(), *sample("sub/b", "1", 1).items()]
    path = write_tar(tmp_path / "in" / "x.tar", files)
    before = path.read_bytes()
    load(str(path))
    assert (list((tmp_path / "in").rglob("*")), path.read_bytes()) == ([path], before)


def test_the_command_ends_with_2_and_one_line(tmp_path, capsys):
    path = write_tar(tmp_path / "x.tar", [("a.png", image_bytes(0))])
    assert run(["audit", str(path), "--out", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "x.tar: member 'a.png' has no label; add KEY.cls" in line
    assert not (tmp_path / "out").exists()
