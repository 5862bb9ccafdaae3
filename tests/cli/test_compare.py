"""`lightcnn compare`: what it says of runs, and the runs that it refuses."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import lightcnn
from lightcnn.cli import main
from lightcnn.comparing import run_predictions as module
from lightcnn.comparing.pairs import compared, holm
from lightcnn.comparing.run_predictions import PLAIN, POOLED, read
from lightcnn.comparing.wording import sentence
from lightcnn.errors import InputError, RunError

COUNT = 120
CLASSES = ("ill", "well")


def labels_of(count: int = COUNT) -> NDArray[np.int64]:
    return np.arange(count) % 2


def answers(wrong: Sequence[int], count: int = COUNT) -> NDArray[np.float64]:
    """Probabilities (count, 2) of a run that takes some images for the other class."""
    said = labels_of(count).copy()
    said[list(wrong)] = 1 - said[list(wrong)]
    positive = 0.5 + (said - 0.5) * np.linspace(0.2, 0.9, count)
    return np.stack([1 - positive, positive], axis=1)


def write_run(
    folder: Path, probabilities: NDArray[np.float64], *, classes: Sequence[str] = CLASSES, fingerprint: str = "f" * 64,
    groups: Sequence[str] | None = None, pooled: Sequence[tuple[int, int]] | None = None, sealed: bool = True,
    stand_in: bool = False,
) -> Path:  # fmt: skip
    """A finished run: probabilities (N, C), or (S, N, C) with the seed and the number of folds of each in `pooled`."""
    folder.mkdir()
    count = probabilities.shape[-2]
    names = [f"images/{i:04d}.png" for i in range(count)]
    given = list(groups) if groups else [str(i) for i in range(count)]
    with open(folder / "predictions.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*(POOLED if pooled else PLAIN), *(f"p_{name}" for name in classes)])
        if not pooled:
            writer.writerow(
                ["images/val.png", "val", "val", classes[0], classes[1], *(["0.5"] * len(classes))][: 5 + len(classes)]
            )
        for place, table in enumerate(probabilities if pooled else probabilities[None]):
            for i in reversed(range(count)):
                label, said = classes[i % len(classes)], classes[int(table[i].argmax())]
                part = [pooled[place][0], i * pooled[place][1] // count + 1] if pooled else []
                writer.writerow([names[i], "test", given[i], label, said, *part, *(f"{p:.8f}" for p in table[i])])
    report: dict[str, Any] = {
        "lightcnn": "0.1.0", "command": "train", "seed": 0,
        "data": {
            "source": "photographs", "stand_in": stand_in, "fingerprint": fingerprint, "classes": list(classes),
            "groups": {"known": groups is not None}, "note": "",
        },
        "network": {"cost": {"params": 1000, "macs": 20000}},
    }  # fmt: skip
    if sealed:
        digest = hashlib.sha256((folder / "predictions.csv").read_bytes()).hexdigest()
        report["predictions"] = {"sha256": digest}
    (folder / "report.json").write_text(json.dumps(report))
    (folder / "environment.json").write_text("{}")
    return folder


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write_run(tmp_path / "good", answers([3, 10]))


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    return write_run(tmp_path / "bad", answers(range(20, 40)))


def failure(capsys: pytest.CaptureFixture[str], *arguments: Any) -> str:
    """The one line with which a comparison is refused."""
    assert main.run(["compare", *map(str, arguments)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1, err
    return err


def test_the_report_has_what_the_contract_says(good: Path, bad: Path, tmp_path: Path) -> None:
    run = lightcnn.compare([good, bad], out=tmp_path / "out")
    report = run.report
    assert {"lightcnn", "command", "seed", "seconds", "data", "runs", "pairs", "notes"} == report.keys()
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
        "report.json", "report.html", "plots", "log.txt", "environment.json"
    }  # fmt: skip
    assert (run / "plots" / "differences.png").read_bytes().startswith(b"\x89PNG")
    html = (run / "report.html").read_text(encoding="utf-8")
    assert escape(first["sentence"]) in html
    assert "http" not in html.replace("http-equiv", "")


def test_a_difference_is_told_with_its_direction(good: Path, bad: Path) -> None:
    for one, other in ((good, bad), (bad, good)):
        (pair,) = compared(read(one), read(other), ["accuracy"])
        assert sentence(pair).startswith("good is better than bad in accuracy by 15.0 points (95 % interval ")
        assert sentence(pair).endswith(", p < 0.001; 120 images).")


def test_no_difference_is_never_called_equality(good: Path, tmp_path: Path) -> None:
    (pair,) = compared(read(good), read(write_run(tmp_path / "b", answers([4, 11, 12]))), ["accuracy"])
    said = sentence(pair)
    assert said.startswith("good and b: no difference in accuracy could be shown (+0.8 points, 95 % interval -")
    assert re.search(
        r"p = 1.000\); with 120 images a difference under \d\.\d points would be missed at least one", said
    )
    assert "equal" not in said and "same" not in said


def test_few_sources_can_show_nothing(tmp_path: Path) -> None:
    groups = [f"patient {i % 5}" for i in range(COUNT)]
    a, b = (write_run(tmp_path / name, answers(wrong), groups=groups) for name, wrong in (("a", []), ("b", range(60))))
    (pair,) = compared(read(a), read(b), ["accuracy"])
    assert pair.test.p == 2 / 2**5
    assert "with 5 sources no difference, however large, would be shown" in sentence(pair)


def test_images_of_one_source_are_not_independent(tmp_path: Path) -> None:
    """Twenty wrong answers about one patient are one witness."""
    groups = [f"patient {i // 20}" for i in range(COUNT)]
    a, b = (write_run(tmp_path / n, answers(wrong), groups=groups) for n, wrong in (("a", []), ("b", range(20, 40))))
    (pair,) = compared(read(a), read(b), ["accuracy"])
    assert (pair.test.name, pair.test.p, pair.units, pair.unit) == ("sign flips, all", 1, 6, "sources")
    assert pair.discordant is None
    (alone,) = compared(
        *(replace(read(run), groups=np.array([str(i) for i in range(COUNT)])) for run in (a, b)), ["accuracy"]
    )
    assert alone.test.name == "McNemar, exact"
    assert alone.test.p < 1e-5
    assert compared(read(a), read(b), ["auc"])[0].test.name == "DeLong, clustered"


def test_seeds_are_averaged_and_may_differ_in_number(tmp_path: Path) -> None:
    three = np.stack([answers([1]), answers([1, 2]), answers([1, 2, 3])])
    a = read(write_run(tmp_path / "a", three, pooled=[(0, 1), (1, 1), (2, 1)]))
    b = read(write_run(tmp_path / "b", answers([])))
    assert (a.right.shape, a.probabilities.shape, a.seeds.tolist()) == ((3, COUNT), (3, COUNT, 2), [0, 1, 2])
    pair = compared(a, b, ["accuracy"])[0]
    assert pair.estimate.difference == pytest.approx(-2 / COUNT)
    assert pair.test.name == "sign flips, all"
    assert pair.test.p == 2 / 2**3


def test_folds_are_read_and_held_apart(tmp_path: Path) -> None:
    run = read(write_run(tmp_path / "a", answers([1])[None], pooled=[(7, 4)]))
    assert (run.fold_count, run.seeds.tolist()) == (4, [7])
    assert run.images == tuple(sorted(run.images))
    assert (run.folds[0] == np.arange(COUNT) * 4 // COUNT + 1).all()


def test_holm_is_over_the_pairs_of_a_metric(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / f"r{n}", answers(range(40, 40 + n))) for n in (0, 6, 20)]
    report = lightcnn.compare(runs, out=tmp_path / "out").report
    of = [pair for pair in report["pairs"] if pair["metric"] == "accuracy"]
    assert [(pair["a"], pair["b"]) for pair in of] == [("r0", "r6"), ("r0", "r20"), ("r6", "r20")]
    p = [pair["p"] for pair in of]
    assert p == pytest.approx([2 / 2**6, 2 / 2**20, 2 / 2**14])
    assert [pair["p_adjusted"] for pair in of] == pytest.approx([p[0], 3 * p[1], 2 * p[2]])
    assert "by Holm over 3 pairs" in of[0]["sentence"]
    pairs = compared(read(runs[0]), read(runs[1]), ["accuracy"])
    assert holm([*pairs, *pairs])[0].p_adjusted == 2 * pairs[0].p_adjusted
    assert holm([*pairs, *pairs])[0].detectable > pairs[0].detectable  # type: ignore[operator]


def test_the_order_of_rows_does_not_matter(good: Path, bad: Path, tmp_path: Path) -> None:
    lines = (bad / "predictions.csv").read_text().splitlines(keepends=True)
    shuffled = write_run(tmp_path / "again", answers(range(20, 40)), sealed=False)
    (shuffled / "predictions.csv").write_text("".join([lines[0], *sorted(lines[1:], key=lambda line: line[::-1])]))
    one, two = (compared(read(good), read(run))[0] for run in (bad, shuffled))
    assert replace(one, b="again") == two


def test_names_that_are_alike_become_paths(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_run(tmp_path / name / "run", answers([1]))
    report = lightcnn.compare([tmp_path / "one/run", tmp_path / "two/run"], out=tmp_path / "out").report
    assert [run["name"] for run in report["runs"]] == [str(tmp_path / "one/run"), str(tmp_path / "two/run")]


def test_notes_say_what_is_assumed(good: Path, tmp_path: Path) -> None:
    loose = write_run(tmp_path / "loose", answers([5]), sealed=False)
    notes = " ".join(lightcnn.compare([good, loose], out=tmp_path / "out").report["notes"])
    assert "No checksum was kept of the predictions of loose:" in notes
    assert "each counts as independent" in notes
    drawn = [write_run(tmp_path / n, answers([5]), stand_in=True, groups=["x", "y"] * 60) for n in ("d", "e")]
    notes = " ".join(lightcnn.compare(drawn, out=tmp_path / "out2").report["notes"])
    assert notes.startswith("STAND-IN")
    assert "counts as independent" not in notes


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
    assert "two runs or more are needed" in failure(capsys, good)
    assert "given twice" in failure(capsys, good, good)
    assert "not a run folder" in failure(capsys, good, good.parent)
    with pytest.raises(InputError, match="no such metric; did you mean 'accuracy'"):
        lightcnn.compare([good, good], metric="acuracy")


def test_nothing_is_written_where_out_is_taken(good: Path, bad: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
    assert "SHA-256 is not the one in report.json, it was edited" in failure(capsys, good, bad)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"classes": ("well", "ill")}, "their classes stand in another order: ill, well and well, ill"),
        ({"classes": ("ill", "sound")}, "they know other classes: ill, well and ill, sound"),
        ({"fingerprint": "e" * 64}, "other fingerprints, ffffffffffff and eeeeeeeeeeee"),
        ({"count": COUNT - 1}, "120 and 119 images, 1 only in the first and 0 only in the second, images/0119.png"),
        ({"groups": ["x"] * COUNT}, "120 test images have another group, images/0000.png among them"),
        ({"pooled": [(0, 5)]}, "they have 1 and 5 folds (1: a single split); train both with the same --folds"),
    ],
)
def test_runs_that_were_not_asked_the_same_are_refused(
    other: dict[str, Any], message: str, good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = answers([1], other.pop("count", COUNT))
    write_run(tmp_path / "other", table[None] if "pooled" in other else table, **other)
    assert message in failure(capsys, good, tmp_path / "other")


def test_other_labels_are_refused(good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = write_run(tmp_path / "other", answers([1]), sealed=False)
    file = other / "predictions.csv"
    file.write_text(file.read_text().replace("0007.png,test,7,well", "0007.png,test,7,ill"))
    assert "1 test images have another label, images/0007.png among them" in failure(capsys, good, other)


LINE = "images/0007.png,test,7,well,well,"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (r"^.*\n", "", "predictions.csv:1: the columns must be path,split,group,label,prediction"),
        (r"p_ill,p_well", "p_well,p_ill", "in their order"),
        (r"\A[\s\S]*\Z", "", "not none"),
        (LINE + ".*", LINE + "nan,nan", "are not from 0 to 1"),
        (LINE + ".*", LINE + "inf,0", "are not from 0 to 1"),
        (LINE + ".*", LINE + "0.9,0.9", "with a sum of 1"),
        (LINE + ".*", LINE + "high,low", "'high,low' are not all numbers"),
        (LINE + ".*", LINE + "1", "6 cells, not 7; the file was cut short or edited"),
        (LINE, "images/0007.png,test,7,well,sound,", "prediction 'sound' is none of the classes"),
        (LINE, "images/0007.png,exam,7,well,well,", "split is 'exam', not train, val, test"),
        (LINE, "images/0008.png,test,7,well,well,", "images/0008.png stands there twice"),
        (",test,", ",val,", "has no row of the test side"),
        (LINE, '"images', "put back the file that the run wrote"),
        (LINE, "x" * 200_000, "field larger than field limit"),
        (LINE, "images/\udcff.png", "not UTF-8 text"),
    ],
)
def test_a_damaged_table_is_refused_in_one_line(
    old: str, new: str, message: str, good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_run(tmp_path / "other", answers([1]), sealed=False)
    file = other / "predictions.csv"
    text = re.sub(old, new, file.read_text(), flags=0 if old.startswith("\\A") else re.MULTILINE)
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert message in failure(capsys, good, other)


@pytest.mark.parametrize(
    ("report", "message"),
    [
        ("[]", "Input should be"),
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
            "data.classes: two or more different ones are needed",
        ),
        ('{"command": "audit", "data": {}}', "data.source: Field required; give the run of a command that trains"),
    ],
)
def test_a_damaged_report_is_refused_in_one_line(
    report: str, message: str, good: Path, bad: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (bad / "report.json").write_text(report)
    assert message in failure(capsys, good, bad)


def test_pooled_tables_must_be_whole(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", np.stack([answers([1]), answers([2])]), pooled=[(0, 1), (1, 1)], sealed=False)
    file = run / "predictions.csv"
    text = file.read_text()
    file.write_text(re.sub(r".*0007.png,test,7,well,well,1,1.*\n", "", text))
    with pytest.raises(RunError, match="the images, groups or labels of seed 1 are not those of seed 0"):
        read(run)
    file.write_text(text.replace("well,well,1,1", "well,well,-1,1"))
    with pytest.raises(RunError, match="seed '-1' is not a whole number"):
        read(run)


def test_the_table_has_the_intervals_of_the_runs_own_reports(good: Path, bad: Path, tmp_path: Path) -> None:
    report = json.loads((good / "report.json").read_text())
    own = {"value": 118 / 120, "low": 0.91, "high": 0.99, "interval": "Wilson"}
    unknown = {"value": 0.9, "low": None, "high": None, "interval": "none"}
    report["metrics"] = {"test": {"accuracy": own, "balanced_accuracy": unknown, "auc": 0.9}}
    (good / "report.json").write_text(json.dumps(report))
    first, second = lightcnn.compare([good, bad], out=tmp_path / "out").report["runs"]
    assert first["scores"]["accuracy"] == {key: own[key] for key in ("value", "low", "high")}
    assert first["scores"]["balanced_accuracy"]["value"] == pytest.approx(118 / 120), "as no interval is reported"
    assert first["scores"]["auc"]["low"] < first["scores"]["auc"]["value"]
    assert second["scores"]["accuracy"]["value"] == pytest.approx(100 / 120)


@pytest.mark.parametrize("metrics", ["x", [], {"test": []}, {"test": {"accuracy": {"value": 2, "low": 0, "high": 1}}}])
def test_reported_scores_that_are_none_are_not_taken(metrics: Any, good: Path, bad: Path, tmp_path: Path) -> None:
    report = json.loads((good / "report.json").read_text())
    (good / "report.json").write_text(json.dumps(report | {"metrics": metrics}))
    runs = lightcnn.compare([good, bad], out=tmp_path / "out").report["runs"]
    assert runs[0]["scores"]["accuracy"]["value"] == pytest.approx(118 / 120)


def test_too_few_images_or_groups_are_told_everywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    groups = [f"patient {i % 12}" for i in range(COUNT)]
    runs = [write_run(tmp_path / n, answers([5]), groups=groups) for n in ("a", "b")]
    assert main.run(["compare", *map(str, runs), "--out", str(tmp_path / "o")]) == 0
    note = (
        "too few to say anything: 12 groups in all, 6 groups of class 'ill', 6 groups of class 'well' "
        "(under 20 in all, or 10 of a class)"
    )
    assert f"note: {note}" in capsys.readouterr().out
    assert note in json.loads((tmp_path / "o/report.json").read_text())["notes"]
    assert escape(note) in (tmp_path / "o/report.html").read_text(encoding="utf-8")


def test_enough_images_have_no_such_note(good: Path, bad: Path, tmp_path: Path) -> None:
    assert "too few" not in " ".join(lightcnn.compare([good, bad], out=tmp_path / "out").report["notes"])


def test_more_seeds_than_a_run_has_are_refused(tmp_path: Path) -> None:
    table = answers([], 2)
    run = write_run(tmp_path / "a", np.stack([table] * 1001), pooled=[(n, 1) for n in range(1001)])
    with pytest.raises(RunError, match="1,001 seeds, and 1,000 are the most"):
        read(run)


def test_rows_are_looked_through_a_few_times_however_many_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = write_run(tmp_path / "a", np.stack([answers([], 4)] * 200), pooled=[(n, 1) for n in range(200)])
    looks = 0

    class Counted(module._Row):
        def __getattribute__(self, name: str) -> Any:
            nonlocal looks
            looks += name == "seed"
            return super().__getattribute__(name)

    monkeypatch.setattr(module, "_Row", Counted)
    assert len(read(run).seeds) == 200
    assert looks < 10 * 800


def test_predictions_that_are_not_of_their_probabilities_are_refused(tmp_path: Path) -> None:
    table = np.tile([[0.6, 0.3, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]], (10, 1))
    run = write_run(tmp_path / "three", table, classes=("a", "b", "c"), sealed=False)
    file = run / "predictions.csv"
    file.write_text(file.read_text().replace("0001.png,test,1,b,b", "0001.png,test,1,b,c"))
    with pytest.raises(RunError, match=r"csv:\d+: prediction 'c' is not the most probable class; .*damaged or edited"):
        read(run)


def test_predictions_of_two_classes_follow_a_threshold(tmp_path: Path) -> None:
    two = np.stack([answers([]), answers([])])
    run = write_run(tmp_path / "a", two, pooled=[(0, 2), (1, 2)], sealed=False)
    file = run / "predictions.csv"
    text = file.read_text()
    every = re.sub(r",(ill|well),1,2,", ",well,1,2,", text)
    file.write_text(every)
    assert read(run).right.sum() == 3 * COUNT // 2 + COUNT // 4, "a threshold of 0 for one seed and fold"
    file.write_text(text.replace("0007.png,test,7,well,well,1,", "0007.png,test,7,well,ill,1,"))
    with pytest.raises(RunError, match=r"no threshold on the second class tells images/.* damaged or edited") as failed:
        read(run)
    assert "\n" not in str(failed.value)


def test_an_auc_that_is_undefined_is_left_out_or_refused(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / n, answers([1])) for n in ("a", "b")]
    for run in runs:
        file = run / "predictions.csv"
        file.write_text(re.sub(r".*,test,\d+,well,.*\n", "", file.read_text()))
        report = json.loads((run / "report.json").read_text())
        del report["predictions"]
        (run / "report.json").write_text(json.dumps(report))
    report = lightcnn.compare(runs, out=tmp_path / "out").report
    assert {pair["metric"] for pair in report["pairs"]} == {"accuracy", "balanced_accuracy"}
    assert "The AUC is left out: a class has no test image." in report["notes"]
    assert report["runs"][0]["scores"]["auc"] is None
    with pytest.raises(InputError, match="no AUC is defined"):
        lightcnn.compare(runs, metric="auc", out=tmp_path / "out2")


def test_a_comparison_loads_no_torch(good: Path, bad: Path, tmp_path: Path) -> None:
    script = (
        "import sys\nfrom lightcnn.cli.main import run\n"
        f"assert run(['compare', {str(good)!r}, {str(bad)!r}, '--out', {str(tmp_path / 'o')!r}]) == 0\n"
        "print('LOADED', {'torch', 'sklearn', 'optuna', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.splitlines()[-1] == "LOADED {'scipy'}"


def test_trained_runs_are_compared(tmp_path: Path) -> None:
    for name, epochs in (("one", 1), ("two", 2)):
        assert main.run(["train", "quick", "--epochs", str(epochs), "--out", str(tmp_path / name), "--quiet"]) == 0
    report = lightcnn.compare([tmp_path / "one", tmp_path / "two"], out=tmp_path / "out").report
    trained = json.loads((tmp_path / "one" / "report.json").read_text())["metrics"]["test"]
    scores = report["runs"][0]["scores"]
    for metric in ("accuracy", "balanced_accuracy", "auc"):
        expected = trained[metric]["value"] if isinstance(trained[metric], dict) else trained[metric]
        assert scores[metric]["value"] == pytest.approx(expected, abs=1e-6), metric
