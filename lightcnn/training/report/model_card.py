"""README.md of a run: a model card in the format of Hugging Face, filled in with what the run knows."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from lightcnn.data.preprocess import Preprocess
from lightcnn.data.sources.arrays import are_given
from lightcnn.module_spec import ModuleSpec
from lightcnn.output.caveats import NOT_FOR_DIAGNOSIS, STAND_IN_CARD
from lightcnn.output.largest_class import largest_class_sentence
from lightcnn.output.markdown import bullets, escape, table
from lightcnn.output.positive_class import positive_sentence
from lightcnn.recipe import Recipe
from lightcnn.text import visible
from lightcnn.training.report import wording
from lightcnn.training.report.card_facts import MAX_LISTED, UNKNOWN, CardFacts, dataset_name
from lightcnn.training.setup import stand_in_warning

METRIC_TYPES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced_accuracy",
    "sensitivity": "recall",
    "specificity": "specificity",
    "precision": "precision",
    "f1": "f1",
    "auc": "roc_auc",
    "pr_auc": "average_precision",
    "mcc": "matthews_correlation",
    "kappa": "cohen_kappa",
    "brier": "brier_score",
    "log_loss": "log_loss",
    "ece": "expected_calibration_error",
}
"""Our scores by Hugging Face's metric names, or by names in their style."""
MAX_CLASS_ROWS = 30
"""Rows of the card's table of classes; report.html lists all."""
OUT_OF_SCOPE = (
    "Diagnosis, triage, screening and any other decision about a person; other kinds of images, and images from other "
    "sources, on which the network has not been tested."
)
REPEAT_FROM_PYTHON = (
    '```python\nimport lightcnn\n\nlightcnn.train("recipe.yaml", data=(images, labels), out="again")\n```'
)
REFERENCES = "Figures: `plots/`. All results: `report.html`, `report.json`."


def usage(recipe: Recipe, folder: str) -> str:
    """How to classify images with the network in a folder; in Python with the module, if it is an own one."""
    if isinstance(recipe.network, ModuleSpec):
        module = f"{recipe.network.module}()"
        return f'```python\nlightcnn.Run.load({folder!r}, network={module}).predict(["IMAGE"])\n```'
    return f"```sh\nlightcnn predict {folder} IMAGE\n```"


def model_card(facts: CardFacts) -> bytes:
    """The complete card, UTF-8."""
    report, recipe = facts.report, facts.recipe
    warning = stand_in_warning(report["data"])
    thresholds = wording.threshold_rows(report)
    parts = [
        *([f"> **{escape(warning)}.**"] if warning else []),
        f"# {escape(title(recipe))}",
        f"{escape(network(report))} that distinguishes {len(report['data']['classes']):,} classes of images, trained "
        f"by lightcnn {escape(report['lightcnn'])} on {escape(facts.source)}. Test accuracy {accuracy(report)}. "
        f"{escape(largest_class_sentence(report['metrics']['test']))}".rstrip(),
        NOT_FOR_DIAGNOSIS,
        "## Intended use",
        f"To classify images like those of {escape(facts.dataset)} in research and teaching, and as a baseline for "
        f"other networks. Classes: {escape(facts.classes)}.",
        usage(recipe, "."),
        "## Out of scope",
        OUT_OF_SCOPE,
        "## Limits",
        bullets(facts.limits),
        "## Data",
        table(("", "train", "val", "test"), split_rows(report["data"])),
        table(("", ""), _data_rows(facts)),
        "## Scores on the test set",
        escape(wording.sample_size(report)),
        *(escape(text) for text in [positive_sentence(report)] if text),
        table(wording.SCORE_HEADER, wording.score_rows(report)),
        escape(wording.decision_rule(report)),
        escape(wording.calibration(report)),
        table(wording.CLASS_HEADER, wording.class_rows(report, MAX_CLASS_ROWS)),
        *([table(wording.THRESHOLD_HEADER, thresholds)] if thresholds else []),
        REFERENCES,
        "## Training",
        table(("", ""), _training_rows(facts)),
        "To repeat the training with the same data, run in this folder:",
        REPEAT_FROM_PYTHON if are_given() else "```sh\nlightcnn train recipe.yaml --out again\n```",
        "## CLAIM",
        "The items of CLAIM, the Checklist for Artificial Intelligence in Medical Imaging (Mongan, Moy and Kahn 2020; "
        "update by Tejani and others 2024), as far as this run knows them. The authors of a study must add the others.",
        table(("topic", "information"), _claim_rows(facts)),
    ]  # fmt: skip
    return join_card(front_matter(report, title(recipe)), parts)


