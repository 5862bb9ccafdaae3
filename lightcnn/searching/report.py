"""What a search leaves behind: trials.csv, the network, its predictions, plots, report.json and report.html."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from lightcnn import document
from lightcnn.budget import Budget, Cost
from lightcnn.cost import cost
from lightcnn.data.pipeline import Pipeline
from lightcnn.engine.loop import Epoch
from lightcnn.errors import LightcnnError
from lightcnn.evaluation import figures as score_figures
from lightcnn.evaluation.predictions import prediction_table, write_predictions
from lightcnn.evaluation.scores import repeated_accuracy, scores
from lightcnn.evaluation.thresholds import operating_points
from lightcnn.output import html
from lightcnn.output.caveats import caveats
from lightcnn.recipe import Recipe
from lightcnn.run_folder import RunFolder
from lightcnn.searching import figures
from lightcnn.searching.budgeted_space import BudgetedSpace, Candidate
from lightcnn.searching.plan import Plan, SearchClock
from lightcnn.searching.searcher import Outcome
from lightcnn.searching.settings import SearchSettings
from lightcnn.space import SearchSpace
from lightcnn.version import __version__
from lightcnn.weights import weights_file

TRIAL_COLUMNS = (
    "number", "state", "reason", "hash", "macs", "params", "weight_bytes", "peak_activations",
    "fidelity", "validation_accuracy", "seconds",
)  # fmt: skip
COUNTED = (
    "One FLOP is one multiply-add; convolutions and linear layers are counted, at batch 1, on the network with its "
    "norms folded. fvcore and thop add pooling."
)


@dataclass(frozen=True)
class Final:
    """The best network trained in full: the trial it came from, the module, its recipe, epochs and predictions."""

    outcome: Outcome
    candidate: Candidate
    model: nn.Module
    recipe: Recipe
    epochs: list[Epoch]
    probabilities: Mapping[str, NDArray[np.float64]]
    counters: Mapping[str, int]


def write_trials(run: RunFolder, space: SearchSpace, outcomes: Sequence[Outcome]) -> None:
    """trials.csv: one row a trial."""
    rows = []
    for outcome in outcomes:
        c = cost(space.spec(outcome.shape)) if outcome.shape else Cost()
        score = "" if outcome.score is None else f"{outcome.score:.6f}"
        numbers = (c.macs, c.params, c.weight_bytes_int8, c.peak_activations) if outcome.shape else ("",) * 4
        rows.append((
            outcome.number, outcome.state, outcome.reason, outcome.key, *numbers,
            outcome.epochs, score, f"{outcome.seconds:.3f}",
        ))  # fmt: skip
    run.write_csv("trials.csv", TRIAL_COLUMNS, rows)


def write_report(
    run: RunFolder,
    settings: SearchSettings,
    pipeline: Pipeline,
    space: BudgetedSpace,
    plan: Plan,
    outcomes: Sequence[Outcome],
    final: Final,
    clock: SearchClock,
) -> None:
    """Everything but trials.csv; report.json last, so that its presence means that the run is whole."""
    report = report_document(settings, pipeline, space, plan, outcomes, final, clock)
    spec = final.candidate.spec
    run.write_bytes("spec.yaml", document.dump(spec).encode())
    run.write_bytes("recipe.yaml", document.dump(final.recipe, exclude_defaults=False).encode())
    stand_in = report["data"]["stand_in"]
    run.write_bytes("weights.safetensors", weights_file(final.model, spec, stand_in=stand_in))
    rule = pipeline.preprocess(spec.input[1])
    run.write_json("preprocess.json", rule.model_dump(mode="json"))
    epochs = [(e.number, f"{e.loss:.6f}", f"{e.learning_rate:.8f}", f"{e.seconds:.3f}") for e in final.epochs]
    run.write_csv("metrics.csv", ("epoch", "loss", "learning_rate", "seconds"), epochs)
    held = write_predictions(
        run, *prediction_table(pipeline.dataset, pipeline.split, final.probabilities, rule.threshold)
    )
    report["predictions"] = held
    pictures = _plots(run, report, space, outcomes, final)
    run.write_bytes("report.html", _page(settings, report, spec, outcomes, pictures))
    run.write_json("report.json", report)


def report_document(
    settings: SearchSettings,
    pipeline: Pipeline,
    space: BudgetedSpace,
    plan: Plan,
    outcomes: Sequence[Outcome],
    final: Final,
    clock: SearchClock,
) -> dict[str, Any]:
    """report.json, but for `predictions`. Raises: LightcnnError where the network breaks the budget by any counter."""
    metrics = _metrics(pipeline, final)
    total = final.candidate.cost
    _held_against(space.budget, total, final.counters)
    return {
        "lightcnn": __version__,
        "command": "search",
        "seed": settings.seed,
        "seconds": clock.elapsed(),
        "data": pipeline.document(),
        "network": {"cost": total.document(), "counters": dict(final.counters)},
        "budget": space.budget.document(),
        "strategy": settings.strategy,
        "space": space.space.name,
        "counts": counts(outcomes),
        "best": {
            "trial": final.outcome.number,
            "search_score": final.outcome.score,
            "epochs": final.recipe.training.epochs,
            "cost": total.document(),
            "val": {"accuracy": metrics["val"]["accuracy"]["value"]},
            "test": {
                "accuracy": repeated_accuracy([metrics["test"]["accuracy"]["value"]], metrics["test"]["accuracy"])
            },
        },
        "metrics": metrics,
        "front": [{"cost": c.document(), "accuracy": score} for c, score in front(space, outcomes)],
        "history": history(outcomes),
        "fidelity": {
            "images": plan.images,
            "epochs": list(plan.rungs.epochs),
            "rank_correlation": _rank_correlation(outcomes),
        },
    }


def _metrics(pipeline: Pipeline, final: Final) -> dict[str, Any]:
    """Of both sides: answers at the preprocessing's threshold, further thresholds from the validation side."""
    dataset, sides = pipeline.dataset, pipeline.split
    threshold = pipeline.preprocess(final.candidate.spec.input[1]).threshold
    binary = len(dataset.classes) == 2
    operating = operating_points(dataset.labels[sides.val], final.probabilities["val"][:, 1]) if binary else {}
    return {
        side: scores(
            dataset.labels[indices], predicted, groups=dataset.groups[indices], threshold=threshold,
            classes=dataset.classes, operating=operating,
        ) for side, predicted in final.probabilities.items() for indices in [getattr(sides, side)]
    }  # fmt: skip


