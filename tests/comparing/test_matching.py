"""Runs on the same test images, read from a folder and from a csv, and what else differs between two runs."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import lightcnn
from lightcnn.cli import main
from lightcnn.comparing.matching import aligned
from lightcnn.comparing.run_predictions import read_run
from lightcnn.errors import InputError
from lightcnn.recipe import Recipe

pytestmark = pytest.mark.usefixtures("undrawn_charts")

RECIPE = """
name: tiny
data: {data}
reading: {{split_seed: 0}}
network: {{name: tiny, input: [1, 8, 8], stages: [{{kind: conv, width: {width}}}], classes: 2}}
augment: none
training: {{epochs: {epochs}, batch: 6}}
"""


def write_images(folder: Path, patients: int = 12) -> None:
    """Bars and discs in class folders with given splits, three images of every patient."""
    random = np.random.default_rng(0)
    for number in range(3 * patients):
        patient, name = number // 3, ("bar", "disc")[number // 3 % 2]
        split = ("train", "val", "test")[patient // 2 % 3]
        pixels = random.integers(0, 90, (8, 8)).astype(np.uint8)
        pixels[3:5] += np.uint8(120 * (name == "bar"))
        target = folder / split / name
        target.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(target / f"x{number:03d}.png")


def write_csv(images: Path, file: Path) -> None:
    """The same files as a csv with other paths, in another order, and with the patients."""
    paths = sorted(images.rglob("*.png"), key=lambda path: path.name[::-1])
    with open(file, "w", encoding="utf-8", newline="") as table:
        writer = csv.writer(table)
        writer.writerow(("path", "label", "group", "split"))
        for path in paths:
            patient = f"patient {int(path.stem[1:]) // 3}"
            writer.writerow((path.relative_to(file.parent), path.parent.name, patient, path.parts[-3]))


def train(folder: Path, name: str, data: Path, *, epochs: int = 1, width: int = 4) -> Path:
    (folder / "recipe.yaml").write_text(RECIPE.format(data=data, epochs=epochs, width=width))
    return lightcnn.train(Recipe.load(folder / "recipe.yaml"), out=folder / name, device="cpu").path


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    folder = tmp_path_factory.mktemp("matched")
    write_images(folder / "images")
    write_csv(folder / "images", folder / "table.csv")
    yield {
        "folder": train(folder, "folder", folder / "images"),
        "csv": train(folder, "csv", folder / "table.csv"),
        "long": train(folder, "long", folder / "images", epochs=3),
        "wide": train(folder, "wide", folder / "images", width=6),
    }


def test_runs_on_a_folder_and_on_a_csv_of_the_same_images_are_compared(runs: dict[str, Path], tmp_path: Path) -> None:
    """Twelve test images of four patients; the names of the files in the two runs have nothing in common."""
    first, second = aligned([read_run(runs["folder"]), read_run(runs["csv"])])
    assert first.pixels == second.pixels
    assert (first.labels == second.labels).all()
    assert (len(first.images), len(set(first.groups)), first.groups_known) == (12, 4, True), "patients from the csv"
    report = lightcnn.compare([runs["folder"], runs["csv"]], metric="accuracy", out=tmp_path / "out").report
    (pair,) = report["pairs"]
    (entry,) = report["differences"]
    accuracies = [
        lightcnn.Run.load(runs[name]).report["metrics"]["test"]["accuracy"]["value"] for name in ("folder", "csv")
    ]
    assert [pair["value_a"], pair["value_b"]] == pytest.approx(accuracies)
    assert (pair["units"], pair["unit"]) == (4, "sources")
    assert [difference["key"] for difference in entry["differences"]] == ["data"]


def test_other_test_images_are_refused_and_counted_by_their_pixels(runs: dict[str, Path], tmp_path: Path) -> None:
    write_images(tmp_path / "fewer", patients=6)
    fewer = train(tmp_path, "fewer-run", tmp_path / "fewer")
    with pytest.raises(InputError, match="12 and 6 images, 6 only in the first and 0 only in the second"):
        lightcnn.compare([runs["folder"], fewer], out=tmp_path / "out")


def test_another_number_of_epochs_is_stated_beside_the_verdict(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report: dict[str, Any] = lightcnn.compare([runs["long"], runs["folder"]], out=tmp_path / "out").report
    assert [entry["key"] for entry in report["differences"][0]["differences"]] == ["epochs trained", "training.epochs"]
    assert not any(pair["equal_training"] for pair in report["pairs"])
    (warning,) = (entry for entry in report["warnings"] if entry["code"] == "unequal_training")
    assert "1 of 1 pairs of runs were not trained equally" in warning["message"]
    sentence = (
        "long and folder were not trained equally, so a better score does not show that the network is better; they "
        "differ in: training.epochs 3 and 1; epochs trained 3 and 1."
    )
    assert main.run(["compare", str(runs["long"]), str(runs["folder"]), "--out", str(tmp_path / "o")]) == 0
    assert main.run(["compare", str(runs["long"]), str(runs["folder"]), "--out", str(tmp_path / "p"), "--quiet"]) == 0
    page = (tmp_path / "o" / "report.html").read_text(encoding="utf-8")
    printed, quiet = capsys.readouterr().out.split("report.html\n")
    for text in (printed, quiet, page):
        assert text.count("not trained equally") == text.count(sentence) == text.count("training.epochs 3") == 1


def test_the_terminal_shows_scores_beside_those_of_the_largest_class(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["compare", str(runs["long"]), str(runs["folder"]), "--out", str(tmp_path / "o")]) == 0
    answer, rest = capsys.readouterr().out.split("\n\n", 1)
    assert answer.startswith("long and folder: ")
    header, *rows = rest.splitlines()[:3]
    assert re.split(r"\s{2,}", header) == ["run", "accuracy", "balanced accuracy", "AUC", "largest class"]
    for name, row in zip(("long", "folder"), rows, strict=True):
        metrics = lightcnn.Run.load(runs[name]).report["metrics"]["test"]
        accuracy, largest = metrics["accuracy"], metrics["largest_class"]
        cells = re.split(r"\s{2,}", row.strip())
        assert cells[:2] == [name, f"{accuracy['value']:.2%} ({accuracy['low']:.2%} to {accuracy['high']:.2%})"]
        assert cells[-1] == f"{largest['accuracy']:.2%} ({largest['class']})"


def test_another_network_alone_is_no_unequal_training(runs: dict[str, Path], tmp_path: Path) -> None:
    """Both have one output layer of (width + 1) × 2 and a convolution of 9 × width with a norm of 2 × width."""
    report = lightcnn.compare([runs["wide"], runs["folder"]], metric="accuracy", out=tmp_path / "out").report
    assert [entry["key"] for entry in report["differences"][0]["differences"]] == ["network"]
    assert "80 params" in report["differences"][0]["differences"][0]["a"]
    assert report["pairs"][0]["equal_training"]
    several = lightcnn.compare([runs["wide"], runs["long"]], metric="accuracy", out=tmp_path / "several").report
    assert not several["pairs"][0]["equal_training"]


def test_edited_hashes_of_test_images_are_refused(runs: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(runs["folder"], tmp_path / "edited")
    file = tmp_path / "edited" / "test_images.csv"
    file.write_text(file.read_text(encoding="utf-8").replace("x", "y"), encoding="utf-8")
    with pytest.raises(InputError, match=r"test_images.csv: its SHA-256 is not the one in report.json"):
        lightcnn.compare([runs["folder"], tmp_path / "edited"], out=tmp_path / "out")


def test_runs_of_earlier_versions_are_matched_by_file_name(runs: dict[str, Path], tmp_path: Path) -> None:
    """Without hashes and recipes, equal fingerprints show that the data are the same, whatever their paths."""
    shutil.copytree(runs["folder"], tmp_path / "earlier")
    shutil.copytree(runs["long"], tmp_path / "moved")
    for name in ("earlier", "moved"):
        report = json.loads((tmp_path / name / "report.json").read_text(encoding="utf-8"))
        (tmp_path / name / "recipe.yaml").unlink()
        file = tmp_path / name / "predictions.csv"
        file.write_text(file.read_text(encoding="utf-8").replace("test/", f"{name}/"), encoding="utf-8")
        report["predictions"] = {"sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
        (tmp_path / name / "report.json").write_text(json.dumps(report), encoding="utf-8")
    report = lightcnn.compare([tmp_path / "moved", tmp_path / "earlier"], out=tmp_path / "out").report
    (entry,) = report["differences"]
    assert not entry["known"]
    assert [(d["key"], d["a"], d["b"]) for d in entry["differences"]] == [("epochs trained", "3", "1")]
    assert not entry["equal_training"]
    assert "a recipe is not known, so differences may be missing" in entry["sentence"]
    assert [warning["code"] for warning in report["warnings"] if warning["code"] == "unequal_training"] != []
