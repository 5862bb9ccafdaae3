"""The warnings of a report: their codes, their sentences, and where they are shown."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from lightcnn.output.caveats import cautions, data_warnings, warning_lines
from lightcnn.output.report import report_head
from lightcnn.output.warnings import MEANINGS, ReportWarning, WarningCode

DOCS = Path(__file__).parents[2] / "docs" / "reference" / "warnings.md"
DATA = {
    "counts": {"train": 5, "val": 2, "test": 3},
    "stand_in": True,
    "leak_allowed": True,
    "groups_shared": 4,
    "skipped": 6,
    "note": "drawn twice",
    "warnings": [{"code": "files_skipped", "message": "of the source", "count": 1}],
}


def test_every_code_has_a_meaning_and_is_documented() -> None:
    assert set(MEANINGS) == set(get_args(WarningCode))
    rows = [line.split("|")[1:3] for line in DOCS.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    assert {code.strip(): meaning.strip() for code, meaning in rows} == {f"`{c}`": m for c, m in MEANINGS.items()}


def test_warnings_about_data_have_codes_and_counts_most_severe_first() -> None:
    codes = [(warning["code"], warning["count"]) for warning in data_warnings(DATA)]
    assert codes == [("stand_in", 10), ("leak_allowed", 4), ("files_skipped", 6), ("files_skipped", 1)]


def test_data_of_older_versions_without_a_list_of_warnings_are_read() -> None:
    older = {key: value for key, value in DATA.items() if key != "warnings"}
    assert [warning["code"] for warning in data_warnings(older)] == ["stand_in", "leak_allowed", "files_skipped"]


def test_the_head_of_a_report_lists_the_warnings_of_the_data_before_those_of_the_command() -> None:
    head = report_head("train", seed=3, seconds=1.23456, data=DATA, warnings=[ReportWarning("leak_allowed", "more", 2)])
    assert list(head) == ["lightcnn", "command", "seed", "seconds", "warnings", "data"]
    assert head["warnings"] == [*data_warnings(DATA), {"code": "leak_allowed", "message": "more", "count": 2}]
    assert (head["seconds"], head["data"]) == (1.235, DATA)


@pytest.mark.parametrize("seconds", [None, 0.0])
def test_a_report_without_data_has_an_empty_list_of_warnings(seconds: float | None) -> None:
    head = report_head("profile", seconds=seconds)
    assert (head["warnings"], head["data"], "seconds" in head) == ([], None, seconds is not None)
    assert cautions(head) == []


def test_a_terminal_shows_each_warning_and_the_note_but_what_is_omitted() -> None:
    report = report_head("audit", data={**DATA, "stand_in": False, "leak_allowed": False, "groups_shared": 0})
    assert warning_lines(report, omit=("files_skipped",)) == ["note: drawn twice"]
    assert warning_lines(report, omit=("files_skipped", "note")) == []
    assert warning_lines(report) == [
        "warning: 6 files could not be read and were ignored (--skip-corrupt).",
        "warning: of the source",
        "note: drawn twice",
    ]
    assert cautions(report)[1:] == ["of the source", "drawn twice"]
