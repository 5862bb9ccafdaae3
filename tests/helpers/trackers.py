"""What trackers have stored, read back."""

from __future__ import annotations

import json
import struct
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Points = dict[str, dict[str, list[tuple[int, float]]]]
"""By part, then by name: steps and values in the order in which they were stored."""
BLOCK = 32_768
"""Bytes of a block of the log in a .wandb file, whose format is that of LevelDB."""


def tensorboard_events(folder: Path) -> Iterator[tuple[str, Any, int]]:
    """Part, summary value and step of everything in the event files of a run, file by file."""
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
    from tensorboard.compat.proto.event_pb2 import Event

    root = folder / "tensorboard"
    for file in sorted(root.rglob("events.out.*"), key=lambda path: path.stat().st_mtime_ns):
        part = str(file.parent.relative_to(root)).replace(".", "")
        for content in RawEventFileLoader(str(file)).Load():
            event = Event.FromString(content)
            for value in event.summary.value:
                yield part, value, event.step


def tensorboard_points(folder: Path) -> Points:
    """The scalars in the event files of a run."""
    points: Points = defaultdict(lambda: defaultdict(list))
    for part, value, step in tensorboard_events(folder):
        if value.HasField("simple_value"):
            points[part][value.tag].append((step, round(value.simple_value, 6)))
    return points


def tensorboard_parameters(folder: Path) -> dict[str, dict[str, Any]]:
    """The hyperparameters in the event files of a run, by part."""
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    parameters: dict[str, dict[str, Any]] = defaultdict(dict)
    for part, value, _ in tensorboard_events(folder):
        if value.tag == "_hparams_/session_start_info":
            start = HParamsPluginData.FromString(value.metadata.plugin_data.content).session_start_info
            for name, each in start.hparams.items():
                parameters[part][name] = getattr(each, each.WhichOneof("kind"))
    return parameters


def mlflow_runs(uri: str) -> dict[str, Any]:
    """The runs of the experiment `lightcnn`, by name."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("lightcnn")
    return {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}


def mlflow_points(uri: str) -> Points:
    """The metrics of these runs; the run itself, which has no parent, is the part without a name."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    return {
        name if "mlflow.parentRunId" in run.data.tags else "": {
            metric: [(each.step, round(each.value, 6)) for each in client.get_metric_history(run.info.run_id, metric)]
            for metric in run.data.metrics
        }
        for name, run in mlflow_runs(uri).items()
    }


def wandb_records(folder: Path) -> list[Any]:
    """The records of all sessions of a run that was logged offline, in their order.

    The process of wandb writes the last ones after the run has ended.
    """
    from wandb.proto.wandb_internal_pb2 import Record

    for _ in range(200):
        files = sorted((folder / "wandb").glob("offline-run-*/run-*.wandb"), key=lambda path: path.stat().st_mtime_ns)
        sessions = [[Record.FromString(content) for content in _log_records(file.read_bytes())] for file in files]
        if all(records and records[-1].HasField("exit") for records in sessions):
            return [record for records in sessions for record in records]
        time.sleep(0.05)
    raise AssertionError(f"a session in {folder / 'wandb'} has not ended")


def wandb_rows(folder: Path) -> list[dict[str, Any]]:
    """The rows of its history; `_step` is the number of a row."""
    rows = []
    for record in wandb_records(folder):
        if record.HasField("history"):
            items = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
            rows.append(items | {"_step": record.history.step.num})
    return rows


def _log_records(content: bytes) -> Iterator[bytes]:
    place, parts = 7, b""
    while place + 7 <= len(content):
        if BLOCK - place % BLOCK < 7:  # the end of a block is padded
            place += BLOCK - place % BLOCK
            continue
        length, kind = struct.unpack("<HB", content[place + 4 : place + 7])
        parts += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # the whole record, or its end
            yield parts
            parts = b""
