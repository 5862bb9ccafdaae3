"""What a search warns of: before any training, and of its result."""

from __future__ import annotations

from collections.abc import Sequence

from lightcnn.data.pipeline import Pipeline
from lightcnn.output.largest_class import share_warnings
from lightcnn.output.warnings import ReportWarning
from lightcnn.searching.budgeted_space import BudgetedSpace
from lightcnn.searching.metric_names import EQUAL_CLASSES
from lightcnn.searching.plan import MIN_STEPS
from lightcnn.searching.report.trial_table import counts
from lightcnn.searching.trials.storage import Outcome
from lightcnn.space_choice import SpaceChoice

SEE_BALANCED = "Look at balanced_accuracy as well; --metric balanced_accuracy compares networks by it."
"""What to do if accuracy favours a class."""


def early_warnings(metric: str, chosen: SpaceChoice | None, pipeline: Pipeline) -> list[ReportWarning]:
    """What is known before any training: a space that is not meant for the budget, and a class with most images."""
    dataset = pipeline.dataset
    remedy = "" if metric in EQUAL_CLASSES else SEE_BALANCED
    shares = share_warnings(dataset.labels[pipeline.split.train].tolist(), dataset.classes, remedy=remedy)
    return [*(chosen.warnings() if chosen else []), *shares]


def not_shared(workers: int) -> ReportWarning:
    """The warning that networks are trained one after the other, since worker processes cannot read the images."""
    return ReportWarning(
        "one_process",
        f"The images cannot be written to the cache folder (no space, or no permission), from which {workers} workers "
        "would read them, so networks are trained one after the other: free some space there.",
    )


def nothing_compared(space: BudgetedSpace, outcomes: Sequence[Outcome]) -> list[ReportWarning]:
    """A warning if a single network was trained."""
    if counts(outcomes)["trained"] != 1:
        return []
    remedy = "give --time or --trials more" if space.genes() else "the space has no other"
    message = f"Only one network was trained, so nothing was compared: {remedy}."
    return [ReportWarning("nothing_compared", message)]


def hardly_trained(steps: int) -> list[ReportWarning]:
    """A warning if a network was delivered after fewer optimizer steps than `MIN_STEPS`."""
    if steps >= MIN_STEPS:
        return []
    taken = "only one optimizer step" if steps == 1 else f"only {steps} optimizer steps"
    message = f"The delivered network was trained for {taken}: give the search more time or epochs."
    return [ReportWarning("hardly_trained", message)]
