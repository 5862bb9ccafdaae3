"""`lightcnn explain`: which images are explained, the files that result, and one line for wrong input."""

from __future__ import annotations

import csv
import html
import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.explained_run import FAST, Flat, make_run_folder, photographs
from helpers.paths import DOCS
from PIL import Image

import lightcnn
from lightcnn.cli.main import run
from lightcnn.explaining.checks.catalogue import CHECKS
from lightcnn.explaining.explained_network import ExplainedNetwork
from lightcnn.explaining.methods.catalogue import METHODS
from lightcnn.explaining.methods.lime import Lime

pytestmark = pytest.mark.usefixtures("undrawn_charts")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with `photos`, `masks` and a finished `run`."""
    return make_run_folder(tmp_path_factory.mktemp("explain"))


@pytest.fixture(autouse=True)
def _in_place(place, monkeypatch):
    monkeypatch.chdir(place)


def explained(tmp_path, capsys, *arguments, code=0):
    """The report of `lightcnn explain`, which --json prints and which is in the run folder."""
    out = tmp_path / "out"
    assert run(["explain", "run", *arguments, *FAST, "--out", str(out), "--json"]) == code
    report = json.loads(capsys.readouterr().out)
    assert report == json.loads((out / "report.json").read_text())
    return report, out


def test_images_are_explained_by_every_method_and_written_to_a_run_folder(tmp_path, capsys):
    photos = photographs()[:2]
    report, out = explained(tmp_path, capsys, *map(str, photos), "--method", "gradcam,ig,lime,occlusion")
    assert report["command"] == "explain"
    assert report["data"] is None
    assert report["counts"] == {"explained": 2, "skipped": 0, "available": 2, "passed_over": 0}
    assert [(entry["image"], entry["method"]) for entry in report["explanations"]] == [
        (str(photo), method) for photo in photos for method in ("gradcam", "ig", "lime", "occlusion")
    ]
    predicted = lightcnn.Run.load("run").predict(photos)
    for entry in report["explanations"]:
        row = photos.index(Path(entry["image"]))
        assert entry["target"] == entry["prediction"] == predicted.predictions[row]
        assert entry["probability"] == pytest.approx(predicted.probabilities[row].max(), abs=1e-6)
        assert entry["target_index"] == report["classes"].index(entry["target"])
        assert entry["label"] is None
        assert (entry["layer"] is None) == (entry["method"] != "gradcam")
        values = np.load(out / entry["map"])
        assert (values.shape, values.dtype) == ((16, 16), np.float32)
        with Image.open(out / entry["overlay"]) as overlay:
            assert overlay.size == (60, 40), "as large as the photograph"
        assert (out / entry["panel"]).is_file()
        assert (out / entry["curves"]).is_file()
        assert {"deletion", "insertion", "map"} <= entry["checks"].keys()
        assert "mask" not in entry["checks"]
    assert {row["method"] for row in report["summary"]} == {"gradcam", "ig", "lime", "occlusion"}
    assert report["sentence"]
    assert report["plots"] == [], "without a test set there is no overview"
    html = (out / "report.html").read_text()
    assert "Content-Security-Policy" in html
    assert html.count("<img") == 2 and html.count('<svg class="chart') == 2
    assert html.count('<image id="photo-') == 2 and html.count('<use href="#photo-0"') == 4
    assert 4 <= html.count('<image class="layer"') <= 8
    assert not re.search(r"(src|href)=.?(?!.?data:)[\"']?http", html)
    with (out / "explanations.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(len(entry["checks"]) for entry in report["explanations"])
    assert {row["image"] for row in rows} == set(map(str, photos))


@pytest.mark.parametrize("images", [1, 2])
def test_a_page_begins_with_the_maps_and_one_image_has_no_interval(tmp_path, capsys, images):
    photos = list(map(str, photographs()[:images]))
    report, out = explained(tmp_path, capsys, *photos, "--method", "gradcam,ig")
    page = (out / "report.html").read_text()
    before = page.partition("<body>")[2].partition("<image")[0]
    assert "<table" not in before
    assert 'class="note"' not in before
    assert re.findall("<p .*?>(.*?)</p>", before) == ["lightcnn explain"]
    assert page.count('class="note"') <= 3
    assert ("95 % interval" in page) == (images > 1)
    assert all((row["share"]["low"] is None) == (images == 1) for row in report["summary"] if row["images"])


@pytest.mark.long
def test_equal_calls_give_equal_maps(tmp_path, capsys):
    reports = [explained(tmp_path / str(number), capsys, "--images", "2") for number in (1, 2)]
    first, second = ([{**entry, "seconds": 0} for entry in report["explanations"]] for report, _ in reports)
    assert first == second
    for entry in first:
        a, b = (np.load(out / entry["map"]) for _, out in reports)
        assert (a == b).all()


def test_without_images_the_test_set_of_the_run_is_explained(tmp_path, capsys):
    report, out = explained(tmp_path, capsys, "--images", "5", "--method", "gradcam,ig", "--masks", "masks")
    with open("run/predictions.csv", newline="") as file:
        predictions = {row["path"]: row for row in csv.DictReader(file) if row["split"] == "test"}
    assert report["counts"]["available"] == len(predictions) > 5
    assert report["counts"]["explained"] == 5
    assert report["data"]["fingerprint"] == lightcnn.Run.load("run").report["data"]["fingerprint"]
    for entry in report["explanations"]:
        assert entry["label"] == predictions[entry["image"]]["label"]
        assert entry["prediction"] == predictions[entry["image"]]["prediction"]
        assert entry["checks"]["mask"]["area"] > 0
    assert {entry["label"] for entry in report["explanations"]} == set(report["classes"]), "some images of every class"
    assert report["plots"] == ["plots/cases.png", "plots/means.png"]
    assert all((out / name).is_file() for name in report["plots"])
    assert report["warning"] == ""
    (note,) = report["notes"]
    assert note.startswith(f"5 of the {len(predictions)} images of the test set, chosen by the seed")


def test_other_data_are_explained_and_noted(tmp_path, capsys):
    more = tmp_path / "more"
    shutil.copytree("photos", more)
    next(more.rglob("*.png")).unlink()
    report, _ = explained(tmp_path, capsys, "--data", str(more), "--images", "2", "--method", "ig", "--checks", "none")
    assert "not the run's own data" in report["data"]["note"]
    assert report["summary"] == []
    assert all(entry["checks"] == {} and entry["curves"] is None for entry in report["explanations"])


def test_a_rotated_photograph_is_explained_upright_and_in_full_size(tmp_path, capsys):
    upright = np.full((900, 500, 3), 120, np.uint8)
    upright[300:500, 200:400] = (200, 60, 50)
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by 90 degrees, as telephones store photographs
    Image.fromarray(upright).transpose(Image.Transpose.ROTATE_90).save(tmp_path / "x.jpg", exif=exif, quality=95)
    mask = tmp_path / "truth" / "x.png"
    mask.parent.mkdir()
    Image.fromarray(((upright[..., 0] == 200) * 255).astype(np.uint8)).save(mask)
    report, out = explained(tmp_path, capsys, str(tmp_path / "x.jpg"), "--method", "lime", "--masks", str(mask.parent))
    (entry,) = report["explanations"]
    with Image.open(out / entry["overlay"]) as overlay:
        seen = np.asarray(overlay).astype(int)
    assert seen.shape == (900, 500, 3)
    assert seen[:190].min() > 190, "the part that a crop removes is faded"
    assert np.abs(seen[400, 60] - 120).max() < 110
    assert entry["checks"]["mask"]["area"] == pytest.approx(200 * 200 / 500**2, abs=0.05)


def test_the_documentation_lists_every_method_and_the_rule_of_every_check(tmp_path, capsys):
    page = (DOCS / "concepts" / "explain.md").read_text(encoding="utf-8")
    photo = photographs()[0]
    arguments = [str(photo), "--masks", "masks", "--checks", "full"]
    report, _ = explained(tmp_path, capsys, *arguments)
    checks = {name: check["rule"] for entry in report["explanations"] for name, check in entry["checks"].items()}
    rows = dict(re.findall(r"^\| `([a-z]+)` \|[^|]*\| ([^|]*) \|$", page.partition("## Checks")[2], re.MULTILINE))
    assert rows == checks
    assert list(rows) == list(CHECKS)
    assert re.findall(
        r"^\| `([a-z+]+)` \|", page.partition("## Methods")[2].partition("## Checks")[0], re.MULTILINE
    ) == list(METHODS)


def test_a_single_pixel_is_explained(tmp_path, capsys):
    Image.fromarray(np.full((1, 1, 3), 90, np.uint8)).save(tmp_path / "one.png")
    report, out = explained(tmp_path, capsys, str(tmp_path / "one.png"))
    assert len(report["explanations"]) == 3
    with Image.open(out / report["explanations"][0]["overlay"]) as overlay:
        assert overlay.size == (1, 1)


def test_a_class_and_a_layer_can_be_chosen(tmp_path, capsys):
    assert run(["explain", "run", "--layers", "--json"]) == 0
    layers = json.loads(capsys.readouterr().out)["layers"]
    assert layers
    assert set(layers[0]) == {"name", "kind", "channels", "height", "width"}
    assert run(["explain", "run", "--layers"]) == 0
    assert layers[0]["name"] in capsys.readouterr().out
    for target in ("domed", "ragged"):
        report, _ = explained(
            tmp_path / target, capsys, str(photographs()[0]), "--method", "gradcam", "--target", target,
            "--layer", layers[0]["name"],
        )  # fmt: skip
        (entry,) = report["explanations"]
        assert (entry["target"], entry["layer"]) == (target, layers[0]["name"])


def test_the_terminal_shows_images_checks_and_the_run_folder(tmp_path, capsys):
    out = tmp_path / "out"
    assert run(["explain", "run", str(photographs()[0]), "--method", "gradcam", *FAST, "--out", str(out)]) == 0
    printed = capsys.readouterr()
    assert str(photographs()[0]) in printed.err
    assert re.search(r"gradcam +\w+ +[01]\.\d{3} +[✓✗] deletion", printed.err)
    assert re.search(r"gradcam +deletion +[01] of 1", printed.out)
    assert printed.out.splitlines()[-1] == f"run folder {out}: open {out / 'report.html'}"
    assert (
        run(["explain", "run", str(photographs()[0]), "--method", "ig", "--quiet", "--out", str(tmp_path / "b")]) == 0
    )
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.splitlines() == json.loads((tmp_path / "b" / "report.json").read_text())["sentence"].splitlines()


@pytest.mark.long
def test_a_stand_in_is_shown_in_every_output(tmp_path, capsys, monkeypatch):
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
    for entry in report["explanations"]:
        assert "mask" in entry["checks"], "the data set has masks"
        for name in ("panel", "curves"):
            with Image.open(tmp_path / "a" / entry[name]) as figure:
                assert figure.convert("RGB").getpixel((2, 2)) == (176, 0, 32)
        with Image.open(tmp_path / "a" / entry["overlay"]) as figure:
            assert figure.size == (32, 32), "an overlay has the size of its image and no stamp"
    assert run([*command[:2], str(photographs()[0]), *command[4:], "--out", str(tmp_path / "b"), "--json"]) == 0
    assert "was trained on images generated by code" in json.loads(capsys.readouterr().out)["warning"]


def test_images_that_cannot_be_read_are_skipped_and_the_others_explained(tmp_path, capsys):
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    shutil.copy(photographs()[0], mixed / "a.png")
    (mixed / "b.png").write_text("no image")
    (mixed / "notes.txt").write_text("another extension")
    out = tmp_path / "out"
    assert run(["explain", "run", str(mixed), "--method", "ig", "--device", "cpu", "--out", str(out), "--json"]) == 1
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    assert [entry["image"] for entry in report["explanations"]] == [str(mixed / "a.png")]
    (skipped,) = report["skipped"]
    assert skipped["image"] == str(mixed / "b.png")
    assert "is not an image of a supported format" in skipped["reason"]
    assert report["counts"] == {"explained": 1, "skipped": 1, "available": 2, "passed_over": 1}
    assert printed.err.startswith("lightcnn: explain: 1 of 2 images were skipped: ")
    assert len(printed.err.splitlines()) == 1


def test_masks_that_do_not_fit_or_are_missing_are_reported(tmp_path, capsys):
    photos = photographs()[:3]
    masks = tmp_path / "masks"
    masks.mkdir()
    shutil.copy(Path("masks") / photos[0].name, masks)
    Image.fromarray(np.zeros((7, 5), np.uint8)).save(masks / photos[1].name)
    arguments = [*map(str, photos), "--method", "ig", "--masks", str(masks)]
    report, _ = explained(tmp_path, capsys, *arguments, code=1)
    assert [entry["image"] for entry in report["explanations"]] == [str(photos[0]), str(photos[2])]
    assert ["mask" in entry["checks"] for entry in report["explanations"]] == [True, False]
    assert report["notes"] == [f"1 images without a mask: {photos[2]}"]
    assert "is 5×7 pixels, but the upright image is 60×40" in report["skipped"][0]["reason"]


def test_a_network_without_convolutions_is_explained_by_the_other_methods(tmp_path, capsys, monkeypatch):
    from lightcnn.trained_network import TrainedNetwork

    trained = TrainedNetwork.load("run", device="cpu")
    torch.manual_seed(0)
    preprocess = trained.preprocess.model_copy(update={"unlikeness": None})  # it was measured with other features
    flat = TrainedNetwork(trained.spec, Flat().eval(), preprocess)
    monkeypatch.setattr(TrainedNetwork, "load", lambda *_, **__: flat)
    report, _ = explained(tmp_path, capsys, str(photographs()[0]), "--method", "gradcam,ig", code=1)
    assert [entry["method"] for entry in report["explanations"]] == ["ig"]
    (failure,) = report["failures"]
    assert (failure["image"], failure["method"]) == (str(photographs()[0]), "gradcam")
    assert "Grad-CAM needs a layer" in failure["error"]
    only = ["explain", "run", str(photographs()[0]), "--method", "gradcam", "--out", str(tmp_path / "none")]
    assert run(only) == 2
    error = capsys.readouterr().err
    assert "Grad-CAM needs a layer" in error
    assert "use --method ig" in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "none").exists()


WRONG = (
    ["run", "photos", "--method", "gradcamm"],
    ["nowhere", "photos"],
    ["photos", "photos"],
    ["run", "no.png"],
    ["run", "photos", "--target", "doomed"],
    ["run", "photos", "--masks", "nowhere"],
    ["run", "photos", "--samples", "1"],
)


def test_wrong_names_and_paths_are_refused_before_torch_is_loaded():
    code = (
        "import sys\nfrom lightcnn.cli.main import run\n"
        f"codes = [run(['explain', *words]) for words in {WRONG}]\n"
        "print(codes, 'torch' in sys.modules)"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout == f"{[2] * len(WRONG)} False\n"
    lines = process.stderr.splitlines()
    assert len(lines) == len(WRONG)
    assert "did you mean 'gradcam'" in lines[0] and "did you mean 'domed'" in lines[4]


def test_images_of_another_kind_have_the_warnings_of_predict(tmp_path, capsys):
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)  # smaller than half of 40 pixels
    folder = tmp_path / "images"
    (folder / "runs").mkdir(parents=True)
    Image.fromarray(noise).save(folder / "noise.png")
    shutil.copy(photographs()[0], folder / "known.png")
    shutil.copytree("run", folder / "runs" / "other")
    assert run(["predict", "run", str(folder), "--device", "cpu", "--json"]) == 0
    expected = json.loads(capsys.readouterr().out)["warnings"]
    assert {"run_folders_ignored", "images_mismatched"} <= {warning["code"] for warning in expected}
    (message,) = (entry["message"] for entry in expected if entry["code"] == "images_mismatched")
    assert "1 of 2 have less than half of the shorter side of the smallest training image" in message
    report, out = explained(tmp_path, capsys, str(folder), "--method", "ig", "--checks", "none")
    assert report["warnings"] == expected
    assert message in html.unescape((out / "report.html").read_text())
    assert run(["explain", "run", str(folder), "--method", "ig", "--checks", "none", "--out", str(tmp_path / "b")]) == 0
    assert f"warning: {message}" in capsys.readouterr().out


def test_lack_of_memory_reduces_the_batch_and_is_noted(tmp_path, capsys, monkeypatch):

    logits = ExplainedNetwork.logits

    def narrow(self, inputs):
        if len(inputs) > 5:
            raise torch.OutOfMemoryError("no memory")
        return logits(self, inputs)

    monkeypatch.setattr(ExplainedNetwork, "logits", narrow)
    report, _ = explained(tmp_path, capsys, str(photographs()[0]), "--method", "lime")
    message = "memory sufficed for [2-5] of 8 images"
    assert any(re.search(message, note) for note in report["notes"])
    (explanation,) = lightcnn.explain("run", [photographs()[0]], methods=["lime"], samples=40, device="cpu")
    assert re.search(message, explanation.attribution.notes[-1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["run", "recipe.yaml"],
            "explain: none of 1 images could be explained: recipe.yaml is not an image of a supported format",
        ),
        (["run", "nothing.png"], "explain nothing.png: no such file or folder"),
        (["run", "empty"], r"explain empty: no images in this folder \(suffixes: .bmp, "),
        (["run", "photos", "--layer", "stem.9"], r"--layer stem.9: no layer with that .*; layers with maps: .*stem"),
        (["run", "photos", "--target", "doomed"], "--target doomed: no such class; did you mean 'domed'.*ragged"),
        (["run", "photos", "--method", "gradcm"], "--method: .gradcm. .*did you mean 'gradcam'"),
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
        (["run", "--data", "digits"], "data digits: its classes are 0, 1, .*, but those of run run are domed, ragged"),
        (["run", "--data", "nowhere"], "data 'nowhere': no such folder"),
        (["nowhere", "photos"], "run nowhere: not a run folder of lightcnn"),
        (["model.onnx", "photos"], "model.onnx: ONNX Runtime cannot read it"),
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
    out_option = [] if "--out" in arguments else ["--out", "made"]
    assert run(["explain", *arguments, *out_option]) == 2
    out, error = capsys.readouterr()
    assert not out
    assert re.search(message, error), error
    assert len(error.splitlines()) == 1
    assert not Path("made").exists()


def test_data_that_moved_or_changed_are_refused(place, tmp_path, monkeypatch, capsys):
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
    assert "the fingerprint is not that in report.json" in error
    assert len(error.splitlines()) == 1
    assert not Path("runs").exists()


COUNT = 8


def copy_photographs(folder):
    """Copies some photographs into a new folder."""
    folder.mkdir()
    for file in photographs()[:COUNT]:
        shutil.copy(file, folder)
    return str(folder)


def start(out, photos, *options):
    """A process that has explained at least one image."""
    command = [sys.executable, "-m", "lightcnn", "explain", "run", photos, *options, "--device", "cpu"]
    process = subprocess.Popen([*command, "--out", str(out)], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "photos" in line:  # the heading of the first explained image
            return process
    pytest.fail(f"it ended before an image was explained, with exit code {process.wait()}")


def outcome(out):
    """The contents of a run folder without times."""
    files = {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}
    report = json.loads(files.pop("report.json"))
    for entry in report["explanations"]:
        del entry["seconds"]
    arrays_and_figures = {name: content for name, content in files.items() if name.endswith((".npy", ".png"))}
    return report | {"seconds": 0}, arrays_and_figures


@pytest.mark.parametrize("stop", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.long)])
def test_a_resumed_run_does_not_explain_images_again(tmp_path, capsys, monkeypatch, stop):
    out, options = tmp_path / "out", ["--method", "lime", "--samples", "30", "--checks", "none"]
    photos = copy_photographs(tmp_path / "photos")
    process = start(out, photos, *options)
    process.send_signal(stop)
    _, rest = process.communicate(timeout=60)
    if stop is signal.SIGINT:
        assert process.returncode == 130
        command = r"lightcnn explain run \S+photos --method lime --samples 30 --checks none --device cpu --resume --out"
        assert re.search(f"interrupted; resume with: {command}", rest)
    explained_count = len(list((out / "explained").glob("[0-9]*.json")))
    assert 0 < explained_count < COUNT
    assert not (out / "report.json").exists()
    command = ["explain", "run", photos, "--device", "cpu", "--quiet"]
    assert run([*command, *options, "--out", str(out)]) == 2
    assert "already exists" in capsys.readouterr().err
    assert run([*command, "--method", "ig", "--resume", "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert f"--resume: {out} was started with other checks (none, not quick); repeat the same command" in error
    calls = []
    call = Lime.__call__
    monkeypatch.setattr(Lime, "__call__", lambda self, *arguments: calls.append(1) or call(self, *arguments))
    assert run([*command, *options, "--resume", "--out", str(out)]) == 0
    assert len(calls) == COUNT - explained_count
    assert run([*command, *options, "--out", str(tmp_path / "whole")]) == 0
    assert len(calls) == 2 * COUNT - explained_count
    assert outcome(out) == outcome(tmp_path / "whole")


def test_a_run_that_changed_cannot_be_resumed(place, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(place / "run", "run")
    command = [
        "explain",
        "run",
        str(place / photographs(place)[0]),
        "--method",
        "gradcam",
        "--checks",
        "none",
        "--out",
        "out",
    ]
    assert run([*command, "--device", "cpu"]) == 0
    preprocess = json.loads(Path("run/preprocess.json").read_text())
    Path("run/preprocess.json").write_text(json.dumps(preprocess | {"threshold": 0.25}))
    assert run([*command, "--device", "cpu", "--resume"]) == 2
    assert "--resume: out was started with other preprocessing" in capsys.readouterr().err


def test_only_a_run_folder_of_explain_can_be_resumed(tmp_path, capsys):
    assert run(["explain", "run", "photos", "--resume"]) == 2
    assert "--resume: --out is missing" in capsys.readouterr().err
    assert run(["explain", "run", "photos", "--resume", "--out", "run"]) == 2
    assert "is not a run of `lightcnn explain` (it has no explain.json)" in capsys.readouterr().err
