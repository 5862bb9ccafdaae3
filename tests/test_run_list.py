"""The runs in a folder: what each states about itself, and folders that are damaged or come from someone else."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from lightcnn.errors import RunError
from lightcnn.run_folder import RunFolder
from lightcnn.run_list import ListedRun, ListedScore, listed_runs

REPORT = {
    "lightcnn": "0.1.0",
    "command": "search",
    "data": {"source": "digits"},
    "budget": {"macs": {"lower": None, "upper": 1_000_000}, "params": {"lower": 20_000, "upper": 50_000}},
    "network": {"cost": {"macs": 996_658, "params": 21_876}},
    "metrics": {"test": {"accuracy": {"value": 0.9, "low": 0.8, "high": 0.95}}},
}


def write_report(folder: Path, report: Any = REPORT, age: float = 0) -> Path:
    folder.mkdir()
    (folder / "environment.json").write_text("{}")
    (folder / "report.json").write_text(json.dumps(report))
    if age:
        os.utime(folder / "report.json", (age, age))
    return folder


def only(folder: Path) -> ListedRun:
    (run,) = listed_runs(folder)
    return run


def test_a_finished_run_states_what_it_found(tmp_path: Path) -> None:
    write_report(tmp_path / "mine")
    run = only(tmp_path)
    assert (run.name, run.state, run.command, run.data) == ("mine", "finished", "search", "digits")
    assert run.budget == "1M FLOPs, 20k to 50k params"
    assert run.accuracy == ListedScore(0.9, 0.8, 0.95) and str(run.accuracy) == "90.00% (80.00% to 95.00%)"
    assert (run.macs, run.params, run.problem) == (996_658, 21_876, "")


def test_runs_without_a_score_or_a_network_have_none(tmp_path: Path) -> None:
    write_report(tmp_path / "compared", {"command": "compare", "data": None, "network": None, "metrics": None})
    run = only(tmp_path)
    assert (run.state, run.command, run.accuracy, run.macs, run.data, run.budget) == (
        "finished", "compare", None, None, "", "",
    )  # fmt: skip


def test_the_latest_run_is_the_first_and_other_entries_are_left_out(tmp_path: Path) -> None:
    for name, age in (("old", 1e9), ("new", 1.5e9), ("middle", 1.2e9)):
        write_report(tmp_path / name, age=age)
    write_report(tmp_path / ".hidden.0123456789abcdef.part")
    (tmp_path / "notes").mkdir()
    (tmp_path / "report.json").write_text("{}")
    assert [run.name for run in listed_runs(tmp_path)] == ["new", "middle", "old"]


def test_an_unfinished_run_is_recognised_by_its_settings(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "search", "search", {"search.yaml": b"data: digits\nbudget: 1MFLOPs\n"})
    RunFolder.create(tmp_path / "train", "train", {"train.yaml": b"{}", "recipe.yaml": b"data: cifar10\n"})
    with run.locked():
        states = {row.name: row for row in listed_runs(tmp_path)}
        assert (states["search"].state, states["train"].state) == ("running", "unfinished")
    assert (states["search"].command, states["search"].data, states["search"].budget) == ("search", "digits", "1MFLOPs")
    assert (states["train"].command, states["train"].data) == ("train", "cifar10")
    before = sorted(path.name for path in (tmp_path / "train").iterdir())
    assert {row.state for row in listed_runs(tmp_path)} == {"unfinished"}
    assert sorted(path.name for path in (tmp_path / "train").iterdir()) == before, "nothing is written"


def test_a_machine_that_did_not_lead_a_shared_search_is_a_member(tmp_path: Path) -> None:
    settings = {
        "search.yaml": b"data: digits\nbudget: 1MFLOPs\n",
        "shared.yaml": b"storage: grpc://db:1\nstudy: moles\n",
    }
    result = b"result: lead on node3\n"
    folders = {"left": {}, "led": {"plan.yaml": b""}, "ended": {"shared.yaml": settings["shared.yaml"] + result}}
    for name, files in folders.items():
        RunFolder.create(tmp_path / name, "search", settings | files)
    rows = {row.name: (row.state, row.study, row.result) for row in listed_runs(tmp_path)}
    assert rows == {
        "left": ("member", "moles", ""), "led": ("unfinished", "", ""), "ended": ("member", "moles", "lead on node3"),
    }  # fmt: skip
    RunFolder(tmp_path / "ended").write_bytes("shared.yaml", b"storage: grpc://db:1\n")
    assert next(row for row in listed_runs(tmp_path) if row.name == "ended").state == "damaged"


def test_an_export_is_listed(tmp_path: Path) -> None:
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "export.json").write_text(json.dumps({"command": "export", "data": {"source": "digits"}}))
    assert (only(tmp_path).state, only(tmp_path).command) == ("finished", "export")


@pytest.mark.parametrize(
    "path",
    [
        ("command",), ("data",), ("data", "source"), ("budget",), ("budget", "macs"), ("budget", "macs", "upper"),
        ("network",), ("network", "cost"), ("network", "cost", "macs"), ("metrics",), ("metrics", "test"),
        ("metrics", "test", "accuracy"), ("metrics", "test", "accuracy", "value"),
    ],
    ids=".".join,
)  # fmt: skip
def test_values_of_any_type_are_listed_or_damaged_and_never_fail(path: tuple[str, ...], tmp_path: Path) -> None:
    values: tuple[Any, ...] = (
        [1],
        ["a"],
        "text\x1b[2J\n",
        7,
        -7,
        1e300,
        10**300,
        True,
        None,
        {},
        {"a": 1},
        {"value": 9},
    )
    for number, value in enumerate(values):
        report = json.loads(json.dumps(REPORT))
        place = report
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        write_report(tmp_path / f"run{number}", report)
    runs = listed_runs(tmp_path)
    assert len(runs) == len(values)
    for run in runs:
        assert run.state in ("finished", "damaged") and bool(run.problem) == (run.state == "damaged")
        assert json.dumps(run.document()).isprintable()
    assert any(run.state == "damaged" for run in runs)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"{", "report.json is damaged"),
        (b"[]", "report.json is not a mapping"),
        (b'{"command": NaN}', "report.json is damaged"),
        (b"[" * 100_000, "report.json is damaged"),
        (b"\xff", "report.json is damaged"),
    ],
)
def test_a_damaged_report_is_one_line(content: bytes, problem: str, tmp_path: Path) -> None:
    write_report(tmp_path / "mine")
    (tmp_path / "mine" / "report.json").write_bytes(content)
    run = only(tmp_path)
    assert run.state == "damaged" and problem in run.problem and run.problem.isprintable()


def test_links_and_names_that_are_not_text_are_damaged(tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text(json.dumps(REPORT))
    runs = tmp_path / "runs"
    runs.mkdir()
    (runs / "linked").mkdir()
    (runs / "linked" / "report.json").symlink_to(secret)
    (runs / "loop").mkdir()
    (runs / "loop" / "report.json").symlink_to("report.json")
    named = runs / os.fsdecode(b"\xff\x1b")
    named.mkdir()
    (named / "environment.json").write_text("{}")
    rows = {row.name: row for row in listed_runs(runs)}
    assert len(rows) == 3 and {row.state for row in rows.values()} == {"damaged"}
    assert "a link" in rows["linked"].problem and "a link" in rows["loop"].problem
    assert all(json.dumps(row.document()).isprintable() for row in rows.values())


def test_unfinished_runs_with_damaged_settings_are_one_line(tmp_path: Path) -> None:
    for number, settings in enumerate([b"data: [1]\n", b"- 1\n", b"data: *a\n", b"\xff", b"budget: 1MFLOPs\n"]):
        RunFolder.create(tmp_path / f"run{number}", "search", {"search.yaml": settings})
    rows = listed_runs(tmp_path)
    assert len(rows) == 5
    assert all(row.state == "damaged" and row.problem.isprintable() for row in rows)


def test_a_folder_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="No such file or directory; name a folder that contains run folders"):
        listed_runs(tmp_path / "missing")
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="Not a directory"):
        listed_runs(tmp_path / "file")
