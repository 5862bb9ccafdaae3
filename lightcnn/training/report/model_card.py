"""README.md of a run: a model card in the form of Hugging Face, filled in with what the run knows and no more."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from lightcnn.data.dataset import SPLITS
from lightcnn.data.preprocess import Preprocess
from lightcnn.data.sources.load import NAMES
from lightcnn.output.caveats import cautions
from lightcnn.output.markdown import bullets, escape, table
from lightcnn.recipe import Recipe
from lightcnn.text import visible
from lightcnn.training.report import wording
from lightcnn.training.setup import stand_in_warning

TYPES = {
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
"""What Hugging Face calls our scores, or would."""
NAMED = 20
"""Classes that a sentence names, at most."""
LISTED = 30
"""Classes that the card's table has, at most: report.html has them all."""
UNKNOWN = "not known to the run"
NOT_FOR_DIAGNOSIS = (
    "**Not for diagnosis.** This is no medical device and nobody has evaluated it in a clinic. No decision about a "
    "person may rest on its answers."
)


@dataclass(frozen=True)
class CardFacts:
    """What a card tells. `given` are the sides that the source gives, `environment` is environment.json."""

    report: Mapping[str, Any]
    recipe: Recipe
    rule: Preprocess
    given: Sequence[str]
    device: str
    environment: Mapping[str, Any]

    @property
    def classes(self) -> str:
        """Their names, the first ones of many."""
        names = [visible(name) for name in self.report["data"]["classes"]]
        more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
        return ", ".join(names[:NAMED]) + more

    @property
    def dataset(self) -> str:
        """The source by name: of a path its last part, since the others tell of the machine alone."""
        return dataset(self.report)

    @property
    def source(self) -> str:
        """The source by name, of a path with what tells it from another of that name."""
        source, fingerprint = self.report["data"]["source"], self.report["data"]["fingerprint"]
        return self.dataset if source.partition(":")[0] in NAMES else f"{self.dataset} (fingerprint {fingerprint[:16]})"

    @property
    def set_aside(self) -> str:
        """Why the split that the source gives is not used, if it gives one and it is not."""
        reading = self.recipe.reading
        if not self.given:
            return ""
        if reading.folds:
            return "--folds"
        return "--resplit" if reading.resplit else "" if "train" in self.given else "it has no train side"

    @property
    def split(self) -> str:
        """How the sides came about."""
        data, reading = self.report["data"], self.recipe.reading
        seed = self.recipe.seed if reading.split_seed is None else reading.split_seed
        if self.given and not self.set_aside:
            lacks = [side for side in SPLITS if side not in self.given]
            rule = f"as the source gives them ({', '.join(self.given)})" + (
                f"; {' and '.join(lacks)} cut from its train side by lightcnn, seed {seed}" if lacks else ""
            )
        else:
            fold = f"fold {reading.fold} of {reading.folds}, " if reading.folds else ""
            group = "by group " if data["groups"]["known"] else ""
            rule = f"{fold}cut by lightcnn {group}from seed {seed}, stratified by class: {_shares(data['counts'])}"
        if not data["groups"]["known"]:
            return f"{rule}; groups are not known"
        shared = data["groups_shared"]
        return f"{rule}; {f'{shared:,} groups stand' if shared else 'no group stands'} on more than one side"

    @property
    def groups(self) -> str:
        """What an image's group is, and how many there are."""
        groups = self.report["data"]["groups"]
        return f"from {groups['source']}: {groups['why']}" if groups["known"] else "not known: every image is its own"

    @property
    def first_weights(self) -> str:
        """Where the training began, a file by its name."""
        file = str(getattr(self.recipe.network, "weights", ""))
        said = str(self.report["first_weights"])
        return said.replace(file, Path(file).name) if file else said

    @property
    def limits(self) -> list[str]:
        """What a reader of the scores must not overlook, gravest first."""
        report, data = self.report, self.report["data"]
        accuracy = report["metrics"]["test"]["accuracy"]
        said = [*cautions(data), wording.warned(report)]
        if not data["groups"]["known"]:
            said.append("Images of one source may stand on two sides, which flatters scores: groups are not known.")
        if self.set_aside:
            said.append(f"The split that the source gives was set aside ({self.set_aside}).")
        if report["class_weights"]:
            said.append("The training weighed classes, which shifts the probabilities.")
        return [
            *filter(None, said),
            f"The 95 % interval of the test accuracy is {100 * (accuracy['high'] - accuracy['low']):.1f} points wide.",
            "One training with one seed: intervals tell of other test images, not of other trainings.",
            "The test images are of the same source as the training's: nothing is known of images from elsewhere.",
            "It answers with one of its classes on any image, also on one that shows none of them.",
        ]


