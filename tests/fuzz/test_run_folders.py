"""Run folders with random changes, through every command that takes a run: used, or refused in one line with exit 2."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from random import Random

import pytest
from helpers.mutations import mutated_json, mutated_text
from helpers.tampered_runs import COMMANDS, SHOWN, prepare, run_safely

ALL = {
    name: command for name, command in (COMMANDS | SHOWN).items() if name != "serve"
}  # it serves until it is stopped
CELLS = (None, -1, 10**15, 9e999, "x", "", "[1]", "{", b"\xff\xfe", "../../outside/secret.txt", "9" * 5_000)
"""What is in a cell of study.db instead."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Few seeds of each command, many with `--long`."""
    long = metafunc.config.getoption("--long")
    if "mutation" in metafunc.fixturenames:
        metafunc.parametrize("mutation", range(20 if long else 1))
    if "cell" in metafunc.fixturenames:
        metafunc.parametrize("cell", range(200 if long else 3))


@pytest.mark.parametrize("command", ALL)
def test_changed_files_of_a_run(command: str, mutation: int, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, arguments = ALL[command]
    random = Random(f"{command} {mutation}")
    prepare(runs, command, "")
    names = sorted(path for end in ("*.json", "*.yaml") for path in (runs / folder).rglob(end))
    reports = [path for path in names if path.name == "report.json"]
    file = random.choice(reports if reports and random.random() < 0.5 else names)
    if file.suffix == ".json":
        changed = json.dumps(mutated_json(json.loads(file.read_bytes()), random))
    else:
        changed = mutated_text(file.read_text(encoding="utf-8"), random)
    file.write_bytes(changed.encode("utf-8", "surrogatepass"))
    code, errors = run_safely(runs, folder, arguments, capsys)
    assert code in (0, 2), (file, changed[:500], errors)
    assert code == 0 or errors, (file, changed[:500])
    assert code == 0 or len(errors) == 1 or file.suffix == ".yaml", errors


def columns(study: Path) -> list[tuple[str, str]]:
    """All tables and their columns."""
    with sqlite3.connect(study) as connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type='table' ORDER BY 1")]
        cells = [(table, row[1]) for table in tables for row in connection.execute(f"PRAGMA table_info({table})")]
    connection.close()
    return cells


def test_changed_cells_of_a_study(cell: int, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random = Random(cell)
    study = prepare(runs, "search", "study.db")
    places = columns(study)
    assert len(places) > 40
    table, column = places[cell % len(places)] if cell >= 16 else random.choice(places)
    where = random.choice(("", " WHERE rowid = 1"))
    value = random.choice(CELLS)
    with sqlite3.connect(study) as connection:
        try:
            connection.execute(f"UPDATE {table} SET {column} = ?{where}", (value,))
        except sqlite3.Error:
            connection.execute(f"DELETE FROM {table}{where}")
    connection.close()
    code, errors = run_safely(runs, *COMMANDS["search"], capsys)
    assert code in (0, 2), (table, column, value, where, errors)
    assert len(errors) == (code == 2), (table, column, value, where, errors)
