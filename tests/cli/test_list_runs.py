"""`lightcnn list runs`: the table, the document and the page, also of runs with untrusted names."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from lightcnn.cli.main import run
from lightcnn.cli.run_index import note_lines, runs_page, runs_table
from lightcnn.output.console import CommandConsole
from lightcnn.recipe import Recipe
from lightcnn.run_list import ListedRun, ListedScore, listed_runs

UNTRUSTED = '<img src=x onerror="alert(1)">\x1b[2J'
REPORT = {
    "command": "train", "data": {"source": UNTRUSTED}, "network": {"cost": {"macs": 851_040, "params": 21_876}},
    "metrics": {"test": {"accuracy": {"value": 0.9, "low": 0.8, "high": 0.95}}},
}  # fmt: skip


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder `runs` with a good run, one with an untrusted name, and a damaged one; the current folder has it."""
    monkeypatch.chdir(tmp_path)
    for name in ("good", UNTRUSTED.replace("/", ""), "javascript:alert(1)"):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        (folder / "environment.json").write_text("{}")
        (folder / "report.json").write_text(json.dumps(REPORT))
        (folder / "report.html").write_text("<p>report</p>")
        Recipe.load("quick").network.save(folder / "spec.yaml")
    (tmp_path / "runs" / "broken").mkdir()
    (tmp_path / "runs" / "broken" / "report.json").write_text("{")
    return tmp_path / "runs"


def test_the_table_has_a_row_per_run_and_a_line_per_damaged_one(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "runs"]) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert re.split(r"  +", lines[0].strip()) == [
        "run", "command", "data", "budget", "test accuracy", "FLOPs", "params", "state", "age",
    ]  # fmt: skip
    assert len(lines) == 6 and "\x1b" not in out
    assert lines[-1].startswith("damaged: run runs/broken: report.json is damaged")
    assert any(line.startswith("good") and "90.00% (80.00% to 95.00%)" in line and "851k" in line for line in lines)


def test_a_narrow_terminal_gets_fewer_columns() -> None:
    rows = [
        ListedRun("mine", Path("mine"), 0.0, "finished", "train", "digits", "1M FLOPs", ListedScore(0.5, None, None))
    ]
    wide, narrow = ([str(column.header) for column in runs_table(rows, width=width).columns] for width in (120, 90))
    assert set(wide) - set(narrow) == {"data", "budget", "params"}
    console = CommandConsole()
    console.width = 80
    with console.capture() as capture:
        console.print(runs_table(rows, width=80))
    assert len(capture.get().splitlines()) == 2


def test_the_document_has_every_run(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "runs", "runs", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    items = {item["name"]: item for item in document["items"]}
    assert document["command"] == "list" and len(items) == 4
    assert items["good"]["accuracy"] == {"value": 0.9, "low": 0.8, "high": 0.95}
    assert items["broken"]["state"] == "damaged" and items["broken"]["problem"]


def test_the_page_links_and_draws_runs_and_escapes_names(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "runs", "--html", "runs/index.html"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "page runs/index.html: 4 runs"
    page = (runs / "index.html").read_text()
    assert "<img" not in page and "\x1b" not in page
    links = re.findall(r'href="([^"]*)"', page)
    assert set(links) == {
        "./good/report.html", "./javascript%3Aalert%281%29/report.html",
        "./%3Cimg%20src%3Dx%20onerror%3D%22alert%281%29%22%3E%1B%5B2J/report.html",
    }  # fmt: skip
    assert page.count('<td data-name="network"><svg') == 3 and page.count('<svg class="track"') == 3
    assert page.count("<b>90.00%</b> <small>80.00% to 95.00%</small>") == 3
    assert "report.json is damaged" in page


def test_links_of_the_page_begin_at_its_folder(runs: Path, tmp_path: Path) -> None:
    page = runs_page(runs, listed_runs(runs), base=tmp_path / "pages").decode()
    assert 'href="./../runs/good/report.html"' in page


def test_a_page_replaces_only_an_earlier_page(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["list", "runs", "--html", "index.html", "--quiet"]
    assert run(command) == run(command) == 0
    before = Path("runs/good/report.html").read_bytes()
    assert run([*command[:3], "runs/good/report.html"]) == 2
    assert capsys.readouterr().err == (
        "lightcnn: --html runs/good/report.html: exists, and is no page of this command; choose another name\n"
    )
    assert Path("runs/good/report.html").read_bytes() == before
    assert run([*command[:3], "missing/index.html"]) == 2
    assert run([*command[:3], "runs"]) == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("list runs missing", "list runs missing: No such file or directory; name a folder that contains run folders"),
        ("list recipes runs", "list recipes: DIR and --html belong to `lightcnn list runs`; leave them out"),
        ("list recipes --html a.html", "list recipes: DIR and --html belong to `lightcnn list runs`; leave them out"),
        ("list runs --show quick", "list runs: --show prints shipped files; open report.html of a run"),
    ],
)
def test_wrong_input_is_one_line(line: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(line.split()) == 2
    assert capsys.readouterr().err == f"lightcnn: {message}\n"


def test_a_single_run_is_counted_in_the_singular(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in set(runs.iterdir()) - {runs / "good"}:
        shutil.rmtree(folder)
    assert run(["list", "runs", "runs", "--html", "index.html"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "page index.html: 1 run"
    assert "1 run, the latest first." in Path("index.html").read_text()


def test_a_folder_without_runs_is_stated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "runs", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path} contains no runs\n"


def test_only_damaged_runs_have_a_line() -> None:
    rows = [ListedRun("a", Path("a"), 0, "damaged", problem="why"), ListedRun("b", Path("b"), 0, "finished")]
    assert note_lines(rows) == ["damaged: why"]


def test_members_of_a_shared_search_name_its_result_once(tmp_path: Path) -> None:
    member = ListedRun("a", tmp_path / "a", 0, "member", study="moles", result="lead on node3")
    rows = [member, replace(member, name="b"), replace(member, name="c", result="")]
    assert note_lines(rows) == ["member of moles: for the result, see lead on node3"]
    console = CommandConsole()
    with console.capture() as capture:
        console.print(runs_table(rows, width=200))
    assert capture.get().count("member of moles") == 3
    assert runs_page(tmp_path, rows, base=tmp_path).decode().count(">member of moles</span>") == 3


def test_long_texts_leave_columns_out_and_wrap_nothing() -> None:
    data = "a/long/path/of/a/folder/with/images"
    rows = [ListedRun("a" * 38, Path("a"), 0.0, "finished", "train", data, "1M FLOPs", ListedScore(0.5, 0.4, 0.6))]
    for width in (100, 10_000):
        console = CommandConsole()
        console.width = width
        with console.capture() as capture:
            console.print(runs_table(rows, width=width))
        assert len(capture.get().splitlines()) == 2, width
    assert data in capture.get()