def join_card(metadata: Mapping[str, Any], parts: Sequence[str]) -> bytes:
    """A card from its metadata and its paragraphs, UTF-8."""
    return ("---\n" + _yaml(metadata) + "---\n\n" + "\n\n".join(parts) + "\n").encode()


def front_matter(report: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The card's metadata. There is no licence, since the run knows none."""
    data = report["data"]
    test = report["metrics"]["test"]
    defined = [key for key in wording.METRICS if test[key]["value"] is not None]
    source = visible(dataset_name(report))
    return {
        "library_name": "lightcnn",
        "pipeline_tag": "image-classification",
        "tags": ["lightcnn", "image-classification", *(["stand-in-data"] if data["stand_in"] else [])],
        "stand_in": data["stand_in"],
        "metrics": [METRIC_TYPES[key] for key in defined],
        "model-index": [
            {
                "name": name,
                "results": [
                    {
                        "task": {"type": "image-classification", "name": "Image classification"},
                        "dataset": {
                            "name": source,
                            "type": re.sub(r"[^A-Za-z0-9._-]+", "-", source).strip("-.") or "unnamed",
                            "split": "test",
                            "revision": data["fingerprint"],
                        },
                        "metrics": [
                            {"type": METRIC_TYPES[key], "value": test[key]["value"], "name": _score_title(key, test)}
                            for key in defined
                        ],
                    }
                ],
            }
        ],
    }


def title(recipe: Recipe) -> str:
    """The title of the card."""
    return recipe.name or "A network of lightcnn"


def network(report: Mapping[str, Any]) -> str:
    """The network by its size."""
    total = report["network"]["cost"]
    return f"A network with {total['params']:,} parameters and {total['macs']:,} multiply-adds per image"


def accuracy(report: Mapping[str, Any]) -> str:
    """The test accuracy with its interval, in Markdown."""
    score = report["metrics"]["test"]["accuracy"]
    return (
        f"**{score['value']:.2%}** (95 % interval {score['low']:.2%} to {score['high']:.2%}, "
        f"{escape(score['interval'])})"
    )


def split_rows(data: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """The number of images and groups in each set."""
    rows = (("images", data["counts"]), ("groups", data["groups"]["counts"]))
    return [(name, *(f"{counts[split_name]:,}" for split_name in ("train", "val", "test"))) for name, counts in rows]


def _score_title(key: str, test: Mapping[str, Any]) -> str:
    score = test[key]
    if score["low"] is None:
        return wording.METRICS[key]
    return f"{wording.METRICS[key]}, 95 % interval {wording.format_interval(score)} ({score['interval']})"


def _yaml(values: Mapping[str, Any]) -> str:
    stream = io.StringIO()
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.width = 10_000
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    writer.dump(values, stream)
    return stream.getvalue()


def _data_rows(facts: CardFacts) -> list[tuple[str, str]]:
    data = facts.report["data"]
    return [
        ("source", facts.dataset),
        ("stand-in", STAND_IN_CARD if data["stand_in"] else "no"),
        ("fingerprint (SHA-256)", data["fingerprint"]),
        ("groups", facts.groups),
        ("split", facts.split),
        ("unreadable files", f"{data['skipped']:,}"),
        ("licence", UNKNOWN),
    ]


def _training_rows(facts: CardFacts) -> list[tuple[str, str]]:
    report, recipe, machine = facts.report, facts.recipe, facts.environment
    training, weights = recipe.training, report["class_weights"]
    augmentations = [f"{name} {value}" for name, value in recipe.augment if value not in (None, 0, False)]
    epochs = f"{report['epochs']} of {training.epochs}" + (", stopped early" if report["stopped_early"] else "")
    return [
        ("first weights", facts.first_weights),
        ("epochs", f"{epochs}; the weights are those of epoch {report['best_epoch']}, the best by validation "
         f"{report['monitor']}"),
        ("optimisation", f"{training.optimizer}, schedule {training.schedule}, learning rate "
         f"{training.learning_rate:g}, batches of {training.batch}, {training.loss}; all values: recipe.yaml"),
        ("preprocessing", _preprocessing(facts.preprocess)),
        ("augmentation of the training set", ", ".join(augmentations) or "none"),
        ("class weights", "none" if weights is None else _class_weights(weights)),
        ("threshold", wording.decision_rule(report)),
        ("temperature", f"{report['calibration']['temperature']:.4f}: {report['calibration']['rule']}"),
        ("teacher", Path(report["teacher"]).name if report["teacher"] else "none"),
        ("seed", str(recipe.seed)),
        ("time", f"{report['seconds']:,.1f} s, including reading the data and evaluating the test set"),
        ("hardware", f"{machine['processor']}, {machine['cores']} cores; trained on {facts.device}"),
        ("software", _software(machine)),
        ("cost", f"{_cost(report)}; one FLOP is one multiply-add"),
    ]  # fmt: skip


def _preprocessing(preprocess: Preprocess) -> str:
    mean, deviation = (
        ", ".join(f"{value:.4f}" for value in values) for values in (preprocess.mean, preprocess.deviation)
    )
    steps = [
        *([f"background removed by {preprocess.background}"] if preprocess.background != "none" else []),
        f"resized to a square ({preprocess.fit}) of {preprocess.size} pixels, {preprocess.resize}",
        *([f"CLAHE with clip limit {preprocess.clahe:g}"] if preprocess.clahe else []),
        f"scaled to 0 to 1, minus mean {mean}, divided by deviation {deviation}",
    ]
    return "; ".join(steps)


def _class_weights(weights: Mapping[str, float]) -> str:
    names = [f"{visible(name)} {weight:.3f}" for name, weight in list(weights.items())[:MAX_LISTED]]
    return ", ".join(names) + (f" and {len(weights) - MAX_LISTED:,} more" if len(weights) > MAX_LISTED else "")


def _software(machine: Mapping[str, Any]) -> str:
    packages = ", ".join(f"{name} {machine['packages'][name]}" for name in ("torch", "numpy", "scikit-learn"))
    return f"lightcnn {machine['lightcnn']}, Python {machine['python']}, {packages}; all: environment.json"


def _cost(report: Mapping[str, Any]) -> str:
    total = report["network"]["cost"]
    return (
        f"{total['macs']:,} FLOPs per image, {total['params']:,} parameters, {total['weight_bytes']['int8']:,} bytes "
        "of int8 weights"
    )


def _claim_rows(facts: CardFacts) -> list[tuple[str, str]]:
    """Rows by topic, since the numbers of the items differ between the two editions of the checklist."""
    report, data, skipped = facts.report, facts.report["data"], facts.report["data"]["skipped"]
    return [
        ("data sources", f"{facts.dataset}, fingerprint {data['fingerprint'][:16]}; collection and dates: {UNKNOWN}"),
        ("inclusion and exclusion", f"{skipped:,} unreadable files were left out; other criteria: {UNKNOWN}"),
        ("preprocessing of images", _preprocessing(facts.preprocess)),
        ("de-identification", UNKNOWN),
        ("reference standard and annotators", f"labels of the data source; who assigned them, and how: {UNKNOWN}"),
        ("assignment to partitions", facts.split),
        ("level at which partitions are disjoint", f"groups, {facts.groups}"),
        ("sample size", f"all images of the source; intended size: {UNKNOWN}"),
        ("flow of images", ", ".join(f"{split_name} {count:,}" for split_name, count in data["counts"].items())),
        ("demographic and clinical characteristics", UNKNOWN),
        ("description of the model", f"spec.yaml; {_cost(report)}"),
        ("software and libraries", _software(facts.environment)),
        ("initialisation of parameters", facts.first_weights),
        ("details of training", "see Training; every value is in recipe.yaml"),
        ("selection of the final model", f"the epoch with the best validation {report['monitor']}"),
        ("ensembling", "none"),
        ("metrics of performance", "see Scores on the test set; the test set was evaluated once"),
        ("uncertainty", f"95 % intervals: {wording.interval_methods(report)}"),
        ("sensitivity and robustness analyses", "none in this run"),
        ("explainability", "none in this run"),
        ("testing on internal data", f"the test set: {wording.sample_size(report)}"),
        ("testing on external data", "none"),
        ("failure analysis", "most confident wrong predictions on the test set, if any: report.html, plots/errors.png"),
        ("limitations", "see Limits"),
        ("registration, protocol, funding", UNKNOWN),
    ]
