"""Published data sets: digits from scikit-learn; Fashion-MNIST and CIFAR-10 in their binary formats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lightcnn.data.dataset import Dataset, assemble
from lightcnn.data.files.archives import extract_named
from lightcnn.data.files.binary_formats import read_cifar, read_labelled_idx
from lightcnn.data.files.download import data_folder, fetch
from lightcnn.errors import DataError
from lightcnn.progress import Progress
from lightcnn.recipe import Reading

FASHION_URL = "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/"
"""The authors' repository; the server of their article has no HTTPS."""
FASHION_MD5 = {
    "train-images-idx3-ubyte": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte": "bb300cfdad3c16e7a12a480ee83cd310",
}
"""MD5 of each gzipped file as published; a test compares these with torchvision's."""
FASHION_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
CIFAR_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
CIFAR_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
CIFAR_TRAIN = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR_META = "batches.meta.txt"


def digits(source: str, reading: Reading, progress: Progress) -> Dataset:
    """UCI's optical recognition of handwritten digits, as included in scikit-learn: 1,797 scans of 8×8, 17 levels."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
    return assemble(
        source,
        images,
        bunch.target.astype(np.int64),
        tuple(str(name) for name in bunch.target_names),
        note="the writers of the digits are unknown: each image counts as its own group, so scores may be too high",
    )


def fashion_mnist(source: str, reading: Reading, progress: Progress) -> Dataset:
    """Zalando's Fashion-MNIST (arXiv:1708.07747) from its four IDX files. Raises: DataError, DataMissing."""
    folder = data_folder(reading)
    files = _fashion_files(folder)
    if not files:
        progress(f"downloading {source}", 0, 1)
        _fetch_fashion(source, folder)
        files = _fashion_files(folder)
    parts = [read_labelled_idx(files[f"{prefix}-images-idx3-ubyte"], files[f"{prefix}-labels-idx1-ubyte"])
             for prefix in ("train", "t10k")]  # fmt: skip
    for images, _ in parts:
        if images.shape[1:] != (28, 28):
            raise DataError(f"data {source}: images of {images.shape[1:]} in {folder}, not (28, 28); download it again")
    return _train_and_test(source, [(images[..., None], labels) for images, labels in parts], FASHION_CLASSES, 70_000)


def cifar10(source: str, reading: Reading, progress: Progress) -> Dataset:
    """Krizhevsky's CIFAR-10 in its binary version, which needs no unpickling. Raises: DataError, DataMissing."""
    folder = data_folder(reading)
    home = _cifar_home(folder)
    if home is None:
        progress(f"downloading {source}", 0, 1)
        home = _fetch_cifar(source, folder)
    missing = [name for name in (*CIFAR_TRAIN, "test_batch.bin") if not (home / name).is_file()]
    if missing:
        raise DataError(
            f"data {home}: {', '.join(missing)} missing next to the other batches; add them from {CIFAR_URL}"
        )
    batches = [read_cifar(home / name) for name in CIFAR_TRAIN]
    train = (np.concatenate([images for images, _ in batches]), np.concatenate([labels for _, labels in batches]))
    return _train_and_test(
        source, [train, read_cifar(home / "test_batch.bin")], _cifar_classes(home / CIFAR_META), 60_000
    )


def _train_and_test(
    source: str, parts: list[tuple[NDArray[np.uint8], NDArray[np.int64]]], classes: tuple[str, ...], published: int
) -> Dataset:
    """A dataset of images and labels of the training set and of the test set."""
    labels = np.concatenate([labels for _, labels in parts])
    if labels.max() >= len(classes):
        raise DataError(f"data {source}: label {labels.max()} for {len(classes)} classes; download the data again")
    return assemble(
        source,
        np.concatenate([images for images, _ in parts]),
        labels,
        classes,
        split=np.repeat(np.array(["train", "test"]), [len(part) for _, part in parts]),
        note="" if len(labels) == published else f"{len(labels):,} images here, {published:,} as published",
    )


def _fashion_files(folder: Path) -> dict[str, Path]:
    """Name → path of the four files, or empty; torchvision's folder first, since MNIST's files have the same names."""
    for home in (folder / "FashionMNIST" / "raw", folder / "fashion-mnist", folder):
        present = {
            name: home / f"{name}{end}"
            for name in FASHION_MD5
            for end in (".gz", "")
            if (home / f"{name}{end}").is_file()
        }
        if present and len(present) < len(FASHION_MD5):
            missing = [name for name in FASHION_MD5 if name not in present]
            raise DataError(f"data {home}: {', '.join(missing)} missing next to {', '.join(present)}; add it")
        if present:
            return present
    return {}


def _fetch_fashion(source: str, folder: Path) -> None:
    raw = folder / "FashionMNIST" / "raw"

    def get(staged: Path) -> None:
        from torchvision.datasets.utils import download_url

        for name, md5 in FASHION_MD5.items():
            download_url(f"{FASHION_URL}{name}.gz", str(staged), md5=md5)
        raw.mkdir(parents=True, exist_ok=True)
        for name in FASHION_MD5:
            (staged / f"{name}.gz").replace(raw / f"{name}.gz")

    files = ", ".join(f"{name}.gz (MD5 {md5})" for name, md5 in FASHION_MD5.items())
    fetch(source, folder, FASHION_URL, f"download these files from there by hand into {raw}: {files}", get)


def _cifar_home(folder: Path) -> Path | None:
    """The folder of the batches, unpacked if only the archive is present; None if neither is."""
    for home in (folder / "cifar-10-batches-bin", folder / "cifar10", folder):
        if any((home / name).is_file() for name in (*CIFAR_TRAIN, "test_batch.bin")):
            return home
    archive = folder / Path(CIFAR_URL).name
    return _unpacked_cifar(archive, folder) if archive.is_file() else None


def _unpacked_cifar(archive: Path, folder: Path) -> Path:
    home = folder / "cifar-10-batches-bin"
    extract_named(archive, CIFAR_MD5, (*CIFAR_TRAIN, "test_batch.bin", CIFAR_META), home, max_bytes=100_000_000)
    return home


def _fetch_cifar(source: str, folder: Path) -> Path:
    def get(staged: Path) -> None:
        # torchvision's CIFAR10 downloads the version that has to be unpickled; its download_url works for any file.
        from torchvision.datasets.utils import download_url

        download_url(CIFAR_URL, str(staged), md5=CIFAR_MD5)
        _unpacked_cifar(staged / Path(CIFAR_URL).name, folder)

    by_hand = f"download it by hand (MD5 {CIFAR_MD5}) into {folder}, without unpacking it"
    fetch(source, folder, CIFAR_URL, by_hand, get)
    return folder / "cifar-10-batches-bin"


def _cifar_classes(path: Path) -> tuple[str, ...]:
    """The names in `batches.meta.txt`, one per line; CIFAR_CLASSES if the file is missing."""
    if not path.is_file():
        return CIFAR_CLASSES
    names = tuple(
        line.strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()
    )
    if len(set(names)) != len(CIFAR_CLASSES) or len(names) != len(CIFAR_CLASSES):
        raise DataError(f"data {path}: not {len(CIFAR_CLASSES)} distinct class names, one per line; download it again")
    return names
