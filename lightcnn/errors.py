"""Every error that lightcnn raises on purpose.

LightcnnError              the work failed                                          exit code 1
├── TrainingError          a training diverged or ran out of memory
├── StudyError             the study of a running search cannot be read or written
├── NoNetworkError         a search without any network to deliver
└── InputError             the user's input is wrong, detected before any work      exit code 2
    ├── BudgetError        a budget that cannot be read, or that no network can meet
    ├── DataError          images or labels that cannot be used
    │   ├── DataChanged    a download that differs from an earlier one
    │   └── DataMissing    a data set that is not on this machine and cannot be downloaded
    ├── DocumentError      a YAML file with problems; holds all of them
    └── RunError           a run folder or its storage that cannot be used
"""

from __future__ import annotations

from dataclasses import dataclass


class LightcnnError(Exception):
    """Base of all errors that lightcnn raises on purpose.

    The text is one line with the place, the rule, the value and the remedy. `exit_code` is that of the command.

    Example:
        >>> import lightcnn
        >>> lightcnn.Budget.parse("5 apples")
        Traceback (most recent call last):
        lightcnn.errors.BudgetError: budget '5 apples': unknown unit in '5 apples'; ...
    """

    exit_code = 1


class TrainingError(LightcnnError):
    """A training that diverged or ran out of memory."""


class StudyError(LightcnnError):
    """The study of a running search cannot be read or written."""


class NoNetworkError(LightcnnError):
    """A search that has no network to deliver, on whichever machine it ends."""


class InputError(LightcnnError):
    """The user's input is wrong; nothing has been written."""

    exit_code = 2


class BudgetError(InputError):
    """A budget that cannot be read, or that no network of the search space can meet."""


class DataError(InputError):
    """Images or labels that cannot be used."""


class DataChanged(DataError):  # noqa: N818 - the name states the condition
    """A download that differs from an earlier one, which no published checksum can decide."""


class DataMissing(DataError):  # noqa: N818 - the name states the condition
    """A published data set that is not on this machine and cannot be downloaded; the text explains how to get it."""


class RunError(InputError):
    """A run folder or study storage that cannot be used."""


@dataclass(frozen=True)
class Problem:
    """One problem of one document: its place, and what to do about it."""

    file: str
    path: str
    message: str
    line: int | None = None

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return ": ".join(part for part in (place, self.path, self.message) if part)


class DocumentError(InputError):
    """A YAML document, or a recipe and its data, with one or more problems.

    `problems` holds all of them; the text is that of the first, or of all if they are not those of a file.
    """

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        more = len(problems) - 1
        if not problems[0].file:
            super().__init__("; ".join(map(str, problems)))
            return
        tail = f" (and {more} more: `lightcnn check {problems[0].file}` lists all)" if more else ""
        super().__init__(f"{problems[0]}{tail}")