def counts(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """Trials in all; trained at least once; of these stopped before the last rung; answered from memory; failed."""
    trained = [o for o in outcomes if o.scores and o.state in ("complete", "pruned")]
    return {
        "proposed": len(outcomes),
        "trained": len(trained),
        "pruned": sum(o.state == "pruned" for o in trained),
        "duplicates": sum(o.state == "duplicate" for o in outcomes),
        "failed": sum(o.state == "failed" for o in outcomes),
    }


def front(space: BudgetedSpace, outcomes: Sequence[Outcome]) -> list[tuple[Cost, float]]:
    """The trained networks than which none is cheaper, in the budget's first resource, and better; cheapest first."""
    resource = space.budget.limits[0].resource
    trained = [
        (cost(space.space.spec(o.shape)), o.score or 0.0)
        for o in outcomes
        if o.scores and o.state in ("complete", "pruned")
    ]
    best: list[tuple[Cost, float]] = []
    for c, score in sorted(trained, key=lambda pair: (resource.largest_count(pair[0]), -pair[1])):
        if not best or score > best[-1][1]:
            best.append((c, score))
    return best


def history(outcomes: Sequence[Outcome]) -> list[tuple[float, float]]:
    """Seconds of search and the best validation accuracy seen by then, a pair for every improvement."""
    points: list[tuple[float, float]] = []
    for outcome in outcomes:
        top = max(outcome.scores.values(), default=None)
        if top is not None and (not points or top > points[-1][1]):
            points.append((round(outcome.elapsed, 3), top))
    return points


def _rank_correlation(outcomes: Sequence[Outcome]) -> float | None:
    """Spearman's, between the first and the second score of the networks that have both.

    None for fewer than four of them, or where either score is the same for all.
    """
    from scipy.stats import spearmanr

    pairs = [list(o.scores.values())[:2] for o in outcomes if len(o.scores) > 1 and o.state != "duplicate"]
    if len(pairs) < 4 or any(len(set(column)) < 2 for column in zip(*pairs, strict=True)):
        return None
    return float(spearmanr([first for first, _ in pairs], [second for _, second in pairs]).statistic)


def _held_against(budget: Budget, total: Cost, counters: Mapping[str, int]) -> None:
    """The last check before anything is called within budget: our prediction, and the counters themselves."""
    agree = counters == {"fvcore": total.fvcore, "thop": total.thop}
    if not agree or not budget.admits(total):
        raise LightcnnError(
            f"budget {budget}: the final network costs {total}, counters {dict(counters)}; please report this"
        )


def _plots(
    run: RunFolder, report: Mapping[str, Any], space: BudgetedSpace, outcomes: Sequence[Outcome], final: Final
) -> dict[str, bytes]:
    """The pictures of a run by caption, written under plots/ too."""
    limit = space.budget.limits[0]
    trained = [
        (limit.resource.largest_count(cost(space.space.spec(o.shape))), o.score or 0.0, o.epochs)
        for o in outcomes
        if o.scores
    ]
    best = [(limit.resource.largest_count(c), score) for c, score in front(space, outcomes)]
    pictures = {
        "history": figures.history(report["history"], max(o.elapsed for o in outcomes)),
        "front": figures.front(trained, best, limit.upper if not space.covered else None, limit.resource.label),
        "loss": figures.curves([e.loss for e in final.epochs], [e.learning_rate for e in final.epochs]),
        "confusion": score_figures.confusion(report["metrics"]["test"]["confusion"], report["data"]["classes"]),
    }
    for name, png in pictures.items():
        run.write_bytes(f"plots/{name}.png", png)
    return pictures


def _page(
    settings: SearchSettings,
    report: Mapping[str, Any],
    spec: Any,
    outcomes: Sequence[Outcome],
    pictures: Mapping[str, bytes],
) -> bytes:
    test, data, total = report["best"]["test"]["accuracy"], report["data"], report["network"]["cost"]
    how = report["metrics"]["test"]["accuracy"]["interval"]
    counters = report["network"]["counters"]
    notes = [html.paragraph(note, "note") for note in caveats(data)]
    known = data["groups"]["known"]
    grouped = f"from {data['groups']['source']}" if known else "unknown: every image counted as its own"
    scored = sorted((o for o in outcomes if o.scores), key=lambda o: (-o.epochs, -(o.score or 0)))[:10]
    return html.page(
        f"lightcnn search: {settings.budget} on {data['source']}",
        [
            html.paragraph(f"{test['mean']:.2%} test accuracy", "big"),
            html.paragraph(
                f"95 % interval {test['low']:.2%} to {test['high']:.2%} ({how}) on {data['counts']['test']:,} images "
                "that neither the search nor the training has seen, looked at once."
            ),
            *notes,
            html.heading("The network"),
            html.pairs({
                "FLOPs (multiply-adds)": total["macs"],
                "fvcore counts": counters["fvcore"],
                "thop counts": counters["thop"],
                "parameters": total["params"],
                "int8 weight bytes": total["weight_bytes"]["int8"],
                "peak int8 activation bytes": total["peak_activations"],
            }),
            html.paragraph(COUNTED),
            html.code(document.dump(spec)),
            html.figure(pictures["confusion"], "Test side: actual classes in rows, predicted ones in columns"),
            html.figure(pictures["loss"], "The final training"),
            html.heading("The search"),
            html.pairs(report["counts"]),
            html.figure(pictures["history"], "Best validation accuracy so far; trainings of different lengths"),
            html.figure(pictures["front"], "All trained networks, each after its longest training"),
            html.table(
                ("trial", "epochs", "validation accuracy", "stem and stage widths"),
                [(o.number, o.epochs, o.score, _widths(o)) for o in scored],
            ),
            html.heading("The data"),
            html.pairs({**data["counts"], "groups": grouped, "how groups were found": data["groups"]["why"],
                        "groups on two sides": data["groups_shared"],
                        "fingerprint": data["fingerprint"][:16]}),
        ],
    )  # fmt: skip


def _widths(outcome: Outcome) -> str:
    return ", ".join(str(value) for name, value in outcome.shape.items() if name.endswith(".width"))
