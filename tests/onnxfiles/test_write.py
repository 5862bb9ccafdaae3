"""Exported files: the same outputs as torch, no trace of the machine, one-line errors."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from helpers.onnx_files import export_deployed
from torch import nn

from lightcnn.errors import LightcnnError
from lightcnn.onnxfiles.runtime import open_session, quantize, session_outputs
from lightcnn.onnxfiles.write import onnx_bytes
from lightcnn.recipe import Recipe


@pytest.mark.parametrize("pool", ["avg", "max"])
def test_an_exported_file_computes_what_torch_does_and_contains_nothing_about_the_machine(
    pool: Literal["avg", "max"], tmp_path: Path
) -> None:
    spec = Recipe.load("quick").network
    spec = spec.model_copy(update={"head": spec.head.model_copy(update={"pool": pool})})
    deployed = export_deployed(spec, tmp_path / "a.onnx")
    data = (tmp_path / "a.onnx").read_bytes()
    images = np.random.default_rng(0).random((3, *spec.input), dtype=np.float32)
    with torch.inference_mode():
        expected = deployed(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(session_outputs(open_session(data, 1), images)[0], expected, atol=1e-4, rtol=1e-4)
    assert str(Path.cwd()).encode() not in data and b"lightcnn" not in data
    assert onnx_bytes(deployed, spec.input) == data


def test_what_cannot_be_exported_or_run_is_a_one_line_error() -> None:
    class ImageDependent(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(LightcnnError, match="cannot be written as ONNX: ") as error:
        onnx_bytes(ImageDependent(), (3, 8, 8))
    assert "\n" not in str(error.value)
    for work in (lambda: open_session(b"\x00nothing", 1), lambda: quantize(b"\x00nothing", (3, 8, 8))):
        with pytest.raises(LightcnnError) as error:
            work()
        assert "\n" not in str(error.value)
