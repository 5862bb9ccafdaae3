"""What a user may name: one shard, a pattern, or a folder of shards."""

from __future__ import annotations

import pytest
from helpers.shards import sample, write_samples

from lightcnn.data.shards.shard_names import expanded, names_shards, shard_paths, shown_names, splits_of
from lightcnn.errors import DataError


def shards(folder, *names):
    for name in names:
        write_samples(folder / name, [sample("a", "0")])
    return folder


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("x.tar", ["x.tar"]),
        ("x-{8..10}.tar", ["x-8.tar", "x-9.tar", "x-10.tar"]),
        ("x-{008..010}.tar", ["x-008.tar", "x-009.tar", "x-010.tar"]),
        ("{train,val}-{0..1}.tar", ["train-0.tar", "train-1.tar", "val-0.tar", "val-1.tar"]),
    ],
)
def test_patterns_are_expanded_in_order(pattern, names):
    assert expanded(pattern) == names


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("x-{9..1}.tar", r"\{9\.\.1\} counts from 9 to 1; count upwards"),
        ("x-{0..99999999}.tar", "count upwards, at most 100,000 shards"),
        ("x-{000..999}-{000..999}.tar", "more than 100,000 shards; check its numbers"),
        ("x-{}.tar", r"\{\} is not a range of numbers or a list"),
        ("x-{a..c}.tar", r"write \{000\.\.099\} or \{train,val\}"),
        ("x-{0..1.tar", "a brace without its counterpart"),
        ("x-0}.tar", "a brace without its counterpart"),
    ],
)
def test_patterns_that_mean_nothing_are_refused(pattern, message):
    with pytest.raises(DataError, match=message) as caught:
        expanded(pattern)
    assert str(caught.value).startswith(f"data {pattern}: ")


def test_shards_are_one_file_a_pattern_or_a_folder(tmp_path):
    shards(tmp_path, "t-0.tar", "t-1.tar", "t-10.tar")
    (tmp_path / ".hidden.tar").touch()
    (tmp_path / "notes.txt").touch()
    for source, names in (
        (str(tmp_path), ["t-0.tar", "t-1.tar", "t-10.tar"]),
        (str(tmp_path / "t-1.tar"), ["t-1.tar"]),
        (str(tmp_path / "t-{0..1}.tar"), ["t-0.tar", "t-1.tar"]),
    ):
        assert names_shards(source)
        assert [path.name for path in shard_paths(source)] == names


def test_a_folder_of_class_folders_beside_an_archive_is_not_shards(tmp_path):
    shards(tmp_path, "download.tar")
    (tmp_path / "cat").mkdir()
    assert not names_shards(str(tmp_path))
    assert not names_shards(str(tmp_path / "cat"))
    assert not names_shards("digits")


@pytest.mark.parametrize("name", ["x.tar.gz", "x.tgz", "x.tar.zst", "X.TAR.XZ"])
def test_compressed_shards_are_refused_by_name(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    for source in (str(tmp_path / name), str(tmp_path)):
        assert names_shards(source)
        with pytest.raises(DataError, match="a compressed shard can only be read from its beginning; uncompress it"):
            shard_paths(source)


def test_missing_and_repeated_shards_are_refused(tmp_path):
    shards(tmp_path, "t-0.tar")
    with pytest.raises(DataError, match=r"4 of 5 shards are missing \(.*t-1\.tar, .*t-2\.tar, .*t-3\.tar, \.\.\.\)"):
        shard_paths(str(tmp_path / "t-{0..4}.tar"))
    with pytest.raises(DataError, match=r"t-0\.tar: is the same file as .*t-0\.tar; keep one"):
        shard_paths(str(tmp_path / "t-{0,0}.tar"))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "t-1.tar").symlink_to(tmp_path / "t-0.tar")
    with pytest.raises(DataError, match=r"t-1\.tar: a link that leads out of .*in; move the shard there"):
        shard_paths(str(tmp_path / "in"))


def test_reports_show_shards_below_their_common_folder(tmp_path):
    assert shown_names([tmp_path / "t-0.tar", tmp_path / "t-1.tar"]) == ["t-0.tar", "t-1.tar"]
    assert shown_names([tmp_path / "a" / "0.tar", tmp_path / "b" / "0.tar"]) == ["a/0.tar", "b/0.tar"]


def test_names_of_shards_give_a_split(tmp_path):
    def splits(*names):
        return splits_of([tmp_path / name for name in names])

    assert splits("train-000.tar", "val_1.tar", "test.tar") == ["train", "val", "test"]
    assert splits("trainer-0.tar", "skin-1.tar") == ["", ""]
    for names, message in (
        (("train-0.tar", "valid-0.tar"), r"valid-0\.tar: .* rename it to val"),
        (("train-0.tar", "more.tar"), r"more\.tar: is given with shards named by sets.* rename it, or leave it out"),
        (("val-0.tar", "test-0.tar"), "there are shards of val, but none of train"),
    ):
        with pytest.raises(DataError, match=message):
            splits(*names)
