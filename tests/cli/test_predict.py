"""`lightcnn predict` and `Run.predict`: the numbers of predictions.csv again, and nothing read blindly."""

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
import threading
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
from lightcnn.data.files.walk import Skipped, count_images, walk
from lightcnn.data.preprocess import Preprocess
from lightcnn.data.sources.lesion_painter import paint_lesions
from lightcnn.data.stream import prepare_stream
from lightcnn.data.tensors import normalise
from lightcnn.decisions import decide
from lightcnn.errors import DataError, InputError, LightcnnError
from lightcnn.inference import class_probabilities, probabilities
from lightcnn.network import build
from lightcnn.predicting.job import LineFile, Table
from lightcnn.spec import ConvBlock, NetworkSpec
from lightcnn.trained_network import TrainedNetwork

STAGE = "{kind: [conv], width: {low: 4, high: 8}}"
SPACE = f"size: [16]\nstem: {STAGE}\nstages: [{STAGE}]\n"
PLAIN = Preprocess(size=8, channels=1, shorter_side=256, mean=(0.5,), deviation=(0.25,), classes=("dark", "bright"))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with `photos` in two class folders, and the finished `run` of a search on them."""
    root = tmp_path_factory.mktemp("predict")
    drawn = paint_lesions(count=40, size=40)
    for index, image in enumerate(drawn.images):
        file = root / "photos" / drawn.classes[drawn.labels[index]] / f"{index * 7919 % 1000:03}"
        file.parent.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(image).resize((40 + index % 3 * 130, 40 + index % 2 * 260))
        picture = picture.convert("L") if index % 5 == 0 else picture
        picture.save(file.with_suffix(".jpg" if index % 2 else ".png"))
    (root / "space.yaml").write_text(SPACE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        made = lightcnn.search(
            "100kFLOPs,8kparams", data="photos", space="space.yaml", trials=1, epochs=2, out="run", device="cpu"
        )
    assert isinstance(made, lightcnn.Run)
    return root


@pytest.fixture(autouse=True)
def _there(place, monkeypatch):
    monkeypatch.chdir(place)


@pytest.fixture
def copy(place, tmp_path):
    """A copy of the run to damage."""
    return Path(shutil.copytree(place / "run", tmp_path / "copy"))


def held():
    """predictions.csv: path → prediction and probabilities."""
    with open("run/predictions.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) >= 8
    assert {Path(row["path"]).suffix for row in rows} == {".jpg", ".png"}
    return {
        f"photos/{row['path']}": (row["prediction"], [float(row[name]) for name in row if name.startswith("p_")])
        for row in rows
    }


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


# The same numbers


def test_paths_and_arrays_give_what_the_run_wrote():
    expected = held()
    mine = lightcnn.Run.load("run").predict(list(expected))
    assert mine.probabilities.dtype == np.float64
    assert mine.probabilities.shape == (len(expected), 2)
    assert mine.classes == ("domed", "ragged")
    assert mine.predictions == tuple(prediction for prediction, _ in expected.values())
    np.testing.assert_allclose(mine.probabilities, [row for _, row in expected.values()], atol=1e-6)
    exact = [path for path in expected if path.endswith(".png")]
    assert max(min(pixels(path).shape[:2]) for path in expected) > 256, "an image that is reduced on reading"
    arrays = lightcnn.Run.load("run").predict([pixels(path) for path in exact])
    np.testing.assert_allclose(arrays.probabilities, [expected[path][1] for path in exact], atol=1e-6)


def test_the_command_prints_what_the_run_wrote_as_csv_and_json(tmp_path, capsys):
    expected = held()
    target = tmp_path / "out.csv"
    assert run(["predict", "run", "photos", "--json", "--csv", str(target), "--device", "cpu"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["command"] == "predict"
    assert document["data"] is None
    assert document["skipped"] == []
    assert document["counts"] == {"images": 40, "predicted": 40, "abstained": 0, "skipped": 0, "passed_over": 0}
    images = [one["image"] for one in document["predictions"]]
    assert images == sorted(images)
    with target.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["image", "prediction", "p_domed", "p_ragged"]
    assert [row["image"] for row in rows] == images
    for one, row in zip(document["predictions"], rows, strict=True):
        assert one.keys() == {"image", "prediction", "probabilities"}
        assert sum(one["probabilities"].values()) == pytest.approx(1)
        assert row["prediction"] == one["prediction"]
        if one["image"] in expected:
            prediction, values = expected.pop(one["image"])
            assert one["prediction"] == prediction
            np.testing.assert_allclose(list(one["probabilities"].values()), values, atol=1e-6)
            np.testing.assert_allclose([float(row["p_domed"]), float(row["p_ragged"])], values, atol=1e-6)
    assert not expected


def test_the_table_and_csv_on_stdout(capsys):
    image = next(iter(held()))
    assert run(["predict", "run", image]) == 0
    header, line = capsys.readouterr().out.splitlines()
    assert header.split() == ["prediction", "domed", "ragged", "image"]
    prediction, (first, second) = held()[image]
    assert line.split() == [prediction, f"{first:.4f}", f"{second:.4f}", image]
    assert run(["predict", "run", image, "--csv", "-"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "image,prediction,p_domed,p_ragged"


def test_a_table_of_many_classes_shows_the_most_probable():
    lines = []
    table = Table(lines.append)
    table.begin([f"class {n}" for n in range(8)] + ["x" * 40])
    table.add("a\x1b.png", "x" * 40, np.array([0.3, 0.05, *[0.0] * 5, 0.2, 0.45]))
    assert re.split(r"  +", lines[0]) == ["prediction", "most probable", "image"]
    assert re.split(r"  +", lines[1]) == [
        "x" * 23 + "…", "x" * 23 + "… 0.4500, class 0 0.3000, class 7 0.2000", r"a\x1b.png",
    ]  # fmt: skip
    assert lines[0].index("image") == lines[1].index("a\\x1b")


@pytest.mark.parametrize("how", ["below", "above"])
def test_abstaining(how, capsys):
    highest = {path: max(row) for path, (_, row) in held().items()}
    path, bound = next(iter(highest.items()))
    bound += 1e-4 if how == "below" else -1e-4
    assert run(["predict", "run", path, "--abstain-below", str(bound), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    (one,) = document["predictions"]
    assert (one["prediction"] == "abstained") == (how == "below")
    assert document["counts"]["abstained"] == (how == "below")
    assert document["abstain_below"] == bound
    mine = lightcnn.Run.load("run").predict([path], abstain_below=bound)
    assert (mine.predictions == ("abstained",)) == (how == "below")


# Calibrated runs


def test_a_temperature_divides_the_logits():
    logits = torch.tensor([[1.0, -2.0, 0.5]])
    assert torch.equal(class_probabilities(logits), logits.double().softmax(1))
    np.testing.assert_allclose(class_probabilities(logits, 2.0), (logits.double() / 2).softmax(1))
    np.testing.assert_allclose(class_probabilities(torch.tensor([[3.0]]), 1.5)[0, 1], 1 / (1 + np.exp(-2)))


def test_a_threshold_is_that_of_the_second_of_two_classes():
    two = np.array([[0.6, 0.4], [0.4, 0.6], [0.5, 0.5], [0.7, 0.3]])
    assert decide(two).tolist() == two.argmax(axis=1).tolist() == [0, 1, 0, 0]
    assert decide(two, 0.4).tolist() == [1, 1, 1, 0]
    assert decide(two, 0.7).tolist() == [0, 0, 0, 0]
    assert decide(np.array([[0.3, 0.4, 0.3]]), 0.1).tolist() == [1]


def test_a_calibrated_run_is_predicted_with_so(copy):
    path, (_, row) = next(iter(held().items()))
    written = json.loads((copy / "preprocess.json").read_text())
    (copy / "preprocess.json").write_text(json.dumps(written | {"temperature": 0.5, "threshold": 0.999}))
    mine = lightcnn.Run.load(copy).predict([path])
    squared = np.square(row) / np.square(row).sum()
    np.testing.assert_allclose(mine.probabilities[0], squared, atol=1e-5)
    assert mine.predictions == ("domed",)
    (copy / "preprocess.json").write_text(json.dumps(written | {"threshold": 0.001}))
    assert lightcnn.Run.load(copy).predict([path]).predictions == ("ragged",)


# Arrays and channels


def test_arrays_of_every_shape_and_a_network_of_either_colour():
    random = np.random.default_rng(0)
    grey = random.integers(0, 256, (20, 30), dtype=np.uint8)
    colour = np.repeat(grey[..., None], 3, axis=2)
    for trained in (TrainedNetwork.load("run", device="cpu"), grey_network()):
        mine = trained.predict([grey, grey[..., None], colour, colour[:, ::-1][:, ::-1]])
        assert mine.probabilities.shape == (4, 2)
        np.testing.assert_allclose(mine.probabilities, mine.probabilities[:1].repeat(4, 0), atol=1e-6)
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
        ([b"x"], r"images\[0\] is a bytes, not a path or an array"),
        ("photos/a.png", "must be a list"),
        (np.zeros((8, 8, 3), np.uint8), "must be a list"),
        (7, "must be a list"),
        (["nowhere.png"], r"images\[0\] \(nowhere.png\) is missing"),
        ([Path("photos")], r"images\[0\] \(photos\) is no file"),
        (["x" * 300], "cannot be read"),
    ],
)
def test_what_is_no_image_is_refused_from_python(images, message):
    with pytest.raises(InputError, match=message):
        grey_network().predict(images)
    with pytest.raises(InputError, match="not a probability"):
        grey_network().predict([], abstain_below=float("nan"))


def test_numbers_that_overflow_are_no_prediction():
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
    trained.predict(list(held()))
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


def test_a_walk_is_sorted_and_stays_inside(tmp_path):
    root = tmp_path / "root"
    for name in ("b/2.png", "b/10.png", "a.png", "c/d/e/x.JPG", ".hidden/x.png", "__MACOSX/x.png", "b/.x.png"):
        save(root / name)
    save(root / "notes.txt", b"")
    save(tmp_path / "out" / "y.png")
    (root / "b" / "inside.png").symlink_to(root / "a.png")
    (root / "b" / "loop").symlink_to(root)
    (root / "gone.png").symlink_to("nothing.png")
    (root / "leads").symlink_to(tmp_path / "out")
    (root / "out.png").symlink_to(tmp_path / "out" / "y.png")
    found = list(walk([root]))
    out = "is a link that leads out of the folder"
    assert found == [
        root / "a.png", root / "b" / "10.png", root / "b" / "2.png", root / "b" / "inside.png",
        root / "c" / "d" / "e" / "x.JPG", root / "gone.png",
        Skipped(str(root / "leads"), out), Skipped(str(root / "out.png"), out),
    ]  # fmt: skip
    met = count_images([root, root / "a.png", root / "notes.txt"])
    assert (met.images, met.ignored) == (10, 1)
    (tmp_path / "link").symlink_to(root)
    assert len(list(walk([tmp_path / "link"]))) == len(found), "a folder that is named may be a link"


def test_a_deep_folder_is_walked(tmp_path):
    folders = [tmp_path]
    for _ in range(1200):
        folders.append(folders[-1] / "d")
        folders[-1].mkdir()
    save(folders[-1] / "x.png")
    assert list(walk([tmp_path])) == [folders[-1] / "x.png"]
    (folders[-1] / "x.png").unlink()  # what clears temporary folders away does recurse
    for folder in reversed(folders[1:]):
        folder.rmdir()


def test_a_folder_that_may_not_be_entered_is_one_fault(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may enter anywhere")
    save(tmp_path / "a.png")
    (tmp_path / "closed").mkdir(mode=0o000)
    assert list(walk([tmp_path])) == [
        tmp_path / "a.png", Skipped(str(tmp_path / "closed"), "cannot be read (Permission denied)"),
    ]  # fmt: skip


def test_a_stream_holds_few_images_at_a_time():
    taken, live = 0, threading.Lock()

    def source():
        nonlocal taken
        for _ in range(400):
            with live:
                taken += 1
            yield np.zeros((8, 8, 1), np.uint8)

    bound = max(8, os.cpu_count() or 1)
    for given, (_, one) in enumerate(prepare_stream(source(), PLAIN, ahead=8)):
        assert one.shape == (1, 8, 8)
        assert taken - given <= bound
    assert taken == 400


FAULTY = {
    "text.png": (b"these are words", "is no image that is read"),
    "none.jpg": (b"", "is empty"),
    "video.jpg": (b"\0\0\0\x18ftypmp42" + b"\0" * 40, "is a HEIC, AVIF or video file inside"),
    "cut.png": (None, "is damaged"),
    "bomb.png": (None, "has over 89 megapixels"),
}


@pytest.fixture
def mixed(tmp_path):
    """A folder with one whole image between faulty ones."""
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
    assert [one["image"] for one in document["predictions"]] == [str(mixed / "middle.png")]
    skipped = {Path(one["image"]).name: one["reason"] for one in document["skipped"]}
    assert skipped.keys() == FAULTY.keys()
    for name, (_, reason) in FAULTY.items():
        assert reason in skipped[name]
    assert "lightcnn: predict: 5 of 6 images were skipped" in error
    assert "bomb.png has over 89 megapixels; " in error
    assert error.endswith("; and more\n")
    assert len(error.splitlines()) == 1
    assert run(["predict", "run", str(mixed)]) == 1
    out, error = capsys.readouterr()
    assert len(out.splitlines()) == 2
    assert [line.partition(": ")[0] for line in error.splitlines()] == ["skipped"] * 5 + ["lightcnn"]
    assert error.endswith("lightcnn: predict: 5 of 6 images were skipped\n")


def test_nothing_readable_is_wrong_input(mixed, tmp_path, capsys):
    assert run(["predict", "run", str(mixed / "text.png"), "--csv", str(tmp_path / "x.csv"), "--quiet"]) == 2
    assert "predict: none of 1 images could be read: " in capsys.readouterr().err
    assert (tmp_path / "x.csv").read_text() == "image,prediction,p_domed,p_ragged\n"


def test_names_that_are_no_text_are_kept(tmp_path, capsys):
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
        (["run", "empty"], r"predict empty: no images in this folder \(.bmp, "),
        (["run", "pipe"], "predict pipe: neither a file nor a folder"),
        (["run", "gone"], "predict gone: is a link to a file that is not there"),
        (["run"], "Missing argument"),
        (["nowhere", "photos"], "run nowhere: not a run folder of lightcnn"),
        (["photos", "photos"], "run photos: not a run folder of lightcnn"),
        (["space.yaml", "photos"], "run space.yaml: a file, not a run folder"),
        (["model.onnx", "photos"], "run model.onnx: exported models are not read yet; give the run folder"),
        (["run", "photos", "--abstain-below", "1.5"], "--abstain-below 1.5: not a probability"),
        (["run", "photos", "--abstain-below", "nan"], "--abstain-below nan: not a probability"),
        (["run", "photos", "--csv", "-", "--json"], "--csv -: stdout is taken by --json"),
        (["run", "photos", "--csv", "space.yaml"], "--csv space.yaml: exists already"),
        (["run", "photos", "--csv", "nowhere/x.csv"], "--csv nowhere/x.csv: cannot be written"),
        (["run", "photos", "--device", "tpu"], "auto"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(arguments, message, place, tmp_path, monkeypatch, capsys):
    for name in ("run", "photos", "space.yaml"):
        (tmp_path / name).symlink_to(place / name)
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


# Runs that are not to be trusted


def weights(change):
    def changed(folder):
        state = load_file(folder / "weights.safetensors")
        change(state)
        save_file(state, folder / "weights.safetensors")

    return changed


def rule(**changes):
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


def put(name, content):
    return lambda folder: (folder / name).write_bytes(content)


def remove(name):
    return lambda folder: (folder / name).unlink()


def wide(state):
    name = next(name for name in state if name.endswith("conv.weight"))
    state[name] = state[name][..., :1].contiguous()


def broken(state):
    next(value for value in state.values() if value.is_floating_point()).view(-1)[0] = float("nan")


def vast(folder):
    """A spec of two billion parameters beside small weights, which name no spec."""
    weights(lambda state: None)(folder)
    wide = "{kind: conv, width: 16384, kernel: 1, depth: 8}"
    size = re.search(r"input: \[.*\]", (folder / "spec.yaml").read_text())[0]
    (folder / "spec.yaml").write_text(f"{size}\nstages: [{wide}]\nclasses: 2\n")


HOSTILE = {
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
    "nan": (weights(broken), "holds numbers that are not finite"),
    "vast": (vast, r"holds [\d,]+ numbers, the network of spec.yaml has [\d,]{11,} parameters"),
    "pickle": (put("weights.safetensors", b"\x80\x04cos\nsystem\n"), "damaged, or no safetensors file"),
    "empty": (put("weights.safetensors", b""), "damaged, or no safetensors file"),
    "header": (put("weights.safetensors", b"\xff" * 64), "damaged, or no safetensors file"),
    "spec": (text("spec.yaml", "classes:", "clases: 2\nclasses:"), "did you mean 'classes'"),
    "alias": (put("spec.yaml", b"a: &a [*a]\n"), "anchors and aliases are not read"),
    "long": (put("preprocess.json", b" " * 1_000_001), "longer than 1000000 characters"),
    "no json": (put("preprocess.json", b"{"), "preprocess.json: Invalid JSON"),
    "deep": (put("preprocess.json", b"[" * 100_000), "preprocess.json: "),
    "unknown key": (rule(exec="rm"), "preprocess.json: exec: Extra inputs are not permitted"),
    "infinite": (text("preprocess.json", '"temperature": 1.0', '"temperature": NaN'), "should be a finite number"),
    "temperature": (rule(temperature=0.0), "temperature: Input should be greater than 0"),
    "channels": (rule(mean=[0.5]), "3 channels need as many values of mean and deviation"),
    "deviation": (rule(deviation=[0.1, 0.1, 0.0]), "deviations must be above 0"),
    "classes": (rule(classes=["a", "b", "c"]), "preprocess.json names 3 classes, the network has 2"),
    "one class": (rule(classes=["a", "a"]), "classes must be two or more different names"),
    "size": (rule(size=10**9), r"preprocess.json makes images \(3, 1000000000, 1000000000\), the network reads"),
}  # fmt: skip


@pytest.mark.parametrize("fault", HOSTILE)
def test_a_run_that_is_damaged_or_hostile_is_one_line(fault, copy, capsys):
    change, message = HOSTILE[fault]
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


def test_linked_weights_are_fine(copy, tmp_path):
    (copy / "weights.safetensors").rename(tmp_path / "elsewhere")
    (copy / "weights.safetensors").symlink_to(tmp_path / "elsewhere")
    path, (prediction, _) = next(iter(held().items()))
    assert lightcnn.Run.load(copy).predict([path]).predictions == (prediction,)


def test_a_class_called_abstained_cannot_be_told_from_it(copy, capsys):
    rule(classes=["abstained", "other"])(copy)
    assert run(["predict", str(copy), "photos", "--quiet"]) == 0
    capsys.readouterr()
    assert run(["predict", str(copy), "photos", "--abstain-below", "0.6"]) == 2
    assert "could not be told from it" in capsys.readouterr().err


# Ends


def test_a_write_that_fails_leaves_whole_lines(tmp_path):
    class Full:
        """A disk that takes eight more bytes."""

        def __init__(self, file):
            self.file, self.room = file, 8

        def write(self, content):
            if not self.room:
                raise OSError(28, "No space left on device")
            count = self.file.write(content[: self.room])
            self.room -= count
            return count

        def __getattr__(self, name):
            return getattr(self.file, name)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

    with (
        pytest.raises(LightcnnError, match="No space left on device; the lines before are whole"),
        LineFile(tmp_path / "x.csv") as lines,
    ):
        lines.write(b"one\n")
        lines._file = Full(lines._file)
        lines.write(b"two\n")
        lines.write(b"threethree\n")
    assert (tmp_path / "x.csv").read_bytes() == b"one\ntwo\n"


def test_interrupted_it_ends_with_130_and_whole_lines(tmp_path):
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


def test_probabilities_of_a_calibrated_rule_are_the_networks_own():
    trained = grey_network()
    images = torch.randint(0, 256, (5, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    hot = PLAIN.model_copy(update={"temperature": 3.0})
    with torch.inference_mode():
        logits = trained.model(normalise(images, PLAIN))
    np.testing.assert_allclose(probabilities(trained.model, images, hot), class_probabilities(logits, 3.0), atol=1e-6)
