"""Whether the groups that a manifest gives can be true, compared with its file names and folders."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from lightcnn.data.dataset import Dataset
from lightcnn.data.files.spelling import same_name
from lightcnn.data.grouping.belief import MIN_GROUPS
from lightcnn.data.grouping.name_groups import NameGroups
from lightcnn.output.warnings import ReportWarning
from lightcnn.recipe import ARRAYS


def checked_groups(dataset: Dataset, names: NameGroups | None) -> Dataset:
    """The same data without groups that are only numbers of rows; contradictions to the names become a warning."""
    if dataset.groups_from != "manifest":
        return dataset
    groups = dataset.groups.tolist()
    if len(set(groups)) == len(groups) and (names or _running_numbers(groups)):
        return _without_groups(dataset, names)
    spanning = [] if names is None else _spanning(names.groups.tolist(), groups)
    if not (names and spanning):
        return dataset
    noun = "group is" if len(spanning) == 1 else "groups are"
    message = (
        f"{names.reason}, and {len(spanning):,} of these {noun} in several groups of the column 'group' (such as "
        f"{spanning[0]!r}): if they are patients, give all images of each the same value."
    )
    return dataset.with_warnings(ReportWarning("groups_contradicted", message, len(spanning)))


def _without_groups(dataset: Dataset, names: NameGroups | None) -> Dataset:
    """The data as if the manifest had no `group` column, with a warning."""
    count = len(dataset)
    use = f"{names.reason}, and these were used instead" if names else "they count the images, so patients are unknown"
    subject, remedy = (
        ("The groups were", "leave groups out")
        if dataset.source == ARRAYS
        else ("The column 'group' was", "remove the column")
    )
    message = (
        f"{subject} not used, since each of the {count:,} images has its own value: {use}. Give all images of one "
        f"patient the same value, or {remedy}."
    )
    warned = dataset.with_warnings(ReportWarning("group_column_ignored", message, count))
    return warned.with_groups([str(i) for i in range(count)], "none")


def _running_numbers(groups: Sequence[str]) -> bool:
    """Whether distinct values are whole numbers without gaps."""
    values = [same_name(group) for group in groups]
    if len(values) < MIN_GROUPS or not all(value.isdecimal() for value in values):
        return False
    numbers = sorted(map(int, values))
    return numbers[-1] - numbers[0] == len(numbers) - 1


def _spanning(name_groups: Sequence[str], groups: Sequence[str]) -> list[str]:
    """The groups of names that are in several of the given groups."""
    parts: dict[str, set[str]] = defaultdict(set)
    for name, group in zip(name_groups, groups, strict=True):
        parts[name].add(group)
    return sorted(name for name, given in parts.items() if len(given) > 1)
