"""report.html of a search: what its template `page.html` shows."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lightcnn import document
from lightcnn.budget import MACS, RESOURCES, Budget, Limit, human
from lightcnn.data.sources.arrays import are_given
from lightcnn.network_stages import spec_stages
from lightcnn.output import html
from lightcnn.output.caveats import groups_clause, page_cautions
from lightcnn.output.charts.network_drawing import is_wide, network_svg
from lightcnn.output.charts.network_table import TABLE_HEADER, stage_rows
from lightcnn.output.confusion_table import confusion_table, frequent_mistakes
from lightcnn.output.largest_class import KEY, largest_class_sentence
from lightcnn.output.positive_class import positive_sentence
from lightcnn.recipe import RECIPE_FILE
from lightcnn.searching.budgeted_space import BudgetedSpace
from lightcnn.searching.metric_names import format_score, format_value, metric_label
from lightcnn.searching.report.wording import (
    certainty,
    comparison_lines,
    effort_lines,
    front_caption,
    front_cost,
    front_line,
    longer_command,
    longer_option,
    plan_lines,
    seeds_line,
    teacher_line,
)
from lightcnn.searching.settings import SearchSettings
from lightcnn.searching.trials.storage import Outcome
from lightcnn.spec import NetworkSpec
from lightcnn.training.report.wording import CLASS_HEADER, class_rows, score_texts

TEMPLATE = "searching/report/page.html"
COUNTERS = (("lightcnn", "macs"), ("fvcore", "fvcore"), ("thop", "thop"))
"""Who counts multiply-adds, and the name of its number in a `Cost`."""
COST_TITLES = {"macs": "FLOPs", "params": "parameters", "weight_bytes": "int8 weights, bytes",
               "peak_bytes": "int8 activations, bytes at the peak", "flash_bytes": "flash, bytes",
               "arena_bytes": "arena, bytes", "latency_us": "one image in PyTorch, predicted at most, µs",
               "onnx_latency_us": "one image in ONNX Runtime, predicted at most, µs"}  # fmt: skip
"""The resources of a budget as names of bars."""
TRIAL_HEADER = ("trial", "state", "images", "validation accuracy", "FLOPs", "parameters", "int8 weight bytes",
                "peak activation bytes", "seconds", "stem and stage widths", "reason")  # fmt: skip
FRONT_HEADER = ("trial", "validation", "test", "images", "spec")
"""Columns of the table of a Pareto front, after the cost."""
SCORE_HEADER = ("score", "test", "95 % interval", "validation", "meaning of the test score")
CURVE_HEADER = ("trial", "part", "images", "validation log loss")


def report_page(
    settings: SearchSettings,
    report: Mapping[str, Any],
    spec: NetworkSpec,
    space: BudgetedSpace,
    outcomes: Sequence[Outcome],
    charts: Mapping[str, Any],
    path: Path,
) -> bytes:
    """The page, as UTF-8. `charts` has the figures by name, `path` is the run folder."""
    total, stages = space.measure(spec), spec_stages(spec)
    confusions = confusion_table(report["metrics"]["test"]["confusion"], report["data"]["classes"])
    context = {
        "settings": settings, "report": report, "charts": charts, **_answer(report),
        "confusions": confusions, "mistakes": frequent_mistakes(confusions),
        "score_header": SCORE_HEADER, "scores": list(_score_rows(report)),
        "class_header": CLASS_HEADER, "classes": class_rows(report),
        "bars": [*_bars(space.budget, total), *_measured_bars(report)],
        "other_costs": _other_costs(report["network"], space.budget),
        "commands": list(_commands(settings, report, path, bool(space.genes()))),
        "drawing": network_svg(spec.name, spec.input, stages), "wide_network": is_wide(stages),
        "stage_header": TABLE_HEADER, "stages": stage_rows(stages), "spec": document.dump(spec),
        "trial_header": TRIAL_HEADER, "curve_header": CURVE_HEADER, "curves": list(_curve_rows(report)),
        "trials": [_trial_row(outcome, space) for outcome in outcomes],
        "front_caption": front_caption(report), "front_header": _front_header(report),
        "front": list(_front_rows(report)),
        "winner": next((n for n, outcome in enumerate(outcomes) if outcome.number == report["best"]["trial"]), None),
        "finals": [
            (final["trial"], final["images"], final["predicted"], final["reached"])
            for final in report["prediction"]["finals"]
        ],
        "shown_metric": metric_label(report["history_metric"]), "history": list(_history_rows(report)),
        "rungs": [_rung_row(rung) for rung in report["fidelity"]["rungs"]], "data": _data(report["data"]),
    }  # fmt: skip
    return html.render(TEMPLATE, f"{str(space.budget).replace(',', ', ')} on {report['data']['source']}", context)


def _answer(report: Mapping[str, Any]) -> dict[str, Any]:
    """The score, how sure it is, and the warnings."""
    metrics, metric = report["metrics"]["test"], report["metric"]
    largest = metrics.get(KEY)
    val = format_score(metric, report["metrics"]["val"][metric])
    return {
        "score": metrics["accuracy"], "groups": metrics["groups"], "certainty": certainty(report),
        "largest": largest, "other_score": None if metric == "accuracy" else format_score(metric, metrics[metric]),
        "metric": metric_label(metric), "validation_score": val, "bias": "low" if metric == "log_loss" else "high",
        "times": _times(report), "cautions": page_cautions(report),
        "sentences": [_sentence(line) for line in _lines(report)],
        "plan_lines": [_sentence(line) for line in plan_lines(report["plan"])],
        "comparison_lines": [_sentence(line) for line in comparison_lines(report)],
        "largest_class": [
            largest_class_sentence(metrics),
            largest_class_sentence(report["metrics"]["val"], "validation images"),
        ],
    }  # fmt: skip


def _lines(report: Mapping[str, Any]) -> list[str]:
    """What is beside the score: what was compared, and of which kind the search was."""
    others = (front_line(report), seeds_line(report), teacher_line(report), positive_sentence(report))
    return [*effort_lines(report), *filter(None, others)]


def _sentence(line: str) -> str:
    """A line of the terminal as a sentence."""
    return f"{line[0].upper()}{line[1:].rstrip('.')}."


def _times(report: Mapping[str, Any]) -> str:
    """How often the test set was evaluated: again whenever a finished search is continued, and for every other seed."""
    count, values = report["best"]["test_evaluations"], report["best"]["test"]["accuracy"]["values"]
    seeds = " and in each training with another seed" if len(values) > 1 else ""
    return "once" if count == 1 else f"{count} times, once in each session that came to its end{seeds}"


def _bars(budget: Budget, total: Any) -> Iterable[tuple[str, str, float]]:
    """The name, the text and the used share of each limit; three for multiply-adds, one per counter."""
    for limit in budget.limits:
        if limit.resource is MACS:
            for counter, name in COUNTERS:
                yield _bar(limit, f"FLOPs, counted by {counter}", getattr(total, name))
        else:
            yield _bar(limit, COST_TITLES[limit.resource.name], limit.resource.largest_count(total))


def _measured_bars(report: Mapping[str, Any]) -> Iterable[tuple[str, str, float]]:
    """The latencies of the delivered network as they were measured."""
    for times in report.get("latency", {}).values():
        where = "ONNX Runtime" if times["runtime"] == "onnx" else "PyTorch"
        text = f"{times['measured']:,.0f} of {times['limit']:,}"
        yield f"one image in {where}, measured, µs", text, times["measured"] / times["limit"]


def _bar(limit: Limit, name: str, count: float) -> tuple[str, str, float]:
    lower = "" if limit.lower is None else f", at least {limit.lower:,}"
    return name, f"{count:,} of {limit.upper:,}{lower}", count / limit.upper


def _other_costs(network: Mapping[str, Any], budget: Budget) -> dict[str, int]:
    """The costs that the budget does not limit, from the `network` of report.json."""
    cost, limited = network["cost"], {limit.resource.name for limit in budget.limits}
    costs = {
        "macs": cost["macs"], "params": cost["params"], "weight_bytes": cost["weight_bytes"]["int8"],
        "peak_bytes": cost["peak_activations"], "flash_bytes": cost["flash_bytes"], "arena_bytes": cost["arena_bytes"],
    }  # fmt: skip
    rows = {COST_TITLES[name]: count for name, count in costs.items() if name not in limited and count is not None}
    counters = {f"FLOPs, counted by {name}": count for name, count in network["counters"].items()}
    return rows if "macs" in limited else rows | counters


def _commands(
    settings: SearchSettings, report: Mapping[str, Any], path: Path, has_others: bool
) -> Iterable[tuple[str, str]]:
    """What to do next, and the command for it."""
    run, recipe = shlex.quote(str(path)), path / RECIPE_FILE
    yield "Predict the classes of other images", f"lightcnn predict {run} IMAGES"
    yield "See where the network looks", f"lightcnn explain {run}{' IMAGES' if are_given() else ''}"
    yield "Export it to run elsewhere", f"lightcnn export {run}"
    if "pareto" in report and not are_given():
        spec, data = shlex.quote(str(path / report["front"][0]["spec"])), shlex.quote(report["data"]["source"])
        yield "Train the cheapest network of the front", f"lightcnn train {spec} --data {data}"
    again = ", with the same arrays in Python" if are_given() else ""
    if has_others:
        yield f"Search longer{again}", longer_command(path, longer_option(settings.seconds, report), settings.data)
    repeat = f"lightcnn train {shlex.quote(str(recipe))} --seeds 5"
    if again:
        repeat = f"lightcnn.train({str(recipe)!r}, data=(X, y), seeds=5)"
    yield f"See how much the seed matters{again}", repeat


def _score_rows(report: Mapping[str, Any]) -> Iterable[tuple[str, ...]]:
    """Every score as a row of `SCORE_HEADER`."""
    for test, val in zip(score_texts(report), score_texts(report, "val"), strict=True):
        yield test.name, test.value, test.interval, val.value, test.meaning


def _trial_row(outcome: Outcome, space: BudgetedSpace) -> tuple[Any, ...]:
    """A trial as a row of `TRIAL_HEADER`."""
    costs: tuple[Any, ...] = ("",) * 4
    if outcome.key:
        total = space.cost_of(outcome.shape)
        costs = (total.macs, total.params, total.weight_bytes_int8, total.peak_activations)
    score = "" if outcome.score is None else html.NumberCell(f"{outcome.score:.2%}", outcome.score)
    return (
        outcome.number, outcome.state, outcome.images, score, *costs, html.NumberCell(f"{outcome.seconds:.1f}",
        outcome.seconds), _format_widths(outcome), outcome.reason,
    )  # fmt: skip


def _front_header(report: Mapping[str, Any]) -> tuple[str, ...]:
    return (RESOURCES[report["pareto"]["resource"]].label, *FRONT_HEADER) if "pareto" in report else ()


def _front_rows(report: Mapping[str, Any]) -> Iterable[tuple[Any, ...]]:
    """The networks of a Pareto front as rows of cost and `FRONT_HEADER`."""
    if "pareto" not in report:
        return
    resource, metric = RESOURCES[report["pareto"]["resource"]], report["metric"]
    for point in report["front"]:
        count = front_cost(point, resource)
        scores = (
            html.NumberCell(format_score(metric, score), score["value"] or 0.0)
            for score in (point[name][metric] for name in ("val", "test"))
        )
        yield html.NumberCell(human(count), count), point["trial"], *scores, point["images"], point["spec"]


def _curve_rows(report: Mapping[str, Any]) -> Iterable[tuple[Any, ...]]:
    """The points of all learning curves, and what was predicted for the end."""
    end = report["plan"]["final"]["images"]
    for trial in report["prediction"]["trials"]:
        for point in trial["curve"]:
            yield trial["trial"], "search", point["images"], point["log_loss"]
        if trial["predicted"] is not None:
            yield trial["trial"], "predicted for the end", end, trial["predicted"]
    for final in report["finals"]:
        for point in final["curve"]:
            yield final["trial"], "final training", point["images"], point["log_loss"]
    for final in report["second_seeds"]:
        for point in final["curve"]:
            yield final["trial"], "second seed", point["images"], point["log_loss"]


def _history_rows(report: Mapping[str, Any]) -> Iterable[tuple[Any, ...]]:
    """The minutes of the search and the best score by then."""
    for seconds, value in report["history"]:
        score = html.NumberCell(format_value(report["history_metric"], value), value)
        yield html.NumberCell(f"{seconds / 60:.1f}", seconds), score


def _rung_row(rung: Mapping[str, Any]) -> tuple[Any, ...]:
    """A rung as a row; its correlation is unknown with fewer than four longer trainings."""
    correlation = rung["rank_correlation"]
    return rung["images"], rung["steps"], rung["networks"], "–" if correlation is None else f"{correlation:.2f}"


def _data(data: Mapping[str, Any]) -> dict[str, Any]:
    """The sizes of the sets and how images are grouped."""
    groups = data["groups"]
    return {
        **{f"{name} images": count for name, count in data["counts"].items()},
        "groups": groups_clause(groups),
        **({} if groups["known"] else {"how groups were found": groups["why"]}),
        "groups in two sets": data["groups_shared"],
        "fingerprint": data["fingerprint"][:16],
    }


def _format_widths(outcome: Outcome) -> str:
    """The widths of stem and stages, as in `8, 24, 48`."""
    return ", ".join(str(value) for name, value in outcome.shape.items() if name.endswith(".width"))
