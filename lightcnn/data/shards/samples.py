"""Samples of a shard: the files that share a name up to its first dot are an image, its label and facts about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from lightcnn.data.files.decode import SUFFIXES
from lightcnn.data.files.walk import hidden
from lightcnn.data.shards.archive import Member, members
from lightcnn.data.shards.labels import Facts, member_error, read_facts

MAX_IMAGE_BYTES = 256_000_000
"""Largest image file, which is read into memory as a whole."""
LABEL_SUFFIXES = ("cls", "json")


class Sample(NamedTuple):
    """A labelled image of a shard."""

    image: Member
    facts: Facts


class Ignored(NamedTuple):
    """A file of a shard that belongs to no image."""

    name: str


class _File(NamedTuple):
    """A member of a shard, with the key of its sample and its suffix in lower case, both without the dot."""

    key: str
    suffix: str
    member: Member


def samples(shard: Path) -> Iterator[Sample | Ignored]:
    """The labelled images of a shard in order, and the files that belong to none.

    Raises: DataError if the shard is damaged or unsafe, or a sample lacks a label, has two images, or is in two places.
    """
    keys: set[str] = set()
    with open(shard, "rb") as content:
        for key, group in groupby(_files(shard), key=lambda file: file.key):
            files = _by_suffix(shard, key, group)
            if key in keys:
                raise member_error(
                    shard, next(iter(files.values())), f"belongs to sample {key!r}, whose files are further up",
                    "write the files of a sample next to each other, and each sample once",
                )  # fmt: skip
            keys.add(key)
            image = _image(shard, key, files)
            read = (image, *LABEL_SUFFIXES) if image else ()
            yield from (Ignored(member.name) for suffix, member in files.items() if suffix not in read)
            if image:
                yield Sample(files[image], read_facts(shard, files[image], files, content))


def _files(shard: Path) -> Iterator[_File]:
    """The members of a shard with their keys; those without a key or a suffix have an empty suffix.

    Hidden files, and WebDataset's own files such as `__index__.json`, are left out.
    """
    for member in members(shard):
        path = PurePosixPath(member.name)
        stem, _, suffix = path.name.partition(".")
        is_meta = path.parts[0].startswith("__") and PurePosixPath(path.parts[0]).stem.endswith("__")
        if not is_meta and not any(hidden(Path(part)) for part in path.parts):
            yield _File(str(path.with_name(stem)), suffix.lower(), member)


def _by_suffix(shard: Path, key: str, group: Iterator[_File]) -> dict[str, Member]:
    """The files of a sample by their suffixes. Raises: DataError if two have one suffix."""
    files: dict[str, Member] = {}
    for file in group:
        if file.suffix in files:
            raise member_error(shard, file.member, f"occurs twice in sample {key!r}", "keep one of the two files")
        files[file.suffix] = file.member
    return files


def _image(shard: Path, key: str, files: Mapping[str, Member]) -> str:
    """The suffix of a sample's image; empty if the files are no sample. Raises: DataError."""
    images = [suffix for suffix in files if f".{suffix}" in SUFFIXES]
    if not images and "cls" in files:
        raise member_error(
            shard, files["cls"], f"is the label of sample {key!r}, which has no image",
            f"add an image ({', '.join(sorted(SUFFIXES))}); the key of a sample ends at the first dot of the name",
        )  # fmt: skip
    if len(images) > 1:
        raise member_error(
            shard, files[images[1]], f"is the second image of sample {key!r}, beside .{images[0]}",
            "write one image per sample",
        )  # fmt: skip
    if images and files[images[0]].size > MAX_IMAGE_BYTES:
        image = files[images[0]]
        raise member_error(
            shard, image, f"has {image.size:,} bytes, more than {MAX_IMAGE_BYTES:,}", "write a smaller image"
        )
    return images[0] if images else ""
