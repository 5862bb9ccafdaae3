"""`lightcnn compare`: what it writes and prints, and the runs that it refuses."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers.pages import read_page
from helpers.prediction_runs import COUNT, predicted, write_run

import lightcnn
from lightcnn.cli import main
from lightcnn.errors import InputError

pytestmark = pytest.mark.usefixtures("undrawn_charts")


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write_run(tmp_path / "good", predicted([3, 10]))


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    return write_run(tmp_path / "bad", predicted(range(20, 40)))


def failure(capsys: pytest.CaptureFixture[str], *arguments: Any) -> str:
    """The one line with which a comparison is refused."""
    assert main.run(["compare", *map(str, arguments)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1, err
    return err


def test_the_report_has_the_keys_of_the_contract(good: Path, bad: Path, tmp_path: Path) -> None:
    run = lightcnn.compare([good, bad], out=tmp_path / "out")
    report = run.report
    keys = {"lightcnn", "command", "seed", "seconds", "data", "runs", "pairs", "differences", "notes", "warnings"}
    assert keys == report.keys()
    assert report["command"] == "compare"
    assert report["data"]["fingerprint"] == "f" * 64
    assert [pair["metric"] for pair in report["pairs"]] == ["accuracy", "balanced_accuracy", "auc"]
    first = report["pairs"][0]
    assert (first["a"], first["b"], first["test"]) == ("good", "bad", "McNemar, exact")
    assert first["difference"] == pytest.approx(18 / COUNT)
    assert first["low"] < 18 / COUNT < first["high"]
    assert first["p"] == pytest.approx(2 * (1 + 22 + 231) / 2**22)
    assert (first["discordant"]["only_a"], first["discordant"]["only_b"]) == (20, 2)
    assert first["discordant"]["odds_ratio"]["value"] == 10
    assert report["runs"][0]["scores"]["accuracy"]["value"] == pytest.approx(118 / 120)
    assert report["runs"][0]["cost"] == {"params": 1000, "macs": 20000}
    assert {path.name for path in run.path.iterdir()} == {
        "compare.yaml", "report.json", "report.html", "plots", "log.txt", "environment.json"
    }  # fmt: skip
    assert (run / "plots" / "differences.png").read_bytes().startswith(b"\x89PNG")
    assert first["sentence"] in read_page((run / "report.html").read_bytes())


def test_runs_of_the_same_name_are_named_by_their_paths(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_run(tmp_path / name / "run", predicted([1]))
    report = lightcnn.compare([tmp_path / "one/run", tmp_path / "two/run"], out=tmp_path / "out").report
    assert [run["name"] for run in report["runs"]] == [str(tmp_path / "one/run"), str(tmp_path / "two/run")]


def test_the_command_prints_sentences_or_json(
    good: Path, bad: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["compare", str(good), str(bad), "--out", str(tmp_path / "o"), "--metric", "accuracy"]) == 0
    out = capsys.readouterr().out
    assert "good is better than bad in accuracy by 15.0 points" in out
    assert "report.html" in out
    assert main.run(["compare", str(good), str(bad), "--out", str(tmp_path / "p"), "--quiet", "--metric", "auc"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert main.run(["compare", str(good), str(bad), "--out", str(tmp_path / "q"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((tmp_path / "q" / "report.json").read_text())


def test_a_comparison_needs_two_different_runs(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "at least two runs are required" in failure(capsys, good)
    assert "given twice" in failure(capsys, good, good)
    assert "not a run folder" in failure(capsys, good, good.parent)
    with pytest.raises(InputError, match=r"metric: .* is not one of .*; did you mean 'accuracy'"):
        lightcnn.compare([good, good], metric="acuracy")


def test_an_existing_out_is_refused(good: Path, bad: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "already exists" in failure(capsys, good, bad, "--out", good)


def test_an_unfinished_run_is_refused(good: Path, bad: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (bad / "report.json").unlink()
    assert "not finished" in failure(capsys, good, bad)


def test_a_run_without_predictions_is_refused(good: Path, bad: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (bad / "predictions.csv").unlink()
    assert "has no predictions.csv" in failure(capsys, good, bad)


def test_edited_predictions_are_refused(good: Path, bad: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = bad / "predictions.csv"
    file.write_text(file.read_text().replace("ill,well", "ill,ill", 1))
    assert "SHA-256 is not the one in report.json, so it was edited" in failure(capsys, good, bad)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"classes": ("well", "ill")}, "the label of 120 test images differs"),
        ({"classes": ("ill", "sound")}, "their classes differ: ill, well and ill, sound"),
        ({"fingerprint": "e" * 64}, "the fingerprints of their data differ, ffffffffffff and eeeeeeeeeeee"),
        (
            {"count": COUNT - 1},
            "120 and 119 images, 1 only in the first and 0 only in the second, for example images/0119.png",
        ),
        ({"groups": ["x"] * COUNT}, "the group of 120 test images differs, for example of images/0000.png"),
        ({"pooled": [(0, 5)]}, "they have 1 and 5 folds (1: a single split); train both with the same --folds"),
    ],
)
def test_runs_with_different_test_images_are_refused(
    other: dict[str, Any], message: str, good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = predicted([1], other.pop("count", COUNT))
    write_run(tmp_path / "other", table[None] if "pooled" in other else table, **other)
    assert message in failure(capsys, good, tmp_path / "other")


def test_different_labels_are_refused(good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = write_run(tmp_path / "other", predicted([1]), sealed=False)
    file = other / "predictions.csv"
    file.write_text(file.read_text().replace("0007.png,test,7,well", "0007.png,test,7,ill"))
    assert "the label of 1 test images differs, for example of images/0007.png" in failure(capsys, good, other)


LINE = "images/0007.png,test,7,well,well,"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (r"^.*\n", "", "predictions.csv:1: the columns must be path,split,group,label,prediction"),
        (r"p_ill,p_well", "p_well,p_ill", "in their order"),
        (r"\A[\s\S]*\Z", "", "not none"),
        (LINE + ".*", LINE + "nan,nan", "are not between 0 and 1"),
        (LINE + ".*", LINE + "inf,0", "are not between 0 and 1"),
        (LINE + ".*", LINE + "0.9,0.9", "with a sum of 1"),
        (LINE + ".*", LINE + "high,low", "'high,low' are not all numbers"),
        (LINE + ".*", LINE + "1", "6 cells, not 7; the file was truncated or edited"),
        (LINE, "images/0007.png,test,7,well,sound,", "prediction 'sound' is not one of the classes"),
        (LINE, "images/0007.png,exam,7,well,well,", "split is 'exam', not one of train, val, test"),
        (LINE, "images/0008.png,test,7,well,well,", "images/0008.png is listed twice"),
        (",test,", ",val,", "has no row of the test set"),
        (LINE, '"images', "restore the file that the run wrote"),
        (LINE, "x" * 200_000, "field larger than field limit"),
    ],
)
def test_a_damaged_table_is_refused_in_one_line(
    old: str, new: str, message: str, good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_run(tmp_path / "other", predicted([1]), sealed=False)
    file = other / "predictions.csv"
    text = re.sub(old, new, file.read_text(), flags=0 if old.startswith("\\A") else re.MULTILINE)
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert message in failure(capsys, good, other)


@pytest.mark.parametrize(
    ("report", "message"),
    [
        ("[]", "report.json is not a mapping of keys to values"),
        ("{", "report.json is damaged"),
        (
            json.dumps(
                {
                    "command": "train",
                    "data": {
                        "source": "x",
                        "stand_in": False,
                        "fingerprint": "f",
                        "classes": ["a", "a"],
                        "groups": {"known": False},
                    },
                }
            ),
            "data.classes: at least two different classes are required",
        ),
        ('{"command": "audit", "data": {}}', "data.source: Field required; name the run of a command that trains"),
    ],
)
def test_a_damaged_report_is_refused_in_one_line(
    report: str, message: str, good: Path, bad: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (bad / "report.json").write_text(report)
    assert message in failure(capsys, good, bad)


def test_too_few_images_or_groups_are_noted_in_every_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    groups = [f"patient {i % 12}" for i in range(COUNT)]
    runs = [write_run(tmp_path / n, predicted([5]), groups=groups) for n in ("a", "b")]
    assert main.run(["compare", *map(str, runs), "--out", str(tmp_path / "o")]) == 0
    note = (
        "too few for a reliable result: 12 groups in all, 6 groups of class 'ill', 6 groups of class 'well' "
        "(under 20 in all, or 10 of a class)"
    )
    assert f"note: {note}" in capsys.readouterr().out
    assert note in json.loads((tmp_path / "o/report.json").read_text())["notes"]
    assert note in read_page((tmp_path / "o/report.html").read_bytes())


def test_an_undefined_auc_is_omitted_or_refused(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / n, predicted([1])) for n in ("a", "b")]
    for run in runs:
        file = run / "predictions.csv"
        file.write_text(re.sub(r".*,test,\d+,well,.*\n", "", file.read_text()))
        report = json.loads((run / "report.json").read_text())
        del report["predictions"]
        (run / "report.json").write_text(json.dumps(report))
    report = lightcnn.compare(runs, out=tmp_path / "out").report
    assert {pair["metric"] for pair in report["pairs"]} == {"accuracy", "balanced_accuracy"}
    assert "The AUC is omitted because a class has no test image." in report["notes"]
    assert report["runs"][0]["scores"]["auc"] is None
    with pytest.raises(InputError, match="the AUC is undefined"):
        lightcnn.compare(runs, metric="auc", out=tmp_path / "out2")


def test_a_comparison_loads_no_torch(good: Path, bad: Path, tmp_path: Path) -> None:
    script = (
        "import sys\nfrom lightcnn.cli.main import run\n"
        f"assert run(['compare', {str(good)!r}, {str(bad)!r}, '--out', {str(tmp_path / 'o')!r}]) == 0\n"
        "print('LOADED', {'torch', 'sklearn', 'optuna', 'scipy'} & set(sys.modules))"
    )
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    assert process.stdout.splitlines()[-1] == "LOADED {'scipy'}"


def test_trained_runs_are_compared(tmp_path: Path) -> None:
    for name, epochs in (("one", 1), ("two", 2)):
        assert main.run(["train", "quick", "--epochs", str(epochs), "--out", str(tmp_path / name), "--quiet"]) == 0
    report = lightcnn.compare([tmp_path / "one", tmp_path / "two"], out=tmp_path / "out").report
    trained = json.loads((tmp_path / "one" / "report.json").read_text())["metrics"]["test"]
    scores = report["runs"][0]["scores"]
    for metric in ("accuracy", "balanced_accuracy", "auc"):
        expected = trained[metric]["value"] if isinstance(trained[metric], dict) else trained[metric]
        assert scores[metric]["value"] == pytest.approx(expected, abs=1e-6), metric
