"""Wrong values that public functions are given: each is one line, raised before anything is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import lightcnn
from lightcnn.errors import InputError


def search(**values: Any) -> None:
    lightcnn.search(**({"budget": "1MFLOPs"} | values))


def train(**values: Any) -> None:
    lightcnn.train("quick", **values)


def ablate(**values: Any) -> None:
    lightcnn.ablate("quick", over="architecture", **values)


def audit(**values: Any) -> None:
    lightcnn.audit("digits", **values)


def compare(**values: Any) -> None:
    lightcnn.compare(**({"runs": ["a", "b"]} | values))


def explain(**values: Any) -> None:
    network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    lightcnn.explain(network, torch.zeros(1, 3, 8, 8), **values)


def profile(**values: Any) -> None:
    lightcnn.profile(nn.Conv2d(3, 2, 3), input=(3, 8, 8), latency=True, **values)


CASES: list[tuple[Callable[..., None], str, Any, str]] = [
    (search, "seed", -1, "search: seed: input should be greater than or equal to 0, not -1"),
    (search, "log", "mlfow", "log 'mlfow' is not one of tensorboard, mlflow, wandb; did you mean 'mlflow'?"),
    (train, "log", ["x"], "log 'x' is not one of tensorboard, mlflow, wandb"),
    (search, "trials", "many", "search: trials: input should be a valid integer, not 'many'"),
    (search, "time", float("inf"), "time: must be a number of seconds above 0 or a text such as '10m', not inf"),
    (search, "time", "10", "time='10': not a duration; write it with units, as in 90s, 10m or 1h30m"),
    (search, "data", 3, "data: int is neither a path, nor arrays (X, y), nor a data set of (image, label)"),
    (
        search,
        "input",
        8,
        "input=8: the space micro takes inputs of 16 to 64 pixels; give one of these, or another space",
    ),
    (
        search,
        "strategy",
        "tpr",
        "search: strategy: 'tpr' is not one of surrogate, evolution, tpe, random; did you mean 'tpe'?",
    ),
    (search, "device", "gpu", "search: device: 'gpu' is not one of auto, cpu, cuda, mps; did you mean 'cpu'?"),
    (search, "progress", 3, "progress: must be True, False or a function of (step, done, total), not 3"),
    (search, "set", "augment=light", "search: set: must be a mapping of keys to values, not 'augment=light'"),
    (search, "reading", {"fast": True}, "reading: must be a lightcnn.Reading, not {'fast': True}"),
    (search, "out", 5, "out: has type int; give one of: str, Path"),
    (search, "teacher", 5, "teacher: has type int; give one of: Run, str, Path"),
    (train, "out", b"run", "out: has type bytes; give one of: str, Path"),
    (lightcnn.train, "recipe", 5, "recipe: has type int; give one of: Recipe, str, Path"),
    (lightcnn.export, "run", 5, "run: has type int; give one of: RunFolder, str, Path"),
    (lightcnn.register_timm, "run", 5, "run: has type int; give one of: RunFolder, str, Path"),
    (lightcnn.Run.load, "path", 5, "path: has type int; give one of: str, Path"),
    (search, "resume", True, "resume: out is missing; name the run folder to resume"),
    (search, "out", ".", "out=.: already exists; choose a new folder, or use resume=True to continue the run in it"),
    (search, "budget", None, "search: budget is missing; state what the network may cost, as in search('1MFLOPs')"),
    (train, "folds", 1, "folds=1: at least 2 folds are needed, one to test and others to train on"),
    (train, "folds", "two", "train: folds: input should be a valid integer, not 'two'"),
    (train, "device", 0, "train: device: 0 is not one of auto, cpu, cuda, mps"),
    (ablate, "seeds", 1.5, "ablate: seeds: input should be a valid integer, not 1.5"),
    (ablate, "device", "gpu", "ablate: device: 'gpu' is not one of auto, cpu, cuda, mps; did you mean 'cpu'?"),
    (audit, "fast", "no", "audit: fast: input should be a valid boolean, not 'no'"),
    (audit, "require_data", "yes", "audit: require_data: input should be a valid boolean, not 'yes'"),
    (audit, "augment", 3, "audit: augment: input should be a valid string, not 3"),
    (compare, "seed", -1, "compare: seed: input should be greater than or equal to 0, not -1"),
    (compare, "seed", None, "compare: seed: input should be a valid integer, not None"),
    (compare, "runs", None, "runs=None: not a list of run folders; give two or more of them"),
    (compare, "metric", 3, "compare: metric: input should be a valid string, not 3"),
    (explain, "seed", -1, "explain: seed: input should be greater than or equal to 0, not -1"),
    (explain, "seed", 2**32, "explain: seed: input should be less than 4294967296, not 4294967296"),
    (explain, "samples", "all", "explain: samples: input should be a valid integer, not 'all'"),
    (explain, "batch", 1.5, "batch=1.5: must be a number of images, 1 or more"),
    (profile, "threads", 0, "threads=0: must be a whole number from 1 to 1024"),
    (profile, "threads", 1025, "threads=1025: must be a whole number from 1 to 1024"),
    (profile, "threads", "two", "threads=two: must be a whole number from 1 to 1024"),
]


@pytest.mark.parametrize(("function", "name", "value", "message"), CASES)
def test_a_wrong_value_is_one_line(
    function: Callable[..., None],
    name: str,
    value: Any,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        function(**{name: value})
    assert str(caught.value) == message
    assert list(tmp_path.iterdir()) == []
