"""What a search predicted and how well, for report.json: learning curves, errors, the genes that matter."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from optuna.study import Study

from lightcnn.searching.budgeted_space import BudgetedSpace
from lightcnn.searching.comparison import MIN_PAIRS, SearchResult, rank_correlation
from lightcnn.searching.strategies.base import visible_study
from lightcnn.searching.strategies.predictor import LearningCurves, network_costs
from lightcnn.searching.trials.storage import Outcome

MIN_IMPORTANCE_NETWORKS = 30
"""Networks that the importance of genes needs. On 60 made-up tables of 8 genes, its first gene was right in 27 or
28 % with 8 to 20 networks and in 37 % with 30, with a standard error of 6 points: with as many as a search usually has,
it is an indication at most (tests/benchmarks/importance.py)."""
TREES = 16
"""Trees of the forest that importance is computed from: a fourth of Optuna's default, which takes seconds."""


def prediction_document(space: BudgetedSpace, result: SearchResult) -> dict[str, Any]:
    """Predictions in report.json, as log losses on validation: of every trial, left out, and of the final trainings."""
    scored = [outcome.within_rungs() for outcome in result.outcomes if outcome.is_scored]
    curves = LearningCurves.fit(scored, partial(network_costs, space))
    finals = _finals(curves, result)
    predicted, reached = [row["predicted"] for row in finals], [row["reached"] for row in finals]
    ended = [row for row in finals if row["ended"] is not None]
    return {
        "left_out": _left_out(curves),
        "finals": finals,
        "finals_error": _error(map(math.log, predicted), map(math.log, reached)) if finals else None,
        "finals_rank_correlation": rank_correlation(predicted, reached),
        "finals_rank_correlation_of_scores": _correlation_of_scores(finals, result),
        "finals_end_rank_correlation": _correlation_of_ends(curves, ended),
        "trials": [
            {
                "trial": outcome.number,
                "curve": _curve(outcome),
                "predicted": None if curves is None else log_loss(result.promises[outcome.number]),
            }
            for outcome in scored
        ],
    }


def importance_document(space: BudgetedSpace, result: SearchResult, seed: int) -> dict[str, float] | None:
    """The share of the variance of the predicted scores that each gene explains alone, the largest first.

    By functional analysis of variance (Hutter, Hoos and Leyton-Brown 2014), as Optuna computes it. None for fewer than
    30 networks, or if all are predicted alike.
    """
    study = visible_study(space.genes(), result.outcomes, result.promises)
    values = [trial.value for trial in study.trials if trial.value is not None]
    if len(values) < MIN_IMPORTANCE_NETWORKS or len(set(values)) == 1:
        return None
    return {gene: round(share, 4) for gene, share in gene_shares(study, seed).items()}


def gene_shares(study: Study, seed: int) -> dict[str, float]:
    """The share of the variance of the values of a study that each parameter explains alone, the largest first."""
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    evaluator = FanovaImportanceEvaluator(n_trees=TREES, seed=seed)
    with warnings.catch_warnings(action="ignore"):  # `normalize` is new in Optuna, which warns of it
        shares = get_param_importances(study, evaluator=evaluator, normalize=False)
    return {gene: float(share) for gene, share in shares.items()}


def log_loss(utility: float) -> float:
    """The log loss of a utility, which is minus its logarithm."""
    return math.exp(-utility)


def _curve(outcome: Outcome) -> list[dict[str, Any]]:
    """The log losses of a trial's network by the images seen."""
    return [{"images": images, "log_loss": log_loss(utility)} for images, utility in sorted(outcome.curve.items())]


def _left_out(curves: LearningCurves | None) -> dict[str, Any] | None:
    """The error of the last scores, each predicted without it, and the rank correlations at one length.

    That is the longest one at which enough networks end, or else the most common one.
    """
    checked = [] if curves is None else curves.left_out()
    if not checked:
        return None
    ends = Counter(score.images for score in checked)
    images = max((n for n, count in ends.items() if count >= MIN_PAIRS), default=ends.most_common(1)[0][0])
    alike = [score for score in checked if score.images == images]
    reached = [score.utility for score in alike]
    return {
        "networks": len(checked),
        "error": _error([score.predicted for score in checked], [score.utility for score in checked]),
        "images": images,
        "rank_correlation": rank_correlation([score.predicted for score in alike], reached),
        "rank_correlation_of_scores": rank_correlation([score.before for score in alike], reached),
    }


def _error(predicted: Iterable[float], reached: Iterable[float]) -> float:
    """How wrong predicted logarithms are, as a factor: 0.1 if the log losses are predicted to within 10 %.

    It is that of the root mean square of the differences.
    """
    squares = [(first - second) ** 2 for first, second in zip(predicted, reached, strict=True)]
    return math.expm1(math.sqrt(sum(squares) / len(squares)))


def _correlation_of_scores(finals: Sequence[Mapping[str, Any]], result: SearchResult) -> float | None:
    """How the log losses at the longest rung that all these networks have reached rank their final trainings."""
    of = {outcome.number: outcome for outcome in result.outcomes}
    rung = min((of[row["trial"]].images for row in finals), default=0)
    scores = [log_loss(of[row["trial"]].utilities[rung]) for row in finals]
    return rank_correlation(scores, [row["reached"] for row in finals])


def _correlation_of_ends(curves: LearningCurves | None, ended: Sequence[Mapping[str, Any]]) -> float | None:
    """How predictions at one length, the longest, rank the ends of these final trainings."""
    if curves is None or not ended:
        return None
    promises = curves.at(max(row["images"] for row in ended))
    predicted = {outcome.number: log_loss(promise) for outcome, promise in zip(curves.outcomes, promises, strict=True)}
    return rank_correlation([predicted[row["trial"]] for row in ended], [row["ended"] for row in ended])


def _finals(curves: LearningCurves | None, result: SearchResult) -> list[dict[str, Any]]:
    """What was predicted for the last part of each final training before the learning rate falls, and its score.

    Predictions are learned from scores at the full learning rate, so they say nothing about its fall: only their order
    can be compared with the scores at the end.
    """
    if curves is None:
        return []
    rows = []
    for progress in result.trained:
        last = progress.parts[-1] if progress.parts else None
        place = next((row for row, outcome in enumerate(curves.outcomes) if outcome.number == progress.trial), None)
        if last is not None and last.averaged is not None and place is not None:
            predicted = log_loss(curves.at(last.images)[place])
            rows.append({
                "trial": progress.trial, "images": last.images, "predicted": predicted,
                "reached": last.averaged.loss,
                "ended": progress.end.averaged.loss if progress.end and progress.end.averaged else None,
            })  # fmt: skip
    return rows
