"""Weights & Biases: one run, by WANDB_MODE, WANDB_DIR and WANDB_PROJECT; offline data are in the run folder.

Nothing but parameters and scores is sent: no code, no output, nothing about the machine.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from typing import Any, cast

os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # read when wandb is imported
os.environ.setdefault("WANDB_SILENT", "true")  # else it asks for a key in the middle of a run
import wandb

from lightcnn.run_folder import RunFolder
from lightcnn.tracking.journal import Journal
from lightcnn.tracking.tracker import RunPart, State, Tracker

PROJECT = "lightcnn"
CONNECT_SECONDS, UPLOAD_SECONDS = 60, 20
"""Time for the first connection, and for uploading the last values; what is left stays on disk, for `wandb sync`."""


class WandbRun(Tracker):
    """One run. Scores of a part are named PART/SCORE, and its parameters are in the configuration under its name."""

    def __init__(self, folder: RunFolder, journal: Journal) -> None:
        self._rows = journal.count
        self._defined: set[str] = set()
        self._run = wandb.init(
            id=journal.ids.get("") or secrets.token_hex(8), resume="allow", reinit="create_new",
            mode=cast(Any, os.environ.get("WANDB_MODE")),
            project=os.environ.get("WANDB_PROJECT") or PROJECT, name=folder.path.resolve().name,
            dir=None if os.environ.get("WANDB_DIR") else str(folder.path), settings=_settings(),
        )  # fmt: skip

    def start(self, part: RunPart) -> str:
        """Stores the parameters in the configuration of the run."""
        values = dict(part.parameters())
        parameters = {part.name: values} if part.name else values
        self._run.config.update(parameters, allow_val_change=True)  # type: ignore[no-untyped-call]
        return str(self._run.id)

    def scores(self, part: RunPart, step: int, values: Mapping[str, float]) -> None:
        """Logs a row, whose number continues that of an earlier session: a step that exists would be dropped."""
        row, axis = _named(part.name, values), _joined(part.name, part.step)
        for name in row.keys() - self._defined:
            self._run.define_metric(name, step_metric=axis)
        self._defined |= row.keys()
        self._run.log(row | {axis: step}, step=self._rows)
        self._rows += 1

    def summary(self, part: RunPart, number: int, values: Mapping[str, float]) -> None:
        """Sets values of the summary."""
        self._run.summary.update(_named(part.name, values))

    def end(self, state: State) -> None:
        """Ends the run, and waits until it is uploaded."""
        self._run.finish(exit_code=0 if state == "finished" else 1)


def log_in() -> str:
    """Why Weights & Biases cannot be used; empty if there is a key, which its server accepts."""
    try:
        return "" if wandb.login() else "no API key configured"
    except wandb.Error as error:
        return str(error)


def _named(part: str, values: Mapping[str, float]) -> dict[str, float]:
    return {_joined(part, name): value for name, value in values.items()}


def _joined(part: str, name: str) -> str:
    return f"{part}/{name}" if part else name


def _settings() -> wandb.Settings:
    """No output, code or facts about the machine; no links, which a run folder must not have."""
    return wandb.Settings(
        console="off", save_code=False, disable_git=True, disable_code=True, symlink=False, x_disable_stats=True,
        x_disable_meta=True, x_disable_machine_info=True, x_save_requirements=False, init_timeout=CONNECT_SECONDS,
        finish_timeout=UPLOAD_SECONDS, finish_timeout_raises=True,
    )  # fmt: skip
