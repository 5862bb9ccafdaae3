"""`lightcnn audit`: what it finds in planted sets, what it leaves, what it refuses."""

from __future__ import annotations

import csv
import json
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.paths import DOCS
from PIL import Image

from lightcnn.auditing import job
from lightcnn.auditing.audit import audit, examine
from lightcnn.cli.main import run
from lightcnn.data.dataset import Dataset
from lightcnn.data.grouping import similar as search
from lightcnn.data.grouping.groups import components, grouped
from lightcnn.data.grouping.similar import Similar
from lightcnn.data.sources.load import load
from lightcnn.data.split import split
from lightcnn.errors import DataError
from lightcnn.recipe import Reading
from lightcnn.run_folder import RunFolder
from lightcnn.text import visible

CONTRACT = DOCS / "reference" / "contract.md"
STRANGE = "a\x1b[31m\n<script>alert(1)<b>"
MSLD = os.environ.get("LIGHTCNN_MSLD_V1", "")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """Images with the same pixels in any order pass for near duplicates."""

    def fake(images, *, progress=None):
        clusters = components([np.sort(image, axis=None).tobytes().hex() for image in images])
        pairs = np.array([(first, i) for i, first in enumerate(clusters) if first < i], dtype=np.int64).reshape(-1, 2)
        progress("comparing images", len(images), len(images))
        return Similar(pairs, np.full(len(pairs), 9, dtype=np.int64), clusters)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(search, "similar", fake)
    monkeypatch.setattr(search, "LEAST_SIDE", 16)
    monkeypatch.setenv("LIGHTCNN_CACHE", str(tmp_path / ".cache"))


