"""Small files in the formats of the published data sets."""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
import tarfile
import zipfile

import numpy as np
from PIL import Image

from lightcnn.data.sources import published
from lightcnn.recipe import Reading

RANDOM = np.random.default_rng(0)


def reading(folder):
    return Reading(data_dir=str(folder))


def remaining(folder):
    """The paths of everything in a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) if folder.exists() else []


def idx(array, *, magic=None):
    head = struct.pack(">HBB", 0, 8, array.ndim) if magic is None else magic
    return head + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def fashion(folder, *, end="", side=28, labels=None, counts=(20, 10)):
    folder.mkdir(parents=True, exist_ok=True)
    content = {}
    for name, count in zip(("train", "t10k"), counts, strict=True):
        numbers = (np.arange(count) % 10).astype(np.uint8) if labels is None else labels[:count]
        content[f"{name}-images-idx3-ubyte"] = RANDOM.integers(0, 256, (count, side, side), dtype=np.uint8)
        content[f"{name}-labels-idx1-ubyte"] = numbers
    for name, array in content.items():
        data = gzip.compress(idx(array), mtime=0) if end else idx(array)
        (folder / f"{name}{end}").write_bytes(data)
    return content


def batch(count, offset=0):
    records = RANDOM.integers(0, 256, (count, 3073), dtype=np.uint8)
    records[:, 0] = (np.arange(count) + offset) % 10
    return records


def cifar_files():
    files = {f"data_batch_{number}.bin": batch(4, 4 * number).tobytes() for number in range(1, 6)}
    names = "\n".join(published.CIFAR_CLASSES) + "\n\n"
    return {**files, "test_batch.bin": batch(6).tobytes(), "batches.meta.txt": names.encode()}


def cifar(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def tar(path, members):
    with tarfile.open(path, "w:gz") as opened:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
                opened.addfile(info, io.BytesIO(content))
            else:
                info.type, info.linkname = tarfile.SYMTYPE, content
                opened.addfile(info)
    return hashlib.md5(path.read_bytes()).hexdigest()


def image_file(value=0, kind="PNG"):
    file = io.BytesIO()
    Image.fromarray(np.full((6, 7, 3), value, dtype=np.uint8)).save(file, kind)
    return file.getvalue()


def write_zip(path, entries):
    """Equal entries, by name or ZipInfo, give equal bytes: names get the date of ZIP's epoch, not that of now."""
    with zipfile.ZipFile(path, "w") as opened:
        for name, content in entries.items():
            info = name if isinstance(name, zipfile.ZipInfo) else zipfile.ZipInfo(name)
            opened.writestr(info, content, zipfile.ZIP_DEFLATED)


PHOTOGRAPHS = {
    f"archive/Mpox set/{folder}/{index}.png": image_file(index) for folder in ("mpox", "normal") for index in range(3)
}
