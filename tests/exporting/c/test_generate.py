"""The generated C computes the same codes as the NumPy reference, and its class is that of the probabilities."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from helpers.c_code import facts_of, needs_gcc, trace
from helpers.integer_networks import random_network, random_pixels
from helpers.specs import random_spec

from lightcnn.decisions import decide
from lightcnn.errors import InputError
from lightcnn.exporting.c.generate import budget_limits
from lightcnn.integer import reference
from lightcnn.program import program


@needs_gcc
@pytest.mark.parametrize("seed", range(8))
def test_all_tensors_equal_those_of_the_reference(seed: int, tmp_path: Path) -> None:
    network = random_network(program(random_spec(Random(seed))), seed)
    pixels = random_pixels(network.program, 3, seed)
    tensors, classes = trace(tmp_path, network, pixels, facts_of(network))
    for step, computed in zip(network.steps, tensors, strict=True):
        np.testing.assert_array_equal(computed, reference.tensors(network, pixels)[step.step.output], step.step.name)
    np.testing.assert_array_equal(classes, decide(reference.probabilities(network, pixels)) % 256)


def test_limits_are_those_of_the_budget_of_the_run() -> None:
    budget = {"macs": {"lower": None, "upper": 10**6}, "flash_bytes": {"lower": None, "upper": 128_000}}
    assert budget_limits({"budget": budget}) == {"flash_bytes": 128_000}
    assert budget_limits({"budget": None}) == budget_limits({}) == budget_limits({"budget": ["x"]}) == {}


@pytest.mark.parametrize("upper", [0, -1, "16000", None, True, 1.5])
def test_a_limit_that_is_no_number_of_bytes_is_named(upper: Any) -> None:
    with pytest.raises(
        InputError, match=r"report\.json: budget\.arena_bytes\.upper: must be a positive number of bytes"
    ):
        budget_limits({"budget": {"arena_bytes": {"lower": None, "upper": upper}}})
