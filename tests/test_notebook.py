"""The notebook of the guides runs from start to end, and its results show themselves as HTML."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from helpers.paths import ROOT

nbformat = pytest.importorskip("nbformat", reason="a notebook needs: pip install 'lightcnn[test]'")
nbclient = pytest.importorskip("nbclient", reason="a notebook needs: pip install 'lightcnn[test]'")
pytest.importorskip("ipykernel", reason="a notebook needs: pip install 'lightcnn[test]'")

NOTEBOOK = ROOT / "docs" / "guides" / "notebook.ipynb"
SECONDS = 300
"""Time for one cell; on an idle core the whole notebook takes less than a minute."""


def test_the_notebook_is_kept_without_outputs() -> None:
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert len(code) == 4
    assert all(not cell.outputs and cell.execution_count is None for cell in code)


def test_every_cell_runs_and_shows_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])))
    monkeypatch.setenv("LIGHTCNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=SECONDS, kernel_name="python3", resources=resources).execute()
    _, search, predict, explain = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    card = search[-1].data["text/html"]
    assert "test accuracy" in card and "report.html" in card and "FLOPs" in card
    assert search[-1].data["text/plain"].startswith("Run(runs/")
    prediction, shape = predict[0].text.split(maxsplit=1)
    assert prediction in {str(digit) for digit in range(10)} and shape.strip() == "(1, 10)"
    assert "data:image/png;base64," in explain[-1].data["text/html"]
