"""report.html of a comparison: what its template `page.html` shows."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lightcnn.budget import human
from lightcnn.comparing.figures import MAX_DRAWN
from lightcnn.comparing.settings import METRICS
from lightcnn.comparing.terminal import run_cells
from lightcnn.output import html
from lightcnn.output.caveats import page_cautions
from lightcnn.output.charts.svg import Chart
from lightcnn.output.largest_class import KEY

PAIR_HEADER = ("a", "b", "metric", "a − b", "low", "high", "p", "p (Holm)", "detectable", "test")
RUN_HEADER = ("run", "seeds", "folds", "test images", *METRICS.values(), "largest class", "parameters", "multiply-adds")
DIFFERENCE_HEADER = ("a", "b", "key", "value of a", "value of b")
MAX_PAIRS = 30
"""Pairs of runs whose differences are listed as sentences; the table has all."""
MAX_KEYS = 8
"""Differences between the runs on the first screen; the table has all."""
MAX_FIRST = 6
"""Runs on the first screen, the best first; the table has all."""
MAX_CLASSES = 30
"""Classes that the page lists."""


def compare_page(report: Mapping[str, Any], charts: Mapping[str, Chart]) -> bytes:
    """The whole page. `charts`: those of the `differences` and of the `scores`."""
    data, runs = report["data"], report["runs"]
    cautions = page_cautions(report, omit=("unequal_training",))
    first = [*cautions.alarms, *cautions.serious]
    unequal = [entry["sentence"] for entry in report["differences"] if not entry["equal_training"]][:MAX_PAIRS]
    keys = list(_difference_rows(report["differences"]))
    context = {
        "report": report, "charts": charts, **verdict(report["pairs"]),
        "cautions": cautions._replace(serious=[*cautions.serious, *unequal]),
        "notes": list(dict.fromkeys([*cautions.folded, *(note for note in report["notes"] if note not in first)])),
        "keys": keys, "first_keys": [row[2:] if len(runs) == 2 else row for row in keys[:MAX_KEYS]],
        "key_header": _key_header(runs), "difference_header": DIFFERENCE_HEADER,
        "difference_sentences": [
            entry["sentence"] for entry in report["differences"][:MAX_PAIRS] if entry["equal_training"]
        ],
        "metric": METRICS[report["pairs"][0]["metric"]],
        "first_runs": [_first_run(run, report["pairs"][0]["metric"]) for run in _best_first(report)[:MAX_FIRST]],
        "tested": _tested(data, runs), "run_header": RUN_HEADER, "runs": [_run_row(run) for run in runs],
        "pair_header": PAIR_HEADER, "pairs": [_pair_row(pair) for pair in report["pairs"]],
        "drawn": MAX_DRAWN, "commands": list(_commands(report)),
        "data": {
            "source": data["source"], "fingerprint": data["fingerprint"][:16],
            "classes": ", ".join(data["classes"][:MAX_CLASSES]),
        },
    }  # fmt: skip
    return html.render("comparing/page.html", f"{len(runs)} runs on {data['source']}", context)


def verdict(pairs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the first metric shows: a headline, its sentences, those of the other metrics; for ablations too.

    `pairs` are those of report.json.
    """
    metric = pairs[0]["metric"]
    first = [pair for pair in pairs if pair["metric"] == metric]
    shown = [pair for pair in first if pair["shown"]]
    name, count = METRICS[metric], len(first)
    if count == 1:
        headline = f"A difference in {name} is shown" if shown else f"No difference in {name} could be shown"
    else:
        headline = f"{len(shown) or 'None'} of {count} pairs {'differs' if len(shown) == 1 else 'differ'} in {name}"
    return {
        "headline": headline,
        "shown": [pair["sentence"] for pair in shown],
        "not_shown": [pair["sentence"] for pair in first if not pair["shown"]],
        "other_metrics": [pair["sentence"] for pair in pairs if pair["metric"] != metric],
    }


def _commands(report: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """What to do next, with the run that has the best score."""
    metric = report["pairs"][0]["metric"]
    best = max(report["runs"], key=lambda run: run["scores"][metric]["value"] if run["scores"][metric] else -1)
    run, recipe = shlex.quote(best["path"]), shlex.quote(str(Path(best["path"]) / "recipe.yaml"))
    yield "See how much the seed matters", f"lightcnn train {recipe} --seeds 5"
    yield "See where the network with the best score looks", f"lightcnn explain {run}"
    yield "Export it to run elsewhere", f"lightcnn export {run}"


def _key_header(runs: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Two runs have a column each."""
    return ("key", runs[0]["name"], runs[1]["name"]) if len(runs) == 2 else DIFFERENCE_HEADER


def _best_first(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The runs in descending order of the first metric; those without it are last."""
    scores = [run["scores"][report["pairs"][0]["metric"]] for run in report["runs"]]
    order = sorted(range(len(scores)), key=lambda place: -(scores[place]["value"] if scores[place] else -1))
    return [report["runs"][place] for place in order]


def _first_run(run: Mapping[str, Any], metric: str) -> dict[str, Any]:
    """A run on the first screen: its score with the interval, and its cost."""
    score, cost, largest = run["scores"][metric], run["cost"], run[KEY]
    form = ".4f" if metric == "auc" else ".2%"
    return {
        "name": run["name"], "track": score,
        "reference": largest["accuracy"] if largest and metric == "accuracy" else None,
        "value": f"{score['value']:{form}}" if score else "undefined",
        "interval": f"({score['low']:{form}} to {score['high']:{form}})" if score else "",
        "cost": f"{human(cost['macs'])} multiply-adds, {human(cost['params'])} parameters" if cost else "",
    }  # fmt: skip


def _tested(data: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]) -> str:
    """The images that all runs were tested on, and what the bars show."""
    count = data["groups"]["counts"].get("test") if data["groups"]["known"] else None
    groups = "" if count is None else f" from {count:,} groups"
    orange = "; orange: always predicting the largest class" if any(run[KEY] for run in runs) else ""
    return f"On the same {runs[0]['images']:,} test images{groups}; bars are 95 % intervals{orange}."


def _run_row(run: Mapping[str, Any]) -> tuple[Any, ...]:
    cost = run["cost"] or {"params": "", "macs": ""}
    sizes = (len(run["seeds"]), run["folds"], run["images"])
    return (run["name"], *sizes, *run_cells(run), cost["params"], cost["macs"])


def _pair_row(pair: Mapping[str, Any]) -> tuple[Any, ...]:
    names = ("difference", "low", "high", "p", "p_adjusted", "detectable")
    cells = ("none" if pair[name] is None else float(pair[name]) for name in names)
    return (pair["a"], pair["b"], METRICS[pair["metric"]], *cells, pair["test"])


def _difference_rows(entries: Sequence[Mapping[str, Any]]) -> Iterable[tuple[Any, ...]]:
    for entry in entries:
        for difference in entry["differences"]:
            yield entry["a"], entry["b"], difference["key"], difference["a"], difference["b"]
