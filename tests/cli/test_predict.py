"""`lightcnn predict` and `Run.predict`: the probabilities of predictions.csv, and untrusted runs and files."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import lightcnn
from lightcnn.cli.main import run
from lightcnn.data.preprocess import Preprocess
from lightcnn.data.sources.lesion_painter import paint_lesions
from lightcnn.errors import DataError, InputError, RunError
from lightcnn.network import build
from lightcnn.spec import ConvBlock, NetworkSpec
from lightcnn.trained_network import TrainedNetwork

pytestmark = pytest.mark.usefixtures("undrawn_charts")

STAGE = "{kind: [conv], width: {low: 4, high: 8}}"
SPACE = f"size: [16]\nstem: {STAGE}\nstages: [{STAGE}]\n"
PLAIN = Preprocess(size=8, channels=1, shorter_side=256, mean=(0.5,), deviation=(0.25,), classes=("dark", "bright"))


@pytest.fixture(scope="module")
def work_folder(tmp_path_factory):
    """A folder with `photos` in two class folders, and the finished `run` of a search on them."""
    root = tmp_path_factory.mktemp("predict")
    lesions = paint_lesions(count=40, size=40)
    for index, array in enumerate(lesions.images):
        file = root / "photos" / lesions.classes[lesions.labels[index]] / f"{index * 7919 % 1000:03}"
        file.parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(array).resize((40 + index % 3 * 130, 40 + index % 2 * 260))
        image = image.convert("L") if index % 5 == 0 else image
        image.save(file.with_suffix(".jpg" if index % 2 else ".png"))
    (root / "space.yaml").write_text(SPACE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        result = lightcnn.search(
            "100kFLOPs,8kparams", data="photos", space="space.yaml", trials=1, epochs=2, out="run", device="cpu"
        )
    assert isinstance(result, lightcnn.Run)
    return root


@pytest.fixture(autouse=True)
def _in_work_folder(work_folder, monkeypatch):
    monkeypatch.chdir(work_folder)


@pytest.fixture
def copy(work_folder, tmp_path):
    """A copy of the run to damage."""
    return Path(shutil.copytree(work_folder / "run", tmp_path / "copy"))


def stored_predictions():
    """predictions.csv: path → prediction and probabilities."""
    with open("run/predictions.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) >= 8
    assert {Path(row["path"]).suffix for row in rows} == {".jpg", ".png"}
    return {
        f"photos/{row['path']}": (row["prediction"], [float(row[name]) for name in row if name.startswith("p_")])
        for row in rows
    }


def validation_images():
    """The paths of the validation set."""
    with open("run/predictions.csv", newline="") as file:
        return [f"photos/{row['path']}" for row in csv.DictReader(file) if row["split"] == "val"]


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


# The probabilities of the run


def test_paths_and_arrays_give_what_the_run_wrote():
    expected = stored_predictions()
    result = lightcnn.Run.load("run").predict(list(expected))
    assert result.probabilities.dtype == np.float64
    assert result.probabilities.shape == (len(expected), 2)
    assert result.classes == ("domed", "ragged")
    assert result.predictions == tuple(prediction for prediction, _ in expected.values())
    np.testing.assert_allclose(result.probabilities, [row for _, row in expected.values()], atol=1e-6)
    lossless = [path for path in expected if path.endswith(".png")]
    assert max(min(pixels(path).shape[:2]) for path in expected) > 256, "one image is decoded at a reduced size"
    arrays = lightcnn.Run.load("run").predict([pixels(path) for path in lossless])
    np.testing.assert_allclose(arrays.probabilities, [expected[path][1] for path in lossless], atol=1e-6)


def test_the_command_prints_what_the_run_wrote_as_csv_and_json(tmp_path, capsys):
    expected = stored_predictions()
    target = tmp_path / "out.csv"
    assert run(["predict", "run", "photos", "--json", "--csv", str(target), "--device", "cpu"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["command"] == "predict"
    assert document["data"] is None
    assert document["skipped"] == []
    assert document["counts"] == {"images": 40, "predicted": 40, "abstained": 0, "skipped": 0, "passed_over": 0}
    images = [entry["image"] for entry in document["predictions"]]
    assert images == sorted(images)
    with target.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["image", "prediction", "p_domed", "p_ragged", "unlikeness"]
    assert [row["image"] for row in rows] == images
    for entry, row in zip(document["predictions"], rows, strict=True):
        assert entry.keys() == {"image", "prediction", "probabilities", "unlikeness"}
        assert float(row["unlikeness"]) == pytest.approx(entry["unlikeness"], abs=1e-4)
        assert sum(entry["probabilities"].values()) == pytest.approx(1)
        assert row["prediction"] == entry["prediction"]
        if entry["image"] in expected:
            prediction, values = expected.pop(entry["image"])
            assert entry["prediction"] == prediction
            np.testing.assert_allclose(list(entry["probabilities"].values()), values, atol=1e-6)
            np.testing.assert_allclose([float(row["p_domed"]), float(row["p_ragged"])], values, atol=1e-6)
    assert not expected


def test_table_and_csv_are_printed_on_stdout(capsys):
    image = next(iter(stored_predictions()))
    assert run(["predict", "run", image]) == 0
    header, line = capsys.readouterr().out.splitlines()
    assert header.split() == ["prediction", "domed", "ragged", "unlikeness", "image"]
    prediction, (first, second) = stored_predictions()[image]
    assert line.split()[:3] == [prediction, f"{first:.4f}", f"{second:.4f}"]
    assert line.split()[4:] == [image]
    assert run(["predict", "run", image, "--csv", "-"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "image,prediction,p_domed,p_ragged,unlikeness"


def test_images_of_another_kind_are_flagged_in_every_output(tmp_path, capsys):
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)  # smaller than half
    Image.fromarray(noise).save(tmp_path / "noise.png")
    known = validation_images()[0]
    arguments = ["predict", "run", known, str(tmp_path / "noise.png"), "--device", "cpu"]
    assert run(arguments) == 0
    printed = capsys.readouterr()
    assert [line.split()[3].endswith("!") for line in printed.out.splitlines()[1:]] == [False, True]
    assert "warning: 1 of 2 images are unlike the training images (unlikeness above 1; " in printed.err
    assert run([*arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert {warning["code"]: warning["count"] for warning in document["warnings"]} == {
        "unlike_training_images": 1,
        "images_mismatched": 1,
    }
    stored = json.loads(Path("run/preprocess.json").read_text())["unlikeness"]
    assert document["unlikeness"] == {
        "limit": 1.0,
        "false_alarm_rate": stored["false_alarm_rate"],
        "validation_images": stored["validation_images"],
    }
    predicted = lightcnn.Run.load("run").predict([known, tmp_path / "noise.png"])
    assert [warning.document() for warning in predicted.warnings] == document["warnings"]
    scores = predicted.unlikeness
    assert scores == pytest.approx([entry["unlikeness"] for entry in document["predictions"]], abs=1e-4)
    assert scores[0] <= 1 < scores[1]


def test_the_stored_rate_of_false_alarms_is_that_of_the_validation_images():
    paths = validation_images()
    stored = json.loads(Path("run/preprocess.json").read_text())["unlikeness"]
    scores = lightcnn.Run.load("run").predict(paths).unlikeness
    assert stored["validation_images"] == len(paths)
    assert (scores > 1).mean() <= 0.01
    halves = scores[::2], scores[1::2]
    alarms = sum((ours > 1.00001 * theirs.max()).sum() for ours, theirs in (halves, halves[::-1]))
    assert stored["false_alarm_rate"] == pytest.approx(alarms / len(scores))
    assert scores.max() == pytest.approx(1, abs=1e-3), "the limit is that of the least usual validation image"


def test_a_run_without_the_score_predicts_without_it(copy, capsys):
    file = copy / "preprocess.json"
    document = json.loads(file.read_text())
    del document["unlikeness"]
    file.write_text(json.dumps(document))
    image = next(iter(stored_predictions()))
    assert run(["predict", str(copy), image, "--csv", "-", "--device", "cpu"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "image,prediction,p_domed,p_ragged"
    assert run(["predict", str(copy), image, "--json", "--device", "cpu"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["unlikeness"] is document["predictions"][0]["unlikeness"] is None
    assert lightcnn.Run.load(copy).predict([image]).unlikeness is None


@pytest.mark.parametrize(
    "change", [{"deviation": []}, {"limit": 0}, {"precision": [1.0]}, {"centres": []}, {"false_alarm_rate": 2}]
)
def test_a_damaged_score_is_refused_in_one_line(change, copy):
    file = copy / "preprocess.json"
    document = json.loads(file.read_text())
    document["unlikeness"] |= change
    file.write_text(json.dumps(document))
    with pytest.raises(RunError, match=r"preprocess\.json: unlikeness"):
        lightcnn.Run.load(copy).predict([])


def test_a_score_of_another_network_is_refused(copy):
    file = copy / "preprocess.json"
    document = json.loads(file.read_text())
    document["unlikeness"] |= {"centres": [[0.0]], "deviation": [1.0], "precision": [1.0]}
    file.write_text(json.dumps(document))
    with pytest.raises(RunError, match="unlikeness: has 1 features, but the network has"):
        lightcnn.Run.load(copy).predict([next(iter(stored_predictions()))])


@pytest.mark.parametrize("how", ["below", "above"])
def test_predictions_below_the_bound_are_abstained(how, capsys):
    highest = {path: max(row) for path, (_, row) in stored_predictions().items()}
    path, bound = next(iter(highest.items()))
    bound += 1e-4 if how == "below" else -1e-4
    assert run(["predict", "run", path, "--abstain-below", str(bound), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    (entry,) = document["predictions"]
    assert (entry["prediction"] == "abstained") == (how == "below")
    assert document["counts"]["abstained"] == (how == "below")
    assert document["abstain_below"] == bound
    result = lightcnn.Run.load("run").predict([path], abstain_below=bound)
    assert (result.predictions == ("abstained",)) == (how == "below")


# Calibrated runs


def test_temperature_and_threshold_of_the_run_are_used(copy):
    path, (_, row) = next(iter(stored_predictions().items()))
    written = json.loads((copy / "preprocess.json").read_text())
    (copy / "preprocess.json").write_text(json.dumps(written | {"temperature": 0.5, "threshold": 0.999}))
    result = lightcnn.Run.load(copy).predict([path])
    squared = np.square(row) / np.square(row).sum()
    np.testing.assert_allclose(result.probabilities[0], squared, atol=1e-5)
    assert result.predictions == ("domed",)
    (copy / "preprocess.json").write_text(json.dumps(written | {"threshold": 0.001}))
    assert lightcnn.Run.load(copy).predict([path]).predictions == ("ragged",)


# Files with more than 8 bits per channel


def with_scale(folder, *scale):
    """The run with this scale in its preprocess.json, or without one, as earlier versions wrote it."""
    file = folder / "preprocess.json"
    document = {key: value for key, value in json.loads(file.read_text()).items() if key != "scale"}
    file.write_text(json.dumps(document | ({"scale": {"integers": scale[0], "floats": None}} if scale else {})))
    return lightcnn.Run.load(folder)


@pytest.mark.parametrize(
    ("scale", "white", "codes"),
    [
        ((4095,), 4095, {"intensity_scale": 2}),
        ((1023,), 1023, {"intensity_scale": 2, "clipped_intensities": 1}),
        ((None,), 4095, {"own_intensity_scale": 2}),
        ((), 65_535, {"intensity_scale": 2}),
    ],
)
def test_deep_files_are_predicted_on_the_scale_of_the_run(copy, tmp_path, scale, white, codes):
    values = [np.random.default_rng(i).integers(0, 4000 if i else 1000, (40, 40), dtype=np.uint16) for i in range(2)]
    for index, array in enumerate(values):
        Image.fromarray(array).save(tmp_path / f"{index}.png")
    whites = [1023 if scale == (None,) else white, white]
    eight_bits = [np.rint(np.minimum(array, white).astype(float) * 255 / white).astype(np.uint8)
                  for array, white in zip(values, whites, strict=True)]  # fmt: skip
    network = with_scale(copy, *scale)
    result = network.predict([tmp_path / "0.png", tmp_path / "1.png"])
    np.testing.assert_array_equal(result.probabilities, network.predict(eight_bits).probabilities)
    unlike = {"unlike_training_images": 2}  # of noise, which the network was not trained on
    assert {warning.code: warning.count for warning in result.warnings} == codes | unlike
    assert {warning.code: warning.count for warning in network.predict(eight_bits).warnings} == unlike


def test_warnings_about_the_files_are_in_the_document_and_on_stderr(copy, tmp_path, capsys):
    with_scale(copy, 1023)
    Image.fromarray(np.full((40, 40), 2000, np.uint16)).save(tmp_path / "x.png")
    assert run(["predict", str(copy), str(tmp_path / "x.png"), "--json"]) == 0
    output = capsys.readouterr()
    warnings = {entry["code"]: entry["count"] for entry in json.loads(output.out)["warnings"]}
    assert warnings.items() >= {"intensity_scale": 1, "clipped_intensities": 1}.items()
    assert "warning: 1 image has values above the scale of the training images, which were clipped" in output.err


# Arrays and channels


def test_grey_and_colour_arrays_suit_grey_and_colour_networks():
    random = np.random.default_rng(0)
    grey = random.integers(0, 256, (20, 30), dtype=np.uint8)
    colour = np.repeat(grey[..., None], 3, axis=2)
    for trained in (TrainedNetwork.load("run", device="cpu"), grey_network()):
        result = trained.predict([grey, grey[..., None], colour, colour[:, ::-1][:, ::-1]])
        assert result.probabilities.shape == (4, 2)
        np.testing.assert_allclose(result.probabilities, result.probabilities[:1].repeat(4, 0), atol=1e-6)
    assert TrainedNetwork.load("run").predict([]).probabilities.shape == (0, 2)
    assert TrainedNetwork.load("run").predict(np.stack([colour, colour])).probabilities.shape == (2, 2)


def grey_network():
    spec = NetworkSpec(input=(1, 8, 8), stages=(ConvBlock(width=4),), classes=2)
    return TrainedNetwork(spec, build(spec, 0).eval(), PLAIN)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([np.zeros((8, 8))], r"images\[0\] is float64 \(8, 8\); give uint8"),
        ([np.zeros((8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8)], r"images\[1\] is uint8 \(8, 8, 4\)"),
        ([np.zeros((2, 8, 8, 3), np.uint8)], r"images\[0\] is uint8 \(2, 8, 8, 3\)"),
        ([np.zeros((0, 8), np.uint8)], r"images\[0\] is uint8 \(0, 8\)"),
        ([b"x"], r"images\[0\] is a bytes, not a path, a PIL image or an array"),
        ([Image.new("L", (8, 8)), Image.new("RGBA", (8, 8))], r"images\[1\] has the mode RGBA; convert it with"),
        (Image.new("L", (8, 8)), "must be a list"),
        ("photos/a.png", "must be a list"),
        (np.zeros((8, 8, 3), np.uint8), "must be a list"),
        (7, "must be a list"),
        (["nowhere.png"], r"images\[0\] \(nowhere.png\) is missing"),
        ([Path("photos")], r"images\[0\] \(photos\) is not a file"),
        (["x" * 300], "cannot be read"),
    ],
)
def test_python_refuses_what_is_not_an_image(images, message):
    with pytest.raises(InputError, match=message):
        grey_network().predict(images)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (float("nan"), "nan"),
        (np.float32(1.5), "1.5"),
        ("x", "'x'"),
        (None, "None"),
        (True, "True"),
        ([0.5], r"\[0\.5\]"),
    ],
)
def test_python_refuses_what_is_not_a_probability(value, shown):
    with pytest.raises(InputError, match=rf"-below {shown}: not a probability; give a number from 0 to 1$"):
        grey_network().predict([], abstain_below=value)


def test_images_of_pillow_are_predicted_like_their_files(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    Image.fromarray(pixels[..., 0]).save(tmp_path / "grey.png")
    files = [tmp_path / "turned.png", tmp_path / "grey.png"]
    run = lightcnn.Run.load("run")
    expected = run.predict(files).probabilities
    images = [Image.open(file) for file in files]
    assert (run.predict(images).probabilities == expected).all()
    alone = run.predict(Image.open(files[0])).probabilities
    assert (alone == run.predict(files[0]).probabilities).all()
    assert (alone == run.predict(np.rot90(pixels, -1)).probabilities).all()
    assert (alone != run.predict(pixels).probabilities).all()
    (tmp_path / "cut.png").write_bytes(files[0].read_bytes()[:-300])
    with (
        Image.open(tmp_path / "cut.png") as cut,
        pytest.raises(DataError, match=r"^predict: images\[0\] is damaged \("),
    ):
        run.predict(cut)


@pytest.mark.parametrize(
    ("images", "shown"),
    [(5, "5"), (None, "None"), (np.uint8(3), "3"), (np.array(3, np.uint8), r"array\(3, dtype=uint8\)")],
)
def test_python_refuses_what_is_neither_an_image_nor_a_list(images, shown):
    rule = f"^images={shown}: neither an image nor a list of images; give paths, PIL images or uint8 arrays$"
    with pytest.raises(InputError, match=rule):
        lightcnn.Run.load("run").predict(images)
    with pytest.raises(InputError, match=r"^abstain_below='x': not a probability; give a number from 0 to 1$"):
        lightcnn.Run.load("run").predict([], abstain_below="x")


def test_an_overflow_is_not_a_prediction():
    trained = grey_network()
    with torch.no_grad():
        trained.model.head.classifier.weight.fill_(3e38)
    ((_, reason),) = trained.stream([np.full((8, 8, 1), 255, np.uint8)])
    assert reason == "makes the network's numbers overflow"
    with pytest.raises(DataError, match=r"images\[0\] \(an array\) makes the network's numbers overflow"):
        trained.predict([np.full((8, 8), 255, np.uint8)])


def test_prediction_leaves_random_state_and_the_model_as_they_were():
    state = torch.random.get_rng_state()
    trained = TrainedNetwork.load("run")
    trained.predict(list(stored_predictions()))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not trained.model.training
    assert not any(p.requires_grad for p in trained.model.parameters())


# Folders


def save(path, content=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    if content is None:
        Image.fromarray(np.full((9, 9, 3), 90, np.uint8)).save(path)
    else:
        path.write_bytes(content)


FAULTY = {
    "text.png": (b"these are words", "is not an image of a supported format"),
    "none.jpg": (b"", "is empty"),
    "video.jpg": (b"\0\0\0\x18ftypmp42" + b"\0" * 40, "is a HEIC, AVIF or video file, which is not supported"),
    "cut.png": (None, "is damaged"),
    "bomb.png": (None, "has more than 89 megapixels"),
}


@pytest.fixture
def mixed(tmp_path):
    """A folder with one valid image between faulty ones."""
    root = tmp_path / "mixed"
    save(root / "middle.png")
    for name, (content, _) in FAULTY.items():
        save(root / name, (root / "middle.png").read_bytes() if content is None else content)
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(root / "cut.png")
    (root / "cut.png").write_bytes((root / "cut.png").read_bytes()[:1000])
    bomb = bytearray((root / "bomb.png").read_bytes())
    bomb[16:24] = struct.pack(">II", 60_000, 60_000)
    bomb[29:33] = struct.pack(">I", zlib.crc32(bytes(bomb[12:29])))
    (root / "bomb.png").write_bytes(bomb)
    return root


def test_faulty_files_are_listed_counted_and_skipped(mixed, capsys):
    assert run(["predict", "run", str(mixed), "--json"]) == 1
    out, error = capsys.readouterr()
    document = json.loads(out)
    assert [entry["image"] for entry in document["predictions"]] == [str(mixed / "middle.png")]
    skipped = {Path(entry["image"]).name: entry["reason"] for entry in document["skipped"]}
    assert skipped.keys() == FAULTY.keys()
    for name, (_, reason) in FAULTY.items():
        assert reason in skipped[name]
    assert "lightcnn: predict: 5 of 6 images were skipped" in error
    assert "bomb.png has more than 89 megapixels; " in error
    assert error.endswith("; and more\n")
    assert len([line for line in error.splitlines() if not line.startswith("warning: ")]) == 1
    assert run(["predict", "run", str(mixed)]) == 1
    out, error = capsys.readouterr()
    assert len(out.splitlines()) == 2
    kinds = [line.partition(": ")[0] for line in error.splitlines()]
    assert [kind for kind in kinds if kind != "warning"] == ["skipped"] * 5 + ["lightcnn"]
    assert error.endswith("lightcnn: predict: 5 of 6 images were skipped\n")


def test_an_input_without_readable_images_is_wrong(mixed, tmp_path, capsys):
    assert run(["predict", "run", str(mixed / "text.png"), "--csv", str(tmp_path / "x.csv"), "--quiet"]) == 2
    assert "predict: none of 1 images could be read: " in capsys.readouterr().err
    assert (tmp_path / "x.csv").read_text() == "image,prediction,p_domed,p_ragged,unlikeness\n"


def test_names_that_are_not_utf8_are_kept(tmp_path, capsys):
    root = tmp_path / "odd"
    save(root / "a.png")
    (root / "a.png").rename(root / os.fsdecode(b"\xff,\n\x1b.png"))
    assert run(["predict", "run", str(root)]) == 0
    assert r"\udcff,\n\x1b.png" in capsys.readouterr().out
    assert run(["predict", "run", str(root), "--csv", str(tmp_path / "x.csv"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["predictions"][0]["image"].endswith("\udcff,\n\x1b.png")
    assert b'/\xff,\n\x1b.png"' in (tmp_path / "x.csv").read_bytes()


# Wrong input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "nothing.png"], "predict nothing.png: no such file or folder"),
        (["run", "photos", "nothing.png"], "predict nothing.png: no such file or folder"),
        (["run", "x" * 300], "cannot be read"),
        (["run", "plots"], "predict plots: no such file"),
        (["run", "run/plots/none"], "no such file"),
        (["run", "empty"], r"predict empty: no images in this folder \(suffixes: .bmp, "),
        (["run", "pipe"], "predict pipe: neither a file nor a folder"),
        (["run", "gone"], "predict gone: is a link to a missing file"),
        (["run"], "Missing argument"),
        (["nowhere", "photos"], "run nowhere: not a run folder of lightcnn"),
        (["photos", "photos"], "run photos: not a run folder of lightcnn"),
        (["space.yaml", "photos"], "run space.yaml: a file, not a run folder"),
        (["model.onnx", "photos"], "model.onnx: ONNX Runtime cannot read it: "),
        (["run", "photos", "--abstain-below", "1.5"], "--abstain-below 1.5: not a probability"),
        (["run", "photos", "--abstain-below", "nan"], "--abstain-below nan: not a probability"),
        (["run", "photos", "--csv", "-", "--json"], "--csv -: --json already writes to stdout"),
        (["run", "photos", "--csv", "space.yaml"], "--csv space.yaml: exists already"),
        (["run", "photos", "--csv", "nowhere/x.csv"], "--csv nowhere/x.csv: cannot be written"),
        (["run", "photos", "--device", "tpu"], "auto"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(arguments, message, work_folder, tmp_path, monkeypatch, capsys):
    for name in ("run", "photos", "space.yaml"):
        (tmp_path / name).symlink_to(work_folder / name)
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("model.onnx").touch()
    Path("gone").symlink_to("nothing")
    os.mkfifo("pipe")
    assert run(["predict", *arguments]) == 2
    out, error = capsys.readouterr()
    assert not out
    assert re.search(message, error), error
    assert len(error.splitlines()) == 1


# Untrusted runs


def weights(change):
    def changed(folder):
        state = load_file(folder / "weights.safetensors")
        change(state)
        save_file(state, folder / "weights.safetensors")

    return changed


def preprocess(**changes):
    def changed(folder):
        written = json.loads((folder / "preprocess.json").read_text())
        (folder / "preprocess.json").write_text(json.dumps(written | changes))

    return changed


def text(name, old, new):
    def changed(folder):
        before = (folder / name).read_text()
        assert re.search(old, before)
        (folder / name).write_text(re.sub(old, new, before, count=1))

    return changed


def write(name, content):
    return lambda folder: (folder / name).write_bytes(content)


def remove(name):
    return lambda folder: (folder / name).unlink()


def wide(state):
    name = next(name for name in state if name.endswith("conv.weight"))
    state[name] = state[name][..., :1].contiguous()


def not_finite(state):
    next(value for value in state.values() if value.is_floating_point()).view(-1)[0] = float("nan")


def huge(folder):
    """A spec of two billion parameters with small weights that do not name their spec."""
    weights(lambda state: None)(folder)
    wide = "{kind: conv, width: 16384, kernel: 1, depth: 8}"
    size = re.search(r"input: \[.*\]", (folder / "spec.yaml").read_text())[0]
    (folder / "spec.yaml").write_text(f"{size}\nstages: [{wide}]\nclasses: 2\n")


UNTRUSTED = {
    "unfinished": (remove("report.json"), "not finished, it has no report.json"),
    "no weights": (remove("weights.safetensors"), "has no weights.safetensors; give the run of a command that trains"),
    "no spec": (remove("spec.yaml"), "has no spec.yaml"),
    "no preprocess": (remove("preprocess.json"), "has no preprocess.json"),
    "missing": (weights(lambda state: state.pop("head.classifier.bias")), "lacks head.classifier.bias"),
    "unexpected": (weights(lambda state: state.update(extra=torch.zeros(1))), "has, and the network .* has not, extra"),
    "odd name": (weights(lambda state: state.update({"\x1b[2J\n": torch.zeros(1)})), r"has not, \\x1b\[2J\\n$"),
    "many names": (weights(lambda state: state.clear() or state.update(x=torch.zeros(1))), r"lacks .* and \d+ more"),
    "shape": (weights(wide), r"has the shape \(.*\), in the network of spec.yaml it is \("),
    "kind": (weights(lambda state: state.update({n: v.double() for n, v in state.items()})), "is torch.float64, not"),
    "nan": (weights(not_finite), "holds numbers that are not finite"),
    "vast": (huge, r"holds [\d,]+ numbers, the network of spec.yaml has [\d,]{11,} parameters"),
    "pickle": (write("weights.safetensors", b"\x80\x04cos\nsystem\n"), "damaged, or no safetensors file"),
    "empty": (write("weights.safetensors", b""), "damaged, or no safetensors file"),
    "header": (write("weights.safetensors", b"\xff" * 64), "damaged, or no safetensors file"),
    "spec": (text("spec.yaml", "classes:", "clases: 2\nclasses:"), "did you mean 'classes'"),
    "alias": (write("spec.yaml", b"a: &a [*a]\n"), "anchors and aliases are not read"),
    "long": (write("preprocess.json", b" " * 1_000_001), "longer than 1000000 characters"),
    "no json": (write("preprocess.json", b"{"), "preprocess.json: Invalid JSON"),
    "deep": (write("preprocess.json", b"[" * 100_000), "preprocess.json: "),
    "unknown key": (preprocess(exec="rm"), "preprocess.json: exec: Extra inputs are not permitted"),
    "infinite": (text("preprocess.json", '"temperature": 1.0', '"temperature": NaN'), "should be a finite number"),
    "temperature": (preprocess(temperature=0.0), "temperature: Input should be greater than 0"),
    "channels": (preprocess(mean=[0.5]), "3 channels need as many values of mean and deviation"),
    "deviation": (preprocess(deviation=[0.1, 0.1, 0.0]), "deviations must be above 0"),
    "classes": (preprocess(classes=["a", "b", "c"]), "preprocess.json names 3 classes, the network has 2"),
    "one class": (preprocess(classes=["a", "a"]), "classes must be two or more different names"),
    "size": (preprocess(size=10**9), r"preprocess.json makes images \(3, 1000000000, 1000000000\), the network reads"),
}  # fmt: skip


@pytest.mark.parametrize("fault", UNTRUSTED)
def test_an_untrusted_run_is_refused_in_one_line(fault, copy, capsys):
    change, message = UNTRUSTED[fault]
    change(copy)
    started = time.monotonic()
    assert run(["predict", str(copy), "photos"]) == 2
    assert time.monotonic() - started < 5
    out, error = capsys.readouterr()
    assert not out
    assert re.search(message, error), error
    assert len(error.splitlines()) == 1
    assert str(copy) in error


def test_weights_that_name_another_network_are_refused(copy, capsys):
    spec = NetworkSpec.load(copy / "spec.yaml")
    other = NetworkSpec(**(dict(spec) | {"head": spec.head.model_copy(update={"pool": "max"})}))
    other.save(copy / "spec.yaml")
    assert run(["predict", str(copy), "photos"]) == 2
    assert "the weights of another network than spec.yaml has" in capsys.readouterr().err


def test_weights_that_are_a_link_are_refused(copy, tmp_path):
    (copy / "weights.safetensors").rename(tmp_path / "elsewhere")
    (copy / "weights.safetensors").symlink_to(tmp_path / "elsewhere")
    path = next(iter(stored_predictions()))
    with pytest.raises(RunError, match=r"weights\.safetensors is a link; a run folder contains its own files only"):
        lightcnn.Run.load(copy).predict([path])
    (copy / "weights.safetensors").unlink()
    (tmp_path / "elsewhere").rename(copy / "weights.safetensors")
    assert lightcnn.Run.load(copy).predict([path]).predictions == (stored_predictions()[path][0],)


def test_abstaining_needs_classes_with_other_names(copy, capsys):
    preprocess(classes=["abstained", "other"])(copy)
    assert run(["predict", str(copy), "photos", "--quiet"]) == 0
    capsys.readouterr()
    assert run(["predict", str(copy), "photos", "--abstain-below", "0.6"]) == 2
    assert "could not be distinguished from an abstention" in capsys.readouterr().err


# Ends


def test_an_interrupted_run_exits_with_130_and_leaves_complete_lines(tmp_path):
    many = tmp_path / "many"
    many.mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (700, 700, 3), dtype=np.uint8)).save(many / "0.png")
    for number in range(1, 3000):
        os.link(many / "0.png", many / f"{number}.png")
    target = tmp_path / "x.csv"
    command = [sys.executable, "-m", "lightcnn", "predict", "run", str(many), "--csv", str(target)]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (target.is_file() and target.stat().st_size > 5000):
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    _, error = child.communicate(timeout=30)
    assert child.returncode == 130, error
    assert error == "lightcnn: interrupted\n"
    written = target.read_text()
    assert written.endswith("\n")
    rows = list(csv.DictReader(written.splitlines()))
    assert 0 < len(rows) < 3000
    assert all(float(row["p_domed"]) + float(row["p_ragged"]) == pytest.approx(1) for row in rows)
