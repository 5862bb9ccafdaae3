"""The runs in a folder, as `lightcnn list runs` shows them. No torch.

A run folder may come from someone else: one that cannot be read is listed as damaged, with the reason in one line.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from lightcnn import document
from lightcnn.budget import RESOURCES, human
from lightcnn.errors import LightcnnError, RunError
from lightcnn.run_files import VALUE_ERRORS
from lightcnn.run_folder import RunFolder
from lightcnn.text import first_line, format_error, shorten, visible

MARKERS = ("environment.json", "report.json", "export.json")
"""Files of which each run folder has at least one; other folders are not listed."""
SETTINGS = {
    "search.yaml": "search", "ablate.yaml": "ablate", "train.yaml": "train", "data.json": "train",
    "audit.yaml": "audit", "compare.yaml": "compare", "explain.json": "explain",
}  # fmt: skip
"""The file that a command writes first, and the command: an unfinished run has no report."""
SHARED, LED = "shared.yaml", "plan.yaml"
"""In the folder of a machine that took part in a shared search, and in that of one that led it."""
CONTINUED = "continued.txt"
"""In the folder of a finished search that is continued, whose result is that of an earlier session."""
MAX_LETTERS = 200
"""Letters of a text from a run folder that are shown."""


@dataclass(frozen=True)
class ListedScore:
    """A test accuracy with its interval, from 0 to 1; `low` and `high` are None if it has no interval."""

    value: float
    low: float | None
    high: float | None

    def __str__(self) -> str:
        interval = "" if self.low is None or self.high is None else f" ({self.low:.2%} to {self.high:.2%})"
        return f"{self.value:.2%}{interval}"


@dataclass(frozen=True)
class ListedRun:
    """A run folder in one row.

    `state` is finished, running, unfinished, member or damaged, and `problem` states why it is damaged. A member is a
    machine that took part in the search `study` and did not lead its end; `result` is the run folder with the result,
    and its host. `modified` is the time of its last result, in seconds since 1970. `accuracy` is that of the test set;
    what is not known is empty or None.
    """

    name: str
    path: Path
    modified: float
    state: str
    command: str = ""
    data: str = ""
    budget: str = ""
    accuracy: ListedScore | None = None
    macs: int | None = None
    params: int | None = None
    problem: str = ""
    study: str = ""
    result: str = ""

    def document(self) -> dict[str, Any]:
        """The run as one of `items` in the JSON document of `lightcnn list runs`."""
        return asdict(self) | {"name": visible(self.name), "path": visible(str(self.path))}


def listed_runs(folder: Path) -> list[ListedRun]:
    """The runs right below a folder, the latest first; other folders and files are left out.

    Raises: RunError if the folder cannot be read.
    """
    try:
        entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        raise RunError(f"list runs {folder}: {error.strerror}; name a folder that contains run folders") from None
    runs = [_listed_run(entry) for entry in entries if any(os.path.lexists(entry / name) for name in MARKERS)]
    return sorted(runs, key=lambda run: (-run.modified, run.name))


def _listed_run(path: Path) -> ListedRun:
    row = ListedRun(path.name, path, _modified(path), "damaged")
    try:
        return _read(row, RunFolder(path))
    except LightcnnError as error:
        return replace(row, problem=visible(first_line(error)))
    except (OSError, *VALUE_ERRORS) as error:
        reason = f"run {path}: other values than lightcnn writes ({format_error(error)}); restore its files"
        return replace(row, problem=visible(shorten(reason, 2 * MAX_LETTERS)))


def _read(row: ListedRun, run: RunFolder) -> ListedRun:
    """The row with what the run states about itself. Raises: LightcnnError and VALUE_ERRORS if it is damaged."""
    for name in ("report.json", "export.json"):
        if (run / name).is_file():
            finished = _finished(row, run.read_json(name))
            return replace(finished, state=_state(run)) if (run / CONTINUED).is_file() else finished
    RunFolder.load(run.path)
    command = next((command for name, command in SETTINGS.items() if (run / name).is_file()), "")
    data, budget = _asked_for(run)
    row = replace(row, state=_state(run), command=command, data=data, budget=budget)
    if row.state == "unfinished" and (run / SHARED).is_file():
        note = _plain(run, SHARED)
        if "result" in note or not (run / LED).is_file():
            return replace(row, state="member", study=_text(note["study"]), result=_text(note.get("result", "")))
    return row


def _state(run: RunFolder) -> str:
    """The state of a run that has not ended."""
    return "running" if run.is_locked else "unfinished"


def _finished(row: ListedRun, report: Mapping[str, Any]) -> ListedRun:
    data, cost = report.get("data") or {}, (report.get("network") or {}).get("cost") or {}
    return replace(
        row,
        state="finished",
        command=_text(report["command"]),
        data=_text(data.get("source", "")),
        budget=_budget(report.get("budget") or {}),
        accuracy=_accuracy(report.get("metrics") or {}),
        macs=_count(cost.get("macs")),
        params=_count(cost.get("params")),
    )


def _asked_for(run: RunFolder) -> tuple[str, str]:
    """The data and the budget of an unfinished run, from its settings or its recipe."""
    for name in ("search.yaml", "recipe.yaml"):
        if (run / name).is_file():
            values = _plain(run, name)
            return _text(values["data"]), _text(values.get("budget", ""))
    return "", ""


def _plain(run: RunFolder, name: str) -> Any:
    """The values of a YAML file. Raises: DocumentError."""
    return document.plain_data(document.read_text(run / name), str(run / name))[0]


def _accuracy(metrics: Mapping[str, Any]) -> ListedScore | None:
    score = (metrics.get("test") or {}).get("accuracy") or {}
    value, low, high = (_share(score.get(name)) for name in ("value", "low", "high"))
    return None if value is None else ListedScore(value, low, high)


def _budget(limits: Mapping[str, Any]) -> str:
    """The limits of a report, such as `1M FLOPs, 20k to 50k params`."""
    texts = []
    for name, limit in limits.items():
        bounds = [human(float(bound)) for bound in (limit["lower"], limit["upper"]) if bound is not None]
        label = RESOURCES[name].label if name in RESOURCES else name
        texts.append(f"{' to '.join(bounds)} {label}")
    return _text(", ".join(texts))


def _share(value: Any) -> float | None:
    """A score. Raises: TypeError if it is not a number, ValueError if it is not from 0 to 1."""
    if value is None:
        return None
    if not 0 <= value <= 1:
        raise ValueError(f"an accuracy of {value:g}")
    return float(value)


def _count(value: Any) -> int | None:
    """A whole number. Raises: TypeError if it is none."""
    if value is not None and not isinstance(value, int):
        raise TypeError(f"a count of type {type(value).__name__}")
    return value


def _text(value: Any) -> str:
    """A text in one line. Raises: TypeError if it is none."""
    if not isinstance(value, str):
        raise TypeError(f"a text of type {type(value).__name__}")
    return visible(shorten(value, MAX_LETTERS))


def _modified(path: Path) -> float:
    """The time of the first marker that exists; 0 if the folder cannot be read."""
    for name in ("report.json", "export.json", "environment.json"):
        try:
            return (path / name).lstat().st_mtime
        except OSError:
            continue
    return 0.0
