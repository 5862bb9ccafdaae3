"""What the verdict of an audit states."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
from helpers.audited_images import manifest, photo, use_quick_search, write_clean, write_planted
from PIL import Image

from lightcnn.auditing import verdict as verdict_module
from lightcnn.auditing.audit import examine, examine_source
from lightcnn.auditing.report import audit_report
from lightcnn.data.grouping.groups import find_groups
from lightcnn.data.split import make_split
from lightcnn.errors import DataError
from lightcnn.recipe import Reading


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_quick_search(tmp_path, monkeypatch)


@pytest.fixture
def clean() -> str:
    return write_clean()


@pytest.fixture
def planted() -> str:
    return write_planted()


def test_the_verdict_states_the_severity_and_the_remedy(planted):
    verdict = audit_report(examine_source(planted))["verdict"]
    assert "2 of 26 files cannot be used" in verdict
    assert "1 photograph appears under more than one class (3 images in total)" in verdict
    assert "The given split leaks: 2 groups have images in more than one of its sets (4 images)" in verdict
    assert "2 of the 6 images of its test set (33%) share a group with training images" in verdict
    assert verdict.endswith("lightcnn search --budget 1MFLOPs --data planted --resplit --skip-corrupt")
    assert len(verdict.splitlines()) == 1


def test_a_clean_data_set_has_no_problem(clean):
    report = audit_report(examine_source(clean))
    assert report["verdict"].startswith("No problem that must be fixed was found in 20 images.")
    assert "No image is a near duplicate of another." in report["verdict"]
    assert report["verdict"].endswith("lightcnn search --budget 1MFLOPs --data clean")
    assert all(report[name] == [] for name in ("corrupt", "exact_duplicates", "near_duplicates", "cross_class"))
    assert report["cross_split"] == []
    assert report["groups"]["source"] == "none"


def test_imbalance_is_stated(tmp_path):
    for i in range(24):
        photo(i, tmp_path / "odd" / ("rare" if i < 2 else "common") / f"{i}.png")
    report = audit_report(examine_source("odd"))
    assert report["classes"] == {"imbalance": 11.0, "largest": "common", "smallest": "rare"}
    assert "The largest class has 11 times as many images as the smallest" in report["verdict"]


def test_training_is_not_called_safe_if_no_split_can_be_made(tmp_path):
    data = manifest(["p1", "p2"] * 6, [""] * 12)
    document = audit_report(examine(data))
    with pytest.raises(DataError, match="class 'a' has 6 images in 1 group"):
        make_split(data, 0)
    assert (
        "No split can be made: class 'a' has 6 images in 1 group, too few to be in all 3 sets; " in document["verdict"]
    )
    assert "No problem that must be fixed" not in document["verdict"]
    assert "safely" not in document["verdict"]


def test_groups_with_copies_of_one_photograph_are_joined_and_reported():
    data = manifest([f"p{i}" for i in range(12)], [""] * 12)
    assert "several groups" not in audit_report(examine(data))["verdict"]
    data = manifest([f"p{i}" for i in range(12)], [""] * 12)
    data.images[2] = data.images[0][::-1]
    verdict = audit_report(examine(data))["verdict"]
    assert "1 photograph is in several groups of the source, as duplicates: a split joins these groups" in verdict
    assert "Train safely with: lightcnn" in verdict
    joined = find_groups(data)
    assert joined.groups[0] == joined.groups[2]


def test_training_is_not_called_safe_without_a_search_for_duplicates():
    data = manifest([f"p{i}" for i in range(12)], [""] * 12)
    assert ". Train with: lightcnn" in audit_report(examine(data, fast=True))["verdict"]


@pytest.mark.parametrize(("limit", "ending"), [(11, " --thorough"), (12, "")])
def test_the_command_for_a_large_set_uses_what_the_audit_has_found(limit, ending, monkeypatch):
    monkeypatch.setattr(verdict_module, "MAX_IMAGES_BY_DEFAULT", limit)
    data = manifest([f"p{i}" for i in range(12)], [""] * 12)
    command = "lightcnn search --budget 1MFLOPs --data "
    assert audit_report(examine(data))["train_with"] == f"{command}{shlex.quote(data.source)}{ending}"
    assert "--thorough" not in audit_report(examine(data, fast=True))["train_with"]


def test_groups_with_several_classes_are_stated():
    data = manifest([f"p{i // 2}" for i in range(12)], [""] * 12)
    sentence = "Groups are given by the manifest; 6 contain images of more than one class, which is allowed."
    assert sentence in audit_report(examine(data))["verdict"]
    assert find_groups(data).groups_reason in sentence


def test_the_command_in_the_verdict_names_the_data_folder(tmp_path):
    batch = np.random.default_rng(0).integers(0, 256, (40, 3073), dtype=np.uint8)
    batch[:, 0] = np.arange(40) % 10
    folder = tmp_path / "data folder" / "cifar10"
    folder.mkdir(parents=True)
    for name in (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"):
        batch.tofile(folder / name)
    document = audit_report(examine_source("cifar10", Reading(data_dir="data folder"), fast=True))
    assert "--data cifar10 --data-dir 'data folder' --resplit" in document["train_with"]
    assert document["verdict"].endswith(document["train_with"])


def test_images_of_one_colour_are_named_and_no_label_is_accused(tmp_path):
    for i in range(16):
        photo(i, tmp_path / "blank" / "ab"[i % 2] / f"{i}.png")
    for i in range(4):
        Image.new("RGB", (96, 96), "black").save(tmp_path / "blank" / "ab"[i % 2] / f"black{i}.png")
    document = audit_report(examine_source("blank"))
    assert document["verdict"].startswith("4 images have a single colour (a/black0.png), and so show nothing: repair")
    assert "under more than one class" not in document["verdict"]
    assert (document["cross_class"], document["exact_duplicates"]) == (
        [],
        [["a/black0.png", "a/black2.png", "b/black1.png", "b/black3.png"]],
    )
    assert [(entry["code"], entry["count"]) for entry in document["warnings"]] == [("one_colour_images", 4)]
