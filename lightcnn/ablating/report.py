"""What an ablation leaves behind: a row a change, paired with the unchanged recipe, report.json and report.html."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lightcnn.ablating import figures
from lightcnn.ablating.page import ablate_page
from lightcnn.ablating.plan import FOLDER, AblationPlan, Trial
from lightcnn.comparing.figures import forest
from lightcnn.comparing.pairs import METRICS, Pair, compared, holm, scores_of
from lightcnn.comparing.run_predictions import RunPredictions, read
from lightcnn.comparing.wording import notes, sentence
from lightcnn.output.figures import add_warning_bar
from lightcnn.run_folder import RunFolder
from lightcnn.training.setup import stand_in_warning
from lightcnn.version import __version__

METRIC = "accuracy"
"""What a row of the table tells; all pairs of all metrics stand beside it."""


@dataclass(frozen=True)
class Done:
    """A recipe that was trained: its report.json, and what its networks answered."""

    trial: Trial
    report: Mapping[str, Any]
    answers: RunPredictions


def write_report(run: RunFolder, plan: AblationPlan, data: Mapping[str, Any], failed: Mapping[str, str]) -> None:
    """report.json last, so that its presence means that the run is whole. `failed`: change → why.

    Raises: RunError where the files of a change were edited or damaged.
    """
    done = [_done(run, trial) for trial in plan.trials if trial.name not in failed]
    pairs = _pairs(done, plan.trials[0].recipe.seed)
    report = _document(plan, data, done, pairs, failed)
    pictures = _pictures(done, pairs, report)
    for name, picture in pictures.items():
        run.write_bytes(f"plots/{name}.png", picture)
    run.write_bytes("report.html", ablate_page(report, pictures))
    run.write_json("report.json", report)


def _done(run: RunFolder, trial: Trial) -> Done:
    part = RunFolder.load(run / FOLDER / trial.name)
    return Done(trial, part.report, read(part))


def _pairs(done: Sequence[Done], seed: int) -> list[Pair]:
    """Every change less the unchanged recipe by every metric; Holm over the changes."""
    base, *others = (one.answers for one in done)
    found = [pair for other in others for pair in compared(other, base, METRICS, seed)]
    return holm(sorted(found, key=lambda pair: METRICS.index(pair.metric)))


def _document(
    plan: AblationPlan, data: Mapping[str, Any], done: Sequence[Done], pairs: Sequence[Pair], failed: Mapping[str, str]
) -> dict[str, Any]:
    """report.json."""
    base = done[0]
    about = {trial.name: trial.about for trial in plan.trials}
    undefined = bool(pairs) and all(pair.metric != "auc" for pair in pairs)
    return {
        "lightcnn": __version__,
        "command": "ablate",
        "seed": base.trial.recipe.seed,
        "seconds": round(sum(one.report["seconds"] for one in done), 3),
        "data": dict(data),
        "network": base.report["network"],
        "recipe": base.trial.recipe.name,
        "over": list(plan.over),
        "folds": plan.folds,
        "seeds": plan.seeds,
        "metric": METRIC,
        "rows": [row_of(one, pairs) for one in done],
        "failed": [{"change": name, "about": about[name], "reason": reason} for name, reason in failed.items()],
        "left_out": [skipped.model_dump() for skipped in plan.left_out],
        "pairs": [pair.document() | {"sentence": sentence(pair)} for pair in pairs],
        "notes": notes([one.answers for one in done], METRICS, undefined),
    }


def row_of(done: Done, pairs: Sequence[Pair]) -> dict[str, Any]:
    """One of the `rows` of report.json; the unchanged recipe has no difference.

    The mean of a metric that `pairs` compares is over all answers, as its difference is: folds of unequal size count by
    their images. Everything else of a metric is over the parts.
    """
    name, summary = done.trial.name, done.report["summary"]
    told = next((pair.document() for pair in pairs if pair.a == name and pair.metric == METRIC), {})
    pooled = {pair.metric: value for pair in pairs for of, value in ((pair.a, pair.value_a), (pair.b, pair.value_b))
              if of == name}  # fmt: skip
    metrics = {of: found | {"mean": pooled.get(of, found["mean"])} for of, found in summary.items()}
    names = ("difference", "low", "high", "test", "p", "p_adjusted", "shown", "detectable")
    return {
        "change": name,
        "about": done.trial.about,
        "cost": done.report["network"]["cost"],
        "metric": metrics[METRIC],
        "metrics": metrics,
        **{key: told.get(key) for key in names},
        "seconds": done.report["seconds"],
    }


def _pictures(done: Sequence[Done], pairs: Sequence[Pair], report: Mapping[str, Any]) -> dict[str, bytes]:
    """The plots by name."""
    scores = {one.trial.name: scores_of(one.answers) for one in done}
    pictures = {"differences": forest(scores, pairs)} if pairs else {}
    for key, axis in (("macs", "multiply-adds, one image"), ("params", "parameters")):
        points = [(row["change"], row["cost"][key], *(scores[row["change"]][METRIC] or ())) for row in report["rows"]]
        pictures[key] = figures.score_against_cost(points, METRIC, axis)
    text = stand_in_warning(report["data"])
    return {name: add_warning_bar(picture, text) if text else picture for name, picture in pictures.items()}
