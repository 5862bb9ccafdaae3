"""Exported files, which are served without torch, and explained by the methods that need predictions only."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.exported_files import SIZE, trained_network, write_exported
from helpers.served import Client, image_bytes, serving
from numpy.typing import NDArray

from lightcnn.data.stream import PreparedImage
from lightcnn.errors import InputError
from lightcnn.explaining.explained_file import ExplainedFile
from lightcnn.explaining.explained_network import ExplainedNetwork
from lightcnn.explaining.methods.lime import Lime
from lightcnn.explaining.methods.occlusion import Occlusion
from lightcnn.exported_metadata import read_metadata
from lightcnn.exported_model import ExportedModel
from lightcnn.exporting.onnx_formats.onnx_file import exported_metadata
from lightcnn.exporting.subject import load_subject
from lightcnn.run_folder import RunFolder
from lightcnn.serving.facts import exported_facts, run_facts
from lightcnn.serving.job import make_api
from lightcnn.serving.settings import Limits, ServeSettings

LIMITS = Limits(requests_per_second=10_000)


def random_image() -> NDArray[np.float32]:
    """Quarters of different colours with noise, (1, 3, SIZE, SIZE)."""
    random = np.random.default_rng(3)
    quarters = random.integers(20, 236, (1, 3, 2, 2)).repeat(SIZE // 2, axis=2).repeat(SIZE // 2, axis=3)
    return (quarters + random.integers(-20, 20, (1, 3, SIZE, SIZE))).astype(np.float32)


@pytest.mark.parametrize("method", [Lime(samples=60, segments=9), Occlusion(4, 2)])
def test_maps_of_a_file_are_those_of_its_network(method: Lime | Occlusion, tmp_path: Path) -> None:
    network = trained_network()
    file = ExportedModel(write_exported(tmp_path / "model.onnx", network))
    pixels = random_image()
    explained = ExplainedNetwork.of(network.model, network.preprocess)
    inputs = explained.inputs(torch.from_numpy(pixels))
    # A file reads whole grey levels, so the mean is rounded; its scores are logits over the temperature, less a mean.
    of_file = method(ExplainedFile(file, lambda images: None), pixels, 1).map
    expected = method(explained, inputs, 1).map
    if isinstance(method, Occlusion):
        logits = [method(explained, inputs, target).map for target in range(3)]
        expected = (logits[1] - np.mean(logits, axis=0)) / network.preprocess.temperature
    assert np.abs(expected).max() > 0.005
    assert np.abs(of_file - expected).max() < 0.03 * np.abs(expected).max()


def test_probabilities_of_a_file_are_counted(tmp_path: Path) -> None:
    file, counts = ExportedModel(write_exported(tmp_path / "model.onnx", trained_network())), list[int]()
    explained, pixels = ExplainedFile(file, counts.append), random_image()
    masks = np.random.default_rng(0).random((20, SIZE, SIZE)) < 0.5
    table = explained.mixed_probabilities(pixels, 255 - pixels, lambda start, end: masks[start:end], 20)
    assert counts == [8, 16, 20] and np.allclose(table.sum(axis=1), 1)
    image = np.where(masks[3], pixels[0], 255 - pixels[0]).astype(np.uint8).transpose(1, 2, 0)
    prepared = PreparedImage(image, 3, SIZE, None)  # type: ignore[arg-type]
    assert np.allclose(table[3], file.evaluate([prepared])[0].probabilities)


def test_a_file_is_served(tmp_path: Path) -> None:
    path = write_exported(tmp_path / "model.onnx", trained_network(), data={"source": "/a/b/lesions", "stand_in": True},
                          accuracy={"value": 0.9, "low": 0.8, "high": 0.95})  # fmt: skip
    settings = ServeSettings(path, limits=LIMITS)
    (tmp_path / "a.png").write_bytes(image_bytes())
    expected = ExportedModel(path).predict([tmp_path / "a.png"])
    with serving(make_api(settings), settings) as client:
        model = client.ask("GET", "/model").json
        assert model["stand_in"] is True and model["data"] == {"source": "lesions", "counts": None}
        assert model["accuracy"] == {"value": 0.9, "low": 0.8, "high": 0.95} and model["operating_points"] is None
        assert [method["name"] for method in model["methods"]] == ["lime", "occlusion"]
        row = client.send("/predict", [("a.png", image_bytes())]).json["predictions"][0]
        assert np.allclose(list(row["probabilities"].values()), expected.probabilities[0], atol=1e-6)
        assert client.send("/explain", [("a.png", image_bytes())]).json["method"] == "lime"
        refused = client.send("/explain", [("a.png", image_bytes())], {"method": "gradcam"})
        assert refused.status == 422 and "must be one of lime, occlusion" in refused.json["error"]


def test_a_file_states_the_facts_of_its_run(served_run: Path) -> None:
    facts = run_facts(RunFolder.load(served_run))
    metadata = exported_metadata(load_subject(RunFolder.load(served_run)), "onnx")
    assert metadata.operating is not None and facts["operating_points"]["classes"][0]["images"] > 0
    assert exported_facts(read_metadata(metadata.properties(), "m.onnx")) == facts
    int8 = exported_facts(replace(metadata, format="onnx-int8"))
    assert "those of the run in fp32" in int8.pop("note") and int8 == facts
    earlier = exported_facts(replace(metadata, operating=None, data={"source": "a", "stand_in": False}))
    assert earlier["operating_points"] is None and earlier["data"] == {"source": "a", "counts": None}


TORCH_FREE = """
import json, sys
sys.path.insert(0, "tests")
from pathlib import Path
from helpers.served import image_bytes, serving
from lightcnn.serving.job import make_api
from lightcnn.serving.settings import ServeSettings
settings = ServeSettings(Path(sys.argv[1]))
with serving(make_api(settings), settings) as client:
    statuses = [client.send("/predict", [("a.png", image_bytes())]).status]
    for name in ("lime", "occlusion"):
        statuses.append(client.send("/explain", [("a.png", image_bytes())], {"method": name}).status)
print(json.dumps([statuses, "torch" in sys.modules]))
"""


def test_a_file_is_served_without_torch(tmp_path: Path) -> None:
    path = write_exported(tmp_path / "model.onnx", trained_network())
    folder = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", TORCH_FREE, path], capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout) == [[200, 200, 200], False]


def test_a_file_of_others_needs_labels_and_an_input_size(tmp_path: Path) -> None:
    import onnx

    model = onnx.load(write_exported(tmp_path / "model.onnx", trained_network()))
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "bare.onnx")
    (tmp_path / "labels.txt").write_text("a\nb\nc\n")
    with pytest.raises(InputError, match=r"has no metadata of lightcnn .*give --labels FILE and --input CxHxW"):
        make_api(ServeSettings(tmp_path / "bare.onnx"))
    settings = ServeSettings(
        tmp_path / "bare.onnx", labels=tmp_path / "labels.txt", input=(3, SIZE, SIZE), limits=LIMITS
    )
    with serving(make_api(settings), settings) as client:
        _require_answers(client)


def _require_answers(client: Client) -> None:
    assert client.ask("GET", "/model").json["note"].startswith("bare.onnx: has no metadata of lightcnn")
    assert client.send("/predict", [("a.png", image_bytes())]).json["classes"] == ["a", "b", "c"]
    assert client.send("/explain", [("a.png", image_bytes())], {"method": "occlusion"}).status == 200
