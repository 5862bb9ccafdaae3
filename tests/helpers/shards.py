"""Small tar shards: of images with labels, and of any members."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

Content = bytes | tarfile.TarInfo


def image_bytes(seed: int, size: int = 12, kind: str = "PNG") -> bytes:
    """An image file with random pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, kind)
    return content.getvalue()


def write_tar(path: Path, members: Iterable[tuple[str, Content]], **options) -> Path:
    """A tar file with these members in order: the content of a file, or an entry without content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", **options) as archive:
        for name, content in members:
            entry = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            entry.name = name
            if isinstance(content, bytes):
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
            else:
                archive.addfile(entry)
    return path


def entry(kind: bytes, target: str = "") -> tarfile.TarInfo:
    """An entry of another type than a plain file."""
    info = tarfile.TarInfo()
    info.type, info.linkname = kind, target
    return info


def sample(key: str, label: str | bytes | None, seed: int = 0, json: bytes | None = None) -> dict[str, bytes]:
    """The files of a sample: a PNG, a .cls if there is a label, and a .json if there is one."""
    files = {f"{key}.png": image_bytes(seed)}
    if label is not None:
        files[f"{key}.cls"] = label if isinstance(label, bytes) else label.encode()
    if json is not None:
        files[f"{key}.json"] = json
    return files


def write_samples(path: Path, samples: Iterable[Mapping[str, bytes]]) -> Path:
    """A shard of samples."""
    return write_tar(path, [item for files in samples for item in files.items()])
