"""Every error that lightcnn raises on purpose.

LightcnnError              the work failed                                      exit code 1
├── TrainingError          a training diverged or ran out of memory
└── InputError             what the user gave is wrong, found before any work   exit code 2
    ├── BudgetError        a budget that cannot be read, or that nothing can meet
    ├── DataError          images or labels that cannot be used
    │   └── DataMissing    a data set that is not on this machine and cannot be fetched
    ├── DocumentError      a YAML file: carries every problem found in it
    └── RunError           a run folder or its storage
"""

from __future__ import annotations

from dataclasses import dataclass


class LightcnnError(Exception):
    """Base of all; its text is one line that says where, which rule, which value and what to do."""

    exit_code = 1


class TrainingError(LightcnnError):
    """A training that diverged or ran out of memory."""


class InputError(LightcnnError):
    """The user's input was wrong; nothing has been written."""

    exit_code = 2


class BudgetError(InputError):
    """A budget that cannot be read, or that no network of the space can meet."""


class DataError(InputError):
    """Images or labels that cannot be used."""


class DataMissing(DataError):  # noqa: N818 - what is raised is that the data are missing
    """A published data set that is not on this machine and cannot be fetched; the text says how to get it by hand."""


class RunError(InputError):
    """A run folder or study storage that cannot be used."""


@dataclass(frozen=True)
class Problem:
    """One fault of one document: where it stands and what to do about it."""

    file: str
    path: str
    message: str
    line: int | None = None

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return ": ".join(part for part in (place, self.path, self.message) if part)


class DocumentError(InputError):
    """A YAML document with one or more problems; the text is the first, `problems` holds all."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        more = len(problems) - 1
        tail = f" (and {more} more: `lightcnn check {problems[0].file}` lists all)" if more else ""
        super().__init__(f"{problems[0]}{tail}")