def model_card(facts: CardFacts) -> bytes:
    """The whole card, UTF-8."""
    report, recipe = facts.report, facts.recipe
    loud = stand_in_warning(report["data"])
    accuracy = report["metrics"]["test"]["accuracy"]
    operating = wording.operating(report)
    parts = [
        *([f"> **{escape(loud)}.**"] if loud else []),
        f"# {escape(title(recipe))}",
        f"{escape(network(report))} that tells {len(report['data']['classes']):,} classes of images apart, trained "
        f"by lightcnn {escape(report['lightcnn'])} on {escape(facts.source)}. Test accuracy "
        f"**{accuracy['value']:.2%}** (95 % interval {accuracy['low']:.2%} to {accuracy['high']:.2%}, "
        f"{escape(accuracy['interval'])}).",
        NOT_FOR_DIAGNOSIS,
        "## Intended use",
        f"To tell images like those of {escape(facts.dataset)} apart, for research and teaching, and as a "
        f"baseline for other networks. Classes: {escape(facts.classes)}.",
        "```sh\nlightcnn predict . IMAGE\n```",
        "## Out of scope",
        "Diagnosis, triage, screening, and any other decision about a person; images of other kinds or from other "
        "sources, on which it has not been tested.",
        "## Limits",
        bullets(facts.limits),
        "## Data",
        table(("", "train", "val", "test"), sides(report["data"])),
        table(("", ""), _data(facts)),
        "## Scores on the test side",
        escape(wording.counted(report)),
        table(("score", "value", "95 % interval", "in words"),
              [(one.name, one.value, one.interval, one.meaning) for one in wording.told(report)]),
        escape(wording.decided(report)),
        escape(wording.calibrated(report)),
        table(wording.CLASS_HEADER, wording.by_class(report, LISTED)),
        *([table(wording.OPERATING_HEADER, operating)] if operating else []),
        "Pictures: `plots/`. Everything else: `report.html`, `report.json`.",
        "## Training",
        table(("", ""), _training(facts)),
        "Again, in this folder, with the same data:",
        "```sh\nlightcnn train recipe.yaml --out again\n```",
        "## CLAIM",
        "What this run can answer of CLAIM, the Checklist for Artificial Intelligence in Medical Imaging (Mongan, Moy "
        "and Kahn 2020; update by Tejani and others 2024). The rest is for the authors of a study to answer.",
        table(("topic", "answer"), _claim(facts)),
    ]  # fmt: skip
    return written(front_matter(report, title(recipe)), parts)


def dataset(report: Mapping[str, Any]) -> str:
    """The source by name: of a path its last part, since the others tell of the machine alone."""
    source = str(report["data"]["source"])
    return source if source.partition(":")[0] in NAMES else Path(source).name or source


def written(metadata: Mapping[str, Any], parts: Sequence[str]) -> bytes:
    """A card of its metadata and its paragraphs, UTF-8."""
    return ("---\n" + _yaml(metadata) + "---\n\n" + "\n\n".join(parts) + "\n").encode()


def front_matter(report: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The card's metadata. No licence: the run knows none."""
    data = report["data"]
    test = report["metrics"]["test"]
    defined = [key for key in wording.METRICS if test[key]["value"] is not None]
    source = visible(dataset(report))
    return {
        "library_name": "lightcnn",
        "pipeline_tag": "image-classification",
        "tags": ["lightcnn", "image-classification", *(["stand-in-data"] if data["stand_in"] else [])],
        "stand_in": data["stand_in"],
        "metrics": [TYPES[key] for key in defined],
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
                            {"type": TYPES[key], "value": test[key]["value"], "name": _titled(key, test[key])}
                            for key in defined
                        ],
                    }
                ],
            }
        ],
    }


def title(recipe: Recipe) -> str:
    """What the card is called."""
    return recipe.name or "A network of lightcnn"


def _titled(key: str, score: Mapping[str, Any]) -> str:
    known = score["low"] is not None
    return wording.METRICS[key] + (f", 95 % interval {wording.interval(score)} ({score['interval']})" if known else "")


def _yaml(values: Mapping[str, Any]) -> str:
    stream = io.StringIO()
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.width = 10_000
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    writer.dump(values, stream)
    return stream.getvalue()


def network(report: Mapping[str, Any]) -> str:
    """What was trained, in words."""
    total = report["network"]["cost"]
    return f"A network of {total['params']:,} parameters and {total['macs']:,} multiply-adds an image"


def _shares(counts: Mapping[str, int]) -> str:
    """The part of all images that each side has."""
    total = sum(counts[side] for side in SPLITS)
    return ", ".join(f"{side} {100 * counts[side] / total:.1f} %" for side in SPLITS) + " of the images"


