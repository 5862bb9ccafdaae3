"""`lightcnn explain` and `lightcnn.explain`: what is explained, the files left of it, wrong input in one line."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import torch
from helpers.paths import DOCS
from PIL import Image
from torch import nn

import lightcnn
from lightcnn.cli.main import run
from lightcnn.data.preprocess import Preprocess
from lightcnn.data.sources.lesion_painter import draw
from lightcnn.errors import InputError, LightcnnError
from lightcnn.explaining.checks.checker import NAMES, Checker
from lightcnn.explaining.explained_network import ExplainedNetwork
from lightcnn.explaining.explanation import Explainer, Explanation
from lightcnn.explaining.figures.colours import RECTIFIED, Scale, outlined, overlay, strongest
from lightcnn.explaining.figures.overview import Overview
from lightcnn.explaining.figures.panels import Canvas, laid_over, panel, silence
from lightcnn.explaining.images.projection import Frame
from lightcnn.explaining.images.run_test_data import choose
from lightcnn.explaining.methods.attribution import Attribution
from lightcnn.explaining.methods.catalogue import NAMES as METHODS
from lightcnn.explaining.methods.gradcam import GradCam
from lightcnn.explaining.methods.integrated_gradients import IntegratedGradients
from lightcnn.explaining.methods.lime import Lime
from lightcnn.explaining.terminal import brief

SPACE = "size: [16]\nstem: {kind: [conv], width: 8}\nstages: [{kind: [conv], width: 8}]\n"
FAST = ["--device", "cpu", "--samples", "40", "--segments", "8"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with `photos` in class folders, `masks` of them, and the finished `run` of a training on them."""
    root = tmp_path_factory.mktemp("explain")
    drawn = draw(count=60, size=40)
    for index, image in enumerate(drawn.images):
        file = root / "photos" / drawn.classes[drawn.labels[index]] / f"p{index:02}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).resize((60, 40)).save(file)
        (root / "masks").mkdir(exist_ok=True)
        Image.fromarray(drawn.masks[index].astype(np.uint8)).resize((60, 40)).save(root / "masks" / file.name)
    (root / "recipe.yaml").write_text(
        "name: tiny\ndata: photos\nnetwork:\n  input: [3, 16, 16]\n  stem: [{kind: conv, width: 8, kernel: 3}]\n"
        "  stages: [{kind: conv, width: 8, kernel: 3}]\n  classes: 2\ntraining: {epochs: 2, batch: 8}\n"
        "preprocess: {fit: crop}\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        lightcnn.train("recipe.yaml", out="run", device="cpu")
    return root


@pytest.fixture(autouse=True)
def _there(place, monkeypatch):
    monkeypatch.chdir(place)


def explained(tmp_path, capsys, *arguments, code=0):
    """The report of an `explain`, which is what --json prints and the folder holds."""
    out = tmp_path / "out"
    assert run(["explain", "run", *arguments, *FAST, "--out", str(out), "--json"]) == code
    report = json.loads(capsys.readouterr().out)
    assert report == json.loads((out / "report.json").read_text())
    return report, out


def first_photo():
    return first_of(Path())


def first_of(place):
    return sorted((place / "photos").rglob("*.png"))[0]


# What is left of it


def test_images_are_explained_by_every_method_and_lie_in_a_folder(tmp_path, capsys):
    photos = sorted(Path("photos").rglob("*.png"))[:2]
    report, out = explained(tmp_path, capsys, *map(str, photos), "--method", "gradcam,ig,lime,occlusion")
    assert report["command"] == "explain"
    assert report["data"] is None
    assert report["counts"] == {"explained": 2, "skipped": 0, "available": 2, "passed_over": 0}
    assert [(one["image"], one["method"]) for one in report["explanations"]] == [
        (str(photo), method) for photo in photos for method in ("gradcam", "ig", "lime", "occlusion")
    ]
    predicted = lightcnn.Run.load("run").predict(photos)
    for one in report["explanations"]:
        row = photos.index(Path(one["image"]))
        assert one["target"] == one["prediction"] == predicted.predictions[row]
        assert one["probability"] == pytest.approx(predicted.probabilities[row].max(), abs=1e-6)
        assert one["target_index"] == report["classes"].index(one["target"])
        assert one["label"] is None
        assert (one["layer"] is None) == (one["method"] != "gradcam")
        found = np.load(out / one["map"])
        assert (found.shape, found.dtype) == ((16, 16), np.float32)
        with Image.open(out / one["overlay"]) as picture:
            assert picture.size == (60, 40), "as large as the photograph"
        assert (out / one["panel"]).is_file()
        assert (out / one["curves"]).is_file()
        assert {"deletion", "insertion", "map"} <= one["checks"].keys()
        assert "mask" not in one["checks"]
    assert {row["method"] for row in report["summary"]} == {"gradcam", "ig", "lime", "occlusion"}
    assert report["sentence"]
    assert report["plots"] == [], "no test side, no overview"
    html = (out / "report.html").read_text()
    assert "Content-Security-Policy" in html
    assert html.count("<img") == 4
    assert not re.search(r"(src|href)=.?(?!.?data:)[\"']?http", html)
    with (out / "explanations.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(len(one["checks"]) for one in report["explanations"])
    assert {row["image"] for row in rows} == set(map(str, photos))


def test_the_same_call_gives_the_same_digits(tmp_path, capsys):
    reports = [explained(tmp_path / str(number), capsys, "--images", "2") for number in (1, 2)]
    first, second = ([{**one, "seconds": 0} for one in report["explanations"]] for report, _ in reports)
    assert first == second
    for one in first:
        a, b = (np.load(out / one["map"]) for _, out in reports)
        assert (a == b).all()


def test_without_images_the_runs_own_test_side_is_explained(tmp_path, capsys):
    report, out = explained(tmp_path, capsys, "--images", "5", "--method", "gradcam,ig", "--masks", "masks")
    with open("run/predictions.csv", newline="") as file:
        held = {row["path"]: row for row in csv.DictReader(file) if row["split"] == "test"}
    assert report["counts"]["available"] == len(held) > 5
    assert report["counts"]["explained"] == 5
    assert report["data"]["fingerprint"] == lightcnn.Run.load("run").report["data"]["fingerprint"]
    for one in report["explanations"]:
        assert one["label"] == held[one["image"]]["label"]
        assert one["prediction"] == held[one["image"]]["prediction"]
        assert one["checks"]["mask"]["area"] > 0
    assert {one["label"] for one in report["explanations"]} == set(report["classes"]), "some of every class"
    assert report["plots"] == ["plots/cases.png", "plots/means.png"]
    assert all((out / name).is_file() for name in report["plots"])
    assert report["warning"] == ""
    (note,) = report["notes"]
    assert note.startswith(f"5 of the {len(held)} images of the test side, chosen by the seed")


def test_another_source_is_explained_and_called_another(tmp_path, capsys):
    more = tmp_path / "more"
    shutil.copytree("photos", more)
    next(more.rglob("*.png")).unlink()
    report, _ = explained(tmp_path, capsys, "--data", str(more), "--images", "2", "--method", "ig", "--checks", "none")
    assert "not the run's own data" in report["data"]["note"]
    assert report["summary"] == []
    assert all(one["checks"] == {} and one["curves"] is None for one in report["explanations"])


def test_a_photograph_on_its_side_is_explained_upright_and_in_full(tmp_path, capsys):
    upright = np.full((900, 500, 3), 120, np.uint8)
    upright[300:500, 200:400] = (200, 60, 50)
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its left side, as telephones store it
    Image.fromarray(upright).transpose(Image.Transpose.ROTATE_90).save(tmp_path / "x.jpg", exif=exif, quality=95)
    mask = tmp_path / "truth" / "x.png"
    mask.parent.mkdir()
    Image.fromarray(((upright[..., 0] == 200) * 255).astype(np.uint8)).save(mask)
    report, out = explained(tmp_path, capsys, str(tmp_path / "x.jpg"), "--method", "lime", "--masks", str(mask.parent))
    (one,) = report["explanations"]
    with Image.open(out / one["overlay"]) as picture:
        seen = np.asarray(picture).astype(int)
    assert seen.shape == (900, 500, 3)
    assert seen[:190].min() > 190, "what a crop cuts off is faded"
    assert np.abs(seen[400, 60] - 120).max() < 110
    assert one["checks"]["mask"]["area"] == pytest.approx(200 * 200 / 500**2, abs=0.05)


def test_the_page_of_the_documents_has_every_method_and_the_rule_of_every_check(tmp_path, capsys):
    page = (DOCS / "concepts" / "explain.md").read_text(encoding="utf-8")
    photo = first_photo()
    arguments = [str(photo), "--masks", "masks", "--checks", "full"]
    report, _ = explained(tmp_path, capsys, *arguments)
    checks = {name: check["rule"] for one in report["explanations"] for name, check in one["checks"].items()}
    rows = dict(re.findall(r"^\| `([a-z]+)` \|[^|]*\| ([^|]*) \|$", page.partition("## Checks")[2], re.MULTILINE))
    assert rows == checks
    assert list(rows) == list(NAMES)
    assert re.findall(
        r"^\| `([a-z+]+)` \|", page.partition("## Methods")[2].partition("## Checks")[0], re.MULTILINE
    ) == list(METHODS)


def test_a_single_pixel_is_explained(tmp_path, capsys):
    Image.fromarray(np.full((1, 1, 3), 90, np.uint8)).save(tmp_path / "one.png")
    report, out = explained(tmp_path, capsys, str(tmp_path / "one.png"))
    assert len(report["explanations"]) == 3
    with Image.open(out / report["explanations"][0]["overlay"]) as picture:
        assert picture.size == (1, 1)


def test_a_class_and_a_layer_can_be_named(tmp_path, capsys):
    assert run(["explain", "run", "--layers", "--json"]) == 0
    layers = json.loads(capsys.readouterr().out)["layers"]
    assert layers
    assert set(layers[0]) == {"name", "kind", "channels", "height", "width"}
    assert run(["explain", "run", "--layers"]) == 0
    assert layers[0]["name"] in capsys.readouterr().out
    for target in ("domed", "ragged"):
        report, _ = explained(
            tmp_path / target, capsys, str(first_photo()), "--method", "gradcam", "--target", target,
            "--layer", layers[0]["name"],
        )  # fmt: skip
        (one,) = report["explanations"]
        assert (one["target"], one["layer"]) == (target, layers[0]["name"])


def test_a_curve_that_tells_little_says_so():
    check = {"passed": True, "value": 0.5, "controls": {"random": 0.6, "centre": 0.7, "edges": 0.8}, "blind": True}
    assert brief("deletion", check) == "✓ deletion 0.50 (best control 0.60; tells little)"
    assert brief("deletion", check | {"blind": False}) == "✓ deletion 0.50 (best control 0.60)"


def test_the_terminal_shows_every_image_the_checks_and_the_folder(tmp_path, capsys):
    out = tmp_path / "out"
    assert run(["explain", "run", str(first_photo()), "--method", "gradcam", *FAST, "--out", str(out)]) == 0
    printed = capsys.readouterr()
    assert str(first_photo()) in printed.err
    assert re.search(r"gradcam +\w+ +[01]\.\d{3} +[✓✗] deletion", printed.err)
    assert re.search(r"gradcam +deletion +[01] of 1", printed.out)
    assert printed.out.splitlines()[-1] == f"run folder {out}: open {out / 'report.html'}"
    assert run(["explain", "run", str(first_photo()), "--method", "ig", "--quiet", "--out", str(tmp_path / "b")]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.splitlines() == json.loads((tmp_path / "b" / "report.json").read_text())["sentence"].splitlines()


def test_a_stand_in_is_told_in_everything(tmp_path, capsys, monkeypatch):
    source = "synthetic-lesions:count=40,size=32"
    recipe = Path("recipe.yaml").read_text().replace("data: photos", f'data: "{source}"')
    (tmp_path / "recipe.yaml").write_text(recipe)
    lightcnn.train(tmp_path / "recipe.yaml", out=tmp_path / "run", device="cpu")
    command = ["explain", str(tmp_path / "run"), "--images", "3", "--method", "gradcam", "--device", "cpu"]
    assert run([*command, "--out", str(tmp_path / "a"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["data"]["stand_in"]
    assert report["warning"].startswith("STAND-IN")
    assert report["warning"] in (tmp_path / "a" / "report.html").read_text()
    for one in report["explanations"]:
        assert "mask" in one["checks"], "the masks come with the data"
        for name in ("panel", "curves"):
            with Image.open(tmp_path / "a" / one[name]) as picture:
                assert picture.convert("RGB").getpixel((2, 2)) == (176, 0, 32)
        with Image.open(tmp_path / "a" / one["overlay"]) as picture:
            assert picture.size == (32, 32), "an overlay lies on its picture"
    assert run([*command[:2], str(first_photo()), *command[4:], "--out", str(tmp_path / "b"), "--json"]) == 0
    assert "learned from pictures drawn by code" in json.loads(capsys.readouterr().out)["warning"]


# What goes wrong


def test_images_that_cannot_be_read_are_skipped_and_the_others_explained(tmp_path, capsys):
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    shutil.copy(first_photo(), mixed / "a.png")
    (mixed / "b.png").write_text("no image")
    (mixed / "notes.txt").write_text("not one by name")
    out = tmp_path / "out"
    assert run(["explain", "run", str(mixed), "--method", "ig", "--device", "cpu", "--out", str(out), "--json"]) == 1
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    assert [one["image"] for one in report["explanations"]] == [str(mixed / "a.png")]
    (skipped,) = report["skipped"]
    assert skipped["image"] == str(mixed / "b.png")
    assert "is no image that is read" in skipped["reason"]
    assert report["counts"] == {"explained": 1, "skipped": 1, "available": 2, "passed_over": 1}
    assert printed.err.startswith("lightcnn: explain: 1 of 2 images were skipped: ")
    assert len(printed.err.splitlines()) == 1


def test_masks_that_do_not_fit_or_are_missing_are_told(tmp_path, capsys):
    photos = sorted(Path("photos").rglob("*.png"))[:3]
    masks = tmp_path / "masks"
    masks.mkdir()
    shutil.copy(Path("masks") / photos[0].name, masks)
    Image.fromarray(np.zeros((7, 5), np.uint8)).save(masks / photos[1].name)
    arguments = [*map(str, photos), "--method", "ig", "--masks", str(masks)]
    report, _ = explained(tmp_path, capsys, *arguments, code=1)
    assert [one["image"] for one in report["explanations"]] == [str(photos[0]), str(photos[2])]
    assert ["mask" in one["checks"] for one in report["explanations"]] == [True, False]
    assert report["notes"] == [f"1 images without a mask: {photos[2]}"]
    assert "is 5×7 pixels, and the upright picture 60×40" in report["skipped"][0]["reason"]


class Flat(nn.Module):
    """A network without any map."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3 * 16 * 16, 2)

    def forward(self, x):
        return self.linear(x.flatten(1))


def test_without_convolutions_the_other_methods_go_on(tmp_path, capsys, monkeypatch):
    from lightcnn.trained_network import TrainedNetwork

    whole = TrainedNetwork.load("run", device="cpu")
    torch.manual_seed(0)
    flat = TrainedNetwork(whole.spec, Flat().eval(), whole.preprocess)
    monkeypatch.setattr(TrainedNetwork, "load", lambda *_, **__: flat)
    report, _ = explained(tmp_path, capsys, str(first_photo()), "--method", "gradcam,ig", code=1)
    assert [one["method"] for one in report["explanations"]] == ["ig"]
    (failure,) = report["failures"]
    assert (failure["image"], failure["method"]) == (str(first_photo()), "gradcam")
    assert "Grad-CAM needs a layer" in failure["error"]
    only = ["explain", "run", str(first_photo()), "--method", "gradcam", "--out", str(tmp_path / "none")]
    assert run(only) == 2
    error = capsys.readouterr().err
    assert "Grad-CAM needs a layer" in error
    assert "use --method ig" in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "none").exists()


def test_too_little_memory_is_a_smaller_batch_and_a_note(tmp_path, capsys, monkeypatch):
    from lightcnn.explaining.explained_network import ExplainedNetwork

    logits = ExplainedNetwork.logits

    def narrow(self, inputs):
        if len(inputs) > 5:
            raise torch.OutOfMemoryError("no memory")
        return logits(self, inputs)

    monkeypatch.setattr(ExplainedNetwork, "logits", narrow)
    report, _ = explained(tmp_path, capsys, str(first_photo()), "--method", "lime")
    said = "memory sufficed for [2-5] of 8 images"
    assert any(re.search(said, note) for note in report["notes"])
    (one,) = lightcnn.explain("run", [first_photo()], methods=["lime"], samples=40, device="cpu")
    assert re.search(said, one.attribution.notes[-1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "recipe.yaml"], "explain: none of 1 images could be explained: recipe.yaml is no image that is read"),
        (["run", "nothing.png"], "explain nothing.png: no such file or folder"),
        (["run", "empty"], r"explain empty: no images in this folder \(.bmp, "),
        (["run", "photos", "--layer", "stem.9"], r"--layer stem.9: no layer of that name .*; those that do: .*stem"),
        (["run", "photos", "--target", "doomed"], "--target doomed: no such class; did you mean 'domed'.*ragged"),
        (["run", "photos", "--method", "gradcm"], "--method gradcm: .*did you mean 'gradcam'"),
        (["run", "photos", "--method", ","], "--method: no method is named"),
        (["run", "photos", "--samples", "0"], "samples"),
        (["run", "photos", "--segments", "0"], "segments"),
        (["run", "photos", "--batch", "0"], "batch"),
        (["run", "photos", "--images", "0"], "images"),
        (["run", "photos", "--images", "3"], "--images: images are given already"),
        (["run", "photos", "--checks", "some"], "checks"),
        (["run", "photos", "--baseline", "white"], "baseline"),
        (["run", "photos", "--masks", "nowhere"], "--masks nowhere: no such folder"),
        (["run", "photos", "--masks", "empty"], "--masks empty: no images in this folder"),
        (["run", "photos", "--masks", "others"], r"--masks others: none of the 60 images has a mask there; .*p\d\d"),
        (["run", "photos", "--data", "digits"], "--data: images are given already"),
        (["run", "--data", "digits"], "data digits: its classes are 0, 1, .*, and those of run run domed, ragged"),
        (["run", "--data", "nowhere"], "data 'nowhere': no such folder"),
        (["nowhere", "photos"], "run nowhere: not a run folder of lightcnn"),
        (["model.onnx", "photos"], "run model.onnx: exported models are not explained yet"),
        (["unfinished", "photos"], "run unfinished: not finished"),
        (["run", "photos", "--out", "run"], "--out run: already exists"),
        (["run", "photos", "--device", "tpu"], "auto"),
        ([], "Missing argument"),
    ],
)  # fmt: skip
def test_wrong_input_is_one_line_and_exit_code_2(arguments, message, place, tmp_path, monkeypatch, capsys):
    for name in ("run", "photos", "recipe.yaml"):
        (tmp_path / name).symlink_to(place / name)
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("model.onnx").touch()
    Path("others").mkdir()
    Image.new("L", (4, 4)).save("others/z.png")
    shutil.copytree(place / "run", "unfinished")
    Path("unfinished/report.json").unlink()
    given = [] if "--out" in arguments else ["--out", "made"]
    assert run(["explain", *arguments, *given]) == 2
    out, error = capsys.readouterr()
    assert not out
    assert re.search(message, error), error
    assert len(error.splitlines()) == 1
    assert not Path("made").exists()


def test_data_that_moved_or_changed_are_told(place, tmp_path, monkeypatch, capsys):
    shutil.copytree(place / "run", tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    assert run(["explain", "run"]) == 2
    error = capsys.readouterr().err
    assert "run run: its data cannot be read again: data 'photos': no such folder" in error
    assert "--data SOURCE" in error
    shutil.copytree(place / "photos", "photos")
    next(Path("photos").rglob("*.png")).unlink()
    assert run(["explain", "run"]) == 2
    error = capsys.readouterr().err
    assert "its fingerprint is not that in report.json" in error
    assert len(error.splitlines()) == 1
    assert not Path("runs").exists()


FEW = 14


def few(folder):
    """Some of the photos in a folder of their own."""
    folder.mkdir()
    for file in sorted(Path("photos").rglob("*.png"))[:FEW]:
        shutil.copy(file, folder)
    return str(folder)


def begun(out, photos, *options):
    """A command in a process of its own that has explained an image."""
    command = [sys.executable, "-m", "lightcnn", "explain", "run", photos, *options, "--device", "cpu"]
    going = subprocess.Popen([*command, "--out", str(out)], stderr=subprocess.PIPE, text=True)
    assert going.stderr is not None
    for line in going.stderr:
        if "photos" in line:  # the heading of the first image that is done
            return going
    pytest.fail(f"it ended before an image was explained, with {going.wait()}")


def outcome(out):
    """All that a folder holds, but for what tells of time."""
    files = {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}
    report = json.loads(files.pop("report.json"))
    for one in report["explanations"]:
        del one["seconds"]
    kept = {name: held for name, held in files.items() if name.endswith((".npy", ".png"))}
    return report | {"seconds": 0}, kept


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_what_was_explained_before_a_stop_is_not_explained_again(tmp_path, capsys, monkeypatch, stop):
    out, options = tmp_path / "out", ["--method", "lime", "--samples", "30", "--checks", "none"]
    photos = few(tmp_path / "photos")
    going = begun(out, photos, *options)
    going.send_signal(stop)
    _, rest = going.communicate(timeout=60)
    if stop is signal.SIGINT:
        assert going.returncode == 130
        assert re.search(r"after \d+ of 14 images; go on with the same command and --resume --out", rest)
    done = len(list((out / "explained").glob("[0-9]*.json")))
    assert 0 < done < FEW
    assert not (out / "report.json").exists()
    command = ["explain", "run", photos, "--device", "cpu", "--quiet"]
    assert run([*command, *options, "--out", str(out)]) == 2
    assert "already exists" in capsys.readouterr().err
    assert run([*command, "--method", "ig", "--resume", "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert f"--resume: {out} was begun with other checks (none, not quick); give the same command" in error
    calls = []
    real = Lime.__call__
    monkeypatch.setattr(Lime, "__call__", lambda self, *given: calls.append(1) or real(self, *given))
    assert run([*command, *options, "--resume", "--out", str(out)]) == 0
    assert len(calls) == FEW - done
    assert run([*command, *options, "--out", str(tmp_path / "whole")]) == 0
    assert len(calls) == 2 * FEW - done
    assert outcome(out) == outcome(tmp_path / "whole")


def test_a_resume_needs_the_run_as_it_was(place, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(place / "run", "run")
    command = [
        "explain",
        "run",
        str(place / first_of(place)),
        "--method",
        "gradcam",
        "--checks",
        "none",
        "--out",
        "out",
    ]
    assert run([*command, "--device", "cpu"]) == 0
    rule = json.loads(Path("run/preprocess.json").read_text())
    Path("run/preprocess.json").write_text(json.dumps(rule | {"threshold": 0.25}))
    assert run([*command, "--device", "cpu", "--resume"]) == 2
    assert "--resume: out was begun with other preprocessing" in capsys.readouterr().err


def test_a_resume_needs_a_folder_that_was_begun(tmp_path, capsys):
    assert run(["explain", "run", "photos", "--resume"]) == 2
    assert "--resume: needs --out" in capsys.readouterr().err
    assert run(["explain", "run", "photos", "--resume", "--out", "run"]) == 2
    assert "has no explain.json that can be read" in capsys.readouterr().err


# From Python


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    )


PLAIN = Preprocess(
    size=12, channels=3, shorter_side=256, mean=(0.5,) * 3, deviation=(0.25,) * 3, classes=("a", "b", "c")
)


def test_runs_and_modules_are_explained_from_python(network):
    photos = sorted(Path("photos").rglob("*.png"))[:2]
    by_path = lightcnn.explain("run", photos, methods=("gradcam", "ig"), device="cpu")
    assert [(one.image, one.attribution.method) for one in by_path] == [
        (str(photo), method) for photo in photos for method in ("gradcam", "ig")
    ]
    loaded = lightcnn.explain(lightcnn.Run.load("run"), photos, methods=["ig"], checks="none", device="cpu")
    trained = lightcnn.explain(lightcnn.Run.load("run").trained, photos, methods=["ig"], checks="none")
    for one, other, same in zip(by_path[1::2], loaded, trained, strict=True):
        assert (one.attribution.map == other.attribution.map).all()
        np.testing.assert_allclose(one.attribution.map, same.attribution.map, atol=1e-5)
        assert other.checks == {}
    arrays = [np.asarray(Image.open(photo)) for photo in photos]
    mask = np.zeros((40, 60), bool)
    mask[10:30, 20:40] = True
    given = lightcnn.explain(network, arrays, preprocess=PLAIN, methods=["gradcam"], target="c", masks=[mask, None])
    assert [one.target for one in given] == ["c", "c"]
    assert given[0].checks["mask"]["area"] > 0
    assert "mask" not in given[1].checks
    assert network.training
    assert network[1].inplace


def test_a_module_alone_reads_tensors_and_its_classes_are_numbers(network):
    images = torch.rand(2, 3, 10, 14)
    found = lightcnn.explain(network, images, methods=["gradcam", "occlusion"], target=2)
    assert [one.attribution.map.shape for one in found] == [(10, 14)] * 4
    assert {one.target for one in found} == {"2"}
    logits = network.eval()(images).softmax(1)[:, 2]
    assert [one.probability for one in found[::2]] == pytest.approx(logits.tolist(), abs=1e-6)
    named = lightcnn.explain(network, images[:1], methods=["ig"], classes=("x", "y", "z"), target="y", checks="none")
    assert named[0].target_index == 1
    binary = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2 * 64, 1))
    image = torch.rand(1, 1, 10, 10)
    second = float(binary(image).detach().sigmoid())
    (said,) = lightcnn.explain(binary, image, methods=["ig"], checks="none")
    assert said.prediction == ("1" if second >= 0.5 else "0")
    assert said.probability == pytest.approx(max(second, 1 - second), abs=1e-6)
    (one,) = lightcnn.explain(binary, image, methods=["ig"], target="1", checks="none")
    (other,) = lightcnn.explain(binary, image, methods=["ig"], target="0", checks="none")
    assert one.probability == pytest.approx(second, abs=1e-6)
    np.testing.assert_allclose(one.attribution.map, -other.attribution.map, atol=1e-6)


def test_an_explanation_shows_itself():
    (one,) = lightcnn.explain("run", [first_photo()], methods=["lime"], device="cpu", samples=40)
    assert len(one.figure().axes) >= 4
    html = one._repr_html_()
    assert html.startswith("<figure>")
    assert "data:image/png" in html
    from rich.console import Console

    shown = io.StringIO()
    Console(width=200, file=shown).print(one)
    assert re.search(r"lime +\w+ +[01]\.\d{3} +[✓✗]", shown.getvalue())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda n: lightcnn.explain(n, [np.zeros((4, 4, 3), np.uint8)]), "must be a float tensor"),
        (lambda n: lightcnn.explain(n, torch.zeros(0, 3, 8, 8)), "must be a float tensor"),
        (lambda n: lightcnn.explain("x", torch.zeros(1, 3, 8, 8)), "run x: not a run folder"),
        (lambda n: lightcnn.explain(7, []), "a int is no network"),
        (lambda n: lightcnn.explain(n, torch.zeros(1, 3, 8, 8), target=3), "there are the classes 0 to 2"),
        (lambda n: lightcnn.explain(n, torch.zeros(1, 3, 8, 8), target=-1), "there are the classes 0 to 2"),
        (lambda n: lightcnn.explain(n, torch.zeros(1, 3, 8, 8), target="d"), "no such class"),
        (lambda n: lightcnn.explain(n, torch.zeros(1, 3, 8, 8), classes=("a", "b")), "2 classes are named.* 3 apart"),
        (lambda n: lightcnn.explain(n, torch.zeros(1, 3, 8, 8), methods=["gradcan"]), "did you mean 'gradcam'"),
        (lambda n: lightcnn.explain(n, torch.zeros(1, 3, 8, 8), masks=[]), "0 masks for 1 images"),
        (lambda n: lightcnn.explain(n, torch.zeros(1, 3, 8, 8), masks=[np.ones((3, 3), bool)]), "its mask the shape"),
        (lambda n: lightcnn.explain(n, torch.full((1, 3, 8, 8), float("nan"))), "numbers overflow"),
        (lambda n: lightcnn.explain(n, ["nowhere.png"], preprocess=PLAIN), "nowhere.png is missing"),
        (lambda n: lightcnn.explain(n, "photos", preprocess=PLAIN), "must be a list of paths"),
        (lambda n: lightcnn.explain(Flat(), torch.zeros(1, 3, 16, 16), methods=["gradcam"]), "Grad-CAM needs a layer"),
        (lambda n: lightcnn.explain(n, torch.zeros(1, 3, 8, 8), methods=["lime"], samples=0), "2 samples or more"),
        (lambda n: lightcnn.explain(n, torch.zeros(1, 3, 8, 8), checks="some"), "--checks some: no such level"),
        (lambda n: lightcnn.explain(n, torch.zeros(1, 3, 8, 8), masks=[np.ones((8, 8), np.uint8)]), "uint8; give bool"),
        (lambda n: lightcnn.explain(n, torch.zeros(1, 3, 8, 8), target=True), "--target True: no such class"),
        (lambda n: lightcnn.explain(n, torch.zeros(1, 3, 8, 8), methods="ig"), r"into brackets: \['ig'\]"),
        (lambda n: lightcnn.explain(n, torch.zeros(1, 3, 8, 8), batch=0), "--batch 0: a number of images from 1"),
        (lambda n: lightcnn.explain(n, torch.zeros(1, 3, 8, 8), batch=-1), "--batch -1: a number of images from 1"),
        (lambda n: lightcnn.explain(n, torch.zeros(1, 3, 8, 8), seed=-1), "--seed -1: a whole number from 0"),
        (lambda n: lightcnn.explain(n, torch.zeros(1, 1, 8, 8)), r"cannot read images of \(1, 8, 8\): .* 3 channels"),
        (lambda n: lightcnn.explain(n, torch.zeros(1, 3, 8, 8), samples=10**12), "at most 100,000, not 1,000,000,"),
        (lambda n: lightcnn.explain(n, torch.zeros(1, 3, 8, 8), segments=10**6), "at most 1,000, not 1,000,000"),
    ],
)  # fmt: skip
def test_wrong_input_from_python(network, call, message):
    with pytest.raises(InputError, match=message) as raised:
        call(network)
    assert len(str(raised.value).splitlines()) == 1


def test_tensors_targets_and_masks_of_any_kind_are_taken(network):
    image = torch.rand(1, 3, 8, 8)
    inside = np.zeros((8, 8), bool)
    inside[:4, :4] = True
    settings = {"methods": ["gradcam"], "target": 1, "masks": [inside]}
    (one,) = lightcnn.explain(network, image, **settings)
    for images, change in (
        (image.double(), {"target": np.int64(1)}),
        (image, {"masks": [torch.from_numpy(inside)]}),
        (image, {"masks": [inside.tolist()], "classes": ("a", "b", "c")}),
    ):
        (other,) = lightcnn.explain(network, images, **settings | change)
        assert np.array_equal(one.attribution.map, other.attribution.map)
        assert one.checks == other.checks


def test_a_check_that_fails_to_run_is_its_methods_failure_alone(network, monkeypatch):
    def broken(self, name, maps):
        raise LightcnnError("explain: the network's numbers overflow; no curve can be drawn")

    monkeypatch.setattr("lightcnn.explaining.checks.deletion_insertion.Curves.walk", broken)
    subject = ExplainedNetwork.bare(network, 3, ("a", "b", "c"))
    work = Explainer(subject, [GradCam(), IntegratedGradients()], Checker(subject))
    done, failed = work("picture", torch.rand(1, 3, 8, 8), np.zeros((8, 8, 3), np.uint8))
    assert not done
    assert [one.method for one in failed] == ["gradcam", "ig"]


def test_a_check_says_as_many_digits_as_tell_it_from_the_control():
    check = {"passed": True, "value": 0.0512, "controls": {"random": 0.7, "edges": 0.0534}, "blind": False}
    assert brief("deletion", check) == "✓ deletion 0.051 (best control 0.053)"
    assert brief("insertion", check) == "✓ insertion 0.05 (best control 0.70)"
    assert brief("deletion", check | {"value": 0.0534}) == "✓ deletion 0.05340 (best control 0.05340)"


def test_a_network_without_maps_is_explained_by_gradients():
    (one,) = lightcnn.explain(Flat(), torch.rand(1, 3, 16, 16), methods=["ig"])
    assert one.attribution.map.any()


# Colours and panels


def test_scales_are_symmetric_where_both_signs_matter():
    values = np.array([[-3.0, 0, 1, 2]], np.float32)
    for method in ("ig", "lime", "occlusion"):
        scale = Scale.of(method, [values])
        assert scale.low == -scale.high < 0
        middle = scale.coloured(np.zeros((1, 1)))[0, 0].astype(int)
        assert middle.min() > 235, "white at 0"
        ends = scale.coloured(np.array([scale.low, scale.high]))
        assert (ends[0] != ends[1]).any()
    for method in RECTIFIED:
        assert Scale.of(method, [values]) == Scale(0, 2)
    shared = Scale.of("gradcam", [values, 5 * values])
    assert shared.high == 10, "one scale for what is compared"
    assert Scale.of("ig", [np.zeros((2, 2))]).high > 0


def test_an_overlay_keeps_the_picture_where_the_map_is_0_and_fades_what_was_not_seen():
    picture = np.random.default_rng(0).integers(0, 200, (300, 4, 3), dtype=np.uint8)
    values = np.zeros((300, 4), np.float32)
    values[:, 1] = 1
    values[:, 2] = -1
    values[:, 3] = np.nan
    for method, kept in (("ig", [0]), ("gradcam", [0, 2])):
        out = overlay(picture, values, Scale.of(method, [values]))
        assert (out[:, kept] == picture[:, kept]).all()
        assert (out[:, 1] != picture[:, 1]).any(axis=1).all()
        assert out[:, 3].min() >= 165
        assert (out[:, 3, 0] == out[:, 3, 1]).all()
    grey = overlay(picture[..., :1], values, Scale.of("ig", [values]))
    assert grey.shape == (300, 4, 3)
    assert (grey[:, 0] == picture[:, 0, :1]).all()


def test_the_superpixels_that_speak_most_are_outlined():
    regions = np.arange(9).reshape(3, 3).repeat(6, 0).repeat(6, 1)
    weights = np.array([0.5, -1, 0.9, 0.02, 0.3, 0.2, 0.4, 0, 0.1])
    chosen = strongest(weights[regions], regions)
    assert chosen == [2, 0, 6, 4, 5]
    assert strongest(-np.ones((18, 18)), regions) == []
    line = (outlined(np.zeros((18, 18, 3), np.uint8), regions, [4]) > 0).any(axis=2)
    expected = np.zeros((18, 18), bool)
    expected[6:12, 6:12] = True
    expected[7:11, 7:11] = False
    assert (line == expected).all()


def explanation(values, method="gradcam", checks=None):
    found = Attribution(method, np.asarray(values, np.float32), "layer" if method in RECTIFIED else None)
    return Explanation("x", "a", 0, "a", 0.9, found, checks or {}, 0.1, np.full((4, 4, 3), (200, 90, 60), np.uint8))


@pytest.mark.parametrize(
    ("values", "method", "words"),
    [
        (np.zeros((4, 4)), "ig", "0 everywhere"),
        (np.full((4, 4), 2.0), "lime", "the same everywhere"),
        (np.full((4, 4), np.nan), "ig", "not finite"),
        (-np.arange(1.0, 17).reshape(4, 4), "gradcam", "nothing speaks for the class"),
    ],
)
def test_a_map_that_says_nothing_is_labelled_and_not_drawn(values, method, words):
    one = explanation(values, method)
    assert words in silence(one)
    grey = laid_over(Canvas(one.seen), one)
    assert (grey[..., 0] == grey[..., 1]).all(), "no colour on the picture"
    drawn = panel(Canvas(one.seen), [one])
    texts = " ".join(text.get_text() for axes in drawn.axes for text in axes.texts)
    assert words in texts.replace("\n", " ")
    assert silence(explanation(-np.arange(1.0, 17).reshape(4, 4), "ig")) == ""


def test_a_panel_says_what_the_checks_say_and_leaves_matplotlib_as_it_was():
    before = dict(mpl.rcParams)
    checks = {
        "deletion": {
            "passed": True,
            "value": 0.3,
            "controls": {"a": 0.5, "b": 0.4},
            "blind": False,
            "says": "",
            "curves": None,
        },
        "map": {"passed": False, "value": None, "says": "the map sits on the border of the image"},
    }
    drawn = panel(Canvas(np.zeros((9, 30, 1), np.uint8)), [explanation(np.eye(9, 30), checks=checks)], ["a name"])
    texts = "\n".join(text.get_text() for axes in drawn.axes for text in axes.texts)
    assert "✓ deletion 0.30 (best control 0.40)" in texts
    assert "✗ the map sits on the border of the" in texts
    assert "a name" in texts
    assert dict(mpl.rcParams) == before


def test_choosing_takes_every_stratum_first_and_then_shares():
    strata = ["a"] * 60 + ["b"] * 30 + ["c"] * 9 + ["d"]
    chosen = choose(strata, 10, 0)
    picked = [strata[place] for place in chosen]
    assert sorted(chosen.tolist()) == chosen.tolist()
    assert len(set(chosen.tolist())) == 10
    assert set(picked) == {"a", "b", "c", "d"}
    assert picked.count("a") in (5, 6)
    assert (choose(strata, 10, 0) == chosen).all()
    assert (choose(strata, 10, 1) != chosen).any()
    assert len(choose(strata, 3, 0)) == 3
    assert (choose(["a", "b"], 9, 0) == [0, 1]).all()


# The overview of a test side


def answered(label, prediction, probability, values, method="gradcam"):
    found = Attribution(method, np.array(values, np.float32))
    seen = np.zeros((2, 2, 3), np.uint8)
    return [Explanation("a.png", prediction, 0, prediction, probability, found, {}, 0.0, seen)], label


def drawn_maps(figure):
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]


def test_means_are_of_maps_as_they_are_shown():
    for name, expected in (("gradcam", [[2, 0], [0, 1]]), ("ig", [[-3, 0], [0, 1]])):
        overview = Overview()
        overview.add(*answered("a", "a", 0.9, [[4, 0], [0, 1]], name))
        overview.add(*answered("a", "a", 0.8, [[-10, 0], [0, 1]], name))
        overview.add(*answered("a", "a", 0.8, [[np.nan, 0], [0, 1]], name))
        assert np.array_equal(drawn_maps(overview.figures()["means"])[0], expected)


def test_cases_are_the_surest_and_the_least_sure_and_a_lone_one_stands_once():
    overview = Overview()
    for label, probability in (("a", 0.7), ("a", 0.9), ("a", 0.8), ("b", 0.6)):
        overview.add(*answered(label, "a", probability, [[1, 0], [0, 1]]))
    figure = overview.figures()["cases"]
    told = [(axes.get_ylabel(), axes.get_xlabel().split(", ")[-1]) for axes in figure.axes if axes.get_ylabel()]
    assert told == [("right, surest", "0.900"), ("right, least sure", "0.700"), ("wrong, surest", "0.600")]
    (scale,) = [axes for axes in figure.axes if axes.get_label() == "<colorbar>"]
    assert scale.get_ylim() == (0, 1)


def test_a_map_that_is_finer_than_its_picture_is_drawn_in_full():
    picture = np.zeros((8, 8, 3), np.uint8)
    canvas = Canvas(picture, Frame(8, 8, 32)).fitted()
    found = np.zeros((32, 32), np.float32)
    found[13, 17] = 1
    assert canvas.lay(found).max() > 0.9
    assert canvas.lay(found).shape == canvas.picture.shape[:2]
    assert set(np.unique(canvas.regions(np.arange(1024).reshape(32, 32)))) == set(range(1024))


def test_lime_has_no_seams_between_its_superpixels():
    segments = np.repeat(np.array([[0, 0, 1, 1]]), 4, axis=0)
    found = Attribution("lime", np.where(segments, -1, 1).astype(np.float32), segments=segments)
    one = Explanation("a.png", "a", 0, "a", 1.0, found, {}, 0.0, np.zeros((4, 4, 3), np.uint8))
    drawn = drawn_maps(panel(Canvas(np.zeros((50, 50, 3), np.uint8), Frame(50, 50, 4)), [one]))
    assert [set(np.unique(values)) for values in drawn if values.min() < 0] == [{-1.0, 1.0}]
