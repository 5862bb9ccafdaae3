"""What an audit finds in data sets with planted problems."""

from __future__ import annotations

import csv
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.audited_images import STRANGE, manifest, use_quick_search, write_clean, write_planted
from helpers.paths import DOCS

from lightcnn.auditing.audit import examine, examine_source
from lightcnn.auditing.report import audit_report
from lightcnn.data.grouping import similar as search
from lightcnn.data.sources.load import load

CONTRACT = DOCS / "reference" / "contract.md"
MSLD = os.environ.get("LIGHTCNN_MSLD_V1", "")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_quick_search(tmp_path, monkeypatch)


@pytest.fixture
def clean() -> str:
    return write_clean()


@pytest.fixture
def planted() -> str:
    return write_planted()


def test_an_audit_finds_the_planted_problems_and_no_others(planted):
    report = audit_report(examine_source(planted))
    assert [file["path"] for file in report["corrupt"]] == ["train/cats/empty.png", "train/dogs/cut.png"]
    assert report["corrupt"][0]["reason"] == "is empty"
    zero = ["train/cats/0 turned.png", "train/cats/0.png", "train/dogs/0 mirrored.png"]
    two = ["test/cats/2 again.png", "train/cats/2.png"]
    three = [f"test/dogs/{STRANGE}.png", "train/dogs/3.png"]
    assert report["exact_duplicates"] == [two]
    assert report["near_duplicates"] == [two, three, zero]
    assert report["cross_class"] == [zero]
    assert report["cross_split"] == [two, three]
    assert report["pairs"] == 4
    assert report["near_searched"] is True
    assert report["counts"]["files"] == 26
    assert report["counts"]["images"] == 24
    assert report["counts"]["classes"] == {"cats": 12, "dogs": 12}
    assert report["counts"]["split"] == {"train": 18, "test": 6}
    assert report["data"]["counts"] == {"train": 18, "val": 0, "test": 6}
    assert report["data"]["groups_shared"] == 2
    assert report["leaked"] == {"val": 0, "test": 2}
    assert report["groups"]["source"] == "near duplicates"
    assert report["groups"]["count"] == 20
    assert report["groups"]["largest"] == 3
    assert report["sizes"]["width"] == {"min": 24, "median": 24.0, "max": 24}
    assert report["modes"] == {"RGB": 24}
    assert report["formats"] == {"PNG": 24}


def test_suspects_are_the_images_that_differ_from_the_majority(planted):
    (cluster,) = audit_report(examine_source(planted))["suspects"]
    assert cluster["majority"] == "cats"
    assert [member["suspect"] for member in cluster["members"]] == [False, False, True]
    assert cluster["members"][2] == {
        "path": "train/dogs/0 mirrored.png", "label": "dogs", "split": "train", "suspect": True,
    }  # fmt: skip
    Path("planted/train/cats/0 turned.png").unlink()
    (cluster,) = audit_report(examine_source(planted))["suspects"]
    assert cluster["majority"] is None
    assert all(member["suspect"] for member in cluster["members"])


def test_small_images_are_not_searched_and_the_report_gives_the_reason(clean, monkeypatch):
    monkeypatch.setattr(search, "MIN_PIXELS", 48)
    report = audit_report(examine_source(clean))
    assert report["near_searched"] is False
    assert "24 pixels are too small" in report["verdict"]


def test_patients_in_several_sets_of_the_given_split_are_named():
    data = manifest(["p1", "p1", "p2", "p3", "p3", "p3"], ["train", "test", "train", "val", "val", "train"])
    document = audit_report(examine(data))
    assert document["groups"]["shared_by_given_split"] == ["p1", "p3"]
    assert document["cross_split"] == [["0.png", "1.png"], ["3.png", "4.png", "5.png"]]
    assert document["leaked"] == {"val": 2, "test": 1}
    assert "--resplit" in document["train_with"]


def test_images_of_a_single_colour_are_no_leak():
    data = manifest(["p1", "p1", "p2", "p2"], ["train", "train", "test", "test"])
    data.images[0][:], data.images[2][:] = 0, 0
    document = audit_report(examine(data, fast=True))
    assert document["cross_split"] == [] and sum(document["leaked"].values()) == 0


def test_duplicates_in_different_groups_of_a_manifest_are_reported():
    data = manifest(["p1", "p2", "p3"], ["", "", ""])
    data.images[1] = data.images[0][::-1]
    document = audit_report(examine(data))
    assert document["groups"]["contradicted"] == [["0.png", "1.png"]]
    assert "1 photograph is in several groups of the source" in document["verdict"]
    assert "Groups are given by the manifest." in document["verdict"]
    assert document["groups"]["count"] == 3, "the groups of the manifest are kept"


@pytest.mark.skipif(not MSLD, reason="LIGHTCNN_MSLD_V1 names no folder")
def test_the_split_of_msld_shares_nine_patients():
    data = load(MSLD)
    with open(Path(MSLD) / "groups.csv", encoding="utf-8", newline="") as file:
        rows = {row["path"]: row for row in csv.DictReader(file)}
    groups, split = (np.array([rows[path][name] for path in data.paths]) for name in ("group", "split"))
    report = audit_report(examine(replace(data, groups=groups, groups_from="manifest", split=split), fast=True))
    assert len(report["groups"]["shared_by_given_split"]) == 9


def test_every_key_of_the_report_is_in_the_contract(planted):
    text = CONTRACT.read_text(encoding="utf-8").partition("### audit")[2].partition("\n## ")[0]
    report = audit_report(examine_source(planted))
    documented = set(re.findall(r"`(\w+)`", text))
    assert report.keys() <= documented
    for name in ("groups", "counts", "sizes", "classes", "leaked"):
        assert report[name].keys() <= documented, name
