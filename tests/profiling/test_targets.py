"""From what is typed to networks, with their accuracies; the paper's networks against the golden file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.models import (
    require_sums,
)
from helpers.paths import DOCS, GOLDEN

from lightcnn.baseline_spec import BASELINES
from lightcnn.errors import InputError
from lightcnn.profiling import job
from lightcnn.profiling.profile import Accuracy
from lightcnn.profiling.settings import ProfileSettings
from lightcnn.profiling.targets import find_targets, read_accuracies
from lightcnn.recipe import Recipe

STATIC = (
    "params", "params_with_buffers", "params_deployed", "macs", "macs_as_given", "fvcore", "thop", "torch",
    "weight_bytes", "file_bytes", "keras_adam_bytes", "peak_activations", "peak_activation_bytes",
)  # fmt: skip
"""Keys of a row that do not depend on the machine."""


def test_without_a_target_the_networks_of_the_paper_are_found() -> None:
    targets = find_targets((), baselines=False, input=None, accuracies={})
    assert [target.name for target in targets] == ["micrompoxnet", *BASELINES]
    assert {target.name for target in targets if target.accuracy} == {
        "micrompoxnet", "xception", "efficientnet_b3", "efficientnet_b5", "convnext_tiny",
    }  # fmt: skip
    assert all(target.accuracy.source == "published, not ours" for target in targets if target.accuracy)
    from_timm = find_targets(["resnet50"], baselines=True, input=None, accuracies={"resnet50": Accuracy(0.5, "file")})
    assert len(from_timm) == 13
    assert (from_timm[0].name, from_timm[0].accuracy) == ("timm:resnet50", None)
    twice = find_targets(
        ["quick", "quick"], baselines=False, input=None, accuracies={"quick (2)": Accuracy(0.5, "file")}
    )
    assert [target.name for target in twice] == ["quick", "quick (2)"]
    assert [target.accuracy and target.accuracy.value for target in twice] == [None, 0.5]
    assert from_timm[0].spec.head == "own" and from_timm[0].spec.classes == 1000  # type: ignore[union-attr]


def test_the_test_accuracy_of_a_run_is_read(tmp_path: Path) -> None:
    run = job.run(["quick"], ProfileSettings(latency=False), out=tmp_path / "run")
    Recipe.load("quick").network.save(run / "spec.yaml")
    run.write_json("report.json", {"metrics": {"test": {"accuracy": {"value": 0.5}}}})
    (target,) = find_targets([str(run.path)], baselines=False, input=None, accuracies={})
    assert target.accuracy == Accuracy(0.5, f"run {run.path}, test set", (1, 16, 16))


@pytest.mark.parametrize("names", [("micrompoxnet", "mobilenetv2"), pytest.param((), marks=pytest.mark.long)])
def test_counts_of_the_papers_networks_are_those_of_the_golden_file(
    request: pytest.FixtureRequest, names: tuple[str, ...]
) -> None:
    """`python -m pytest tests/profiling -k golden --long --regenerate` writes the file."""
    counted = {}
    for target in find_targets(names, baselines=False, input=None, accuracies={}):
        counts = target.profile().count
        require_sums(counts)
        row = counts.document()
        counted[target.name] = {name: row[name] for name in STATIC} | {"unfolded": len(row["unfolded"])}
    file = GOLDEN / "profile.json"
    if request.config.getoption("--regenerate") and not names:
        file.write_text(json.dumps(counted, indent=1) + "\n", encoding="utf-8")
    golden = json.loads(file.read_text(encoding="utf-8"))
    assert list(golden) == ["micrompoxnet", *BASELINES]
    assert counted == {name: golden[name] for name in names or golden}


def test_the_golden_file_has_the_parameters_of_the_paper() -> None:
    golden = json.loads((GOLDEN / "profile.json").read_text(encoding="utf-8"))
    assert len(golden) == 12
    for name, entry in BASELINES.items():
        assert golden[name]["params_with_buffers"] == entry.total
        assert entry.published is None or round(entry.total / 1e6, 2) == entry.published
    assert golden["micrompoxnet"]["params"] == 629_689
    assert golden["micrompoxnet"]["macs"] == 458_293_280
    for row in golden.values():
        assert row["torch"] == 2 * row["macs_as_given"]


def test_the_documentation_quotes_the_golden_file() -> None:
    golden = json.loads((GOLDEN / "profile.json").read_text(encoding="utf-8"))
    page = " ".join((DOCS / "concepts" / "profile.md").read_text(encoding="utf-8").split())
    for name in ("mobilenetv2", "efficientnet_b0"):
        assert f"{golden[name]['macs']:,}" in page and f"{golden[name]['thop']:,}" in page
    sizes = [golden[name]["keras_adam_bytes"] / 2**20 for name in ("xception", "efficientnet_b3", "micrompoxnet")]
    assert "gives {:.1f} for Xception, {:.1f} for EfficientNetB3 and {:.1f} for MicroMPoxNet".format(*sizes) in page
    exchanged = [golden[name]["keras_adam_bytes"] / 2**20 for name in ("efficientnet_b5", "convnext_tiny")]
    assert "gives {:.1f} and {:.1f}, where".format(*exchanged) in page


def test_an_accuracy_is_shown_only_at_the_size_at_which_it_was_measured(tmp_path: Path) -> None:
    scores = tmp_path / "scores.csv"
    scores.write_text("name,accuracy,input\nquick,0.75,1x16x16\n")
    for size, value in (((1, 16, 16), 0.75), (None, 0.75), ((1, 20, 20), None)):
        settings = ProfileSettings(input=size, latency=False, accuracy=scores)
        report = job.run(["quick"], settings, out=tmp_path / str(size)).report
        accuracy = report["rows"][0]["accuracy"]
        assert (accuracy and accuracy["value"]) == value
        assert [warning["code"] for warning in report["warnings"]] == ["accuracies_left_out"] * (value is None)
    assert "quick (75.00% at 1×16×16) was measured at another input size" in report["warnings"][0]["message"]
    published = find_targets(["micrompoxnet"], baselines=False, input=(3, 96, 96), accuracies={})[0].profile()
    assert (published.accuracy, published.other_accuracy) == (None, "99.99% at 3×128×128")
    scores.write_text("name,accuracy,input\nquick,0.75,16\n")
    with pytest.raises(InputError, match=r"scores.csv:2: input 16: not an input size"):
        read_accuracies(scores)


def test_an_accuracy_of_a_run_is_left_out_at_another_size(tmp_path: Path) -> None:
    run = job.run(["quick"], ProfileSettings(latency=False), out=tmp_path / "run")
    Recipe.load("quick").network.save(run / "spec.yaml")
    run.write_json("report.json", {"metrics": {"test": {"accuracy": {"value": 0.5}}}})
    (target,) = find_targets([str(run.path)], baselines=False, input=(1, 24, 24), accuracies={})
    assert (target.profile().accuracy, target.profile().other_accuracy) == (None, "50.00% at 1×16×16")
