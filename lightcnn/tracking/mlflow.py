"""MLflow: a run, and a child run for each part, at MLFLOW_TRACKING_URI or else in `mlflow.db` of the run folder.

SQLite has been MLflow's default for a local store since version 3.7. MLflow 3.17 refuses its file store, which is in
maintenance mode, unless `MLFLOW_ALLOW_FILE_STORE=true` is set. The package may be `mlflow` or `mlflow-skinny`, whose
modules are the same files.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when mlflow is imported
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"  # stdout may be one JSON document
from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException

from lightcnn.run_folder import RunFolder
from lightcnn.tracking.journal import Journal
from lightcnn.tracking.tracker import Lost, RunPart, State, Tracker

STORE_FILE = "mlflow.db"
EXPERIMENT = "lightcnn"
MAX_PARAMS = 100
"""Parameters that a server takes at once."""
STATUS: dict[State, str] = {"finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}


class MlflowRun(Tracker):
    """A run with its parameters and metrics; nothing of the environment, and no files."""

    def __init__(self, folder: RunFolder, journal: Journal) -> None:
        self._name = folder.path.resolve().name
        self._ids = dict(journal.ids)
        self._open: set[str] = set()
        server = os.environ.get("MLFLOW_TRACKING_URI")
        store = f"sqlite:///{folder.in_place(STORE_FILE).resolve()}"
        self._client = MlflowClient(tracking_uri=server or store)
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
        experiment = self._client.get_experiment_by_name(name)
        files = None if server else (folder / "mlartifacts").resolve().as_uri()
        self._experiment = experiment.experiment_id if experiment else self._client.create_experiment(name, files)
        if "" in self._ids:
            self._continue(self._ids[""])

    def start(self, part: RunPart) -> str:
        """Creates the run, or the child run of a part."""
        tags = {"mlflow.parentRunId": self._ids[""]} if part.name else {}
        run = self._client.create_run(self._experiment, tags=tags, run_name=part.name or self._name)
        self._ids[part.name] = run.info.run_id
        self._open.add(run.info.run_id)
        values = [Param(name, str(value)) for name, value in part.parameters().items()]
        for first in range(0, len(values), MAX_PARAMS):
            self._client.log_batch(run.info.run_id, params=values[first : first + MAX_PARAMS])
        return str(run.info.run_id)

    def scores(self, part: RunPart, step: int, values: Mapping[str, float]) -> None:
        """Logs metrics."""
        now = round(1000 * time.time())
        metrics = [Metric(name, value, now, step) for name, value in values.items()]
        self._client.log_batch(self._ids[part.name], metrics=metrics)

    def summary(self, part: RunPart, number: int, values: Mapping[str, float]) -> None:
        """Logs metrics; the step is the number."""
        self.scores(part, number, values)

    def end(self, state: State) -> None:
        """Sets the status of all runs of this session."""
        for run in self._open:
            self._client.set_terminated(run, STATUS[state])

    def _continue(self, run: str) -> None:
        """Sets the run of an earlier session to running. Raises: Lost if it is not in the store, or was deleted."""
        try:
            stage = self._client.get_run(run).info.lifecycle_stage
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            stage = "deleted"
        if stage == "deleted":
            raise Lost
        self._client.update_run(run, status="RUNNING")
        self._open.add(run)
