"""Tar shards with random changes of their bytes and headers: an index, or an error of one line."""

from __future__ import annotations

import tarfile
from pathlib import Path
from random import Random

import pytest
from helpers.mutations import mutated_bytes
from helpers.shards import sample, write_samples, write_tar

from lightcnn.data.shards.index import index_shards
from lightcnn.errors import DataError

CHECKSUM = slice(148, 156)


def contents(folder: Path) -> list[bytes]:
    """A shard with long names in each format, and one with every kind of sample."""
    names = [("a" * 90 + "/" + "b" * 90 + suffix, b"0") for suffix in (".png", ".cls")]
    shards = [write_tar(folder / "x.tar", names, format=form).read_bytes() for form in (0, 1, 2)]
    facts = b'{"label": "b", "group": "p1", "patient_id": 3}'
    mixed = [sample("a", None, 1, facts), sample("d/b", "0", 2), {"notes.txt": b"x"}, {"e.json": b"[]"}]
    return [*shards, write_samples(folder / "x.tar", mixed).read_bytes()]


def with_changed_header(content: bytes, random: Random) -> bytes:
    """A shard with one to three bytes changed in one block, whose checksum is correct again."""
    start = 512 * random.randrange(len(content) // 512)
    block = bytearray(content[start : start + 512])
    for _ in range(random.randint(1, 3)):
        block[random.randrange(512)] = random.choice((0, 0x20, 0x2D, 0x2F, 0x37, 0x80, 0xFF, random.randrange(256)))
    block[CHECKSUM] = b" " * 8
    block[CHECKSUM] = f"{sum(block):06o}\0 ".encode()
    return content[:start] + bytes(block) + content[start + 512 :]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("change", [mutated_bytes, with_changed_header])
def test_changed_shards(number: int, change, fuzz_cases: int, tmp_path: Path) -> None:
    assert tarfile.USTAR_FORMAT == 0 and tarfile.PAX_FORMAT == 2
    content = contents(tmp_path)[number]
    file = tmp_path / "x.tar"
    outcomes = set()
    for seed in range(fuzz_cases):
        file.write_bytes(change(content, Random(seed)))
        try:
            index = index_shards(str(file))
        except DataError as error:
            assert str(error).startswith("data ") and str(error).isprintable(), seed
            outcomes.add("refused")
        else:
            assert len(index) == len(index.files) > 0, seed
            outcomes.add("read")
    assert "refused" in outcomes
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
