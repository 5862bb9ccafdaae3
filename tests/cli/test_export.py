"""`lightcnn export`: the folder that it writes, what it refuses, and one line for wrong input. Formats are fakes."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.fake_formats import DEVICE, fake, reversed_classes, slightly_off
from helpers.training_runs import write_digits_recipe

import lightcnn
from lightcnn import interrupt
from lightcnn.cli.main import run
from lightcnn.data.split import CALIBRATION_IMAGES
from lightcnn.errors import LightcnnError
from lightcnn.exporting.formats import FORMATS
from lightcnn.exporting.settings import require_tools
from lightcnn.exporting.subject import ExportSubject

pytestmark = pytest.mark.usefixtures("undrawn_charts")

BASELINE = {"baseline": "timm:test_efficientnet", "input": [1, 32, 32], "classes": 3, "weights": "none"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three.npz and a finished `run` of a training on it."""
    root = tmp_path_factory.mktemp("export")
    recipe = Path(write_digits_recipe(root))
    recipe.write_text(recipe.read_text().replace("epochs: 4", "epochs: 12"))
    lightcnn.train(recipe, out=root / "run", device="cpu")
    return root


@pytest.fixture(autouse=True)
def _formats(place: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Fakes in place of the formats; `run` and `out` are relative to a fresh folder."""
    c = fake("c", is_int8=True, is_timed=False, needs_spec=True, names=("c/model.c", "c/model.h"), device=DEVICE)
    for row in (fake("onnx", names=("model.onnx",)), fake("onnx-int8", is_int8=True, names=("int8.onnx",)), c):
        monkeypatch.setitem(FORMATS, row.name, row)
    monkeypatch.setattr("lightcnn.exporting.comparison.TIMING_SECONDS", 0.0)
    monkeypatch.setattr("lightcnn.exporting.settings.require_tools", lambda processor: None)
    monkeypatch.chdir(tmp_path)
    Path("run").symlink_to(place / "run")


def exported(capsys: pytest.CaptureFixture[str], *options: str, code: int = 0) -> dict[str, Any]:
    """export.json, which --json prints and which is in the folder `out`."""
    assert run(["export", "run", *options, "--out", "out", "--json"]) == code
    printed = json.loads(capsys.readouterr().out)
    assert isinstance(printed, dict)
    assert printed == json.loads(Path("out/export.json").read_text())
    return printed


def failure(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2) -> str:
    """The one line with which an export ends that leaves nothing behind."""
    before = files_of(Path())
    assert run(["export", *arguments]) == code
    out, error = capsys.readouterr()
    assert out == ""
    assert error.count("\n") == 1, error
    assert files_of(Path()) == before
    return error


def files_of(folder: Path) -> list[str]:
    """All files below a folder; links are not followed."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_folder_with_the_files_the_document_and_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    report = exported(capsys, "--to", "onnx,onnx-int8,c", "--check", "cortex-m4")
    assert files_of(Path("out")) == ["c/model.c", "c/model.h", "export.json", "int8.onnx", "model.onnx", "report.html"]
    assert [entry["format"] for entry in report["formats"]] == ["onnx", "onnx-int8", "c"]
    assert report["classes"] == ["o", "i", "z"]
    assert report["refused"] == [] and report["warnings"] == report["data"]["warnings"]
    first, _, c = report["formats"]
    assert (first["files"], first["bytes"], first["weight_bytes"]) == (["model.onnx"], 5, 40)
    assert first["parity"] == {"max_abs_difference": 0.0, "agreement": 1.0, "images": 48, "of": "test"} or (
        first["parity"]["max_abs_difference"] < 1e-12
    )
    assert first["latency_ms"]["runtime"] == "onnx" and first["latency_ms"]["threads"] == 1
    assert first["device"] is None and first["validation"] is None
    assert first["preprocessing"] == "Do not normalise." and first["details"] == {"opset": 20}
    assert c["device"] == DEVICE
    assert c["latency_ms"] is None
    assert c["validation"]["fp32"] == c["validation"]["int8"]
    assert "--check" not in report and report["check"] == "cortex-m4"


def test_the_accuracy_and_its_interval_are_those_of_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    report = exported(capsys)
    expected = lightcnn.Run.load("run").report
    assert [entry["format"] for entry in report["formats"]] == ["onnx"]
    assert report["formats"][0]["accuracy"] == expected["metrics"]["test"]["accuracy"]
    assert report["pytorch"]["accuracy"] == expected["metrics"]["test"]["accuracy"]
    assert report["data"]["fingerprint"] == expected["data"]["fingerprint"]
    assert report["formats"][0]["parity"]["images"] == expected["data"]["counts"]["test"]


def test_what_the_terminal_and_the_page_show(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", "run", "--to", "onnx,c", "--check", "cortex-m7", "--out", "out"]) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert re.match(r"format +files, B +weights, B +difference in p +agreement +accuracy +95 % interval", lines[0])
    assert [line.split()[0] for line in lines[1:4]] == ["PyTorch", "onnx", "c"]
    assert "c on an emulated cortex-m7: flash 87,096 B, arena 11,760 B, stack 215 B, 15,100,000 instructions" in out
    assert "An emulator counts instructions, not cycles" in out
    assert lines[-1] == "exported to out: open out/report.html"
    page = Path("out/report.html").read_text()
    assert all(text in page for text in ("Do not normalise.", "c/model.h", "15,100,000", ">PyTorch</b>"))
    assert "All 2 formats agree with PyTorch." in page and page.count('class="badge passed"') == 2
    assert run(["export", "run", "--out", "quiet", "--quiet"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_from_python(place: Path) -> None:
    result = lightcnn.export(lightcnn.Run.load("run"), to=("onnx", "onnx-int8"), out="out")
    assert result.path == Path("out")
    assert result.report == json.loads(Path("out/export.json").read_text())
    assert [entry["format"] for entry in result.report["formats"]] == ["onnx", "onnx-int8"]


def test_calibration_gets_training_images_only(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    subjects: list[ExportSubject] = []
    row = fake("onnx-int8", is_int8=True, before=lambda subject, _: subjects.append(subject))
    monkeypatch.setitem(FORMATS, "onnx-int8", row)
    report = exported(capsys, "--to", "onnx-int8")
    counts = report["data"]["counts"]
    sets = (subjects[0].training, subjects[0].validation, subjects[0].test)
    assert [len(images.labels) for images in sets if images is not None] == [counts[name] for name in counts]
    assert counts["train"] <= CALIBRATION_IMAGES
    assert all(images is not None and images.images.shape[1:] == (1, 8, 8) for images in sets)


def test_a_file_that_misses_its_tolerance_is_not_kept(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FORMATS, "onnx", fake("onnx", names=("model.onnx",), change=slightly_off))
    error = failure(capsys, "run", "--to", "onnx", "--out", "out", code=1)
    assert "onnx: its probabilities differ from PyTorch's by up to 0.0001, more than 1e-05" in error
    report = exported(capsys, "--to", "onnx,c", code=1)
    assert files_of(Path("out")) == ["c/model.c", "c/model.h", "export.json", "report.html"]
    assert [entry["format"] for entry in report["refused"]] == ["onnx"]
    page = Path("out/report.html").read_text()
    assert "Refused: onnx: its probabilities differ" in page
    assert "1 of 2 formats agree with PyTorch; 1 refused." in page


def test_the_reason_for_a_refusal_is_one_line_on_stderr(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FORMATS, "onnx-int8", fake("onnx-int8", is_int8=True, change=reversed_classes))
    assert run(["export", "run", "--to", "onnx,onnx-int8", "--out", "out", "--json"]) == 1
    out, error = capsys.readouterr()
    assert json.loads(out)["refused"][0]["format"] == "onnx-int8"
    assert re.fullmatch(
        r"lightcnn: export: onnx-int8: the accuracy on the validation set falls from [\d.]+% to [\d.]+%, by [\d.]+ "
        r"percentage points, more than --max-loss-points 1; the file was not kept\n",
        error,
    )


def test_the_limit_of_the_loss_can_be_raised(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FORMATS, "onnx-int8", fake("onnx-int8", is_int8=True, change=reversed_classes))
    report = exported(capsys, "--to", "onnx-int8", "--max-loss-points", "100")
    validation = report["formats"][0]["validation"]
    assert validation["points_lost"] == pytest.approx(100 * (validation["fp32"] - validation["int8"]))
    assert validation["points_lost"] > 1


def test_fp32_is_never_written_under_the_name_of_int8(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = fake("onnx-int8", is_int8=True)
    wrong = fake("onnx-int8")

    class Mislabelled(type(row)):  # type: ignore[misc]
        write = property(lambda self: wrong.write)

    monkeypatch.setitem(FORMATS, "onnx-int8", Mislabelled("onnx-int8", "", "", "", is_int8=True))
    assert "onnx-int8: the file is not in int8, but has numbers of unknown types" in failure(
        capsys, "run", "--to", "onnx-int8", code=1
    )


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [(LightcnnError("too large"), 1, "lightcnn: too large\n"), (ValueError("x"), 1, "ValueError: x (a bug in ")],
)
def test_nothing_is_left_of_a_format_that_fails(
    error: Exception, code: int, message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(subject: ExportSubject, folder: Path) -> None:
        (folder / "model.bin").write_bytes(b"half")
        raise error

    monkeypatch.setitem(FORMATS, "onnx", fake("onnx", before=fail))
    assert message in failure(capsys, "run", "--to", "onnx", "--out", "out", code=code)


def test_nothing_is_left_after_a_signal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(subject: ExportSubject, folder: Path) -> None:
        (folder / "model.bin").write_bytes(b"half")
        raise interrupt.Stopped("SIGINT")

    monkeypatch.setitem(FORMATS, "onnx", fake("onnx", before=stop))
    assert failure(capsys, "run", "--to", "onnx", "--out", "out", code=130) == "lightcnn: interrupted\n"


def test_outputs_that_differ_on_the_device_are_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = fake("c", is_int8=True, is_timed=False, device=DEVICE | {"answers_equal": False})
    monkeypatch.setitem(FORMATS, "c", row)
    error = failure(capsys, "run", "--to", "c", "--check", "cortex-m3", code=1)
    assert "c: on the emulated cortex-m3 its outputs differ from those of the integer reference" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "run nothing: not a run folder of lightcnn"),
        (
            ["run", "--to", "onx"],
            "--to: 'onx' is not one of onnx, onnx-int8, c, tflite, tflite-int8, pt2, hub; did you mean 'onnx'?",
        ),
        (["run", "--to", ","], "--to: no format is named; give one or several of onnx, onnx-int8, c"),
        (["run", "--check", "cortex-m4"], "--check cortex-m4: runs the C files, .* give --to onnx,c"),
        (["run", "--to", "c", "--check", "cortex-m5"], "'cortex-m5' is not one of .*; did you mean 'cortex-m"),
        (["run", "--max-loss-points", "-1"], "--max-loss-points -1.0: must be a number of percentage points from 0"),
        (["run", "--max-loss-points", "nan"], "--max-loss-points nan: must be a number"),
        (["run", "--out", "."], "--out .: already exists; choose a new folder"),
        (["run", "--data", "nothing"], "nothing"),
        (["run", "--data", "digits"], "data digits: its classes are 0, 1, 2, .*, but those of run run are o, i, z"),
    ],
)
def test_wrong_input_is_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    error = failure(capsys, *arguments)
    assert re.search(message, error), error


def test_a_folder_without_weights_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    lightcnn.audit("digits", fast=True, out="audited")
    assert "run audited: has no spec.yaml; give the run of a command that trains" in failure(capsys, "audited")


def test_an_export_is_not_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    exported(capsys)
    for command in ("export", "profile"):
        assert run([command, "out"]) == 2
        assert capsys.readouterr().err == "lightcnn: run out: an export; name the run folder that was exported\n"


def test_a_missing_extra_is_named_with_the_pip_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = fake("onnx", packages=("onnx_that_is_missing",))
    monkeypatch.setitem(FORMATS, "onnx", type(row)(**{**vars(row), "extra": "onnx"}))
    error = failure(capsys, "run")
    assert error == 'lightcnn: --to onnx: onnx_that_is_missing is not installed; pip install "lightcnn[onnx]"\n'


@pytest.fixture
def moved(place: Path) -> Callable[[], None]:
    """Makes `run` a run whose data are missing."""

    def move() -> None:
        Path("run").unlink()
        shutil.copytree(place / "run", "run")
        recipe = Path("run/recipe.yaml")
        recipe.write_text(recipe.read_text().replace(str(place / "three.npz"), "gone.npz"))

    return move


def test_without_its_data_a_run_is_exported_in_fp32_only(
    moved: Callable[[], None], place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved()
    report = exported(capsys, "--to", "onnx,onnx-int8", code=1)
    (entry,) = report["formats"]
    assert entry["accuracy"] is None and report["data"] is None
    assert (entry["parity"]["of"], entry["parity"]["images"]) == ("noise", 64)
    assert [warning["code"] for warning in report["warnings"]] == ["accuracy_not_measured"]
    (refusal,) = report["refused"]
    assert re.match(
        "--to onnx-int8: needs training images for its calibration, but run run: its data", refusal["reason"]
    )
    assert refusal["reason"].endswith("give the data with --data SOURCE")
    assert "refused" not in failure(capsys, "run", "--to", "onnx-int8")
    assert run(["export", "run", "--to", "onnx-int8", "--data", str(place / "three.npz"), "--out", "given"]) == 0


def test_changed_data_are_named(moved: Callable[[], None], place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    moved()
    with np.load(place / "three.npz") as arrays:
        values = dict(arrays)
    values["train_images"][0] += 1
    np.savez("gone.npz", **values)
    error = failure(capsys, "run", "--to", "c")
    assert "c: needs training images for its calibration, but run run: data gone.npz differ from what it was" in error
    report = exported(capsys, "--data", "gone.npz")
    assert "not the run's own data" in report["data"]["note"]


@pytest.fixture(scope="module")
def baseline(place: Path) -> Path:
    """A finished run of a small network of timm."""
    recipe = {"data": str(place / "three.npz"), "network": BASELINE, "training": {"epochs": 1, "batch": 32}}
    (place / "baseline.yaml").write_text(json.dumps(recipe))
    return Path(lightcnn.train(place / "baseline.yaml", out=place / "baseline", device="cpu").path)


def test_a_network_of_timm_has_no_c(baseline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error = failure(capsys, str(baseline), "--to", "c")
    assert "--to c: has no operator for " in error and "of timm's timm:test_efficientnet; use --to onnx" in error
    assert run(["export", str(baseline), "--to", "onnx,c", "--out", "out"]) == 1
    assert files_of(Path("out")) == ["export.json", "model.onnx", "report.html"]


def test_the_formats_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "formats", "--json"]) == 0
    assert [item["name"] for item in json.loads(capsys.readouterr().out)["items"]] == list(FORMATS)


def test_missing_tools_are_reported_before_any_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("lightcnn.exporting.settings.require_tools", require_tools)
    monkeypatch.setattr("lightcnn.exporting.job.load_subject", lambda *_, **__: pytest.fail("the run was loaded"))
    monkeypatch.setattr("shutil.which", lambda tool: None)
    assert run(["export", "run", "--to", "onnx,c", "--check", "cortex-m4", "--out", "out"]) == 2
    assert "apt-get install --no-install-recommends gcc-arm-none-eabi qemu-system-arm" in capsys.readouterr().err
    assert not Path("out").exists()
