"""Which of two classes is the positive one: the second, whose sensitivity, ROC curve and thresholds reports show."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lightcnn.data.dataset import Dataset
from lightcnn.errors import DataError

NEGATIVE_WORDS = frozenset(
    ("normal", "healthy", "other", "others", "benign", "negative", "control", "controls", "background")
)
"""Words by which a name states that nothing was found."""
NEGATIONS = ("no", "non", "not", "without")
"""First words of such a name, as in `no_tumour`."""
MAX_LISTED = 20
"""Classes that an error lists."""


def is_negative(name: str) -> bool:
    """Whether the name of a class states that nothing was found, as in `Others`, `healthy skin` or `NonDemented`."""
    words = [word.lower() for word in re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name))]
    if not words:
        return False
    if words[0] in NEGATIONS:
        return not NEGATIVE_WORDS.intersection(words)  # a class that is not normal is positive
    return bool(NEGATIVE_WORDS.intersection(words))


def default_positive(classes: Sequence[str]) -> str:
    """Of two classes, the one beside a class whose name states that nothing was found; else the second."""
    first, second = classes
    return first if is_negative(second) and not is_negative(first) else second


def in_order(dataset: Dataset, classes: Sequence[str]) -> Dataset:
    """The data with their two classes in this order; unchanged if they have other classes or another number of them."""
    if len(classes) != 2 or tuple(classes) != dataset.classes[::-1]:
        return dataset
    return replace(dataset, classes=dataset.classes[::-1], labels=1 - dataset.labels)


def with_positive(dataset: Dataset, positive: str | None) -> Dataset:
    """The data with this class second, of two classes; unchanged for None. Raises: DataError if it cannot be."""
    if positive is None:
        return dataset
    if len(dataset.classes) != 2 or positive not in dataset.classes:
        listed = ", ".join(dataset.classes[:MAX_LISTED])
        rule = "has no such class" if len(dataset.classes) == 2 else "does not have two classes"
        raise DataError(
            f"positive class {positive!r}: data {dataset.source} {rule}, but {listed}; choose another class, or none"
        )
    return in_order(dataset, [name for name in dataset.classes if name != positive] + [positive])


def positive_document(classes: Sequence[str]) -> dict[str, Any] | None:
    """The positive class of a report.json, and why it is that class; None for more than two classes."""
    if len(classes) != 2:
        return None
    other, positive = classes
    if is_negative(other) and not is_negative(positive):
        reason = f"the name of the other class, {other}, is that of a negative class"
    elif is_negative(positive) and not is_negative(other):
        reason = "chosen in the recipe or an earlier run, although its name is that of a negative class"
    elif _is_alphabetical(other, positive):
        reason = "by alphabetical order; name it with --positive"
    else:
        reason = "chosen in the recipe or an earlier run, or the second class of the source"
    return {"class": positive, "reason": reason}


def _is_alphabetical(first: str, second: str) -> bool:
    """Whether two classes are in the order in which folders and manifests give them: numbers by value."""
    if first.isdecimal() and second.isdecimal():
        return int(first) < int(second)
    return first < second
