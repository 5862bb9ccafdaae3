"""`lightcnn profile`: tables, the run folder, refusals before any work, and failed rows."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from helpers.pages import read_page
from helpers.profile_rows import rows

from lightcnn import devices
from lightcnn.baseline_spec import BaselineSpec
from lightcnn.cli import main
from lightcnn.cost import cost
from lightcnn.counting.count import count
from lightcnn.measurement import latency as measurement
from lightcnn.measurement import memory
from lightcnn.network import build
from lightcnn.profiling.page import CAPTIONS
from lightcnn.profiling.profile import profile
from lightcnn.profiling.terminal import fitting
from lightcnn.recipe import Recipe
from lightcnn.spec import NetworkSpec
from lightcnn.weights import weights_file

pytestmark = pytest.mark.usefixtures("undrawn_charts")


def test_the_command_writes_a_run_folder_and_prints_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert main.run(["profile", "quick", "--no-latency", "--layers", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    spec = Recipe.load("quick").network
    assert isinstance(spec, NetworkSpec)
    assert f"{cost(spec).macs:,}" in printed
    report = json.loads((out / "report.json").read_text())
    assert report.keys() == {
        "lightcnn", "command", "seed", "seconds", "warnings", "data", "convention", "machine", "rows", "failures",
        "layers",
    }  # fmt: skip
    (row,) = report["rows"]
    assert (row["macs"], row["params"], row["latency_ms"], report["data"]) == (
        cost(spec).macs,
        cost(spec).params,
        None,
        None,
    )
    assert row["file_bytes"] == len(weights_file(build(spec, 0), spec, stand_in=False))
    assert "How other counters differ" in read_page((out / "report.html").read_bytes())
    assert (out / "layers.csv").read_text().count("\n") == len(report["layers"]["quick"]) + 1
    assert (out / "plots" / "disk.png").is_file()
    assert main.run(["profile", str(out), "--no-latency", "--out", str(tmp_path / "other")]) == 2
    assert "has no spec.yaml" in capsys.readouterr().err


def test_json_is_the_report_with_times(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measurement, "MAX_ROUNDS", 3)
    scores = tmp_path / "scores.csv"
    scores.write_text("name,accuracy\nquick,0.75\n")
    arguments = ["profile", "quick", "--runtime", "folded,eager", "--accuracy", str(scores), "--json"]
    assert main.run([*arguments, "--out", str(tmp_path / "run")]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row["latency_ms"]["runtime"] == "folded"
    assert [latency["runtime"] for latency in row["latencies"]] == ["folded", "eager"]
    assert row["accuracy"] == {"value": 0.75, "source": "file"}
    assert row["images_per_second"] > 0
    assert {path.stem for path in (tmp_path / "run" / "plots").iterdir()} == {"disk", "score_time"} < CAPTIONS.keys()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["quik"], "did you mean 'quick'"),
        (["timm:resnt18"], "did you mean 'resnet18'"),
        (["missing.yaml"], "missing.yaml: no such file"),
        (["missing.onnx"], "missing.onnx: no such file"),
        (["quick", "--runtime", "jit"], "is not one of folded, eager, onnx, onnx-int8"),
        (["quick", "--runtime", ","], "--runtime: is empty"),
        (["quick", "--columns", "name,mac"], "did you mean 'macs'"),
        (["quick", "--sort", "-latncy"], "did you mean 'latency'"),
        (["quick", "--input", "224"], "as in 3x224x224"),
    ],
)
def test_wrong_arguments_are_refused_before_any_work(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert main.run(["profile", *arguments, "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime", "onnxscript"])
@pytest.mark.parametrize("arguments", [["some.onnx"], ["quick", "--runtime", "folded,onnx"]])
def test_onnx_without_its_extra_is_refused_before_any_work(
    arguments: list[str],
    missing: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.chdir(tmp_path)
    Path("some.onnx").touch()
    assert main.run(["profile", *arguments, "--out", "run"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f'{missing} is not installed; pip install "lightcnn[onnx]"' in error
    assert not Path("run").exists()


def test_a_failed_row_does_not_affect_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("input: [3, 32, 32]\nstages: [{kind: conv, widht: 16}]\nclasses: 10\n")
    targets = ["quick", str(bad), "timm:vit_tiny_patch16_224"]
    arguments = ["profile", *targets, "--no-latency", "--input", "1x8x8", "--columns", "name,macs", "--format", "csv"]
    assert main.run([*arguments, "--out", str(tmp_path / "run")]) == 1
    printed = capsys.readouterr()
    assert printed.out.splitlines()[0] == "name,macs"
    assert printed.out.splitlines()[1].startswith("quick,")
    assert "bad.yaml:2: stages.0" in printed.err
    assert "vit_tiny_patch16_224" in printed.err
    failures = json.loads((tmp_path / "run" / "report.json").read_text())["failures"]
    assert [failure["name"] for failure in failures] == ["bad", "timm:vit_tiny_patch16_224"]


@pytest.mark.parametrize("options", [["--batch", "64"], ["--no-latency", "--memory"]])
def test_a_network_that_is_too_large_for_the_memory_is_a_failure_of_its_own(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lightcnn.measurement.latency.MAX_ROUNDS", 2)
    monkeypatch.setattr("lightcnn.measurement.latency.MIN_ROUNDS", 2)
    monkeypatch.setattr(memory, "_measure_in_new_process", lambda *_: memory.ResidentMemory(2, 1))
    small = count(build(Recipe.load("quick").network), (1, 16, 16))
    needed = small.file_bytes + 64 * small.peak_activation_bytes
    monkeypatch.setattr(devices, "free_memory", lambda device: int(needed / 0.8) + 1000)
    (tmp_path / "wide.yaml").write_text("input: [1, 16, 16]\nstages: [{kind: conv, width: 4096}]\nclasses: 10\n")
    targets = ["quick", str(tmp_path / "wide.yaml"), "mobilenetv2"]
    assert main.run(["profile", *targets, *options, "--out", str(tmp_path / "run")]) == 1
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    measured = [bool(row["latency_ms"] or row["peak_resident_bytes"]) for row in report["rows"]]
    assert [row["name"] for row in report["rows"]] == ["quick", "wide", "mobilenetv2"]
    assert measured == [True, False, False]
    assert [failure["name"] for failure in report["failures"]] == ["wide", "mobilenetv2"]
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("lightcnn: profile: ")]
    assert len(lines) == 2 and all("needs at least" in line and "; reduce " in line for line in lines)


def test_a_batch_that_is_too_large_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = profile(BaselineSpec(baseline="mobilenetv2", classes=2, sigmoid=True)).count
    needed = counts.file_bytes + 4 * counts.peak_activation_bytes
    monkeypatch.setattr(devices, "free_memory", lambda device: needed / 0.8 - 2)
    out = ["--out", str(tmp_path / "run")]
    assert main.run(["profile", "mobilenetv2", *out]) == 2
    assert capsys.readouterr().err.startswith("lightcnn: mobilenetv2: needs at least ")
    assert not (tmp_path / "run").exists()


def test_all_runtimes_and_a_file_are_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(package)
    from helpers.onnx_files import export_deployed

    monkeypatch.setattr(measurement, "MAX_ROUNDS", 3)
    monkeypatch.setattr(measurement, "MIN_ROUNDS", 3)
    file = tmp_path / "mine.onnx"
    deployed = export_deployed(Recipe.load("quick").network, file)
    names = ["folded", "eager", "onnx", "onnx-int8"]
    out = tmp_path / "run"
    arguments = ["profile", "quick", str(file), "--runtime", ",".join(names), "--memory", "--json", "--out", str(out)]
    assert main.run(arguments) == 0
    report = json.loads(capsys.readouterr().out)
    from_spec, from_file = report["rows"]
    assert [latency["runtime"] for latency in from_spec["latencies"]] == names
    assert all(
        latency["median"] > 0 and latency["images_per_second"] > 0 and latency["batch"] == 4
        for latency in from_spec["latencies"]
    )
    assert [note[:6] for note in from_spec["notes"]] == ["params"], "which counts are those of the folded network"
    assert [latency["runtime"] for latency in from_file["latencies"]] == ["onnx"]
    assert (from_file["name"], from_file["macs"], from_file["fvcore"]) == ("mine", from_spec["macs"], None)
    assert from_file["params"] == sum(parameter.numel() for parameter in deployed.parameters())
    assert from_file["peak_resident_bytes"]["process"] > from_file["peak_resident_bytes"]["own"] > 0
    assert report["machine"]["packages"]["onnxruntime"]
    page = (out / "report.html").read_text()
    assert "All runtimes" in page and "only to measure speed" in page


def test_a_refused_file_is_a_failed_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for package in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(package)
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"nothing")
    arguments = ["profile", "quick", str(bad), "--no-latency", "--columns", "name", "--format", "csv"]
    assert main.run([*arguments, "--out", str(tmp_path / "run")]) == 1
    printed = capsys.readouterr()
    assert printed.out.splitlines() == ["name", "quick"]
    assert "bad.onnx: is damaged, or not an ONNX file" in printed.err


def test_if_the_only_network_cannot_be_read_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.yaml").write_text("input: [3, 32, 32]\nstages: [{kind: conv, widht: 16}]\nclasses: 10\n")
    assert main.run(["profile", str(tmp_path / "bad.yaml"), "--no-latency", "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert "bad.yaml:2: stages.0" in error
    assert all(line.startswith("lightcnn: ") for line in error.splitlines())
    assert not (tmp_path / "run").exists()


def test_a_narrow_terminal_shows_the_most_important_columns() -> None:
    names = ("name", "params", "macs", "fvcore", "torch", "int8", "peak_int8")
    assert fitting(rows(), names, 10_000) == names
    assert fitting(rows(), names, 80) == ("name", "params", "macs", "fvcore", "int8", "peak_int8")
    assert fitting(rows(), names, 30) == ("name", "params", "macs")
