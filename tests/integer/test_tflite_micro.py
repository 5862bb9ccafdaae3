"""TensorFlow Lite Micro computes the same codes as the NumPy reference, for networks of its operators."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import pytest
from helpers.quantized_networks import blurred_noise, quantized_network
from helpers.specs import random_spec

from lightcnn.errors import LightcnnError
from lightcnn.exporting.tflite.micro import MicroInterpreter
from lightcnn.exporting.tflite.operators import input_codes, int8_bytes
from lightcnn.integer import reference
from lightcnn.integer.network import IntegerNetwork
from lightcnn.memory_plan import plan_memory
from lightcnn.program import OPERATORS
from lightcnn.spec import NetworkSpec

pytest.importorskip("tflite_micro", reason='needs the extra tflite: pip install "lightcnn[tflite]"')
IMAGES = 200
RANDOM_NETWORKS = 10
BODY = ({"kind": "conv", "width": 16, "act": "relu"}, {"kind": "conv", "width": 16, "act": "none"})
NETWORKS: dict[str, dict[str, Any]] = {
    "convolutions": {
        "input": (1, 28, 28),
        "stages": (
            {"kind": "conv", "width": 8, "stride": 2, "act": "relu"},
            {"kind": "conv", "width": 12, "kernel": 5, "act": "relu6"},
            {"kind": "conv", "width": 12, "kernel": 7, "stride": 2, "groups": 4, "act": "none"},
        ),
    },
    "separable": {
        "input": (3, 27, 27),
        "stages": (
            {"kind": "conv", "width": 8, "stride": 2, "act": "relu"},
            {"kind": "separable", "width": 12, "stride": 2, "act": "relu", "inner": True},
            {"kind": "pool", "op": "max", "kernel": 3, "stride": 2},
            {"kind": "separable", "width": 20, "act": "relu6"},
        ),
    },
    "pools": {
        "input": (3, 28, 28),
        "stages": (
            {"kind": "conv", "width": 8, "act": "relu"},
            {"kind": "pool", "op": "avg", "kernel": 3, "stride": 2},
            {"kind": "conv", "width": 12, "act": "none"},
            {"kind": "pool", "op": "max", "kernel": 2},
            {"kind": "pool", "op": "avg", "kernel": 2},
        ),
        "head": {"pool": "max", "hidden": (16,), "act": "relu"},
    },
    "mbconv with squeeze-and-excitation": {
        "input": (1, 28, 28),
        "stages": (
            {"kind": "conv", "width": 16, "stride": 2, "act": "relu6"},
            {"kind": "mbconv", "width": 16, "expand": 3.0, "se": 0.25, "act": "relu6"},
            {"kind": "mbconv", "width": 24, "stride": 2, "expand": 3.0, "se": 0.25, "act": "relu"},
            {"kind": "mbconv", "width": 24, "expand": 3.0, "act": "relu6"},
            {"kind": "se", "ratio": 0.5},
        ),
    },
    "residuals": {
        "input": (1, 27, 27),
        "stages": (
            {"kind": "conv", "width": 16, "stride": 2, "act": "relu"},
            {"kind": "residual", "body": BODY, "act": "relu"},
            {"kind": "residual", "body": ({**BODY[0], "stride": 2}, BODY[1]), "act": "none"},
            {"kind": "residual", "body": ({**BODY[0], "stride": 2}, BODY[1]), "shortcut": "avgpool", "act": "relu6"},
            {"kind": "residual", "body": ({**BODY[0], "stride": 2}, BODY[1]), "shortcut": "maxpool", "act": "relu"},
        ),
    },
}
"""Networks that have every operator of TensorFlow Lite Micro that lightcnn's blocks need."""


def network_of(name: str) -> IntegerNetwork:
    return quantized_network(NetworkSpec.model_validate({"classes": 10, **NETWORKS[name]}), seed=1)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_logits_are_the_same_codes(name: str) -> None:
    network = network_of(name)
    pixels = blurred_noise(network.program.shapes[0], IMAGES, seed=2)
    interpreter = MicroInterpreter(int8_bytes(network))
    theirs = interpreter.outputs(input_codes(network, pixels))
    ours = reference.run(network, pixels)
    assert len(np.unique(ours)) > 60 and len(np.unique(ours, axis=0)) > 0.9 * IMAGES
    assert (ours == theirs).all()
    assert plan_memory(network.program).arena_bytes <= interpreter.arena()["head"]


def test_the_logits_of_random_networks_are_the_same_codes() -> None:
    compared = [is_compared(seed) for seed in range(RANDOM_NETWORKS)]
    assert sum(compared) > RANDOM_NETWORKS / 2


def is_compared(seed: int) -> bool:
    """Compares a random network, whose functions become those of the format; returns whether it has a file."""
    text = random_spec(Random(seed)).model_dump_json()
    for function, other in (("silu", "relu"), ("hardswish", "relu6"), ("gelu", "none")):
        text = text.replace(f'"{function}"', f'"{other}"')
    network = quantized_network(NetworkSpec.model_validate_json(text), seed)
    try:
        data = int8_bytes(network)
    except LightcnnError as error:
        assert "windows that end beyond the padding" in str(error)
        return False
    pixels = blurred_noise(network.program.shapes[0], 10, seed)
    theirs = MicroInterpreter(data).outputs(input_codes(network, pixels))
    assert (reference.run(network, pixels) == theirs).all(), seed
    return True


def test_every_operator_is_compared() -> None:
    steps = [step.step for name in NETWORKS for step in network_of(name).steps]
    assert {step.operator for step in steps} == set(OPERATORS)
    assert {step.function for step in steps} == {"none", "relu", "relu6", "sigmoid"}
