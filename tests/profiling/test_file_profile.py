"""The row of an ONNX file: what its metadata state, and the reasons for what they do not state."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from helpers.exported_files import SIZE, trained_network, write_exported

from lightcnn.device_cost import device_cost
from lightcnn.onnxfiles.read import read_graph
from lightcnn.profiling.file_profile import C_OF_NETWORK, NO_ACCURACY, NO_C, OTHER_ACCURACY, STATES_NOTHING
from lightcnn.profiling.profile import Profile
from lightcnn.profiling.targets import find_targets
from lightcnn.recipe import Recipe

SPEC = Recipe.load("quick").network.model_copy(update={"input": (3, SIZE, SIZE)})
NETWORK: dict[str, Any] = {"network": SPEC.model_dump(mode="json"), "network_digest": SPEC.digest()}
ACCURACY = {"value": 0.9, "low": 0.8, "high": 0.95}


def profile_of(path: Path, size: tuple[int, int, int] | None = None) -> Profile:
    return find_targets([os.fspath(path)], baselines=False, input=size, accuracies={})[0].profile()


def test_an_exported_file_states_its_accuracy_and_its_network(tmp_path: Path) -> None:
    path = write_exported(tmp_path / "m.onnx", trained_network(), accuracy=ACCURACY, **NETWORK)
    row = profile_of(path).document()
    assert row["input"] == [3, SIZE, SIZE] and row["accuracy"]["value"] == 0.9
    assert row["accuracy"]["source"] == "its metadata, test set of the run"
    cost = device_cost(SPEC)
    assert (row["flash_bytes"], row["arena_bytes"]) == (cost.flash_bytes, cost.arena_bytes)
    assert C_OF_NETWORK in row["notes"]
    larger = profile_of(path, (3, 20, 20))
    assert larger.device == profile_of(path).device, "the file resizes images to the input of its network"
    assert larger.input == (3, 20, 20) and larger.accuracy is None and larger.other_accuracy == "90.00% at 3×12×12"


@pytest.mark.parametrize(
    ("facts", "notes"),
    [
        ({"accuracy": ACCURACY, "format": "onnx-int8", **NETWORK}, {OTHER_ACCURACY, C_OF_NETWORK}),
        ({"network": {"baseline": "vgg16"}, "network_digest": "1"}, {NO_ACCURACY, NO_C}),
        ({**NETWORK, "network_digest": "edited"}, {NO_ACCURACY, NO_C}),
        ({**NETWORK, "network": {"blocks": 3}}, {NO_ACCURACY, NO_C}),
    ],
)
def test_what_is_not_known_has_a_reason(facts: dict[str, Any], notes: set[str], tmp_path: Path) -> None:
    profile = profile_of(write_exported(tmp_path / "m.onnx", trained_network(), **facts))
    assert notes <= set(profile.notes) and profile.accuracy is None
    assert (profile.device is None) == (NO_C in notes)


def test_a_file_of_others_has_no_metadata(tmp_path: Path) -> None:
    import onnx

    model = onnx.load(write_exported(tmp_path / "m.onnx", trained_network()))
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "bare.onnx")
    assert read_graph(tmp_path / "bare.onnx", (SIZE, SIZE, 3)).metadata is None
    assert profile_of(tmp_path / "bare.onnx", (SIZE, SIZE, 3)).notes == (STATES_NOTHING,)
