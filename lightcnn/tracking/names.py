"""The names of the trackers, and whether they can be used. The command line reads them: nothing heavy is imported."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from typing import Literal, get_args

from lightcnn.errors import InputError
from lightcnn.text import first_line, not_one_of

TrackerName = Literal["tensorboard", "mlflow", "wandb"]
TRACKERS: tuple[TrackerName, ...] = get_args(TrackerName)
"""The names of the trackers, which are also those of their Python modules and of the extras that install them."""
OFFLINE = ("offline", "dryrun", "disabled")
"""Values of WANDB_MODE with which Weights & Biases sends nothing, so that no key is needed."""


def require_trackers(log: str | Sequence[str]) -> tuple[TrackerName, ...]:
    """The trackers of `--log`, each once. Raises: InputError if one is unknown, not installed, or lacks a key."""
    given = dict.fromkeys([log] if isinstance(log, str) else log)
    for name in given:
        if name not in TRACKERS:
            raise InputError(f"--log {not_one_of(str(name), TRACKERS)}")
    names = tuple(name for name in TRACKERS if name in given)
    for name in names:
        _require_installed(name)
    if "wandb" in names:
        _require_key()
    return names


def _require_installed(name: TrackerName) -> None:
    """Raises: InputError. A folder of that name, as a tracker makes in the current one, is not its package."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise InputError(f"--log {name}: {name} is not installed; pip install 'lightcnn[{name}]'")


def _require_key() -> None:
    """Raises: InputError if Weights & Biases would ask for a key, or its server refuses the key."""
    if os.environ.get("WANDB_MODE", "online") in OFFLINE:
        return
    from lightcnn.tracking.wandb import log_in

    if problem := log_in():
        reason = first_line(problem).rstrip(".")
        raise InputError(f"--log wandb: {reason}; or set WANDB_MODE=offline, which logs into the run folder")
