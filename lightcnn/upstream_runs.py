"""Runs that a training builds on, such as its teacher: which images they were trained on."""

from __future__ import annotations

from lightcnn.data.dataset import Dataset
from lightcnn.data.positive_class import in_order
from lightcnn.data.split import Split
from lightcnn.errors import InputError
from lightcnn.evaluation.predictions import read_predictions
from lightcnn.run_files import earlier_values
from lightcnn.run_folder import RunFolder, named_by

SETS = ("val", "test")
"""The parts of a split that a training does not see, which predictions.csv has."""


def require_unseen(key: str, run: RunFolder, dataset: Dataset, sets: Split) -> str:
    """A note on a run with other data, of which it is unknown what images it was trained on; empty for the same data.

    `key` is what errors call the run. Raises: InputError if it was trained on images of the test set, or chosen by
    them, or was trained on images of the validation set, which would inflate the scores; or if that is unknown, since
    its images are the same under other names.
    """
    with named_by(key), earlier_values(run.path, "report.json"):
        data, classes = run.data, run.classes
        is_same = data.get("fingerprint") == in_order(dataset, classes).fingerprint
        rows = read_predictions(run) if is_same else []
        names = {
            split: {_within(row["path"], data["source"]) for row in rows if row["split"] == split} for split in SETS
        }
    if not is_same:
        return f"{key} was trained on {data.get('source')}: it is unknown whether that contains images of this test set"
    known = [_within(path, dataset.source) for path in dataset.paths]
    if set(known).isdisjoint(names["val"] | names["test"]):
        raise InputError(
            f"{key} {run.path}: was trained on the same images under other names ({data['source']}), so it is unknown "
            f"which of the validation and test images it has seen; train it on {dataset.source}"
        )
    for name, unseen in {"test": names["test"], "val": names["test"] | names["val"]}.items():
        indices = getattr(sets, name)
        seen = [dataset.paths[index] for index in indices if known[index] not in unseen]
        if seen:
            title = "validation" if name == "val" else name
            raise InputError(
                f"{key} {run.path}: was trained on {len(seen):,} of the {len(indices):,} {title} images ({seen[0]}); "
                "train it on the same split: with the same seed and the same data options"
            )
    return ""


def _within(path: str, source: str) -> str:
    """The name of an image within its source: equal data may be a file under another path, or arrays."""
    return path.removeprefix(f"{source}#")
