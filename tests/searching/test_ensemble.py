"""Second trainings learn from what the first ones predict, and a resumed search uses the same predictions."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors import safe_open

from lightcnn.cli.main import run
from lightcnn.searching import ensemble, final_phase
from lightcnn.searching.trainings import choice

pytestmark = pytest.mark.usefixtures("undrawn_charts", "few_parts")

STAGE = "{kind: [conv], width: {low: 4, high: 8}}"
COMMAND = ["search", "--budget", "100kFLOPs", "--data", "digits", "--workers", "1", "--quiet"]
LIMITS = ["--trials", "2", "--epochs", "3"]


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search whose two networks count as equal within noise, so that each is trained with a second seed."""
    folder = tmp_path_factory.mktemp("ensemble")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choice, "STANDARD_ERRORS", 1e9)
        (folder / "space.yaml").write_text(f"size: [8]\nstem: {STAGE}\nstages: [{STAGE}]\n")
        assert run([*COMMAND, *LIMITS, "--space", str(folder / "space.yaml"), "--out", str(folder / "run")]) == 0
    return folder / "run"


def finals(run_folder: Path) -> dict[str, dict[str, Any]]:
    """The progress of all final trainings, by the names of their files."""
    return {file.name: json.loads(file.read_text()) for file in sorted((run_folder / "trainings").glob("*final.json"))}


def predictions(run_folder: Path) -> Path:
    """The file of predictions in a run folder."""
    (file,) = run_folder.glob("ensemble-*.safetensors")
    return file


def second_weights(run_folder: Path) -> dict[str, bytes]:
    """The content of the states at the ends of second trainings."""
    return {
        file.name: file.read_bytes() for file in sorted((run_folder / "trainings").glob("*-second-end.safetensors"))
    }


def test_second_trainings_alone_are_taught(search: Path) -> None:
    taught = {name: bool(progress["taught_by"]) for name, progress in finals(search).items()}
    assert taught == {
        "000000-final.json": False, "000000-second-final.json": True,
        "000001-final.json": False, "000001-second-final.json": True,
    }  # fmt: skip
    report = json.loads((search / "report.json").read_text())
    assert report["comparison"]["second_taught"] is True and "teacher" not in report


def test_the_predictions_are_probabilities_of_the_training_images(search: Path) -> None:
    with safe_open(predictions(search), framework="np") as file:
        facts = json.loads(file.metadata()["teacher"])
        indices, table = file.get_tensor("indices"), file.get_tensor("probabilities")
    assert facts["note"].startswith("the mean of trials ")
    assert len(np.unique(indices)) == len(indices) == len(table)
    np.testing.assert_allclose(table.sum(axis=1), 1, atol=1e-5)


def test_the_recipe_names_the_predictions_only_if_the_delivered_training_is_taught(search: Path) -> None:
    recipe = yaml.safe_load((search / "recipe.yaml").read_text())
    seeds = {progress["seed"]: progress["taught_by"] for progress in finals(search).values()}
    assert (recipe.get("distill") or {}).get("teacher", "") == seeds[recipe["seed"]]


def resumed(search: Path, out: Path, patch: pytest.MonkeyPatch) -> Path:
    """A copy of the search that was killed in its second trainings, continued."""
    shutil.copytree(search, out)
    for file in [out / "report.json", *(out / "trainings").glob("*-second-*")]:
        file.unlink()
    patch.setattr(choice, "STANDARD_ERRORS", 1e9)
    assert run(["search", "--resume", "--out", str(out), "--quiet"]) == 0
    return out


