"""README.md of several trainings of one recipe: the model card of the recipe; every network has its own in parts/."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightcnn.output.caveats import cautions
from lightcnn.output.markdown import bullets, escape, table
from lightcnn.recipe import Recipe
from lightcnn.training.report import wording
from lightcnn.training.report.model_card import (
    NOT_FOR_DIAGNOSIS,
    dataset,
    front_matter,
    network,
    sides,
    title,
    written,
)
from lightcnn.training.report.pooled_page import summary_rows, told
from lightcnn.training.setup import stand_in_warning


def pooled_card(report: Mapping[str, Any], recipe: Recipe) -> bytes:
    """The whole card, UTF-8."""
    data, accuracy = report["data"], report["metrics"]["test"]["accuracy"]
    loud, operating = stand_in_warning(data), wording.operating(report)
    parts = [
        *([f"> **{escape(loud)}.**"] if loud else []),
        f"# {escape(title(recipe))}",
        f"{escape(network(report))}, trained {len(report['parts'])} times ({escape(told(report))}) by lightcnn "
        f"{escape(report['lightcnn'])} on {escape(dataset(report))}. Test accuracy of all together "
        f"**{accuracy['value']:.2%}** (95 % interval {accuracy['low']:.2%} to {accuracy['high']:.2%}, "
        f"{escape(accuracy['interval'])}).",
        NOT_FOR_DIAGNOSIS,
        "## Intended use",
        f"To judge this recipe on images like those of {escape(dataset(report))}, for research and teaching. The "
        "networks are in `parts/`, each with a card of its own; the scores here are of all of them and of none alone. "
        "To predict, take one, or train the recipe once more without folds.",
        "```sh\nlightcnn predict parts/" + report["parts"][0]["folder"].rpartition("/")[2] + " IMAGE\n```",
        "## Out of scope",
        "Diagnosis, triage, screening, and any other decision about a person; images of other kinds or from other "
        "sources, on which it has not been tested.",
        "## Limits",
        bullets(_limits(report)),
        "## Data",
        f"{escape(_split(report))} Of train and val the table has the mean of a part, of test all parts together.",
        table(("", "train", "val", "test"), sides(data)),
        table(("", ""), [("groups", data["groups"]["why"]), ("fingerprint (SHA-256)", data["fingerprint"])]),
        "## Scores of all test images",
        escape(wording.counted(report)),
        table(("score", "value", "95 % interval", "in words"),
              [(one.name, one.value, one.interval, one.meaning) for one in wording.told(report)]),
        table(wording.CLASS_HEADER, wording.by_class(report)),
        *([table(wording.OPERATING_HEADER, operating)] if operating else []),
        "## Over the parts",
        table(("metric", "mean", "standard deviation"), summary_rows(report["summary"])),
        "Pictures: `plots/`. Everything else: `report.html`, `report.json`.",
    ]  # fmt: skip
    return written(front_matter(report, title(recipe)), parts)


def _limits(report: Mapping[str, Any]) -> list[str]:
    data, accuracy = report["data"], report["metrics"]["test"]["accuracy"]
    said = [*cautions(data), wording.warned(report)]
    if not data["groups"]["known"]:
        said.append("Images of one source may stand on two sides, which flatters scores: groups are not known.")
    return [
        *filter(None, said),
        f"The 95 % interval of the test accuracy is {100 * (accuracy['high'] - accuracy['low']):.1f} points wide.",
        "Networks of different parts share most of their training images: their deviation is not that of new data.",
        "The test images are of the same source as the training's: nothing is known of images from elsewhere.",
    ]


def _split(report: Mapping[str, Any]) -> str:
    """How the sides came about."""
    if not report["folds"]:
        return "All parts share one split."
    group = "by group, " if report["data"]["groups"]["known"] else ""
    return f"Cut into {report['folds']} folds {group}stratified by class, by each seed anew; each fold is tested once."
