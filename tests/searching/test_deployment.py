"""The predictions of a network in 8 bits for the validation set: near those in float, but not equal."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.onnx_files import randomise_statistics

from lightcnn.data.pipeline import Pipeline
from lightcnn.data.sources.load import load
from lightcnn.data.split import make_split
from lightcnn.inference import probabilities
from lightcnn.network import build
from lightcnn.recipe import Reading
from lightcnn.searching.deployment.names import DEPLOYMENTS, DeployName
from lightcnn.searching.deployment.quantization import quantized_probabilities
from lightcnn.spec import ConvBlock, NetworkSpec, SeparableBlock

SPEC = NetworkSpec(input=(1, 8, 8), stages=(ConvBlock(width=6), SeparableBlock(width=8, stride=2)), classes=10)


@pytest.mark.parametrize("deploy", DEPLOYMENTS)
def test_a_network_in_8_bits_predicts_nearly_as_in_float(deploy: DeployName) -> None:
    if deploy == "onnx-int8":
        pytest.importorskip("onnxruntime")
    digits = load("digits", Reading())
    pipeline = Pipeline(digits, make_split(digits, 0, Reading()), torch.device("cpu"))
    model = build(SPEC, 0)
    randomise_statistics(model)
    before = probabilities(model, pipeline.images(pipeline.split.val, 8), pipeline.preprocess(8))
    after = quantized_probabilities(model, SPEC, pipeline, deploy)
    assert after.shape == before.shape == (len(pipeline.split.val), 10)
    np.testing.assert_allclose(after.sum(1), 1, atol=1e-6)
    assert 0 < np.abs(after - before).max() < 0.25 * np.ptp(before)
    np.testing.assert_allclose(after, before, atol=0.05)
