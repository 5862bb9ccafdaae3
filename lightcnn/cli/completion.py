"""What the shell offers for an argument: shipped names and run folders; if none fits, files. No torch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

RUNS = "runs"
"""The folder in which run folders are by default."""


def recipes(incomplete: str) -> list[str]:
    """Shipped recipes, then run folders."""
    from lightcnn import document

    return _beginning(incomplete, document.shipped("recipes")) + run_folders(incomplete)


def spaces(incomplete: str) -> list[str]:
    """Shipped search spaces, and auto."""
    from lightcnn import document

    return _beginning(incomplete, ("auto", *document.shipped("search_spaces")))


def data_sets(incomplete: str) -> list[str]:
    """Named data sets."""
    from lightcnn.cli.catalogue import DATASETS

    return _beginning(incomplete, (name for name in DATASETS if name.islower()))


def targets(incomplete: str) -> list[str]:
    """What can be profiled by name: baselines, shipped recipes and run folders."""
    from lightcnn.baseline_spec import BASELINES

    return _beginning(incomplete, BASELINES) + recipes(incomplete)


def run_folders(incomplete: str) -> list[str]:
    """The run folders in the folder that is typed, or else in runs/; a name that a shell cannot show is left out."""
    typed, slash, _ = incomplete.rpartition("/")
    folder = f"{typed}/" if slash else f"{RUNS}/"
    runs = (f"{folder}{path.parent.name}" for path in sorted(Path(folder).glob("*/environment.json")))
    return [name for name in runs if name.startswith(incomplete) and name.isprintable()]


def _beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    """The names that begin with what was typed."""
    return [name for name in names if name.startswith(incomplete)]
