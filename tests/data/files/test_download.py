"""Downloads: failures are one line and leave no files."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest
from helpers.published_files import reading, remaining

from lightcnn.data.files.download import TIMEOUT_SECONDS, data_folder, fetch
from lightcnn.data.sources import published
from lightcnn.data.sources.load import load
from lightcnn.errors import DataError, DataMissing
from lightcnn.recipe import Reading


@pytest.fixture
def offline(monkeypatch):
    """No host name resolves, as on a machine without a network; and the optional libraries are not installed."""

    def refuse(*_):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setitem(sys.modules, "gdown", None)
    monkeypatch.setitem(sys.modules, "kagglehub", None)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (
            "fashion-mnist",
            ("Name or service not known", published.FASHION_URL, "t10k-labels-idx1-ubyte.gz (MD5 bb300"),
        ),
        (
            "cifar10",
            ("Name or service not known", published.CIFAR_URL, f"by hand (MD5 {published.CIFAR_MD5}) into {{}}/data,"),
        ),
        (
            "mpox2025",
            ("gdown is not installed", "pip install 'lightcnn[mpox]'", "1P3ZZ01TSJS4v9u", "as {}/data/mpox2025.zip"),
        ),
        (
            "mpox2022",
            ("kagglehub is not installed", "pip install 'lightcnn[mpox]'", "maxmelichov/", "as {}/data/mpox2022.zip"),
        ),
    ],
)
def test_a_failed_download_is_one_line_and_leaves_no_files(tmp_path, offline, source, words):
    with pytest.raises(DataMissing) as caught:
        load(source, reading(tmp_path / "data"))
    text = str(caught.value)
    assert text.startswith(f"data {source}: not in {tmp_path / 'data'}, and ")
    assert "\n" not in text
    assert all(word.replace("{}", str(tmp_path)) in text for word in words), text
    assert caught.value.exit_code == 2
    assert remaining(tmp_path) == []
    assert socket.getdefaulttimeout() is None


def test_a_download_has_a_timeout_and_always_cleans_up(tmp_path):
    def interrupted(staged):
        assert socket.getdefaulttimeout() == TIMEOUT_SECONDS
        (staged / "half").write_bytes(b"x")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch("x", tmp_path / "new", "nowhere", "", interrupted)
    assert remaining(tmp_path) == []
    assert socket.getdefaulttimeout() is None


def test_the_data_folder_is_the_given_one_or_in_the_cache(monkeypatch):
    monkeypatch.setenv("LIGHTCNN_CACHE", "here")
    assert data_folder(Reading()) == Path("here/data")
    assert data_folder(Reading(data_dir="~/sets")) == Path.home() / "sets"


def test_a_data_folder_that_is_a_file_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("x")
    for source in ("fashion-mnist", "cifar10", "mpox2025"):
        with pytest.raises(DataError, match="file"):
            load(source, reading(tmp_path / "file"))
