"""The sentences of a comparison: one for each pair of runs, and the notes that apply to all of them."""

from __future__ import annotations

from collections.abc import Sequence

from lightcnn.comparing.pairs import Pair
from lightcnn.comparing.run_differences import MAX_LISTED, KeyDifference, RunDifferences
from lightcnn.comparing.run_predictions import RunPredictions
from lightcnn.comparing.settings import METRICS
from lightcnn.evaluation.sample_size import sample_size_warning
from lightcnn.output.caveats import caveats
from lightcnn.output.warnings import ReportWarning


def sentence(pair: Pair) -> str:
    """States which of two runs is better in one metric and by how much, or that no difference could be shown."""
    estimate, metric = pair.estimate, METRICS[pair.metric]
    if pair.shown:
        best, other, sign = (pair.a, pair.b, 1) if estimate.difference > 0 else (pair.b, pair.a, -1)
        return (
            f"{best} is better than {other} in {metric} by {format_amount(pair, sign * estimate.difference)} "
            f"({_format_interval(pair, sign)}, {format_p(pair)}; {pair.units:,} {pair.unit_name})."
        )
    numbers = f"{format_signed(pair, estimate.difference)}, {_format_interval(pair, 1)}, {format_p(pair)}"
    return f"{pair.a} and {pair.b}: no difference in {metric} could be shown ({numbers}); {_format_power(pair)}."


def unequal_warnings(pairs: Sequence[RunDifferences]) -> list[ReportWarning]:
    """A warning if some pairs of runs were not trained equally."""
    unequal = [differences for differences in pairs if differences.unequal]
    if not unequal:
        return []
    first = unequal[0]
    message = (
        f"{len(unequal):,} of {len(pairs):,} pairs of runs were not trained equally, such as {first.a} and {first.b} "
        f"({_format_differences(first.unequal)}): a better score does not show that the network is better."
    )
    return [ReportWarning("unequal_training", message, len(unequal))]


def difference_sentence(differences: RunDifferences) -> str:
    """Everything in which two runs differ, besides their predictions, and whether they were trained equally."""
    both = f"{differences.a} and {differences.b}"
    unknown = "" if differences.known else "; a recipe is not known, so differences may be missing"
    if not differences.listed:
        return f"{both} do not differ in network, epochs, data or recipe{unknown}."
    if not differences.unequal:
        return f"{both} differ in: {_format_differences(differences.listed)}{unknown}."
    others = [difference for difference in differences.listed if difference not in differences.unequal]
    return (
        f"{both} were not trained equally, so a better score does not show that the network is better; they differ in: "
        f"{_format_differences([*differences.unequal, *others])}{unknown}."
    )


def _format_differences(differences: Sequence[KeyDifference]) -> str:
    more = f"; and {len(differences) - MAX_LISTED} more" if len(differences) > MAX_LISTED else ""
    return "; ".join(map(str, differences[:MAX_LISTED])) + more


def format_amount(pair: Pair, value: float) -> str:
    """A difference in the unit of its metric: percentage points, or plain units for the AUC."""
    return f"{value:.3f}" if pair.metric == "auc" else f"{100 * value:.1f} points"


def format_signed(pair: Pair, value: float) -> str:
    """A difference as in `format_amount`, with its sign."""
    return f"{value:+.3f}" if pair.metric == "auc" else f"{100 * value:+.1f} points"


def format_p(pair: Pair) -> str:
    """The p value, corrected for the number of pairs if there are several."""
    p = "p < 0.001" if pair.p_adjusted < 0.001 else f"p = {pair.p_adjusted:.3f}"
    return p if pair.pairs == 1 else f"{p}, Holm-corrected for {pair.pairs} pairs"


def notes(runs: Sequence[RunPredictions], metrics: Sequence[str], auc_undefined: bool) -> list[str]:
    """What a reader must know about all numbers of a comparison, most severe first."""
    first = runs[0]
    texts = caveats(first.report.data.model_dump())
    texts += filter(None, [sample_size_warning(first.labels, first.groups, first.classes)])
    if unverified := [run.name for run in runs if run.report.predictions is None]:
        texts.append(
            f"No checksum was recorded for the predictions of {', '.join(unverified)}, so edits to them cannot be "
            "detected."
        )
    if not first.groups_known:
        texts.append(
            "It is not known which images share a group, such as a patient, so each image counts as independent. If "
            "images are related, the p values are too small and the intervals too narrow."
        )
    if first.fold_count > 1:
        texts.append(
            "Networks of different folds share training images, so their predictions are slightly more correlated than "
            "the tests assume. The AUC compares only images within a fold."
        )
    if auc_undefined:
        texts.append("The AUC is omitted because a class has no test image.")
    if len(metrics) > 1:
        texts.append(
            "Holm's correction covers the pairs of one metric: choose the metric that matters before looking at the "
            "results."
        )
    texts.append(
        "The tests generalise to other images of the same kind. They do not cover the variation between trainings of "
        "the same recipe: train with several seeds to measure it."
    )
    return texts


def _format_interval(pair: Pair, sign: int) -> str:
    """The 95 % interval of the difference, or of its negative if `sign` is -1."""
    low, high = pair.estimate.low, pair.estimate.high
    if low is None or high is None:
        return "no interval"
    edges = sorted((sign * low, sign * high))
    scale, digits = (1, 3) if pair.metric == "auc" else (100, 1)
    return f"95 % interval {scale * edges[0]:.{digits}f} to {scale * edges[1]:.{digits}f}"


def _format_power(pair: Pair) -> str:
    """Which difference these images would have been enough to show."""
    if pair.estimate.low is None:
        return "its variation cannot be estimated from these images"
    if pair.detectable is None:
        return f"with {pair.units:,} {pair.unit_name} no difference, however large, would be shown reliably"
    return (
        f"with {pair.units:,} {pair.unit_name} a difference under {format_amount(pair, pair.detectable)} would be "
        "missed at least one time in five"
    )
