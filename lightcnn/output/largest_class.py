"""Sentences on the score of always predicting the largest class of the training set. No torch.

Every accuracy is shown beside it. `evaluation.score_values` computes it. `metrics` are those of one set in a
report.json, whose key `largest_class` has the class (None if several trainings have different ones) and the accuracy;
reports of earlier versions have none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from lightcnn.output.warnings import ReportWarning

KEY = "largest_class"
MAX_SHARE = 0.6
"""Share of the training images that a class has without a warning."""
MAX_LISTED = 5
"""Names that a sentence lists."""


def largest_class_sentence(metrics: Mapping[str, Any], images: str = "test images") -> str:
    """States the score of a set; empty if it is not known."""
    entry = metrics.get(KEY)
    if not entry:
        return ""
    return f"Always predicting {_name(entry)} is correct for {entry['accuracy']:.2%} of the {images}."


def largest_class_clause(metrics: Mapping[str, Any]) -> str:
    """The same as the end of a clause."""
    entry = metrics.get(KEY)
    return f"; always predicting {entry['class'] or 'the largest class'}: {entry['accuracy']:.2%}" if entry else ""


def is_shown_better(metrics: Mapping[str, Any]) -> bool:
    """Whether the interval of the accuracy excludes that score, or the score is not known."""
    entry, low = metrics.get(KEY), metrics["accuracy"]["low"]
    return not entry or (low is not None and low > entry["accuracy"])


def largest_class_warnings(metrics: Mapping[str, Any]) -> list[ReportWarning]:
    """A warning if the accuracy on a test set is not shown to be better than that score."""
    if is_shown_better(metrics):
        return []
    accuracy, entry = metrics["accuracy"], metrics[KEY]
    message = (
        f"The test accuracy of {accuracy['value']:.2%} (95 % interval {accuracy['low']:.2%} to {accuracy['high']:.2%}) "
        f"is not shown to be better than always predicting {_name(entry).rstrip(',')}, which is correct for "
        f"{entry['accuracy']:.2%} of the test images: judge by balanced accuracy, or use more images."
    )
    return [ReportWarning("largest_class_score", message, metrics["images"])]


def share_warnings(labels: Sequence[int], classes: Sequence[str], *, remedy: str = "") -> list[ReportWarning]:
    """A warning if one class has over 60 % of the training images, with the sentence on what to do about it."""
    name, count = Counter(classes[label] for label in labels).most_common(1)[0]
    share = count / len(labels)
    if share <= MAX_SHARE:
        return []
    message = f"{share:.0%} of the training images are of class {name}: accuracy favours it. {remedy}"
    return [ReportWarning("largest_class_share", message.rstrip(), count)]


def names_warnings(names: Sequence[str], total: int, what: str) -> list[ReportWarning]:
    """The same for those of `total` runs or changes (`what`) that are not shown to be better; none without names."""
    if not names:
        return []
    more = f" and {len(names) - MAX_LISTED:,} more" if len(names) > MAX_LISTED else ""
    message = (
        f"The test accuracy of {len(names):,} of {total:,} {what} ({', '.join(names[:MAX_LISTED])}{more}) is not shown "
        "to be better than always predicting the largest class of the training set: judge by balanced accuracy."
    )
    return [ReportWarning("largest_class_score", message, len(names))]


def _name(entry: Mapping[str, Any]) -> str:
    largest = "the largest class of the training set"
    return largest if entry["class"] is None else f"{entry['class']}, {largest},"
