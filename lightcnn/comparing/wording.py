"""A comparison in plain words."""

from __future__ import annotations

from collections.abc import Sequence

from lightcnn.comparing.pairs import Pair
from lightcnn.comparing.run_predictions import RunPredictions
from lightcnn.comparing.settings import TITLES
from lightcnn.evaluation.sample_size import sample_size_warning
from lightcnn.output.caveats import caveats


def sentence(pair: Pair) -> str:
    """What can be said of two runs by one metric: which is better and by how much, or that nothing could be shown."""
    estimate, metric = pair.estimate, TITLES[pair.metric]
    if pair.shown:
        best, other, sign = (pair.a, pair.b, 1) if estimate.difference > 0 else (pair.b, pair.a, -1)
        return (
            f"{best} is better than {other} in {metric} by {amount(pair, sign * estimate.difference)} "
            f"({_interval(pair, sign)}, {chance(pair)}; {pair.units:,} {pair.unit})."
        )
    found = f"{signed(pair, estimate.difference)}, {_interval(pair, 1)}, {chance(pair)}"
    return f"{pair.a} and {pair.b}: no difference in {metric} could be shown ({found}); {_missed(pair)}."


def amount(pair: Pair, value: float) -> str:
    """A difference in its unit: percentage points, or the AUC's own."""
    return f"{value:.3f}" if pair.metric == "auc" else f"{100 * value:.1f} points"


def signed(pair: Pair, value: float) -> str:
    """The same with its sign."""
    return f"{value:+.3f}" if pair.metric == "auc" else f"{100 * value:+.1f} points"


def chance(pair: Pair) -> str:
    """The p value, adjusted where there are several pairs."""
    p = "p < 0.001" if pair.p_adjusted < 0.001 else f"p = {pair.p_adjusted:.3f}"
    return p if pair.pairs == 1 else f"{p} by Holm over {pair.pairs} pairs"


def notes(runs: Sequence[RunPredictions], metrics: Sequence[str], undefined: bool) -> list[str]:
    """What a reader must know of all numbers of a comparison, gravest first."""
    first = runs[0]
    said = caveats(first.report.data.model_dump())
    said += filter(None, [sample_size_warning(first.labels, first.groups, first.classes)])
    if loose := [run.name for run in runs if run.report.predictions is None]:
        said.append(
            f"No checksum was kept of the predictions of {', '.join(loose)}: whether they were edited is not known."
        )
    if not first.report.data.groups.known:
        said.append(
            "Which images come from one source is not known: each counts as independent, and if they are not, the p "
            "values are too small and the intervals too narrow."
        )
    if first.fold_count > 1:
        said.append(
            "Networks of different folds share training images: their answers hang together a little more than the "
            "tests assume. An AUC compares images within a fold only."
        )
    if undefined:
        said.append("The AUC is left out: a class has no test image.")
    if len(metrics) > 1:
        said.append("Holm's correction is over the pairs of one metric: choose the metric that counts before you look.")
    said.append(
        "The tests are about other images of the same kind. How much another training of the same recipe would differ "
        "is not in them: train with several seeds to see it."
    )
    return said


def _interval(pair: Pair, sign: int) -> str:
    low, high = pair.estimate.low, pair.estimate.high
    if low is None or high is None:
        return "no interval"
    edges = sorted((sign * low, sign * high))
    scale, digits = (1, 3) if pair.metric == "auc" else (100, 1)
    return f"95 % interval {scale * edges[0]:.{digits}f} to {scale * edges[1]:.{digits}f}"


def _missed(pair: Pair) -> str:
    if pair.estimate.low is None:
        return "how it varies cannot be told from these images"
    if pair.detectable is None:
        return f"with {pair.units:,} {pair.unit} no difference, however large, would be shown reliably"
    return (
        f"with {pair.units:,} {pair.unit} a difference under {amount(pair, pair.detectable)} would be missed at least "
        "one time in five"
    )
