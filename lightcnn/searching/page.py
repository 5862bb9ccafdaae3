"""report.html of a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lightcnn import document
from lightcnn.network_stages import spec_stages
from lightcnn.output import html
from lightcnn.output.caveats import cautions, groups_clause
from lightcnn.output.charts.network_drawing import network_svg
from lightcnn.output.charts.network_table import TABLE_HEADER, stage_rows
from lightcnn.output.largest_class import largest_class_sentence
from lightcnn.output.positive_class import positive_sentence
from lightcnn.output.report import device_bytes
from lightcnn.searching.comparison import comparison_lines, seeds_line
from lightcnn.searching.metric_names import format_score, metric_label
from lightcnn.searching.settings import SearchSettings
from lightcnn.searching.trials.storage import Outcome
from lightcnn.spec import NetworkSpec

COUNTING_NOTE = (
    "One FLOP is one multiply-add. Convolutions and linear layers are counted, for a batch of 1, with normalisation "
    "folded into them. fvcore and thop also count pooling."
)
MAX_TRIALS = 10
"""Trials in the table of the best."""


def report_page(
    settings: SearchSettings,
    report: Mapping[str, Any],
    spec: NetworkSpec,
    outcomes: Sequence[Outcome],
    plots: Mapping[str, bytes],
) -> bytes:
    """The page, as UTF-8. `plots` has the figures as PNG by name."""
    return html.page(
        f"lightcnn search: {settings.budget} on {report['data']['source']}",
        [*_result(report), *_network(report, spec, plots), *_search(report, outcomes, plots), *_data(report["data"])],
    )


def _result(report: Mapping[str, Any]) -> list[str]:
    """The test accuracy with its interval, and the caveats."""
    test, data = report["best"]["test"]["accuracy"], report["data"]
    method, metric = report["metrics"]["test"]["accuracy"]["interval"], report["metric"]
    bias = "low" if metric == "log_loss" else "high"
    others = (
        []
        if metric == "accuracy"
        else [f"Test {metric_label(metric)}: {format_score(metric, report['metrics']['test'][metric])}."]
    )
    return [
        html.paragraph(f"{test['values'][0]:.2%} test accuracy", "big"),
        html.paragraph(
            f"95 % interval {test['low']:.2%} to {test['high']:.2%} ({method}) on {data['counts']['test']:,} images "
            f"that were used neither in the search nor in training, and were evaluated {_times(report)}. The weights "
            f"were chosen by their validation {metric_label(metric)}, "
            f"{format_score(metric, report['metrics']['val'][metric])}, so that is too {bias}."
        ),
        *map(html.paragraph, others),
        *(html.paragraph(f"{line[0].upper()}{line[1:]}.") for line in [seeds_line(report)] if line),
        html.paragraph(largest_class_sentence(report["metrics"]["test"])),
        *(html.paragraph(text) for text in [positive_sentence(report)] if text),
        *(html.paragraph(note, "note") for note in cautions(report)),
    ]


def _times(report: Mapping[str, Any]) -> str:
    """How often the test set was evaluated: again whenever a finished search is continued."""
    count = report["best"]["test_evaluations"]
    return "once" if count == 1 else f"{count} times, once for each time that the search was continued"


def _network(report: Mapping[str, Any], spec: NetworkSpec, plots: Mapping[str, bytes]) -> list[str]:
    """What the network costs, its spec, its confusion matrix and its training."""
    total, counters, stages = report["network"]["cost"], report["network"]["counters"], spec_stages(spec)
    return [
        html.heading("The network"),
        html.pairs({
            "FLOPs (multiply-adds)": total["macs"],
            "fvcore counts": counters["fvcore"],
            "thop counts": counters["thop"],
            "parameters": total["params"],
            "int8 weight bytes": total["weight_bytes"]["int8"],
            "peak int8 activation bytes": total["peak_activations"],
            **device_bytes(total),
        }),
        html.paragraph(COUNTING_NOTE),
        html.drawing(network_svg(spec.name, spec.input, stages), "The network, stage by stage"),
        html.table(TABLE_HEADER, stage_rows(stages)),
        html.code(document.dump(spec)),
        html.figure(plots["confusion"], "Test set: confusion matrix (rows: true class, columns: predicted class)"),
        *([html.figure(plots["loss"], "Training of the network")] if "loss" in plots else []),
    ]  # fmt: skip


def _search(report: Mapping[str, Any], outcomes: Sequence[Outcome], plots: Mapping[str, bytes]) -> list[str]:
    """The trials: how many, how the accuracy rose, and the best of them."""
    scored = sorted((o for o in outcomes if o.scores), key=lambda o: (-o.images, -(o.score or 0)))[:MAX_TRIALS]
    return [
        html.heading("The search"),
        *(html.paragraph(f"{line[0].upper()}{line[1:]}.") for line in comparison_lines(report)),
        html.pairs(report["counts"]),
        html.table(
            ("images", "optimizer steps", "networks", "rank correlation with the longest trainings"),
            [_rung_row(rung) for rung in report["fidelity"]["rungs"]],
        ),
        html.paragraph(largest_class_sentence(report["metrics"]["val"], "validation images")),
        *_predictions(report, plots),
        html.figure(plots["history"], "Best validation accuracy so far, over trainings of all lengths"),
        html.figure(plots["front"], "All trained networks, each after its longest training"),
        html.table(
            ("trial", "images", "validation accuracy", "stem and stage widths"),
            [(o.number, o.images, o.score, _format_widths(o)) for o in scored],
        ),
    ]


def _predictions(report: Mapping[str, Any], plots: Mapping[str, bytes]) -> list[str]:
    """The learning curves, the predictions for the final trainings, and the genes that matter."""
    networks = report["counts"]["trained"]
    rows = [
        (final["trial"], final["images"], f"{final['predicted']:.3f}", f"{final['reached']:.3f}")
        for final in report["prediction"]["finals"]
    ]
    parts: list[str] = []
    if "learning_curves" in plots:
        parts.append(html.figure(plots["learning_curves"], "Learning curves of all trained networks"))
    if rows:
        parts.append(
            html.table(("trial", "images", "predicted log loss", "log loss, before the learning rate falls"), rows)
        )
    if "importance" in plots:
        parts.append(html.figure(
            plots["importance"],
            f"Which genes explain the predicted scores of {networks} networks (functional analysis of variance)",
        ))  # fmt: skip
    return parts


def _rung_row(rung: Mapping[str, Any]) -> tuple[Any, ...]:
    """A rung as a row; its correlation is unknown with fewer than four longer trainings."""
    correlation = rung["rank_correlation"]
    return rung["images"], rung["steps"], rung["networks"], "–" if correlation is None else f"{correlation:.2f}"


def _data(data: Mapping[str, Any]) -> list[str]:
    """The sizes of the sets and how images are grouped."""
    groups = data["groups"]
    return [
        html.heading("The data"),
        html.pairs({
            **data["counts"],
            "groups": groups_clause(groups),
            **({} if groups["known"] else {"how groups were found": groups["why"]}),
            "groups in two sets": data["groups_shared"],
            "fingerprint": data["fingerprint"][:16],
        }),
    ]  # fmt: skip


def _format_widths(outcome: Outcome) -> str:
    """The widths of stem and stages, as in `8, 24, 48`."""
    return ", ".join(str(value) for name, value in outcome.shape.items() if name.endswith(".width"))
