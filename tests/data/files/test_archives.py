"""Untrusted archives: unsafe and damaged ones are refused and leave no files."""

from __future__ import annotations

import zipfile

import pytest
from helpers.published_files import RANDOM, image_file, reading, remaining, write_zip

from lightcnn.data.files import archives
from lightcnn.data.sources.load import load
from lightcnn.errors import DataError


def link_entry():
    info = zipfile.ZipInfo("a/link.png")
    info.external_attr = 0o120777 << 16
    return info


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"../out/0.png": image_file()}, r"'\.\./out/0\.png' leads out of the target folder"),
        ({"a/../../0.png": image_file()}, "leads out of the target folder"),
        ({"/etc/0.png": image_file()}, "leads out of the target folder"),
        ({"C:/x/0.png": image_file()}, "leads out of the target folder"),
        ({"a\\..\\..\\0.png": image_file()}, "leads out of the target folder"),
        ({link_entry(): b"/etc/passwd"}, "is a link, not an image"),
        ({"readme.txt": b"x"}, "contains no image"),
        ({"a/big.png": bytes(2_000_000)}, "1 images of 2,000,000 bytes, above the limits of 5 and 1,000,000"),
        ({f"a/{index}.png": b"" for index in range(6)}, "6 images of 0 bytes, above the limits of 5"),
        ({"a/0.png": image_file(), "a/./0.png": image_file(1)}, "two of its files have the path"),
    ],
)  # fmt: skip
def test_an_unsafe_zip_writes_nothing(tmp_path, monkeypatch, entries, message):
    monkeypatch.setattr(archives, "MAX_FILES", 5)
    monkeypatch.setattr(archives, "MAX_BYTES", 1_000_000)
    (tmp_path / "data").mkdir()
    write_zip(tmp_path / "data" / "mpox2025.zip", entries)
    with pytest.raises(DataError, match=message) as caught:
        load("mpox2025", reading(tmp_path / "data"))
    assert "\n" not in str(caught.value)
    assert remaining(tmp_path) == ["data", "data/mpox2025.zip"]


def test_damaged_zips_write_nothing(tmp_path):
    archive = tmp_path / "mpox2025.zip"
    write_zip(archive, {f"{name}/{i}.png": RANDOM.bytes(500) for name in "ab" for i in range(5)})
    content = archive.read_bytes()
    for broken in (b"", b"not a zip", content[:300], content[:80] + b"\0\0\0\0" + content[84:]):
        archive.write_bytes(broken)
        with pytest.raises(DataError, match="not a zip archive, or a damaged one"):
            load("mpox2025", reading(tmp_path))
        assert remaining(tmp_path) == [archive.name]
    for position in range(30, len(content), 37):
        archive.write_bytes(content[:position] + bytes([content[position] ^ 0x55]) + content[position + 1 :])
        try:
            load("mpox2025", reading(tmp_path))
        except DataError as error:
            assert "\n" not in str(error)
        for path in sorted(tmp_path.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
