"""The predictions of a network in 8 bits for the validation set: near those in float, and those of exported files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.onnx_files import randomise_statistics

import lightcnn
from lightcnn.data.pipeline import Pipeline
from lightcnn.data.sources.load import load
from lightcnn.data.split import CALIBRATION_IMAGES, make_split
from lightcnn.inference import probabilities
from lightcnn.network import build
from lightcnn.recipe import Reading
from lightcnn.searching.deployment.names import DEPLOYMENTS, DeployName
from lightcnn.searching.deployment.quantization import quantized_probabilities
from lightcnn.spec import ConvBlock, NetworkSpec, SeparableBlock

pytestmark = pytest.mark.usefixtures("undrawn_charts", "few_parts")

SPEC = NetworkSpec(input=(1, 8, 8), stages=(ConvBlock(width=6), SeparableBlock(width=8, stride=2)), classes=10)


def test_a_network_in_8_bits_predicts_nearly_as_in_float() -> None:
    digits = load("digits", Reading())
    pipeline = Pipeline(digits, make_split(digits, 0, Reading()), torch.device("cpu"))
    model = build(SPEC, 0)
    randomise_statistics(model)
    before = probabilities(model, pipeline.images(pipeline.split.val, 8), pipeline.preprocess(8))
    after = quantized_probabilities(model, SPEC, pipeline, "c")
    assert after.shape == before.shape == (len(pipeline.split.val), 10)
    np.testing.assert_allclose(after.sum(1), 1, atol=1e-6)
    assert 0 < np.abs(after - before).max() < 0.25 * np.ptp(before)
    np.testing.assert_allclose(after, before, atol=0.05)


@pytest.mark.parametrize("deploy", DEPLOYMENTS)
def test_the_score_after_quantization_is_that_of_the_exported_file(
    deploy: DeployName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The training set has more digits than calibrate, so that another choice of them would give other ranges."""
    if deploy == "onnx-int8":
        pytest.importorskip("onnxruntime")
    monkeypatch.setattr("lightcnn.exporting.comparison.TIMING_SECONDS", 0.0)
    run = lightcnn.search(
        "60kMACs", data="digits", trials=1, epochs=1, workers=1, deploy=deploy, out=tmp_path / "searched"
    )
    (network,) = run.report["deploy"]["networks"]
    export = lightcnn.export(run.path, deploy, max_loss_points=100, out=tmp_path / "exported")
    validation = export.report["formats"][0]["validation"]
    assert run.report["data"]["counts"]["train"] > 2 * CALIBRATION_IMAGES
    assert 0.2 < validation["int8"] == network["val_int8"]["accuracy"] < 1
    assert validation["fp32"] == pytest.approx(network["val"]["accuracy"])
