"""The names of the trackers, and whether they can be used. The command line reads them: nothing heavy is imported."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from typing import Literal, get_args
from urllib.parse import urlsplit

from lightcnn.errors import InputError
from lightcnn.text import first_line, in_one_line, not_one_of

TrackerName = Literal["tensorboard", "mlflow", "wandb"]
TRACKERS: tuple[TrackerName, ...] = get_args(TrackerName)
"""The names of the trackers, which are also those of their Python modules and of the extras that install them."""
OFFLINE = ("offline", "dryrun", "disabled")
"""Values of WANDB_MODE with which Weights & Biases sends nothing, so that no key is needed."""

DATABRICKS = ("databricks", "databricks-uc", "uc")
"""Values of MLFLOW_TRACKING_URI that are names of servers, and not paths."""


def require_trackers(log: str | Sequence[str]) -> tuple[TrackerName, ...]:
    """The trackers of `--log`, each once.

    Raises: InputError if one is unknown or not installed, lacks a key, or refuses the store that is set for it.
    """
    given = [log] if isinstance(log, str) else log
    if not isinstance(given, Sequence):
        raise InputError(f"--log {in_one_line(log)}: not a list of trackers; give some of {', '.join(TRACKERS)}")
    for name in given:
        if name not in TRACKERS:
            raise InputError(f"--log {not_one_of(str(name), TRACKERS)}")
    names = tuple(name for name in TRACKERS if name in given)
    for name in names:
        _require_installed(name)
    if "mlflow" in names:
        _require_store()
    if "wandb" in names:
        _require_key()
    return names


def _require_installed(name: TrackerName) -> None:
    """Raises: InputError. A folder of that name, as a tracker makes in the current one, is not its package."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise InputError(f"--log {name}: {name} is not installed; pip install 'lightcnn[{name}]'")


def _require_store() -> None:
    """Raises: InputError if MLFLOW_TRACKING_URI is a file store that MLflow refuses. Nothing is imported for this."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if os.environ.get("MLFLOW_ALLOW_FILE_STORE", "").lower() not in ("true", "1") and _is_file_store(uri):
        raise InputError(
            f"--log mlflow: MLFLOW_TRACKING_URI is {uri!r}, a file store, which MLflow refuses without its permission; "
            "set MLFLOW_ALLOW_FILE_STORE=true, or unset MLFLOW_TRACKING_URI, which logs into the run folder"
        )


def _is_file_store(uri: str) -> bool:
    if not uri or uri in DATABRICKS:
        return False
    try:
        return urlsplit(uri).scheme in ("", "file")
    except ValueError:  # which MLflow reports when it opens the store
        return False


def _require_key() -> None:
    """Raises: InputError if Weights & Biases would ask for a key, or its server refuses the key."""
    if os.environ.get("WANDB_MODE", "online") in OFFLINE:
        return
    from lightcnn.tracking.wandb import log_in

    if problem := log_in():
        reason = first_line(problem).rstrip(".")
        raise InputError(f"--log wandb: {reason}; or set WANDB_MODE=offline, which logs into the run folder")
