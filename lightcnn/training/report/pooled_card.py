"""README.md of several trainings of one recipe: the model card of the recipe. Each network has its own in parts/."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightcnn.output.caveats import NOT_FOR_DIAGNOSIS, caveats
from lightcnn.output.largest_class import largest_class_sentence, largest_class_warnings
from lightcnn.output.markdown import bullets, escape, table
from lightcnn.output.positive_class import positive_sentence
from lightcnn.recipe import Recipe
from lightcnn.training.report import wording
from lightcnn.training.report.card_facts import SAME_SOURCE, UNKNOWN_GROUPS, dataset_name, interval_width
from lightcnn.training.report.model_card import (
    OUT_OF_SCOPE,
    REFERENCES,
    accuracy,
    front_matter,
    join_card,
    network,
    split_rows,
    title,
    usage,
)
from lightcnn.training.report.pooled_page import SUMMARY_HEADER, format_repeats, summary_rows
from lightcnn.training.setup import stand_in_warning


def pooled_card(report: Mapping[str, Any], recipe: Recipe) -> bytes:
    """The complete card, UTF-8."""
    data, dataset = report["data"], dataset_name(report)
    warning, thresholds = stand_in_warning(data), wording.threshold_rows(report)
    parts = [
        *([f"> **{escape(warning)}.**"] if warning else []),
        f"# {escape(title(recipe))}",
        f"{escape(network(report))}, trained {len(report['parts'])} times ({escape(format_repeats(report))}) by "
        f"lightcnn {escape(report['lightcnn'])} on {escape(dataset)}. Test accuracy over all parts {accuracy(report)}. "
        f"{escape(largest_class_sentence(report['metrics']['test']))}".rstrip(),
        NOT_FOR_DIAGNOSIS,
        "## Intended use",
        f"To evaluate this recipe on images like those of {escape(dataset)}, in research and teaching. The networks "
        "are in `parts/`, each with a card of its own; the scores here are those of all networks together. To classify "
        "images, use one of the networks, or train the recipe again without folds.",
        usage(recipe, f"parts/{report['parts'][0]['folder'].rpartition('/')[2]}"),
        "## Out of scope",
        OUT_OF_SCOPE,
        "## Limits",
        bullets(_limits(report)),
        "## Data",
        f"{escape(_split(report))} In the table, train and val are means over the parts; test is the total of all "
        "parts.",
        table(("", "train", "val", "test"), split_rows(data)),
        table(("", ""), [("groups", data["groups"]["why"]), ("fingerprint (SHA-256)", data["fingerprint"])]),
        "## Scores of all test images",
        escape(wording.sample_size(report)),
        *(escape(text) for text in [positive_sentence(report)] if text),
        table(wording.SCORE_HEADER, wording.score_rows(report)),
        table(wording.CLASS_HEADER, wording.class_rows(report)),
        *([table(wording.THRESHOLD_HEADER, thresholds)] if thresholds else []),
        "## Variation over the parts",
        table(SUMMARY_HEADER, summary_rows(report["summary"])),
        REFERENCES,
    ]  # fmt: skip
    return join_card(front_matter(report, title(recipe)), parts)


def _limits(report: Mapping[str, Any]) -> list[str]:
    """What a reader of the scores must know, most severe first."""
    data = report["data"]
    warnings = [
        *caveats(data),
        *(warning.message for warning in largest_class_warnings(report["metrics"]["test"])),
        wording.small_test_set(report),
    ]
    if not data["groups"]["known"]:
        warnings.append(UNKNOWN_GROUPS)
    return [
        *filter(None, warnings),
        interval_width(report),
        "The networks share most of their training images, so their deviation underestimates that of new data.",
        SAME_SOURCE,
    ]


def _split(report: Mapping[str, Any]) -> str:
    """How the images were split."""
    if not report["folds"]:
        return "All parts share one split."
    group = "by group and " if report["data"]["groups"]["known"] else ""
    return (
        f"Split into {report['folds']} folds {group}stratified by class, again for each seed; each fold is tested once."
    )