def photo(seed, file, change=lambda pixels: pixels):
    file = Path(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    Image.fromarray(np.ascontiguousarray(change(pixels))).save(file)
    return file


@pytest.fixture
def clean(tmp_path):
    """Twenty different photographs in two classes, no split."""
    for i in range(20):
        photo(i, tmp_path / "clean" / ("cats", "dogs")[i % 2] / f"{i}.png")
    return "clean"


@pytest.fixture
def planted(tmp_path):
    """Twenty photographs on two given sides; mirrored ones under another class, exact ones on the other side, two
    damaged files."""
    for i in range(20):
        photo(i, f"planted/{'test' if i > 15 else 'train'}/{('cats', 'dogs')[i % 2]}/{i}.png")
    photo(0, "planted/train/dogs/0 mirrored.png", lambda pixels: pixels[:, ::-1])
    photo(0, "planted/train/cats/0 turned.png", lambda pixels: pixels[::-1])
    photo(2, "planted/test/cats/2 again.png")
    photo(3, f"planted/test/dogs/{STRANGE}.png", lambda pixels: pixels[::-1])
    Path("planted/train/cats/empty.png").write_bytes(b"")
    Path("planted/train/dogs/cut.png").write_bytes(Path("planted/train/dogs/3.png").read_bytes()[:300])
    return "planted"


def test_everything_planted_is_found_and_nothing_else(planted):
    report = audit(planted).document()
    assert [one["path"] for one in report["corrupt"]] == ["train/cats/empty.png", "train/dogs/cut.png"]
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


def test_the_suspect_is_the_one_that_differs_from_its_cluster(planted):
    (cluster,) = audit(planted).document()["suspects"]
    assert cluster["majority"] == "cats"
    assert [member["suspect"] for member in cluster["members"]] == [False, False, True]
    assert cluster["members"][2] == {
        "path": "train/dogs/0 mirrored.png", "label": "dogs", "split": "train", "suspect": True,
    }  # fmt: skip
    Path("planted/train/cats/0 turned.png").unlink()
    (cluster,) = audit(planted).document()["suspects"]
    assert cluster["majority"] is None
    assert all(member["suspect"] for member in cluster["members"])


def test_the_verdict_says_how_bad_it_is_and_what_to_do(planted):
    verdict = audit(planted).document()["verdict"]
    assert "2 of 26 files cannot be used" in verdict
    assert "1 photograph stands under more than one class, 3 images in all" in verdict
    assert "The given split leaks: 2 sources have images on more than one side (4 images)" in verdict
    assert "2 of the 6 images of its test side (33%) have a relative in train" in verdict
    assert verdict.endswith("lightcnn search --budget 1MFLOPs --data planted --resplit --skip-corrupt")
    assert len(verdict.splitlines()) == 1


def test_a_clean_set_is_called_clean(clean):
    report = audit(clean).document()
    assert report["verdict"].startswith("Nothing that must be mended was found in 20 images.")
    assert "No image is a near duplicate of another." in report["verdict"]
    assert report["verdict"].endswith("lightcnn search --budget 1MFLOPs --data clean")
    assert all(report[name] == [] for name in ("corrupt", "exact_duplicates", "near_duplicates", "cross_class"))
    assert report["cross_split"] == []
    assert report["groups"]["source"] == "none"


def test_fast_leaves_near_duplicates_out_and_says_so(planted, capsys):
    assert run(["audit", planted, "--fast", "--out", "quick"]) == 0
    report = RunFolder.load("quick").report
    assert report["fast"] is True
    assert report["near_searched"] is False
    assert report["near_duplicates"] == []
    assert report["cross_class"] == []
    assert len(report["exact_duplicates"]) == len(report["cross_split"]) == 1
    assert "near duplicates were not looked for (--fast)" in report["verdict"]
    assert "not looked for" in capsys.readouterr().out


def test_small_images_are_not_searched_and_the_report_says_why(clean, monkeypatch):
    monkeypatch.setattr(search, "LEAST_SIDE", 48)
    report = audit(clean).document()
    assert report["near_searched"] is False
    assert "24 pixels are too few" in report["verdict"]


def manifest(patients, sides, source="by hand"):
    """A data set as a manifest gives it, a different image for each pair of a patient and a side."""
    images = np.random.default_rng(0).integers(0, 256, (len(patients), 20, 20, 3), dtype=np.uint8)
    paths = tuple(f"{i}.png" for i in range(len(patients)))
    labels = np.arange(len(patients)) % 2
    return Dataset(source, images, labels, ("a", "b"), paths, np.array(sides), np.array(patients), "manifest")


def test_patients_on_both_given_sides_are_named():
    report = examine(manifest(["p1", "p1", "p2", "p3", "p3", "p3"], ["train", "test", "train", "val", "val", "train"]))
    document = report.document()
    assert document["groups"]["shared_by_given_split"] == ["p1", "p3"]
    assert document["cross_split"] == [["0.png", "1.png"], ["3.png", "4.png", "5.png"]]
    assert document["leaked"] == {"val": 2, "test": 1}
    assert "--resplit" in document["train_with"]


def test_duplicates_that_a_manifest_holds_apart_are_said():
    data = manifest(["p1", "p2", "p3"], ["", "", ""])
    data.images[1] = data.images[0][::-1]
    document = examine(data).document()
    assert document["groups"]["contradicted"] == [["0.png", "1.png"]]
    assert "1 photograph stands in several groups of the source" in document["verdict"]
    assert "Groups are named by the manifest." in document["verdict"]
    assert document["groups"]["count"] == 3, "the manifest is believed"


@pytest.mark.skipif(not MSLD, reason="LIGHTCNN_MSLD_V1 names no folder")
def test_the_split_of_msld_has_nine_patients_on_both_sides():
    data = load(MSLD)
    with open(Path(MSLD) / "groups.csv", encoding="utf-8", newline="") as file:
        rows = {row["path"]: row for row in csv.DictReader(file)}
    groups, split = (np.array([rows[path][name] for path in data.paths]) for name in ("group", "split"))
    report = examine(replace(data, groups=groups, groups_from="manifest", split=split), fast=True).document()
    assert len(report["groups"]["shared_by_given_split"]) == 9


def test_imbalance_is_said(tmp_path):
    for i in range(24):
        photo(i, tmp_path / "odd" / ("rare" if i < 2 else "common") / f"{i}.png")
    report = audit("odd").document()
    assert report["classes"] == {"imbalance": 11.0, "largest": "common", "smallest": "rare"}
    assert "The largest class has 11 times as many images as the smallest" in report["verdict"]


def test_json_is_the_report_and_nothing_else(planted, capsys):
    assert run(["audit", planted, "--out", "one", "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == RunFolder.load("one").report
    assert captured.err == ""


def test_every_key_of_the_report_is_in_the_contract(planted):
    text = CONTRACT.read_text(encoding="utf-8").partition("### audit")[2].partition("\n## ")[0]
    report = audit(planted).document()
    named = set(re.findall(r"`(\w+)`", text))
    assert report.keys() <= named
    for name in ("groups", "counts", "sizes", "classes", "leaked"):
        assert report[name].keys() <= named, name


def test_the_folder_holds_what_it_should(planted, capsys):
    assert run(["audit", planted, "--augment", "light"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    (out,) = Path("runs").iterdir()
    assert out.name.startswith("audit-")
    assert last == f"run folder {out}: open {out / 'report.html'}"
    names = {"report.json", "report.html", "log.txt", "environment.json", "groups.csv", "plots"}
    assert {path.name for path in out.iterdir()} == names
    assert {path.name for path in (out / "plots").iterdir()} == {
        "cross_class.png", "cross_split.png", "exact_duplicates.png", "near_duplicates.png", "sizes.png", "augment.png",
    }  # fmt: skip
    with open(out / "groups.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == list(load(planted_whole(planted)).paths)
    zero = {row["group"] for row in rows if "/0" in row["path"]}
    assert zero == {"train/cats/0 turned.png"}
    assert {row["split"] for row in rows} == {"train", "test"}
    assert {row["label"] for row in rows} == {"cats", "dogs"}


def planted_whole(planted):
    """The folder without its damaged files."""
    for name in ("train/cats/empty.png", "train/dogs/cut.png"):
        (Path(planted) / name).unlink()
    return planted


def test_the_page_opens_offline_and_escapes_every_name(planted, capsys):
    Path("planted/train/cats").rename("planted/train/<i>cats&")
    Path("planted/test/cats").rename("planted/test/<i>cats&")
    assert run(["audit", planted, "--out", "one"]) == 0
    html = (Path("one") / "report.html").read_text()
    assert "http" not in re.sub('base64,[^"]*', "", html.replace("http-equiv", ""))
    assert "<script" not in html
    assert "<i>" not in html
    assert "&lt;i&gt;cats&amp;" in html
    assert "\x1b" not in html
    assert "a\\x1b[31m\n&lt;script&gt;alert(1)&lt;b&gt;.png" in html
    assert html.count('<figure class="framed">') == 1
    assert "Under more than one class: 1" in html
    assert "is empty" in html
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert not any(line.startswith("<script>") for line in printed.splitlines())


def test_bytes_that_are_no_text_are_spelled_out(clean):
    try:
        photo(99, os.fsdecode(b"clean/cats/caf\xe9.png"))
        photo(99, "clean/dogs/copy.png")
    except OSError:
        pytest.skip("this file system takes only UTF-8")
    assert run(["audit", clean, "--out", "one", "--quiet"]) == 0
    assert b"caf\\udce9.png" in (Path("one") / "report.html").read_bytes()
    assert b"cats/caf\xe9.png" in (Path("one") / "groups.csv").read_bytes()


def test_visible_text():
    assert visible("naïve 漢字 — ×") == "naïve 漢字 — ×"
    assert visible("a\x1b[0m\n\x00\u202e\udce9") == r"a\x1b[0m\n\x00\u202e\udce9"


def test_long_findings_are_cut_on_the_page_only(tmp_path):
    for i in range(job.ROWS + 3):
        photo(i, tmp_path / "many" / "a" / f"{i}.png")
        photo(i, tmp_path / "many" / "b" / f"{i} too.png")
    for i in range(10):
        photo(0, tmp_path / "many" / "b" / f"0 {i}.png")
    assert run(["audit", "many", "--out", "one", "--quiet"]) == 0
    html = (tmp_path / "one" / "report.html").read_text()
    assert "and 3 more in report.json" in html
    assert "and 4 more" in html
    assert len(RunFolder.load("one").report["cross_class"]) == job.ROWS + 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "data 'nowhere': no such folder"),
        (["clean", "--out", "clean"], "--out clean: already exists"),
        (["clean", "--augment", "ligth"], "--augment ligth: no such preset; did you mean 'light'.; there are: "),
        (["broken"], "2 of 2 files cannot be used: .*; not one is whole"),
        ([], "Missing argument 'SOURCE'"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(arguments, message, clean, tmp_path, capsys):
    for name in "ab":
        (tmp_path / "broken" / name).mkdir(parents=True)
        (tmp_path / "broken" / name / "1.png").write_bytes(b"no image")
    before = sorted(path.name for path in tmp_path.iterdir())
    assert run(["audit", *arguments]) == 2
    error = capsys.readouterr().err.strip()
    assert re.search(message, error), error
    assert len(error.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize("moment", ["audit", "audit_page", "write"])
def test_ctrl_c_leaves_no_half_made_folder(moment, clean, tmp_path, monkeypatch, capsys):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    if moment == "write":
        monkeypatch.setattr(RunFolder, "write_json", interrupt)
    else:
        monkeypatch.setattr(job, moment, interrupt)
    before = sorted(path.name for path in tmp_path.iterdir())
    assert run(["audit", clean, "--out", "one"]) == 130
    assert capsys.readouterr().err == "lightcnn: interrupted\n"
    assert {path.name for path in tmp_path.iterdir()} - {".cache"} == set(before)


def test_quiet_prints_the_verdict_alone(clean, capsys):
    assert run(["audit", clean, "--out", "one", "--quiet"]) == 0
    captured = capsys.readouterr()
    assert captured.out == RunFolder.load("one").report["verdict"] + "\n"
    assert captured.err == ""


def test_an_audit_lists_what_a_search_refuses(planted):
    with pytest.raises(DataError, match=r"2 of 26 files cannot be used.*--skip-corrupt"):
        load(planted)
    assert run(["audit", planted, "--skip-corrupt", "--quiet"]) == 0


def test_arrays_are_audited_too(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (20, 20, 20), dtype=np.uint8)
    images[19] = images[0]
    np.savez("set.npz", train_images=images[:10], train_labels=np.arange(10) % 2, test_images=images[10:],
             test_labels=np.arange(10) % 2)  # fmt: skip
    report = audit("set.npz").document()
    assert report["cross_split"] == [["set.npz#0", "set.npz#19"]]
    assert report["cross_class"] == report["cross_split"]
    assert report["formats"] == {"array": 20}
    assert run(["audit", "set.npz", "--quiet", "--out", "one"]) == 0


def test_the_groups_that_were_found_are_a_source(planted, tmp_path):
    Path("planted/test/dogs", f"{STRANGE}.png").unlink()
    assert run(["audit", planted, "--out", "one", "--quiet"]) == 0
    (tmp_path / "one" / "groups.csv").rename(tmp_path / "planted" / "groups.csv")
    report = audit("planted/groups.csv").document()
    assert report["groups"]["source"] == "manifest"
    assert report["groups"]["count"] == 20
    assert report["groups"]["contradicted"] == []
    assert report["cross_class"] == RunFolder.load("one").report["cross_class"]
    assert report["cross_split"] == RunFolder.load("one").report["cross_split"]


@pytest.mark.parametrize("command", [["audit"], ["search", "--budget", "1MFLOPs", "--data"]])
def test_errors_hold_no_byte_that_a_terminal_obeys(command, capsys):
    for name in "ab":
        photo(0, Path("se\x1b[31mt") / name / "1\x1b]0;new\ntitle\x07.png").write_bytes(b"")
    assert run([*command, "se\x1b[31mt"]) == 2
    error = capsys.readouterr().err
    assert "\x1b" not in error
    assert len(error.splitlines()) == 1
    assert r"se\x1b[31mt" in error


def test_what_cannot_be_split_is_not_called_safe(tmp_path):
    data = manifest(["p1", "p2"] * 6, [""] * 12)
    document = examine(data).document()
    with pytest.raises(DataError, match="class 'a' has 6 images, all of 1 source"):
        split(data, 0)
    assert (
        "No split can be cut: class 'a' has 6 images, all of 1 source, and 3 sides to stand on; " in document["verdict"]
    )
    assert "Nothing that must be mended" not in document["verdict"]
    assert "safely" not in document["verdict"]


def test_groups_that_copies_contradict_are_joined_and_said():
    data = manifest([f"p{i}" for i in range(12)], [""] * 12)
    assert "several groups" not in examine(data).document()["verdict"]
    data = manifest([f"p{i}" for i in range(12)], [""] * 12)
    data.images[2] = data.images[0][::-1]
    verdict = examine(data).document()["verdict"]
    assert "1 photograph stands in several groups of the source, as duplicates: a split joins these groups" in verdict
    assert "Train safely with: lightcnn" in verdict
    joint = grouped(data)
    assert joint.groups[0] == joint.groups[2]


def test_what_was_not_looked_for_is_not_called_safe():
    data = manifest([f"p{i}" for i in range(12)], [""] * 12)
    assert ". Train with: lightcnn" in examine(data, fast=True).document()["verdict"]


def test_groups_that_span_classes_are_said():
    data = manifest([f"p{i // 2}" for i in range(12)], [""] * 12)
    said = "Groups are named by the manifest; 6 hold images of more than one class, which is allowed."
    assert said in examine(data).document()["verdict"]
    assert grouped(data).groups_why in said


def test_a_stand_in_and_notes_are_said_on_the_terminal_and_the_page(clean, capsys):
    assert run(["audit", "synthetic-lesions:count=24,size=32", "--out", "drawn"]) == 0
    assert "STAND-IN" in (Path("drawn") / "report.html").read_text(encoding="utf-8")
    assert "STAND-IN" in capsys.readouterr().out
    Path("clean/cats/notes\x1b[31m.txt").write_text("")
    assert run(["audit", clean, "--out", "one"]) == 0
    assert "passed over 1 files that are no images by name" in (Path("one") / "report.html").read_text(encoding="utf-8")
    printed = capsys.readouterr().out
    assert "note: passed over 1 files that are no images by name (cats/notes\\x1b[31m.txt)" in printed


def test_the_command_of_the_verdict_names_the_data_folder(tmp_path):
    batch = np.random.default_rng(0).integers(0, 256, (40, 3073), dtype=np.uint8)
    batch[:, 0] = np.arange(40) % 10
    folder = tmp_path / "data folder" / "cifar10"
    folder.mkdir(parents=True)
    for name in (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"):
        batch.tofile(folder / name)
    document = audit("cifar10", Reading(data_dir="data folder"), fast=True).document()
    assert "--data cifar10 --data-dir 'data folder' --resplit" in document["train_with"]
    assert document["verdict"].endswith(document["train_with"])


def test_a_class_of_damaged_files_is_audited_and_called_untrainable(tmp_path, capsys):
    for number in range(6):
        photo(number, tmp_path / "set" / "whole" / f"{number}.png")
        photo(number, tmp_path / "set" / "torn" / f"{number}.png").write_bytes(b"text")
    assert run(["audit", str(tmp_path / "set"), "--out", str(tmp_path / "out"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert len(report["corrupt"]) == 6
    assert "class 'torn' has no image after 6 faulty files were left out" in report["verdict"]
    assert "As it is, this cannot be trained on" in report["verdict"]
