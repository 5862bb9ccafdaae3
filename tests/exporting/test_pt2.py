"""Programs of torch.export."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from helpers.export_subjects import export_subject, extract_training, noise

from lightcnn.exporting import pt2
from lightcnn.inference import probabilities
from lightcnn.progress import no_progress


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder."""
    return extract_training(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def folder(training: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an export."""
    folder = tmp_path_factory.mktemp("export")
    pt2.write(export_subject(training), folder, no_progress)
    return folder


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_loaded_program_predicts_like_the_network(training: Path, folder: Path, count: int) -> None:
    subject = export_subject(training)
    images = torch.from_numpy(noise(subject, count))
    loaded = torch.export.load(folder / pt2.FILE).module()(images).detach().numpy()
    expected = probabilities(subject.network.model, images.permute(0, 3, 1, 2), subject.preprocess)
    assert loaded.shape == expected.shape == (count, len(subject.preprocess.classes))
    assert np.abs(loaded - expected).max() < 1e-5
    assert np.abs(loaded.sum(1) - 1).max() < 1e-6


def test_what_is_compared_is_the_file(training: Path, tmp_path: Path) -> None:
    subject = export_subject(training)
    exported = pt2.write(subject, tmp_path, no_progress)
    images = noise(subject, 3)
    loaded = torch.export.load(tmp_path / pt2.FILE).module()(torch.from_numpy(images))
    assert exported.files == (pt2.FILE,)
    assert (exported.probabilities(images) == loaded.detach().numpy()).all()
    assert exported.weight_bytes == sum(value.nbytes for value in subject.deployed.state_dict().values())


def test_the_file_names_no_file_of_this_machine(folder: Path) -> None:
    with ZipFile(folder / pt2.FILE) as file:
        texts = [file.read(name) for name in file.namelist()]
    assert len(texts) > 5
    assert not any(b".py" in text or b"site-packages" in text for text in texts)
