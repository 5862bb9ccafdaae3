"""`lightcnn audit`: what it writes and prints, and what it refuses."""

from __future__ import annotations

import csv
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from helpers.audited_images import STRANGE, photo, use_quick_search, write_clean, write_planted
from helpers.pages import read_page

from lightcnn.auditing import job
from lightcnn.auditing.audit import examine_source
from lightcnn.auditing.page import MAX_ROWS
from lightcnn.auditing.report import audit_report
from lightcnn.auditing.terminal import audit_tables
from lightcnn.cli.main import run
from lightcnn.data.sources.load import load
from lightcnn.errors import DataError
from lightcnn.output.console import CommandConsole
from lightcnn.run_folder import RunFolder
from lightcnn.text import visible

pytestmark = pytest.mark.usefixtures("undrawn_charts")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_quick_search(tmp_path, monkeypatch)


@pytest.fixture
def clean() -> str:
    return write_clean()


@pytest.fixture
def planted() -> str:
    return write_planted()


def test_fast_omits_near_duplicates_and_states_that(planted, capsys):
    assert run(["audit", planted, "--fast", "--out", "quick"]) == 0
    report = RunFolder.load("quick").report
    assert report["fast"] is True
    assert report["near_searched"] is False
    assert report["near_duplicates"] == []
    assert report["cross_class"] == []
    assert len(report["exact_duplicates"]) == len(report["cross_split"]) == 1
    assert "near duplicates were not searched for (--fast)" in report["verdict"]
    assert "not searched" in capsys.readouterr().out


