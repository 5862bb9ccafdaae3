"""What a model card states about a run, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightcnn.data.dataset import SPLIT_NAMES
from lightcnn.data.preprocess import Preprocess
from lightcnn.data.sources.load import DATASET_NAMES
from lightcnn.output.caveats import caveats, groups_clause
from lightcnn.output.largest_class import largest_class_warnings
from lightcnn.recipe import Recipe
from lightcnn.text import visible
from lightcnn.training.report import wording

MAX_LISTED = 20
"""Classes that a sentence lists."""
UNKNOWN = "not known to the run"
UNKNOWN_GROUPS = (
    "Groups are not known: images of one patient, lesion or photograph may be in more than one set, which inflates "
    "scores."
)
SAME_SOURCE = "The test images come from the same source as the training images; other sources have not been tested."


@dataclass(frozen=True)
class CardFacts:
    """The contents of a run that its card reports.

    `given`: names of the sets that the data source comes with; `environment`: environment.json.
    """

    report: Mapping[str, Any]
    recipe: Recipe
    preprocess: Preprocess
    given: Sequence[str]
    device: str
    environment: Mapping[str, Any]

    @property
    def classes(self) -> str:
        """The names of the classes, at most `MAX_LISTED`."""
        names = [visible(name) for name in self.report["data"]["classes"]]
        more = f" and {len(names) - MAX_LISTED:,} more" if len(names) > MAX_LISTED else ""
        return ", ".join(names[:MAX_LISTED]) + more

    @property
    def dataset(self) -> str:
        """The name of the data set."""
        return dataset_name(self.report)

    @property
    def source(self) -> str:
        """The name of the data set; with its fingerprint if the name comes from a path."""
        source, fingerprint = self.report["data"]["source"], self.report["data"]["fingerprint"]
        return (
            self.dataset
            if source.partition(":")[0] in DATASET_NAMES
            else f"{self.dataset} (fingerprint {fingerprint[:16]})"
        )

    @property
    def ignored_split(self) -> str:
        """Why the split that the source comes with was not used; empty if it was used or there is none."""
        reading = self.recipe.reading
        if not self.given:
            return ""
        if reading.folds:
            return "--folds"
        return "--resplit" if reading.resplit else "" if "train" in self.given else "it has no training set"

    @property
    def split(self) -> str:
        """How the images were split."""
        data, reading = self.report["data"], self.recipe.reading
        seed = self.recipe.seed if reading.split_seed is None else reading.split_seed
        if self.given and not self.ignored_split:
            missing = [name for name in SPLIT_NAMES if name not in self.given]
            rule = f"as in the source ({', '.join(self.given)})" + (
                f"; {' and '.join(missing)} made from its training set by lightcnn, seed {seed}" if missing else ""
            )
        else:
            fold = f"fold {reading.fold} of {reading.folds}, " if reading.folds else ""
            group = "by group " if data["groups"]["known"] else ""
            rule = f"{fold}made by lightcnn {group}with seed {seed}, stratified by class: {_shares(data['counts'])}"
        if not data["groups"]["known"]:
            return f"{rule}; groups are not known"
        shared = data["groups_shared"]
        return f"{rule}; {f'{shared:,} groups are' if shared else 'no group is'} in more than one set"

    @property
    def groups(self) -> str:
        """What a group of images is, and where that is known from."""
        return groups_clause(self.report["data"]["groups"])

    @property
    def first_weights(self) -> str:
        """The weights that training started from; a file by its name, without its folder."""
        file = str(getattr(self.recipe.network, "weights", ""))
        weights = str(self.report["first_weights"])
        return weights.replace(file, Path(file).name) if file else weights

    @property
    def limits(self) -> list[str]:
        """What a reader of the scores must know, most severe first."""
        report, data = self.report, self.report["data"]
        warnings = [
            *caveats(data),
            *(warning.message for warning in largest_class_warnings(report["metrics"]["test"])),
            wording.small_test_set(report),
        ]
        if not data["groups"]["known"]:
            warnings.append(UNKNOWN_GROUPS)
        if self.ignored_split:
            warnings.append(f"The split that the source comes with was not used ({self.ignored_split}).")
        if report["class_weights"]:
            warnings.append("Classes were weighted in training, which shifts the probabilities.")
        return [
            *filter(None, warnings),
            interval_width(report),
            "There was one training with one seed: intervals cover other test images, but not other trainings.",
            SAME_SOURCE,
            "The network predicts one of its classes for every image, even if the image shows none of them.",
        ]


def dataset_name(report: Mapping[str, Any]) -> str:
    """The source by name: the last part of a path, since the folders concern only the machine."""
    source = str(report["data"]["source"])
    return source if source.partition(":")[0] in DATASET_NAMES else Path(source).name or source


def interval_width(report: Mapping[str, Any]) -> str:
    """How wide the interval of the test accuracy is."""
    accuracy = report["metrics"]["test"]["accuracy"]
    width = 100 * (accuracy["high"] - accuracy["low"])
    return f"The 95 % interval of the test accuracy is {width:.1f} percentage points wide."


def _shares(counts: Mapping[str, int]) -> str:
    """The share of all images in each set."""
    total = sum(counts[name] for name in SPLIT_NAMES)
    return ", ".join(f"{name} {100 * counts[name] / total:.1f} %" for name in SPLIT_NAMES) + " of the images"