def sides(data: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Rows of images and groups on each side."""
    rows = (("images", data["counts"]), ("groups", data["groups"]["counts"]))
    return [(name, *(f"{counts[side]:,}" for side in ("train", "val", "test"))) for name, counts in rows]


def _data(facts: CardFacts) -> list[tuple[str, str]]:
    data = facts.report["data"]
    return [
        ("source", facts.dataset),
        ("stand-in", "yes: drawn by code" if data["stand_in"] else "no"),
        ("fingerprint (SHA-256)", data["fingerprint"]),
        ("groups", facts.groups),
        ("split", facts.split),
        ("files that could not be read", f"{data['skipped']:,}"),
        ("licence", UNKNOWN),
    ]


def _training(facts: CardFacts) -> list[tuple[str, str]]:
    report, recipe, machine = facts.report, facts.recipe, facts.environment
    training, weights = recipe.training, report["class_weights"]
    changes = [f"{name} {value}" for name, value in recipe.augment if value not in (None, 0, False)]
    epochs = f"{report['epochs']} of {training.epochs}" + (", stopped early" if report["stopped_early"] else "")
    return [
        ("first weights", facts.first_weights),
        ("epochs", f"{epochs}; the best by validation {report['monitor']} was {report['best_epoch']}, and is kept"),
        ("optimisation", f"{training.optimizer}, schedule {training.schedule}, learning rate "
         f"{training.learning_rate:g}, batches of {training.batch}, {training.loss}; all values: recipe.yaml"),
        ("preprocessing", _preprocessing(facts.rule)),
        ("augmentation, training side only", ", ".join(changes) or "none"),
        ("class weights", "none" if weights is None else _weights(weights)),
        ("threshold", wording.decided(report)),
        ("temperature", f"{report['calibration']['temperature']:.4f}: {report['calibration']['rule']}"),
        ("teacher", Path(report["teacher"]).name if report["teacher"] else "none"),
        ("seed", str(recipe.seed)),
        ("time", f"{report['seconds']:,.1f} s, data and test side included"),
        ("hardware", f"{machine['processor']}, {machine['cores']} cores; trained on {facts.device}"),
        ("software", _software(machine)),
        ("cost", f"{_cost(report)}; one FLOP is one multiply-add"),
    ]  # fmt: skip


def _preprocessing(rule: Preprocess) -> str:
    mean, deviation = (", ".join(f"{one:.4f}" for one in values) for values in (rule.mean, rule.deviation))
    steps = [
        *([f"background removed by {rule.background}"] if rule.background != "none" else []),
        f"brought to a square ({rule.fit}) of {rule.size} pixels, {rule.resize}",
        *([f"CLAHE, clip limit {rule.clahe:g}"] if rule.clahe else []),
        f"minus mean {mean}, over deviation {deviation}, on the scale 0 to 1",
    ]
    return "; ".join(steps)


def _weights(weights: Mapping[str, float]) -> str:
    shown = [f"{visible(name)} {weight:.3f}" for name, weight in list(weights.items())[:NAMED]]
    return ", ".join(shown) + (f" and {len(weights) - NAMED:,} more" if len(weights) > NAMED else "")


def _software(machine: Mapping[str, Any]) -> str:
    packages = ", ".join(f"{name} {machine['packages'][name]}" for name in ("torch", "numpy", "scikit-learn"))
    return f"lightcnn {machine['lightcnn']}, Python {machine['python']}, {packages}; all: environment.json"


def _cost(report: Mapping[str, Any]) -> str:
    total = report["network"]["cost"]
    return (
        f"{total['macs']:,} FLOPs an image, {total['params']:,} parameters, {total['weight_bytes']['int8']:,} bytes of "
        "int8 weights"
    )


def _claim(facts: CardFacts) -> list[tuple[str, str]]:
    """By topic, since the numbers of the items differ between the checklist's two editions."""
    report, data, skipped = facts.report, facts.report["data"], facts.report["data"]["skipped"]
    return [
        ("data sources", f"{facts.dataset}, fingerprint {data['fingerprint'][:16]}; collection and dates: {UNKNOWN}"),
        ("inclusion and exclusion", f"{skipped:,} files that could not be read were left out; other rules: {UNKNOWN}"),
        ("preprocessing of images", _preprocessing(facts.rule)),
        ("de-identification", UNKNOWN),
        ("reference standard and annotators", f"the labels of the source; who gave them, and how: {UNKNOWN}"),
        ("assignment to partitions", facts.split),
        ("level at which partitions are disjoint", f"groups, {facts.groups}"),
        ("sample size", f"as many as the source has; an intended size: {UNKNOWN}"),
        ("flow of images", ", ".join(f"{side} {count:,}" for side, count in data["counts"].items())),
        ("demographic and clinical characteristics", UNKNOWN),
        ("description of the model", f"spec.yaml; {_cost(report)}"),
        ("software and libraries", _software(facts.environment)),
        ("initialisation of parameters", facts.first_weights),
        ("details of training", "above, and every value in recipe.yaml"),
        ("selection of the final model", f"the epoch with the best validation {report['monitor']}"),
        ("ensembling", "none"),
        ("metrics of performance", "above; the test side was looked at once"),
        ("uncertainty", f"95 % intervals: {wording.methods(report)}"),
        ("sensitivity and robustness analyses", "none in this run"),
        ("explainability", "none in this run"),
        ("testing on internal data", f"the test side: {wording.counted(report)}"),
        ("testing on external data", "none"),
        (
            "failure analysis",
            "the surest mistakes of the test side, if any: report.html, plots/errors.png",
        ),
        ("limitations", "above, under Limits"),
        ("registration, protocol, funding", UNKNOWN),
    ]
