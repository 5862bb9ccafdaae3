"""Files in int8: smaller, deterministic, counted like the original."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.onnx_files import export_deployed

from lightcnn.onnxfiles.count import count_graph
from lightcnn.onnxfiles.read import read_graph
from lightcnn.onnxfiles.runtime import open_session, quantize, session_outputs
from lightcnn.recipe import Recipe


def test_a_file_in_int8_is_smaller_and_runs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spec = Recipe.load("micrompoxnet").network
    export_deployed(spec, tmp_path / "a.onnx")
    fp32 = (tmp_path / "a.onnx").read_bytes()
    caplog.clear()
    data = quantize(fp32, spec.input)
    assert not caplog.records
    assert len(data) < len(fp32) / 2
    assert session_outputs(open_session(data, 1), np.zeros((2, *spec.input), np.float32))[0].shape == (2, 1)
    assert quantize(fp32, spec.input) == data
    (tmp_path / "b.onnx").write_bytes(data)
    original, int8 = (count_graph(read_graph(tmp_path / name)) for name in ("a.onnx", "b.onnx"))
    assert (int8.macs, int8.params, int8.weight_bytes) == (original.macs, original.params, original.weight_bytes)
    assert {"QuantizeLinear", "DequantizeLinear"} <= int8.uncounted.keys()