def test_a_resumed_search_learns_from_the_same_predictions(
    search: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def predict(*arguments: object) -> None:
        raise AssertionError("they are in the run folder")

    monkeypatch.setattr(final_phase, "mean_predictions", predict)
    again = resumed(search, tmp_path / "again", monkeypatch)
    assert second_weights(again) == second_weights(search) != {}


def test_two_workers_learn_as_one_does(search: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "STANDARD_ERRORS", 1e9)
    space = str(search.parent / "space.yaml")
    words = [*COMMAND, *LIMITS, "--space", space, "--workers", "2", "--out", str(tmp_path / "two")]
    assert run(words) == 0
    assert second_weights(tmp_path / "two") == second_weights(search) != {}


def test_networks_that_are_trained_longer_teach_anew(
    search: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(search, tmp_path / "longer")
    monkeypatch.setattr(choice, "STANDARD_ERRORS", 1e9)
    words = ["search", "--resume", "--trials", "3", "--epochs", "6", "--out", str(tmp_path / "longer"), "--quiet"]
    assert run(words) == 0
    old, new = sorted((tmp_path / "longer").glob("ensemble-*.safetensors"), key=lambda file: int(file.stem[9:]))
    assert old.name == predictions(search).name
    taught_by = [each["taught_by"] for name, each in finals(tmp_path / "longer").items() if "second" in name]
    assert taught_by and set(taught_by) == {new.name}
    ends = [
        end["taught_by"] for each in finals(tmp_path / "longer").values() for end in each["finished"] if end["second"]
    ]
    assert set(ends) == {old.name}


def test_predictions_that_are_missing_are_computed_again_to_the_same_numbers(
    search: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = predictions(search).read_bytes()
    shutil.copytree(search, tmp_path / "copy")
    predictions(tmp_path / "copy").unlink()
    again = resumed(tmp_path / "copy", tmp_path / "again", monkeypatch)
    with safe_open(predictions(again), framework="np") as file:
        probabilities = file.get_tensor("probabilities")
    assert probabilities.tobytes() in content


def test_damaged_predictions_are_named_with_the_remedy(
    search: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(search, tmp_path / "damaged")
    predictions(tmp_path / "damaged").write_bytes(b"nothing")
    assert run(["search", "--resume", "--trials", "3", "--out", str(tmp_path / "damaged"), "--quiet"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "has no predictions for the training images of this search; delete it" in error
    assert (tmp_path / "damaged" / "report.json").is_file(), "nothing is changed"


def weights(*of_first_class: float) -> Any:
    """Weights that predict the first of two classes with these probabilities."""
    first = np.array(of_first_class)
    return SimpleNamespace(probabilities=np.stack([first, 1 - first], axis=1))


def pipeline(labels: Sequence[int]) -> Any:
    """A pipeline whose images are all in the validation set."""
    known = np.array(labels)
    return SimpleNamespace(dataset=SimpleNamespace(labels=known), split=SimpleNamespace(val=np.arange(len(known))))


def test_the_mean_is_over_the_best_networks_that_predict_best_together() -> None:
    good, other, bad = weights(0.9, 0.6, 0.2), weights(0.6, 0.9, 0.2), weights(0.1, 0.1, 0.9)
    images = pipeline([0, 0, 1])
    assert ensemble.best_members([good, other, bad], images) == [good, other]
    assert ensemble.best_members([good, bad], images) == [good]
    assert ensemble.best_members([good], images) == [good]


def test_predictions_that_would_be_too_large_are_left_out() -> None:
    assert ensemble.is_small_enough(10_000, 1_000)
    assert not ensemble.is_small_enough(10_001, 1_000)


def test_networks_whose_predictions_are_not_finite_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = {"good": np.array([[0.25, 0.75]]), "bad": np.array([[np.nan, 0.5]])}
    monkeypatch.setattr(ensemble, "probabilities", lambda model, images, preprocess: tables[model])
    dataset = SimpleNamespace(classes=("a", "b"), fingerprint="0")
    images = SimpleNamespace(
        dataset=dataset, split=SimpleNamespace(train=np.array([3])), images=lambda *_: None, preprocess=lambda *_: None
    )
    candidate = SimpleNamespace(spec=SimpleNamespace(input=(1, 8, 8)))

    def mean(*models: str) -> Any:
        members = [
            SimpleNamespace(
                model=model, finalist=SimpleNamespace(candidate=candidate, outcome=SimpleNamespace(number=number))
            )
            for number, model in enumerate(models)
        ]
        return ensemble.mean_predictions(members, images, SimpleNamespace(path="run"))  # type: ignore[arg-type]

    predicted = mean("bad", "good")
    assert predicted.probabilities.tolist() == [[0.25, 0.75]] and predicted.note == "the mean of trials 1"
    assert mean("bad") is None
