"""What an ablation writes when it is finished: report.json, report.html and the plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lightcnn.ablating import figures
from lightcnn.ablating.page import Score, ablate_page
from lightcnn.ablating.plan import CHANGES_FOLDER, AblationPlan, Trial
from lightcnn.comparing.figures import Scores, difference_chart, score_chart
from lightcnn.comparing.pairs import Pair, compare_pair, holm, scores_of
from lightcnn.comparing.run_predictions import RunPredictions, read_run
from lightcnn.comparing.settings import METRICS
from lightcnn.comparing.wording import notes, sentence
from lightcnn.output.charts.svg import Chart
from lightcnn.output.largest_class import KEY, is_shown_better, names_warnings
from lightcnn.output.report import report_head
from lightcnn.run_folder import RunFolder
from lightcnn.training.setup import stand_in_warning

MAIN_METRIC = "accuracy"
"""The metric of the table; the differences in every metric are listed below it."""
METRIC_NAMES = tuple(METRICS)


@dataclass(frozen=True)
class TrainedRecipe:
    """A recipe that was trained: its report.json, and the predictions of its networks."""

    trial: Trial
    report: Mapping[str, Any]
    predictions: RunPredictions


def write_report(run: RunFolder, plan: AblationPlan, data: Mapping[str, Any], failed: Mapping[str, str]) -> None:
    """Writes report.json last, so that its presence means that the run is complete. `failed`: change → reason.

    Raises: RunError if the files of a change were edited or damaged.
    """
    trained = [_load_trained(run, trial) for trial in plan.trials if trial.name not in failed]
    pairs = _pairs(trained, plan.trials[0].recipe.seed)
    report = _document(plan, data, trained, pairs, failed)
    scores = {recipe.trial.name: scores_of(recipe.predictions) for recipe in trained}
    charts, warning = _charts(scores, pairs, report), stand_in_warning(data)
    for name, chart in charts.items():
        run.write_bytes(f"plots/{name}.png", chart.with_warning(warning).png)
    run.write_bytes("report.html", ablate_page(report, charts, _main_score(scores, report["rows"][0]), run.path))
    run.write_json("report.json", report)


def _load_trained(run: RunFolder, trial: Trial) -> TrainedRecipe:
    folder = RunFolder.load(run / f"{CHANGES_FOLDER}/{trial.name}")
    return TrainedRecipe(trial, folder.report, read_run(folder))


def _pairs(trained: Sequence[TrainedRecipe], seed: int) -> list[Pair]:
    """Every change minus the unchanged recipe in every metric, corrected by Holm for the number of changes."""
    base, *others = (recipe.predictions for recipe in trained)
    pairs = [pair for other in others for pair in compare_pair(other, base, METRIC_NAMES, seed)]
    return holm(sorted(pairs, key=lambda pair: METRIC_NAMES.index(pair.metric)))


def _document(
    plan: AblationPlan,
    data: Mapping[str, Any],
    trained: Sequence[TrainedRecipe],
    pairs: Sequence[Pair],
    failed: Mapping[str, str],
) -> dict[str, Any]:
    """report.json."""
    base = trained[0]
    about = {trial.name: trial.about for trial in plan.trials}
    auc_undefined = bool(pairs) and all(pair.metric != "auc" for pair in pairs)
    return {
        **report_head(
            "ablate",
            seed=base.trial.recipe.seed,
            seconds=sum(recipe.report["seconds"] for recipe in trained),
            data=dict(data),
            warnings=names_warnings(
                [t.trial.name for t in trained if not is_shown_better(t.report["metrics"]["test"])],
                len(trained),
                "trained recipes",
            ),
        ),
        "network": base.report["network"],
        "recipe": base.trial.recipe.name,
        "over": list(plan.over),
        "folds": plan.folds,
        "seeds": plan.seeds,
        "metric": MAIN_METRIC,
        KEY: base.report["metrics"]["test"].get(KEY),
        "rows": [report_row(recipe, pairs) for recipe in trained],
        "failed": [{"change": name, "about": about[name], "reason": reason} for name, reason in failed.items()],
        "left_out": [skipped.model_dump() for skipped in plan.left_out],
        "pairs": [pair.document() | {"sentence": sentence(pair)} for pair in pairs],
        "notes": notes([recipe.predictions for recipe in trained], METRIC_NAMES, auc_undefined),
    }


def report_row(recipe: TrainedRecipe, pairs: Sequence[Pair]) -> dict[str, Any]:
    """One of the `rows` of report.json; the unchanged recipe has no difference.

    The mean of a metric in `pairs` is over all predictions, as is its difference: folds of unequal size are weighted by
    their number of images. All other statistics of a metric are over the parts.
    """
    name, summary = recipe.trial.name, recipe.report["summary"]
    difference = next((pair.document() for pair in pairs if pair.a == name and pair.metric == MAIN_METRIC), {})
    sides = ((pair.metric, run, value) for pair in pairs
             for run, value in ((pair.a, pair.value_a), (pair.b, pair.value_b)))  # fmt: skip
    means = {metric: value for metric, run, value in sides if run == name}
    metrics = {metric: values | {"mean": means.get(metric, values["mean"])} for metric, values in summary.items()}
    keys = ("difference", "low", "high", "test", "p", "p_adjusted", "shown", "detectable")
    return {
        "change": name,
        "about": recipe.trial.about,
        "cost": recipe.report["network"]["cost"],
        "metric": metrics[MAIN_METRIC],
        "metrics": metrics,
        **{key: difference.get(key) for key in keys},
        "seconds": recipe.report["seconds"],
    }


def _main_score(scores: Mapping[str, Scores], row: Mapping[str, Any]) -> Score:
    """The score of a row in the metric of the table, with its interval if that is known."""
    return scores[row["change"]][MAIN_METRIC] or (row["metric"]["mean"], None, None)


def _charts(scores: Mapping[str, Scores], pairs: Sequence[Pair], report: Mapping[str, Any]) -> dict[str, Chart]:
    """The charts by name."""
    metrics = list(dict.fromkeys(pair.metric for pair in pairs))
    charts = {"differences": difference_chart(pairs), "scores": score_chart(scores, metrics)} if pairs else {}
    for key, axis in (("macs", "multiply-adds, one image"), ("params", "parameters")):
        recipes = []
        for row in report["rows"]:
            value, low, high = _main_score(scores, row)
            recipes.append(figures.ScoredRecipe(row["change"], row["cost"][key], value, low, high, row["shown"]))
        charts[key] = figures.score_over_cost(recipes, MAIN_METRIC, axis)
    return charts
