"""The names of data sources, and their descriptions without reading them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lightcnn.cli.catalogue import DATASETS, shipped_items
from lightcnn.data.sources.load import DATASET_NAMES, OUTLINES, describe, load
from lightcnn.errors import DataError


def test_the_list_of_data_sets_names_all_data_sets():
    assert DATASET_NAMES == ("digits", "synthetic-lesions", "fashion-mnist", "cifar10", "mpox2025", "mpox2022")
    assert tuple(DATASETS)[: len(DATASET_NAMES)] == DATASET_NAMES
    assert list(DATASETS)[len(DATASET_NAMES) :] == ["FOLDER", "FILE.csv", "SHARDS.tar", "FILE.npz"]
    assert all(item["about"] and "\n" not in item["about"] for item in shipped_items("datasets"))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("cifar-10", r"no such folder or data set; did you mean 'cifar10'\?"),
        ("fashionmnist", r"did you mean 'fashion-mnist'\?"),
        ("Digits", r"did you mean 'digits'\?"),
        ("digits:size=3", "digits takes no options; give digits"),
        ("cifar10:", "cifar10 takes no options; give cifar10"),
    ],
)
def test_unknown_names_are_refused(source, message):
    with pytest.raises(DataError, match=message):
        load(source)


def test_sources_are_described_without_torch():
    assert set(OUTLINES) < set(DATASET_NAMES)
    assert describe("mpox2025") == describe("some/folder") == (1, 2, 1 << 30)
    code = (
        "import sys\nfrom lightcnn.data.sources.load import DATASET_NAMES, describe\n"
        "[describe(name) for name in DATASET_NAMES]\n"
        "print(*{'torch', 'torchvision', 'sklearn', 'gdown', 'kagglehub'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.strip() == ""
