"""Runs before any test module: an environment in which two processes on one machine do not block each other."""

import gc
import io
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

# Read once, when torch loads GNU's OpenMP: idle threads must not spin while another process computes.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
if "PYTEST_XDIST_WORKER" in os.environ:  # two processes of as many threads as there are cores slow each other down
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell that runs the tests in the background, or `nohup`, has them ignore Ctrl-C or SIGHUP, which every process they
# start inherits: the tests of these signals would wait for ever or fail.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--regenerate` writes the golden files again; `--long` runs everything, with many cases of the fuzz tests."""
    parser.addoption("--regenerate", action="store_true", help="write the golden files again")
    parser.addoption("--long", action="store_true", help="run the tests marked long, and more cases of the fuzz tests")


def pytest_configure(config: pytest.Config) -> None:
    """`--long` includes the tests that `-m 'not long'` of pyproject.toml leaves out."""
    if config.getoption("--long") and config.option.markexpr == "not long":
        config.option.markexpr = ""


def pytest_collection_finish(session: pytest.Session) -> None:
    """Modules and tests live until the end, so the garbage collector ignores them, which saves 4 % of the time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of every command, which tests copy and tamper with."""
    from helpers.tampered_runs import extract

    folder = tmp_path_factory.mktemp("archive") / "runs"
    extract(folder)
    return folder


@pytest.fixture
def runs(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of these runs, which is the current folder, and next to it a folder `outside` with a secret."""
    from helpers.tampered_runs import copy_runs

    copied = copy_runs(archive, tmp_path)
    monkeypatch.chdir(copied)
    return copied


@pytest.fixture(scope="module")
def few_parts() -> Iterator[None]:
    """Final trainings of a search have three parts, which saves a third of a small search that does not test them."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("finals", "repeats"):
            patch.setattr(f"lightcnn.searching.trainings.{module}.PARTS", 3)
        yield


@pytest.fixture(scope="module")
def one_worker() -> Iterator[None]:
    """Searches that name no number of workers train in this process: starting two takes longer than a small search."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lightcnn.devices.default_workers", lambda device: 1)
        yield


@pytest.fixture(scope="module")
def undrawn_charts() -> Iterator[None]:
    """Charts are empty, which halves the time of a small training: for modules whose tests are not about charts.

    The bands of their curves are of ten draws. Processes that a test starts draw theirs.
    """
    from functools import partial

    from markupsafe import Markup
    from PIL import Image

    from lightcnn.evaluation import roc
    from lightcnn.output.charts import svg

    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "white").save(buffer, format="PNG")
    empty = Markup('<svg class="chart" viewBox="0 0 8 8" role="img" aria-label="{}"></svg>')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(roc, "draw_counts", partial(roc.draw_counts, draws=10))
        patch.setattr(svg, "use_fallbacks", lambda figure: None)
        patch.setattr(svg, "png", lambda figure: buffer.getvalue())
        patch.setattr(svg, "_inline_svg", lambda figure, description, tips: empty.format(description))
        yield
