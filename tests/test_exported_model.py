"""Exported files predict as the run does, without torch; what is damaged or missing is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.exported_files import SIZE, photographs, trained_network, write_exported
from helpers.imports import NUMPY_AND_PILLOW_ONLY, run_without

from lightcnn.data.files.intensity import IntensityScale
from lightcnn.errors import DataError, InputError
from lightcnn.exported_metadata import METADATA_KEY
from lightcnn.exported_model import ExportedModel, same_size_batches
from lightcnn.trained_network import TrainedNetwork


def require_equal(exported: ExportedModel, network: TrainedNetwork, images: Any) -> None:
    ours, theirs = exported.predict(images), network.predict(images)
    assert ours.classes == theirs.classes
    # ONNX's Resize, with which these files are written, differs from PyTorch by some grey levels at the borders.
    np.testing.assert_allclose(ours.probabilities, theirs.probabilities, atol=1e-2)
    assert ours.predictions == theirs.predictions
    assert [(each.code, each.count) for each in ours.warnings] == [(each.code, each.count) for each in theirs.warnings]
    if theirs.unlikeness is None:
        assert ours.unlikeness is None
    else:
        np.testing.assert_allclose(ours.unlikeness, theirs.unlikeness, rtol=0.05)


@pytest.mark.parametrize(
    "changes",
    [
        {}, {"channels": 1}, {"fit": "crop"}, {"fit": "pad"}, {"clahe": 2.0},
        {"clahe": 3.0, "channels": 1, "fit": "pad"},
        {"background": "grabcut"}, {"with_score": False}, {"classes": 2, "threshold": 0.3},
        {"scale": IntensityScale(integers=4095)},
    ],
    ids=str,
)  # fmt: skip
def test_files_and_arrays_are_predicted_as_by_the_run(tmp_path: Path, changes: dict[str, Any]) -> None:
    network = trained_network(**changes)
    exported = ExportedModel(write_exported(tmp_path / "model.onnx", network))
    paths = photographs(tmp_path)
    require_equal(exported, network, paths)
    arrays = [np.random.default_rng(i).integers(0, 256, (30, 40 + i % 2, 3), dtype=np.uint8) for i in range(5)]
    require_equal(exported, network, arrays)
    fitting = np.random.default_rng(9).integers(0, 256, (7, SIZE, SIZE, 3), dtype=np.uint8)
    if not changes.get("background"):
        expected = network.predict(list(fitting)).probabilities
        np.testing.assert_allclose(exported.predict(list(fitting)).probabilities, expected, atol=1e-5)


def test_a_low_probability_abstains(tmp_path: Path) -> None:
    network = trained_network()
    exported = ExportedModel(write_exported(tmp_path / "model.onnx", network))
    paths = photographs(tmp_path)
    ours, theirs = (each.predict(paths, abstain_below=0.7).predictions for each in (exported, network))
    assert ours == theirs
    assert set(exported.predict(paths, abstain_below=1.0).predictions) == {"abstained"}


def test_nothing_but_numpy_pillow_and_onnx_runtime_is_needed(tmp_path: Path) -> None:
    network = trained_network()
    write_exported(tmp_path / "model.onnx", network)
    paths = photographs(tmp_path)
    code = """
        import json, sys
        from lightcnn.exported_model import ExportedModel
        result = ExportedModel(sys.argv[1]).predict(sys.argv[2:])
        print(json.dumps([result.probabilities.tolist(), result.predictions, result.unlikeness.tolist()]))
    """
    printed = run_without(NUMPY_AND_PILLOW_ONLY, code, tmp_path / "model.onnx", *paths)
    probabilities, predictions, unlikeness = json.loads(printed)
    expected = network.predict(paths)
    np.testing.assert_allclose(probabilities, expected.probabilities, atol=1e-2)
    np.testing.assert_allclose(unlikeness, expected.unlikeness, rtol=0.05)
    assert tuple(predictions) == expected.predictions


@pytest.mark.parametrize(("changes", "step"), [({"clahe": 2.0}, "clahe: 2"), ({"background": "grabcut"}, "background")])
def test_a_side_car_is_refused_without_opencv_and_never_skipped(tmp_path: Path, changes: Any, step: str) -> None:
    write_exported(tmp_path / "model.onnx", trained_network(**changes))
    code = """
        import sys
        from lightcnn.errors import InputError
        from lightcnn.exported_model import ExportedModel
        try:
            ExportedModel(sys.argv[1])
        except InputError as error:
            print(error)
    """
    (line,) = run_without(NUMPY_AND_PILLOW_ONLY, code, tmp_path / "model.onnx").splitlines()
    assert line.startswith(f"preprocess.{step}") and line.endswith("pip install opencv-python-headless")


def test_onnx_runtime_missing_is_one_line(tmp_path: Path) -> None:
    write_exported(tmp_path / "model.onnx", trained_network())
    code = """
        import sys
        from lightcnn.errors import InputError
        from lightcnn.exported_model import ExportedModel
        try:
            ExportedModel(sys.argv[1])
        except InputError as error:
            print(error)
    """
    printed = run_without((*NUMPY_AND_PILLOW_ONLY, "onnxruntime"), code, tmp_path / "model.onnx")
    assert printed.endswith("model.onnx: ONNX Runtime is not installed; pip install onnxruntime\n")


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    exported = ExportedModel(write_exported(tmp_path / "model.onnx", trained_network()))
    (tmp_path / "x.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"predict: images\[0\] \(.*x\.png\) is not an image"):
        exported.predict([tmp_path / "x.png"])


@pytest.mark.parametrize("content", [b"", b"no model", b"\x08\x0a" * 50])
def test_a_damaged_file_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(InputError, match=r"^[^\n]*m\.onnx: (ONNX Runtime cannot read it: |has no metadata)[^\n]+$"):
        ExportedModel(tmp_path / "m.onnx")


def test_a_missing_file_and_a_folder_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"m\.onnx: cannot be read \(No such file or directory\)"):
        ExportedModel(tmp_path / "m.onnx")
    with pytest.raises(InputError, match="is not a file"):
        ExportedModel(tmp_path)


@pytest.mark.parametrize("location", ["../secret.bin", "/secret.bin", "link.bin"])
def test_tensors_outside_of_the_folder_are_refused(tmp_path: Path, location: str) -> None:
    import onnx

    folder = tmp_path / "folder"
    folder.mkdir()
    write_exported(folder / "m.onnx", trained_network())
    proto = onnx.load(folder / "m.onnx")
    tensor = next(each for each in proto.graph.initializer if each.name == "weight")
    (tmp_path / "secret.bin").write_bytes(tensor.raw_data)
    (folder / "link.bin").symlink_to("../secret.bin")
    name = str(tmp_path / "secret.bin") if location.startswith("/") else location
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", name), ("length", str((tmp_path / "secret.bin").stat().st_size))):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    (folder / "m.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(InputError, match=r"m\.onnx: ONNX Runtime cannot read it: [^\n]+$"):
        ExportedModel(folder / "m.onnx")


def _with_preprocess(path: Path, **changes: Any) -> Path:
    import onnx

    proto = onnx.load(path)
    entry = next(each for each in proto.metadata_props if each.key == METADATA_KEY)
    document = json.loads(entry.value)
    document["preprocess"] |= changes
    entry.value = json.dumps(document)
    path.write_bytes(proto.SerializeToString())
    return path


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"scale": {"integers": 100}}, "integers: 100 is not one of"),
        ({"scale": {"colour": 1}}, "unexpected keyword argument 'colour'"),
        ({"scale": 4095}, "must be a mapping"),
        ({"unlikeness": {"centres": [[1.0]], "deviation": [0.0], "precision": [1.0]}}, "deviation must be"),
        ({"unlikeness": {"centres": [[1.0]], "deviation": [1.0, 2.0], "precision": [1.0]}}, "need as many features"),
        ({"unlikeness": {"centres": [[1.0]], "deviation": [1e999], "precision": [1.0]}}, "Infinity|not finite"),
        ({"unlikeness": {"centres": [[1.0]], "deviation": [1.0], "precision": [1.0]}}, "'features' has the shape"),
        ({"unlikeness": []}, "indices must be integers"),
    ],
)  # fmt: skip
def test_impossible_metadata_are_refused(tmp_path: Path, changes: dict[str, Any], fault: str) -> None:
    file = _with_preprocess(write_exported(tmp_path / "m.onnx", trained_network()), **changes)
    with pytest.raises(Exception, match=rf"^[^\n]*m\.onnx: [^\n]*({fault})[^\n]*$") as caught:
        ExportedModel(file).predict([np.zeros((9, 9, 3), np.uint8)])
    assert type(caught.value).__module__ == "lightcnn.errors"


def test_a_file_without_the_stated_outputs_is_refused(tmp_path: Path) -> None:
    without = trained_network(with_score=False)
    rules = trained_network().preprocess.model_dump(mode="json")
    file = write_exported(tmp_path / "m.onnx", without, preprocess=rules)
    with pytest.raises(InputError, match=r"m\.onnx: has no output 'features', so it does not fit its metadata"):
        ExportedModel(file)


def test_batches_keep_the_order_and_the_limit_of_pixels() -> None:
    images = [np.full((size, 1000, 1), number, np.uint8) for number, size in enumerate([900, 900, 900, 10, 900])]
    batches = same_size_batches(images)
    assert [batch.shape[:2] for batch in batches] == [(2, 900), (1, 900), (1, 10), (1, 900)]
    assert [int(image[0, 0, 0]) for batch in batches for image in batch] == [0, 1, 2, 3, 4]
