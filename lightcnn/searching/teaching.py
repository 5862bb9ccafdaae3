"""The teacher of a search: whether it fits the data, what it predicts, and how one of timm is trained first."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from lightcnn import document, upstream_runs
from lightcnn.baseline_spec import PICKLES, TIMM_NAME, TIMM_PREFIX, conversion_command
from lightcnn.baselines import build_network, configuration, require_pretrained
from lightcnn.data.dataset import Dataset
from lightcnn.data.pipeline import Pipeline
from lightcnn.data.split import Split
from lightcnn.engine.checkpoints import Checkpoints
from lightcnn.engine.history import History
from lightcnn.errors import InputError, TrainingError
from lightcnn.overrides import Override
from lightcnn.recipe import RECIPE_FILE, Recipe
from lightcnn.run_folder import RunFolder
from lightcnn.searching.progress import SearchProgress
from lightcnn.searching.settings import SearchSettings
from lightcnn.teacher import BATCH, TEACHER_FILE, TeacherPredictions, TeacherRun, open_teacher, require_teacher
from lightcnn.training import session
from lightcnn.training.progress import CalledTrainingProgress
from lightcnn.training.recipe_argument import RecipeDraft, read_recipe_argument
from lightcnn.training.setup import TrainingSetup
from lightcnn.training.setup import prepare as prepare_training

OPTION = "--teacher"
FOLDER = "teacher"
"""The run of a teacher that the search trains, in its own run folder."""
TIME_SHARE = 1 / 3
"""Largest share of the time of a search in which its teacher is trained, of the time that is left when that starts."""
SAFETY_SHARE = 0.9
"""Share of that time that is planned: the speed is measured on a few batches."""


@dataclass(frozen=True, eq=False)
class NewTeacher:
    """A pretrained network of timm that has to be trained on the data of the search, or further than it was.

    `earlier` are its epochs in earlier sessions, None if none began it. `seconds` is how long it may take in all
    sessions, None without a time limit, and `expected` how long it takes in them by its measured speed, 0 if that is
    unknown.
    """

    name: str
    setup: TrainingSetup
    earlier: History | None = None
    seconds: float | None = None
    expected: float = 0.0

    @property
    def epochs(self) -> int:
        """The epochs of the training."""
        return self.setup.recipe.training.epochs

    def planned(self, limit: float, began: float) -> NewTeacher:
        """The training with as many epochs as fit into a third of what is left of `limit` seconds since `began`.

        `began` is a `time.monotonic()`. Nothing else should run meanwhile: the speed is measured, unless an epoch of an
        earlier session shows it. A training that is started keeps its epochs. Raises: InputError if not even one fits.
        """
        with _naming(self.name):
            epoch = self._epoch_seconds()
        spent = time.monotonic() - began
        seconds = TIME_SHARE * (limit - spent)
        if self.earlier is not None:
            expected = self.earlier.seconds + (self.epochs - self.earlier.epoch) * epoch
            return replace(self, seconds=seconds, expected=min(expected, max(seconds, self.earlier.seconds)))
        planned = replace(self, setup=_limited(self.setup, self.name, epoch, spent, seconds), seconds=seconds)
        return replace(planned, expected=planned.epochs * epoch)

    def _epoch_seconds(self) -> float:
        """Seconds of an epoch."""
        if self.earlier is not None and self.earlier.rows:
            return fmean(row.seconds for row in self.earlier.rows)
        return float(session.estimate(self.setup)["estimate"]["seconds"]) / self.epochs


Teacher = TeacherRun | TeacherPredictions | NewTeacher


def require_teacher_argument(settings: SearchSettings, existing: RunFolder | None) -> None:
    """Checks, before the data are read, that there is a teacher as the settings name it.

    That of an `existing` search may be gone once its predictions, or its training, are in the run folder. Raises:
    InputError.
    """
    name = settings.teacher
    if name is None or (existing is not None and (existing / TEACHER_FILE).is_file()):
        return
    if not name.startswith(TIMM_PREFIX):
        require_teacher(name, key=OPTION)
    elif not _has_started(existing):
        _require_pretrained(settings, name)


def find_teacher(
    settings: SearchSettings,
    dataset: Dataset,
    sets: Split,
    device: torch.device,
    existing: RunFolder | None,
) -> Teacher | None:
    """The teacher of a search, if it has one, with a note if it is unknown which images that was trained on.

    Of an `existing` search it is the teacher that this was started with, whose run may be gone.

    Raises: InputError if the teacher does not fit the data, or was trained on images of the validation or the test set.
    """
    name = settings.teacher
    if name is None:
        return None
    has_predictions = existing is not None and (existing / TEACHER_FILE).is_file()
    if name.startswith(TIMM_PREFIX) and not has_predictions:
        if existing is None or not (existing / f"{FOLDER}/report.json").is_file():
            return _new_teacher(settings, name, dataset, device, existing)
        name = str(existing / FOLDER)  # which is trained, so that its first weights may be gone
    scaled = dataset.scaled_to(sets.train)  # as the images that it predicts
    teacher = open_teacher(name, scaled, sets.train, key=OPTION, device=device.type, kept=existing)
    if isinstance(teacher, TeacherPredictions):
        return teacher
    return replace(teacher, note=upstream_runs.require_unseen(OPTION, teacher.run, dataset, sets))


def teacher_estimate(teacher: Teacher | None, name: str | None) -> dict[str, Any]:
    """`teacher` of a dry run, by its `name` in the settings; `epochs` of one that is trained first, and `seconds`."""
    if name is None:
        return {}
    epochs = teacher.epochs if isinstance(teacher, NewTeacher) else None
    return {"teacher": {"name": name, "epochs": epochs, "seconds": round(teacher_seconds(teacher), 1) or None}}


def planned_teacher(
    teacher: NewTeacher | TeacherRun, dataset: Dataset, sets: Split, limit: float, began: float
) -> NewTeacher | TeacherRun:
    """The teacher with the seconds that it will take, in a search of `limit` seconds since `began`.

    `began` is a `time.monotonic()`. Nothing else should run meanwhile: the speed is measured. Raises: InputError if it
    would take more than a third of the time that is left.
    """
    if isinstance(teacher, NewTeacher):
        return teacher.planned(limit, began)
    scaled, few = dataset.scaled_to(sets.train), sets.train[:BATCH]
    teacher.seconds(scaled, few[:2])  # the first images take longer
    expected = len(sets.train) * teacher.seconds(scaled, few)
    spent = time.monotonic() - began
    if expected > TIME_SHARE * (limit - spent):
        raise InputError(
            f"{OPTION} {teacher.run.path}: its predictions for {len(sets.train):,} training images take about "
            f"{expected:.0f} s, more than a third of the time that is left; give --time {_minutes(expected, spent)}m "
            "or more, or a smaller teacher"
        )
    return replace(teacher, expected=expected)


def teacher_seconds(teacher: Teacher | None) -> float:
    """Seconds in which a teacher will be trained or will predict; 0 if it has done so, or there is no time limit."""
    return teacher.expected if isinstance(teacher, (NewTeacher, TeacherRun)) else 0.0


def expected_training(teacher: Teacher | None) -> float:
    """Those in which it will be trained."""
    return teacher.expected if isinstance(teacher, NewTeacher) else 0.0


def predictions_of(
    teacher: Teacher | None, pipeline: Pipeline, folder: RunFolder, progress: SearchProgress
) -> TeacherPredictions | None:
    """What the teacher predicts for the training images, which is kept in the run folder; None without a teacher."""
    dataset, train = pipeline.dataset, pipeline.split.train
    if isinstance(teacher, NewTeacher):
        run = _trained(teacher, folder, progress)
        opened = open_teacher(str(run.path), dataset, train, key=OPTION, device=pipeline.device.type)
        assert isinstance(opened, TeacherRun), "a run folder has the network itself"
        teacher = opened
    if isinstance(teacher, TeacherRun):
        teacher = teacher.predict(dataset, train, progress.reading)
    if (folder / f"{FOLDER}/report.json").is_file():
        Checkpoints(folder / f"{FOLDER}/checkpoints").remove()
    if teacher is not None and not (folder / TEACHER_FILE).is_file():
        folder.write_bytes(TEACHER_FILE, teacher.content())
    return teacher


def teaching_seconds(folder: RunFolder) -> float:
    """The seconds of all sessions in which the teacher was trained; 0 if the search trained none."""
    if not (folder / f"{FOLDER}/report.json").is_file():
        return 0.0
    return float(RunFolder(folder / FOLDER).report["seconds"])


def _trained(teacher: NewTeacher, folder: RunFolder, progress: SearchProgress) -> RunFolder:
    """The finished run of the teacher in the run folder of the search. Raises: InputError; TrainingError."""

    def call(step: str, done: int, total: int) -> None:
        if step == "training":
            progress.teaching(done, total)
        else:
            progress.reading(f"{step} of the teacher", done, total)

    path = folder / FOLDER
    run = RunFolder.load(path) if path.exists() else None
    if run is None or not (run / "report.json").is_file():
        reported, started = CalledTrainingProgress(call), time.monotonic()
        with _naming(teacher.name):
            run = session.train_one(
                teacher.setup, path, run, progress=reported, started=started, time_limit=teacher.seconds
            )
    return run


def _has_started(existing: RunFolder | None) -> bool:
    """Whether an earlier session started to train the teacher."""
    return existing is not None and (existing / f"{FOLDER}/{RECIPE_FILE}").is_file()


def _require_pretrained(settings: SearchSettings, name: str) -> None:
    """Raises: InputError unless `timm:NAME` or `timm:NAME=FILE` is a network of timm with weights of that network."""
    network, equals, file = name.removeprefix(TIMM_PREFIX).partition("=")
    if not re.fullmatch(TIMM_NAME, network):
        problem = f"{network} is not a name in timm" if network else "the name of the network is missing"
        raise InputError(f"{OPTION} {name}: {problem}; write {TIMM_PREFIX}NAME, as in {TIMM_PREFIX}resnet18")
    if equals:
        configuration(network, OPTION)
        _require_weights_file(name, file)
        with _naming(name):
            build_network(_draft(settings, name).recipe.network, settings.seed)
    else:
        require_pretrained(network, OPTION, f"give {OPTION} {TIMM_PREFIX}{network}=FILE.safetensors")


def _require_weights_file(name: str, file: str) -> None:
    """Raises: InputError unless a file of weights follows the `=` in `name`: random weights teach nothing."""
    if file.lower().endswith(PICKLES):
        remedy = f"convert it with: {conversion_command(file)}"
        raise InputError(f"{OPTION} {name}: {file} is a pickle, which is not read; {remedy}")
    if not file.endswith(".safetensors"):
        raise InputError(
            f"{OPTION} {name}: the = is followed by {file or 'nothing'}, not by a .safetensors file of pretrained "
            "weights; name one, or leave the = out, so that timm downloads the weights"
        )
    if not Path(file).is_file():
        raise InputError(f"{OPTION} {name}: {file}: no such file; name a file of weights of this network")


def _new_teacher(
    settings: SearchSettings,
    name: str,
    dataset: Dataset,
    device: torch.device,
    existing: RunFolder | None,
) -> NewTeacher:
    """The training of a teacher of timm by the recipe `finetune`, or by that of an earlier session."""
    with _naming(name):
        if existing is not None and _has_started(existing):
            draft = RecipeDraft(document.load(Recipe, existing / f"{FOLDER}/{RECIPE_FILE}"))
            setup = prepare_training(draft, device.type, read=(settings.data, dataset))
            return NewTeacher(name, setup, Checkpoints(existing / f"{FOLDER}/checkpoints").history())
        setup = prepare_training(_draft(settings, name), device.type, read=(settings.data, dataset))
    return NewTeacher(name, setup)


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Names the teacher in errors of its recipe, its weights and its training, which has settings of its own."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{OPTION} {name}: {error}") from None
    except TrainingError as error:
        remedy = ""
        if "--set" in str(error):
            remedy = f", in a training of its own: lightcnn train finetune, then a new search with {OPTION} RUN"
        raise TrainingError(f"{OPTION} {name}: {error}{remedy}") from error


def _draft(settings: SearchSettings, name: str) -> RecipeDraft:
    """The recipe `finetune` for a network of timm, `timm:NAME` or `timm:NAME=FILE`, with the split of the search."""
    network, equals, file = name.partition("=")
    changes = [
        Override(OPTION, ("data",), settings.data),
        Override(OPTION, ("network", "baseline"), network),
        Override(OPTION, ("network", "weights"), file if equals else "timm"),
    ]
    draft = read_recipe_argument("finetune", changes)
    reading = settings.reading.model_copy(update={"split_seed": settings.split_seed})
    return replace(draft, recipe=draft.recipe.model_copy(update={"seed": settings.seed, "reading": reading}))


def _limited(setup: TrainingSetup, name: str, epoch: float, spent: float, seconds: float) -> TrainingSetup:
    """The training with as many epochs of `epoch` seconds as fit into so many `seconds`, `spent` seconds after a start.

    Raises: InputError if not even one does.
    """
    recipe = setup.recipe
    epochs = min(recipe.training.epochs, int(SAFETY_SHARE * seconds / epoch))
    if epochs < 1:
        raise InputError(
            f"{OPTION} {name}: an epoch of the teacher takes about {epoch:.0f} s, more than a third of the time "
            f"that is left; give --time {_minutes(epoch, spent)}m or more, or the run of a trained teacher"
        )
    training = recipe.training.model_copy(update={"epochs": epochs})
    return replace(setup, recipe=recipe.model_copy(update={"training": training}))


def _minutes(needed: float, spent: float) -> int:
    """The whole minutes of a search with time for so many seconds of its teacher after the `spent` ones."""
    return int((needed / TIME_SHARE / SAFETY_SHARE + spent) / 60) + 1
