"""The metadata of exported files: complete, readable by people, and checked when they are read."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from lightcnn.errors import InputError
from lightcnn.exported_metadata import (
    METADATA_KEY,
    NOTICE,
    PLAIN_KEYS,
    ExportedMetadata,
    read_metadata,
    side_cars,
)

PREPROCESS: dict[str, Any] = {
    "background": "none", "fit": "stretch", "clahe": 0.0, "size": 28, "channels": 1, "shorter_side": 256,
    "scale": None, "mean": [0.3], "deviation": [0.4], "classes": ["cat", "dög"], "temperature": 1.5, "threshold": 0.4,
    "stand_in": False, "unlikeness": None,
}  # fmt: skip


def metadata(**changes: Any) -> ExportedMetadata:
    preprocess = {**PREPROCESS, **changes}
    return ExportedMetadata(
        "onnx", preprocess, {"input": [1, 28, 28]}, "ab" * 32,
        {"source": "cats", "stand_in": False, "fingerprint": "f"}, side_cars(preprocess),
        {"value": 0.9, "low": 0.8, "high": 0.95},
    )  # fmt: skip


def damaged(**changes: Any) -> dict[str, str]:
    document = json.loads(metadata().properties()[METADATA_KEY])
    return {METADATA_KEY: json.dumps({**document, **changes})}


def test_the_document_is_read_back_unchanged() -> None:
    read = read_metadata(metadata().properties(), "m.onnx")
    assert read == metadata()
    assert (read.labels, read.size, read.channels) == (("cat", "dög"), 28, 1)
    assert (read.temperature, read.threshold) == (1.5, 0.4)


def test_people_read_labels_threshold_input_outputs_and_the_notice() -> None:
    texts = metadata().properties()
    assert set(texts) == {METADATA_KEY, *PLAIN_KEYS}
    assert texts["labels"] == '["cat", "dög"]'
    assert texts["threshold"] == "0.4"
    assert texts["input"] == (
        "Do not normalise: give the decoded, upright grey image as uint8 (N, H, W, 1), values 0 to 255, of any size; "
        "the file resizes it to 28×28."
    )
    assert texts["outputs"].endswith("predict dög from a probability of 0.4, else cat.")
    assert texts["notice"] == NOTICE


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"fit": "crop"}, ()),
        ({"background": "grabcut"}, ("background",)),
        ({"clahe": 2.0}, ("resize", "clahe")),
        ({"clahe": 2.0, "fit": "pad", "background": "rembg"}, ("background", "fit", "resize", "clahe")),
    ],
)
def test_what_no_graph_contains_is_a_side_car(changes: dict[str, Any], expected: tuple[str, ...]) -> None:
    exported = metadata(**changes)
    assert exported.side_cars == expected
    assert exported.takes_any_size == ("resize" not in expected)
    assert ("of 28×28 pixels" in exported.input_rule()) == ("resize" in expected)
    assert exported.input_rule().count("Before that") == len(expected)
    assert read_metadata(exported.properties(), "m.onnx") == exported


def test_a_file_of_someone_else_is_refused_with_what_is_missing() -> None:
    with pytest.raises(InputError, match=r"m\.onnx: has no metadata of lightcnn .* --labels FILE and --input CxHxW"):
        read_metadata({"author": "someone"}, "m.onnx")


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"classes": ["cat"]}, "classes are not two or more"),
        ({"classes": ["cat", "cat"]}, "classes are not two or more"),
        ({"classes": "ab"}, "classes are not two or more"),
        ({"size": 4097}, "size is not 1 to 4096"),
        ({"size": True}, "size is not"),
        ({"channels": 2}, "channels are not 1 or 3"),
        ({"temperature": 0}, "temperature is not above 0"),
        ({"temperature": "1"}, "'1' is not a finite number"),
        ({"threshold": 1}, "threshold is not between"),
        ({"fit": "squeeze"}, "fit is not one of stretch"),
        ({"background": "x"}, "background is not one of"),
        ({"clahe": 3.0}, "side_cars do not fit"),
    ],
)
def test_an_impossible_preprocessing_is_refused(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(InputError, match=f"m.onnx: its metadata are damaged: {fault}"):
        read_metadata(damaged(preprocess={**PREPROCESS, **changes}), "m.onnx")


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2}, {"version": "1"}, {"preprocess": {}}, {"preprocess": []}, {"side_cars": [["clahe"]]},
        {"more": 1}, {"network": 3}, {"data": None}, {"accuracy": {"value": "x"}}, {"format": 1}, {"accuracy": [1]},
        {"operating": 3}, {"operating": {}}, {"operating": {"counts": None}},
        {"accuracy": {"value": 90, "low": 1, "high": 1}},
    ],
)  # fmt: skip
def test_a_damaged_document_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"^m\.onnx: its metadata are damaged: [^\n]+$"):
        read_metadata(damaged(**changes), "m.onnx")


@pytest.mark.parametrize("text", ["", "{", "[]", "NaN", "1", '{"version": 1}', "[" * 100_000])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="its metadata are damaged"):
        read_metadata({METADATA_KEY: text}, "m.onnx")


def test_only_the_standard_library_is_loaded() -> None:
    code = (
        "import sys, lightcnn.exported_metadata\n"
        "assert not {'torch', 'pydantic', 'cv2', 'numpy', 'ruamel'} & {name.split('.')[0] for name in sys.modules}"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
