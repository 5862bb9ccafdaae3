"""What the terminal shows at the end of a search: the score and the cost of the network, and the best trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rich.table import Table
from rich.text import Text

from lightcnn.budget import RESOURCES, human
from lightcnn.output.largest_class import largest_class_clause
from lightcnn.output.terminal import fitted_table, key_value_grid
from lightcnn.searching.metric_names import format_score, metric_label
from lightcnn.searching.report.wording import front_cost

DEVICE_TITLES = {"flash_bytes": "flash", "arena_bytes": "arena"}
MAX_NETWORKS = 5
"""Networks in the table of the best."""
COST_COLUMNS = {"macs": "FLOPs", "params": "params", "weight_bytes": "int8 weights", "peak_activations": "int8 RAM"}
"""Columns of trials.csv, and their titles; the values of all but the first two are bytes."""

OPTIONAL = ("int8 RAM", "int8 weights", "arena", "flash", "params")
"""Columns that are left out, in this order, until the table fits."""


def summary(report: Mapping[str, Any]) -> str:
    """One line: the accuracy of the delivered network, its interval, its cost."""
    test = report["best"]["test"]["accuracy"]
    other = "".join(f", test {name} {score}" for name, score in _other_score(report))
    return (
        f"test accuracy {test['values'][0]:.2%} (95 % interval {test['low']:.2%} to {test['high']:.2%}"
        f"{largest_class_clause(report['metrics']['test'])}){other}, {', '.join(_costs(report))}"
    )


def result_grid(report: Mapping[str, Any]) -> Table:
    """The same for a terminal: one row each for the accuracy, its interval, the largest class and the cost."""
    test = report["best"]["test"]["accuracy"]
    rows = key_value_grid()
    rows.add_row("test accuracy", Text(f"{test['values'][0]:.2%}", style="bold"))
    rows.add_row("95 % interval", Text(f"{test['low']:.2%} to {test['high']:.2%}"))
    for name, score in _other_score(report):
        rows.add_row(f"test {name}", Text(score))
    if largest := largest_class_clause(report["metrics"]["test"]):
        rows.add_row("to compare", Text(largest.removeprefix("; ")))
    rows.add_row("cost", Text(", ".join(_costs(report))))
    counters = report["network"].get("counters", {})
    if counters:
        rows.add_row("counted by", Text(", ".join(f"{name} {human(count)} FLOPs" for name, count in counters.items())))
    return rows


def search_table(report: Mapping[str, Any], trials: Sequence[Mapping[str, Any]], *, width: int) -> Table:
    """The best networks of a search, from report.json and the rows of trials.csv; fewer costs if it is narrow.

    The delivered one is first. Then come the others that could be delivered, by the metric; the others of the final
    training; and those of the rungs, by the log loss that networks are compared by.
    """
    length = "images" if "comparison" in report else "epochs"  # earlier versions counted epochs
    costs = COST_COLUMNS | {name: title for name, title in DEVICE_TITLES.items() if trials and name in trials[0]}
    header = ("trial", *costs.values(), length, "val accuracy")
    scored = [row for row in trials if row["validation_accuracy"] and row["state"] in ("complete", "pruned")]
    ends, best, losses = _ends(report), report["best"]["trial"], _last_losses(report)
    ranked = [item["trial"] for item in report.get("comparison", {}).get("candidates", ())]  # best first
    reached = {row["number"]: ends.get(int(row["number"])) or _in_the_search(row) for row in scored}

    def place(row: Mapping[str, Any]) -> tuple[float, ...]:
        trial, (images, accuracy) = int(row["number"]), reached[row["number"]]
        if trial in ranked:
            return (trial != best, 0, ranked.index(trial))
        if trial in ends:
            return (trial != best, 1, -accuracy)
        return (trial != best, 2, -images, losses.get(trial, -accuracy))

    cells = [
        (
            row["number"], *(human(int(row[name])) + ("" if name in ("macs", "params") else "B") for name in costs),
            human(reached[row["number"]].images), f"{reached[row['number']].accuracy:.2%}",
        )
        for row in sorted(scored, key=place)[:MAX_NETWORKS]
    ]  # fmt: skip
    styles = ["bold green" if int(row[0]) == best else "" for row in cells]
    return fitted_table(header, cells, optional=OPTIONAL, width=width, styles=styles)


class _Reached(NamedTuple):
    """The images of a network's longest training, and its accuracy after that."""

    images: int
    accuracy: float


def _ends(report: Mapping[str, Any]) -> dict[int, _Reached]:
    """The end of each network's final training, by trial.

    Of networks that could not be delivered, and in reports of earlier versions, the accuracy is that of the better seed
    on the validation images of the search; of the others, that of the best weights on all validation images.
    """
    finals = (*report.get("finals", ()), *report.get("second_seeds", ()))
    curves = [(final["trial"], final["curve"][-1]) for final in finals if final["curve"]]
    candidates = [(item["trial"], item) for item in report.get("comparison", {}).get("candidates", ())]
    points = (*sorted(curves, key=lambda end: end[1]["accuracy"]), *candidates)
    return {trial: _Reached(point["images"], point["accuracy"]) for trial, point in points}


def _in_the_search(row: Mapping[str, Any]) -> _Reached:
    """What a network reached at its last rung, from a row of trials.csv."""
    return _Reached(int(row["fidelity"]), float(row["validation_accuracy"]))


def _last_losses(report: Mapping[str, Any]) -> dict[int, float]:
    """The log loss of each trial's network at its last rung; reports of earlier versions have none."""
    curves = report.get("prediction", {}).get("trials", ())
    return {item["trial"]: item["curve"][-1]["log_loss"] for item in curves if item["curve"]}


def front_table(report: Mapping[str, Any], *, width: int) -> Table:
    """The networks of a Pareto front, cheapest first, from report.json."""
    resource, metric = RESOURCES[report["pareto"]["resource"]], report["metric"]
    header = (resource.label, "trial", f"val {metric_label(metric)}", f"test {metric_label(metric)}", "spec")
    cells = [
        (
            human(front_cost(point, resource)), str(point["trial"]),
            *(format_score(metric, point[name][metric]) for name in ("val", "test")), point["spec"],
        )
        for point in report["front"]
    ]  # fmt: skip
    styles = ["bold green" if point["delivered"] else "" for point in report["front"]]
    return fitted_table(header, cells, optional=("trial", "spec"), width=width, styles=styles)


def _other_score(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name and value of the metric that was maximised, if it is not the accuracy."""
    name = report.get("metric", "accuracy")
    if name == "accuracy":
        return []
    return [(metric_label(name), format_score(name, report["metrics"]["test"][name]))]


def _costs(report: Mapping[str, Any]) -> list[str]:
    """Multiply-adds, parameters, and what else the budget limits."""
    total = report["network"]["cost"]
    device = [f"{human(total[name])}B {title}" for name, title in DEVICE_TITLES.items() if total.get(name)]
    times = [_latency(times) for times in report.get("latency", {}).values()]
    return [f"{human(total['macs'])} FLOPs", f"{human(total['params'])} params", *device, *times]


def _latency(times: Mapping[str, Any]) -> str:
    """A measured latency, from `latency` of report.json."""
    where = " in ONNX Runtime" if times["runtime"] == "onnx" else ""
    return f"{times['measured'] / 1000:.3g} ms for one image{where}"
