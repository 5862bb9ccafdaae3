"""What differs between two runs besides their predictions: network, epochs, data and the values of their recipes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from lightcnn import overrides
from lightcnn.budget import human
from lightcnn.comparing.run_predictions import RunPredictions
from lightcnn.recipe import Recipe
from lightcnn.text import shorten

MAX_LISTED = 6
"""Differences that a sentence lists."""
MAX_CHARACTERS = 60
"""Length of a value in a sentence."""
EPOCHS, IMAGES = "epochs trained", "training images"
EFFORT = ("training.epochs", IMAGES)
"""Keys that decide how much a network was trained. The epochs trained also depend on early stopping."""
TRAINED_BY = ("training.", "augment.", "preprocess.", "distill")
"""Beginnings of the keys that decide how a network was trained."""
OF_WEIGHTS = ("network.weights", "network.freeze")
"""Keys of a network that do not change what it computes, but where its weights come from."""


@dataclass(frozen=True)
class KeyDifference:
    """A key in which two runs differ, and its value in each, as text."""

    key: str
    a: str
    b: str

    def __str__(self) -> str:
        return f"{self.key} {shorten(self.a, MAX_CHARACTERS)} and {shorten(self.b, MAX_CHARACTERS)}"


@dataclass(frozen=True)
class RunDifferences:
    """All differences between runs a and b. `known`: whether both have a recipe, so that none is missing."""

    a: str
    b: str
    known: bool
    listed: tuple[KeyDifference, ...]

    @property
    def unequal(self) -> tuple[KeyDifference, ...]:
        """The differences because of which a better score does not show that a network or one setting is better.

        These are another amount of training, and other settings of the training of another network.
        """
        effort = EFFORT if self.known else (*EFFORT, EPOCHS)
        settings = TRAINED_BY if any(difference.key == "network" for difference in self.listed) else ()
        return tuple(d for d in self.listed if d.key in effort or d.key.startswith(settings))

    def document(self) -> dict[str, Any]:
        """One of the `differences` of report.json."""
        return {
            "a": self.a,
            "b": self.b,
            "known": self.known,
            "equal_training": not self.unequal,
            "differences": [asdict(difference) for difference in self.listed],
        }


def run_differences(a: RunPredictions, b: RunPredictions) -> RunDifferences:
    """Every difference between two runs, those that matter most first."""
    known = a.recipe is not None and b.recipe is not None
    before, after = ({**_facts(run), **(_values(run.recipe) if known else {})} for run in (a, b))
    differences = (
        KeyDifference(key, str(before.get(key, "none")), str(after.get(key, "none")))
        for key in dict.fromkeys([*before, *after])
        if before.get(key) != after.get(key) and not (key == "network" and _same_network(a.recipe, b.recipe))
    )
    return RunDifferences(a.name, b.name, known, tuple(differences))


def _facts(run: RunPredictions) -> dict[str, Any]:
    """What the report of a run states about its training."""
    return {
        "network": _network(run),
        EPOCHS: _epochs(run),
        IMAGES: run.report.data.counts.get("train", "unknown"),
        "number of seeds": len(run.seeds),
    }


def _values(recipe: Recipe | None) -> dict[str, Any]:
    """The values of a recipe by key, without those of its network, except where its weights come from."""
    values = {} if recipe is None else overrides.leaves(recipe)
    return {
        key: value
        for key, value in values.items()
        if key in OF_WEIGHTS or key.partition(".")[0] not in ("network", "name")
    }


def _same_network(a: Recipe | None, b: Recipe | None) -> bool:
    return a is not None and b is not None and a.network.digest() == b.network.digest()


def _network(run: RunPredictions) -> str:
    """The network by its cost, and by its name and hash if there is a recipe."""
    cost = run.report.network and run.report.network.cost
    size = f"{human(cost.macs)} FLOPs, {human(cost.params)} params" if cost else "cost unknown"
    if run.recipe is None:
        return size
    return f"{run.recipe.network.name or 'unnamed'} ({size}, hash {run.recipe.network.digest()[:8]})"


def _epochs(run: RunPredictions) -> str:
    """The epochs of the training, or their mean over the parts."""
    report = run.report
    parts = len(report.parts) if isinstance(report.parts, list) and report.parts else 1
    epochs = report.best.get("epochs") if isinstance(report.best, dict) else report.epochs
    return f"{epochs / parts:.4g}" if isinstance(epochs, int) else "unknown"
