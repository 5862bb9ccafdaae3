"""report.html of an audit: the verdict, then the evidence for each part of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lightcnn.auditing.audit import Audit, Cluster
from lightcnn.auditing.settings import FINDINGS, VERDICT_WARNINGS
from lightcnn.data.contact_sheets import thumbnail
from lightcnn.data.dataset import SPLIT_NAMES
from lightcnn.output import html
from lightcnn.output.caveats import cautions

MAX_ROWS, MAX_COLUMNS, MAX_LISTED = 30, 8, 200
"""Clusters of a kind, images of a cluster and rows of a table that the page shows; report.json has all of them."""
THUMBNAIL_PIXELS = 96
"""Width and height of a thumbnail."""
EXPLANATIONS = {
    "cross_class": "Each row shows one photograph. Images whose label differs from the majority of their row are "
    "framed; if no label has a majority, all images are framed.",
    "cross_split": "Each row shows one group, known by name or as duplicates: images for training and images for "
    "testing belong together.",
    "exact_duplicates": "Each row shows files that decode to the same image.",
    "near_duplicates": "Each row shows images verified to be one photograph: rotated, mirrored, cropped, blurred or "
    "similarly changed.",
}
"""What a row of thumbnails means, for each of `FINDINGS`."""


def audit_page(audit: Audit, report: Mapping[str, Any], figures: Mapping[str, bytes]) -> bytes:
    """The whole page. `figures`: PNG files by name."""
    counts = report["counts"]
    return html.page(
        f"lightcnn audit: {report['data']['source']}",
        [
            html.paragraph(report["verdict"].removesuffix(report["train_with"]), "note"),
            html.code(report["train_with"]),
            *(html.paragraph(text, "note") for text in cautions(report, omit=VERDICT_WARNINGS)),
            html.heading("Findings"),
            html.pairs(
                {
                    "files": counts["files"],
                    "images that can be used": counts["images"],
                    **{title: counts[name] for name, title in FINDINGS.items()},
                    "near duplicates": report["near_reason"],
                }
            ),
            *_corrupt_files(report),
            *(part for name, clusters in audit.findings().items() for part in _finding(name, clusters, audit)),
            html.heading("Classes"),
            html.table(("class", "images", "share", *_split_names(audit)), _class_rows(audit)),
            html.heading("Groups"),
            *_groups(audit, report),
            html.heading("Files"),
            html.pairs(
                {
                    "median width and height": _format_size(report, "median"),
                    "smallest and largest": f"{_format_size(report, 'min')} to {_format_size(report, 'max')}",
                    "different sizes": report["sizes"]["distinct"],
                    "formats": _format_counts(report["formats"]),
                    "modes": _format_counts(report["modes"]),
                }
            ),
            html.figure(figures["sizes"], "Longer side of the images as stored in their files, in pixels"),
            *_augmentation(figures),
        ],
    )


def _corrupt_files(report: Mapping[str, Any]) -> list[str]:
    corrupt = report["corrupt"]
    if not corrupt:
        return []
    rows = [(file["path"], file["reason"]) for file in corrupt[:MAX_LISTED]]
    return [
        html.heading("Files that cannot be used"),
        html.table(("file", "reason"), rows),
        *_more(len(corrupt), MAX_LISTED),
    ]


def _finding(name: str, clusters: Sequence[Cluster], audit: Audit) -> list[str]:
    """A heading, an explanation and one row of thumbnails per cluster; empty if there is no cluster."""
    if not clusters:
        return []
    rows = [_thumbnails(cluster, audit, framed=name == "cross_class") for cluster in clusters[:MAX_ROWS]]
    return [
        html.heading(f"{FINDINGS[name].capitalize()}: {len(clusters):,}"),
        html.paragraph(EXPLANATIONS[name]),
        *rows,
        *_more(len(clusters), MAX_ROWS),
    ]


def _thumbnails(cluster: Cluster, audit: Audit, framed: bool) -> str:
    """One row of thumbnails; with `framed`, suspects come first and have a frame."""
    data = audit.dataset
    suspect = [member["suspect"] for member in audit.suspects(cluster)["members"]]
    order = sorted(range(len(cluster)), key=lambda place: not (framed and suspect[place]))[:MAX_COLUMNS]
    thumbnails = [
        html.thumbnail(
            thumbnail(data.images[cluster[place]], THUMBNAIL_PIXELS),
            data.classes[data.labels[cluster[place]]],
            (str(data.split[cluster[place]]), data.paths[cluster[place]]),
            framed=framed and suspect[place],
        )
        for place in order
    ]
    rest = len(cluster) - len(order)
    return html.row(thumbnails, f"and {rest:,} more" if rest else "")


def _more(count: int, limit: int) -> list[str]:
    return [html.paragraph(f"and {count - limit:,} more in report.json")] if count > limit else []


def _split_names(audit: Audit) -> list[str]:
    """The sets of the given split that have images."""
    return [name for name in SPLIT_NAMES if (audit.dataset.split == name).any()]


def _class_rows(audit: Audit) -> list[tuple[Any, ...]]:
    """One row per class: its name, images, share, and images in each set of the given split."""
    data = audit.dataset
    rows = []
    for label, name in enumerate(data.classes[:MAX_LISTED]):
        members = data.labels == label
        counts = [int((members & (data.split == split_name)).sum()) for split_name in _split_names(audit)]
        rows.append((name, int(members.sum()), f"{members.mean():.1%}", *counts))
    return rows


def _groups(audit: Audit, report: Mapping[str, Any]) -> list[str]:
    groups, shared = report["groups"], report["groups"]["shared_by_given_split"]
    parts: list[str] = [
        html.paragraph(f"Known from: {groups['source']}. {groups['why'][0].upper()}{groups['why'][1:]}."),
        html.pairs({"groups": groups["count"], "images of the largest": groups["largest"]}),
        html.paragraph(
            "groups.csv lists the group of every image as a manifest: placed next to the images, it can be used as "
            "SOURCE."
        ),
    ]
    if shared:
        data = audit.dataset
        rows = [
            (name, *(int(((data.groups == name) & (data.split == split_name)).sum())
                     for split_name in _split_names(audit)))
            for name in shared[:MAX_LISTED]
        ]  # fmt: skip
        parts += [html.paragraph("Groups in more than one set of the given split:"),
                  html.table(("group", *_split_names(audit)), rows), *_more(len(shared), MAX_LISTED)]  # fmt: skip
    return parts


def _format_size(report: Mapping[str, Any], statistic: str) -> str:
    return f"{report['sizes']['width'][statistic]:g}×{report['sizes']['height'][statistic]:g}"


def _format_counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def _augmentation(figures: Mapping[str, bytes]) -> list[str]:
    if "augment" not in figures:
        return []
    caption = "One row per image: the original, then the augmented image of each of the first epochs"
    return [html.heading("Augmentation"), html.figure(figures["augment"], caption)]
