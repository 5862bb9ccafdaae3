"""What is read of a run's report.json, as untrusted: keys that are not named here are ignored."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lightcnn.errors import RunError
from lightcnn.run_folder import RunFolder
from lightcnn.text import first_line

RESTORE = "restore the file that the run wrote"
"""The remedy for a file that was edited or damaged."""


class _Part(BaseModel):
    """A part of a report.json; keys that are not named here are ignored."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class ReportGroups(_Part):
    """Whether it is known which images share a group, and how many groups each split has."""

    known: bool
    counts: dict[str, Any] = {}


class ReportWarningEntry(_Part):
    """One of the `warnings` about the data of a report.json."""

    code: str
    message: str
    count: int


class ReportData(_Part):
    """The `data` of a report.json."""

    source: str
    stand_in: bool
    fingerprint: str
    classes: list[str]
    counts: dict[str, Any] = {}
    groups: ReportGroups
    groups_shared: int = 0
    leak_allowed: bool = False
    skipped: int = 0
    note: str = ""
    warnings: list[ReportWarningEntry] = []


class _Predictions(_Part):
    sha256: str
    images_sha256: str | None = None


class _Cost(_Part):
    params: int
    macs: int


class _Network(_Part):
    cost: _Cost


class ReportScore(_Part):
    """A score from 0 to 1 with its interval."""

    value: float = Field(ge=0, le=1)
    low: float = Field(ge=0, le=1)
    high: float = Field(ge=0, le=1)


class LargestClass(_Part):
    """The score of always predicting the largest class of the training set."""

    name: str | None = Field(alias="class")
    accuracy: float = Field(ge=0, le=1)

    def document(self) -> dict[str, Any]:
        """The entry of a report.json."""
        return {"class": self.name, "accuracy": self.accuracy}


class RunReport(_Part):
    """What is read of a run's report.json. `metrics` are checked one score at a time: some have none."""

    command: str
    data: ReportData
    network: _Network | None = None
    predictions: _Predictions | None = None
    metrics: Any = None
    epochs: Any = None
    best: Any = None
    parts: Any = None

    def score(self, metric: str) -> ReportScore | None:
        """The score on the test set that the run reports; None if it reports none with an interval."""
        try:
            return ReportScore.model_validate(self.metrics["test"][metric])
        except (ValidationError, TypeError, KeyError, IndexError):
            return None

    @property
    def largest_class(self) -> LargestClass | None:
        """The score of always predicting the largest class; None in reports of earlier versions."""
        try:
            return LargestClass.model_validate(self.metrics["test"]["largest_class"])
        except (ValidationError, TypeError, KeyError, IndexError):
            return None


def read_report(run: RunFolder) -> RunReport:
    """The checked report.json of a run. Raises: RunError."""
    try:
        report = RunReport.model_validate(run.report)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        place = ".".join(map(str, detail["loc"]))
        raise RunError(
            f"{run / 'report.json'}: {place + ': ' if place else ''}{first_line(detail['msg'])}; "
            "name the run of a command that trains"
        ) from None
    classes = report.data.classes
    if len(classes) < 2 or len(set(classes)) < len(classes):
        raise RunError(f"{run / 'report.json'}: data.classes: at least two different classes are required; {RESTORE}")
    return report