def test_json_is_the_report_and_nothing_else(planted, capsys):
    assert run(["audit", planted, "--out", "one", "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == RunFolder.load("one").report
    assert captured.err == ""


def test_the_run_folder_has_all_files(planted, capsys):
    assert run(["audit", planted, "--augment", "light"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    (out,) = Path("runs").iterdir()
    assert out.name.startswith("audit-")
    assert last == f"run folder {out}: open {out / 'report.html'}"
    names = {"audit.yaml", "report.json", "report.html", "log.txt", "environment.json", "groups.csv", "plots"}
    assert {path.name for path in out.iterdir()} == names
    assert {path.name for path in (out / "plots").iterdir()} == {
        "cross_class.png", "cross_split.png", "exact_duplicates.png", "near_duplicates.png", "sizes.png", "augment.png",
        "classes.png",
    }  # fmt: skip
    with open(out / "groups.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == list(load(without_damaged_files(planted)).paths)
    zero = {row["group"] for row in rows if "/0" in row["path"]}
    assert zero == {"train/cats/0 turned.png"}
    assert {row["split"] for row in rows} == {"train", "test"}
    assert {row["label"] for row in rows} == {"cats", "dogs"}


def without_damaged_files(planted):
    """The folder without its damaged files."""
    for name in ("train/cats/empty.png", "train/dogs/cut.png"):
        (Path(planted) / name).unlink()
    return planted


def test_the_page_opens_offline_and_escapes_every_name(planted, capsys):
    Path("planted/train/cats").rename("planted/train/<i>cats&")
    Path("planted/test/cats").rename("planted/test/<i>cats&")
    assert run(["audit", planted, "--out", "one"]) == 0
    html = (Path("one") / "report.html").read_text()
    assert "<i>" not in html and "<i>cats&" in read_page(html)
    assert "&lt;i&gt;cats&amp;" in html
    assert "\x1b" not in html
    assert "a\\x1b[31m\n&lt;script&gt;alert(1)&lt;b&gt;.png" in html
    assert html.count('<li class="framed">') == 1
    assert "Clusters under more than one class: 1" in html and "3 problems must be fixed." in html
    assert html.count('<details class="zoom">') == html.count(', enlarge"') > 1
    assert '<span class="badge test">test</span>' in html
    assert "is empty" in html
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert not any(line.startswith("<script>") for line in printed.splitlines())


def test_names_that_are_not_utf_8_are_escaped(clean):
    try:
        photo(99, os.fsdecode(b"clean/cats/caf\xe9.png"))
        photo(99, "clean/dogs/copy.png")
    except OSError:
        pytest.skip("this file system takes only UTF-8")
    assert run(["audit", clean, "--out", "one", "--quiet"]) == 0
    assert b"caf\\udce9.png" in (Path("one") / "report.html").read_bytes()
    assert b"cats/caf\xe9.png" in (Path("one") / "groups.csv").read_bytes()


def test_unprintable_characters_are_escaped():
    assert visible("naïve 漢字 — ×") == "naïve 漢字 — ×"
    assert visible("a\x1b[0m\n\x00\u202e\udce9") == r"a\x1b[0m\n\x00\u202e\udce9"


def test_long_lists_of_findings_are_shortened_only_on_the_page(tmp_path):
    for i in range(MAX_ROWS + 3):
        photo(i, tmp_path / "many" / "a" / f"{i}.png")
        photo(i, tmp_path / "many" / "b" / f"{i} too.png")
    for i in range(10):
        photo(0, tmp_path / "many" / "b" / f"0 {i}.png")
    assert run(["audit", "many", "--out", "one", "--quiet"]) == 0
    html = (tmp_path / "one" / "report.html").read_text()
    assert "and 3 more in report.json" in html
    assert "and 4 more" in html
    assert len(RunFolder.load("one").report["cross_class"]) == MAX_ROWS + 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "data 'nowhere': no such folder or data set"),
        (["clean", "--out", "clean"], "--out clean: already exists"),
        (["clean", "--augment", "ligth"], "audit: augment: 'ligth' is not one of none, .*; did you mean 'light'.$"),
        (["broken"], "2 of 2 files cannot be used: .*; no file is usable"),
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


@pytest.mark.parametrize("moment", ["examine_source", "audit_page", "write"])
def test_ctrl_c_leaves_no_incomplete_folder(moment, clean, tmp_path, monkeypatch, capsys):
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


def test_quiet_prints_only_the_verdict(clean, capsys):
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
    report = audit_report(examine_source("set.npz"))
    assert report["cross_split"] == [["set.npz#0", "set.npz#19"]]
    assert report["cross_class"] == report["cross_split"]
    assert report["formats"] == {"array": 20}
    assert run(["audit", "set.npz", "--quiet", "--out", "one"]) == 0


def test_the_groups_csv_of_an_audit_can_be_audited_as_a_manifest(planted, tmp_path):
    Path("planted/test/dogs", f"{STRANGE}.png").unlink()
    assert run(["audit", planted, "--out", "one", "--quiet"]) == 0
    (tmp_path / "one" / "groups.csv").rename(tmp_path / "planted" / "groups.csv")
    report = audit_report(examine_source("planted/groups.csv"))
    assert report["groups"]["source"] == "manifest"
    assert report["groups"]["count"] == 20
    assert report["groups"]["contradicted"] == []
    assert report["cross_class"] == RunFolder.load("one").report["cross_class"]
    assert report["cross_split"] == RunFolder.load("one").report["cross_split"]


@pytest.mark.parametrize("command", [["audit"], ["search", "--budget", "1MFLOPs", "--data"]])
def test_errors_contain_no_control_characters(command, capsys):
    for name in "ab":
        photo(0, Path("se\x1b[31mt") / name / "1\x1b]0;new\ntitle\x07.png").write_bytes(b"")
    assert run([*command, "se\x1b[31mt"]) == 2
    error = capsys.readouterr().err
    assert "\x1b" not in error
    assert len(error.splitlines()) == 1
    assert r"se\x1b[31mt" in error


def test_a_stand_in_and_notes_are_shown_on_the_terminal_and_the_page(clean, capsys):
    assert run(["audit", "synthetic-lesions:count=24,size=32", "--out", "synthetic"]) == 0
    assert "STAND-IN" in (Path("synthetic") / "report.html").read_text(encoding="utf-8")
    assert "STAND-IN" in capsys.readouterr().out
    Path("clean/cats/notes\x1b[31m.txt").write_text("")
    assert run(["audit", clean, "--out", "one"]) == 0
    assert "Files without an image suffix were not read: 1" in (Path("one") / "report.html").read_text(encoding="utf-8")
    printed = capsys.readouterr().out
    assert "warning: Files without an image suffix were not read: 1 (cats/notes\\x1b[31m.txt)" in printed


def test_a_class_of_damaged_files_is_audited_and_cannot_be_trained_on(tmp_path, capsys):
    for number in range(6):
        photo(number, tmp_path / "set" / "whole" / f"{number}.png")
        photo(number, tmp_path / "set" / "torn" / f"{number}.png").write_bytes(b"text")
    assert run(["audit", str(tmp_path / "set"), "--out", str(tmp_path / "out"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert len(report["corrupt"]) == 6
    assert "class 'torn' has no image after 6 faulty files were left out" in report["verdict"]
    assert "These images cannot be trained on as they are" in report["verdict"]


def test_a_narrow_terminal_shows_no_examples(planted):
    report = audit_report(examine_source(planted, fast=True))
    for width, header in ((80, "finding"), (100, "finding example")):
        console = CommandConsole()
        console.width = width
        with console.capture() as capture:
            console.print(audit_tables(report, width=width))
        lines = capture.get().splitlines()
        assert lines[0].split() == header.split()
        assert lines[6] == "" and all(len(line) <= width for line in lines), "one line per kind of finding"
