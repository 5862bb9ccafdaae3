"""Tar files are untrusted: members are listed with their places, everything unusual is refused in one line."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile

import pytest
from helpers.shards import entry, write_tar

from lightcnn.data.shards import archive
from lightcnn.data.shards.archive import members
from lightcnn.errors import DataError

FILES = [("a.png", b"first"), ("a.cls", b"0"), ("b/c.png", b"second" * 200)]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_are_where_the_index_says(tmp_path, form):
    files = [*FILES, ("f" * 180 + ".png", b"long name"), ("./dot.png", b"here")]
    files = [item for item in files if form != tarfile.USTAR_FORMAT or len(item[0]) < 100]
    path = write_tar(tmp_path / "x.tar", [("folder", entry(tarfile.DIRTYPE)), *files], format=form)
    content = path.read_bytes()
    listed = list(members(path))
    assert [member.name for member in listed] == [name.removeprefix("./") for name, _ in files]
    assert [content[each.offset : each.offset + each.size] for each in listed] == [data for _, data in files]


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        (tarfile.SYMTYPE, "link"), (tarfile.LNKTYPE, "link"), (tarfile.CHRTYPE, "device"), (tarfile.BLKTYPE, "device"),
        (tarfile.FIFOTYPE, "device"), (tarfile.GNUTYPE_SPARSE, "sparse file"),
    ],
)  # fmt: skip
def test_everything_but_plain_files_is_refused(tmp_path, kind, word):
    path = write_tar(tmp_path / "x.tar", [FILES[0], ("b.png", entry(kind, "/etc/passwd"))])
    with pytest.raises(DataError, match=rf"x\.tar: member 'b\.png' is a {word}; .* write the file itself"):
        list(members(path))


@pytest.mark.parametrize("name", ["/etc/a.png", "../a.png", "b/../../a.png", "b\\a.png", "C:/a.png"])
def test_names_that_lead_out_are_refused(tmp_path, name):
    path = write_tar(tmp_path / "x.tar", [(name, b"x")])
    with pytest.raises(DataError, match=r"x\.tar: member .* leads out of the shard; name it by its sample"):
        list(members(path))


@pytest.mark.parametrize("name", ["a\n.png", "a\x1b[2J.png", "a\udcff.png", "", "."])
def test_names_that_cannot_be_shown_are_refused(tmp_path, name):
    path = write_tar(tmp_path / "x.tar", [(name, b"x")], format=tarfile.GNU_FORMAT)
    with pytest.raises(DataError, match="is not a name of printable text in UTF-8; rename it") as caught:
        list(members(path))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("compress", "name"), [(gzip.compress, "gzip"), (bz2.compress, "bzip2"), (lzma.compress, "xz")]
)
def test_compressed_shards_are_refused_whatever_their_name(tmp_path, compress, name):
    path = write_tar(tmp_path / "x.tar", FILES)
    path.write_bytes(compress(path.read_bytes()))
    with pytest.raises(DataError, match=rf"x\.tar: is compressed \({name}\); .*uncompress it"):
        list(members(path))


def test_a_shard_that_is_cut_off_is_refused_wherever_it_ends(tmp_path):
    path = write_tar(tmp_path / "x.tar", FILES)
    content = path.read_bytes()
    end = max(member.offset + -(-member.size // 512) * 512 for member in members(path))
    for size in [0, *range(100, end + 512, 100)]:
        path.write_bytes(content[:size])
        with pytest.raises(DataError, match=r"x\.tar: (not a tar file|ends without|damaged header)") as caught:
            list(members(path))
        assert "write the shard again" in str(caught.value)
    path.write_bytes(content[: end + 512])
    assert len(list(members(path))) == len(FILES)


def test_damaged_and_concatenated_shards_lose_nothing_silently(tmp_path):
    path = write_tar(tmp_path / "x.tar", FILES)
    content = path.read_bytes()
    path.write_bytes(content[:1024] + b"x" + content[1025:])
    with pytest.raises(DataError, match="damaged header at byte 1,024; write the shard again"):
        list(members(path))
    path.write_bytes(content + content)
    with pytest.raises(DataError, match="contains data behind its end, which are not read"):
        list(members(path))
    path.write_bytes(b"text" * 1000)
    with pytest.raises(DataError, match="not a tar file, or a damaged one"):
        list(members(path))


def test_headers_are_limited(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MAX_HEADER_BYTES", 2_000)
    path = write_tar(tmp_path / "x.tar", [("a" * 1_000, b"x")], format=tarfile.PAX_FORMAT)
    assert len(list(members(path))) == 1
    path = write_tar(tmp_path / "x.tar", [("a" * 4_000, b"x")], format=tarfile.PAX_FORMAT)
    with pytest.raises(DataError, match="a header of more than 2,000 bytes"):
        list(members(path))


def test_a_negative_size_does_not_loop(tmp_path):
    info = tarfile.TarInfo("a.png")
    for size in (-512, -1024):
        info.size = size
        (tmp_path / "x.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
        with pytest.raises(DataError, match=r"member 'a\.png' has a size of -.* bytes; write the shard again"):
            list(members(tmp_path / "x.tar"))
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, -1024
    (tmp_path / "x.tar").write_bytes(header.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    with pytest.raises(DataError, match="not a tar file, or a damaged one"):
        list(members(tmp_path / "x.tar"))


def test_a_missing_shard_and_a_folder_are_refused(tmp_path):
    with pytest.raises(DataError, match="no such shard; check the path"):
        list(members(tmp_path / "x.tar"))
    with pytest.raises(DataError, match=r"is not a file; give a \.tar file"):
        list(members(tmp_path))
