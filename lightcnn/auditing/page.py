"""report.html of an audit: the verdict, then what each part of it rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lightcnn.auditing.audit import Audit, Cluster
from lightcnn.data.contact_sheets import thumbnail
from lightcnn.output import html

ROWS, COLUMNS, LISTED = 30, 8, 200
"""Clusters of a kind, images of a cluster and rows of a table that the page shows; report.json has all."""
SIDE = 96
"""Pixels of a thumbnail's sides."""
TITLES = {
    "cross_class": (
        "Under more than one class",
        "Each row is one photograph. Images whose label differs from most of their row are framed; where no label has "
        "the majority, all are.",
    ),
    "cross_split": (
        "On more than one side of the given split",
        "Each row is one source, by its group or as duplicates: what is trained on and what is tested on belong "
        "together.",
    ),
    "exact_duplicates": ("Equal pixels", "Each row holds files that decode to the same image."),
    "near_duplicates": (
        "Near duplicates",
        "Each row holds images verified to show one photograph: turned, mirrored, cropped, blurred or the like.",
    ),
}


def audit_page(done: Audit, report: Mapping[str, Any], pictures: Mapping[str, bytes]) -> bytes:
    """The whole page."""
    counts = report["counts"]
    return html.page(
        f"lightcnn audit: {report['data']['source']}",
        [
            html.paragraph(report["verdict"].removesuffix(report["train_with"]), "note"),
            html.code(report["train_with"]),
            *([html.paragraph(report["data"]["note"])] if report["data"]["note"] else []),
            html.heading("What was found"),
            html.pairs(
                {
                    "files": counts["files"],
                    "images that can be used": counts["images"],
                    **{f"clusters: {title.lower()}": counts[name] for name, (title, _) in TITLES.items()},
                    "near duplicates": report["near_reason"],
                }
            ),
            *_corrupt(report),
            *(part for name, clusters in done.findings().items() for part in _finding(name, clusters, done)),
            html.heading("Classes"),
            html.table(("class", "images", "share", *_sides(done)), _classes(done)),
            html.heading("Groups"),
            *_groups(done, report),
            html.heading("Files"),
            html.pairs(
                {
                    "width and height, in the middle": _sizes(report, "median"),
                    "least and most": f"{_sizes(report, 'min')} to {_sizes(report, 'max')}",
                    "different sizes": report["sizes"]["distinct"],
                    "formats": _tally(report["formats"]),
                    "modes": _tally(report["modes"]),
                }
            ),
            html.figure(pictures["sizes"], "Longer sides of the images as the files have them, in pixels"),
            *_augment(pictures),
        ],
    )


def _corrupt(report: Mapping[str, Any]) -> list[str]:
    bad = report["corrupt"]
    if not bad:
        return []
    rows = [(one["path"], one["reason"]) for one in bad[:LISTED]]
    return [html.heading("Files that cannot be used"), html.table(("file", "reason"), rows), *_more(len(bad), LISTED)]


def _finding(name: str, clusters: Sequence[Cluster], done: Audit) -> list[str]:
    """A heading, an explanation and a row of thumbnails for every cluster; nothing where there is none."""
    if not clusters:
        return []
    title, about = TITLES[name]
    rows = [_row(cluster, done, framed=name == "cross_class") for cluster in clusters[:ROWS]]
    return [html.heading(f"{title}: {len(clusters):,}"), html.paragraph(about), *rows, *_more(len(clusters), ROWS)]


def _row(cluster: Cluster, done: Audit, framed: bool) -> str:
    data = done.dataset
    suspect = [member["suspect"] for member in done.suspects(cluster)["members"]]
    order = sorted(range(len(cluster)), key=lambda place: not (framed and suspect[place]))[:COLUMNS]
    thumbnails = [
        html.thumbnail(
            thumbnail(data.images[cluster[place]], SIDE),
            data.classes[data.labels[cluster[place]]],
            (str(data.split[cluster[place]]), data.paths[cluster[place]]),
            framed=framed and suspect[place],
        )
        for place in order
    ]
    rest = len(cluster) - len(order)
    return html.row(thumbnails, f"and {rest:,} more" if rest else "")


def _more(count: int, shown: int) -> list[str]:
    return [html.paragraph(f"and {count - shown:,} more in report.json")] if count > shown else []


def _sides(done: Audit) -> list[str]:
    return [side for side in ("train", "val", "test") if (done.dataset.split == side).any()]


def _classes(done: Audit) -> list[tuple[Any, ...]]:
    """A row a class: its name, images, share, and images on each given side."""
    data = done.dataset
    rows = []
    for label, name in enumerate(data.classes[:LISTED]):
        mine = data.labels == label
        sides = [int((mine & (data.split == side)).sum()) for side in _sides(done)]
        rows.append((name, int(mine.sum()), f"{mine.mean():.1%}", *sides))
    return rows


def _groups(done: Audit, report: Mapping[str, Any]) -> list[str]:
    groups, shared = report["groups"], report["groups"]["shared_by_given_split"]
    parts = [
        html.paragraph(f"Known from: {groups['source']}. {groups['why'][0].upper()}{groups['why'][1:]}."),
        html.pairs({"groups": groups["count"], "images of the largest": groups["largest"]}),
        html.paragraph("groups.csv holds the group of every image, as a manifest: beside the images, it is a SOURCE."),
    ]  # fmt: skip
    if shared:
        data = done.dataset
        rows = [
            (name, *(int(((data.groups == name) & (data.split == side)).sum()) for side in _sides(done)))
            for name in shared[:LISTED]
        ]
        parts += [html.paragraph("Groups on more than one side of the given split:"),
                  html.table(("group", *_sides(done)), rows), *_more(len(shared), LISTED)]  # fmt: skip
    return parts


def _sizes(report: Mapping[str, Any], which: str) -> str:
    return f"{report['sizes']['width'][which]:g}×{report['sizes']['height'][which]:g}"


def _tally(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def _augment(pictures: Mapping[str, bytes]) -> list[str]:
    if "augment" not in pictures:
        return []
    caption = "A row an image: as it is, then as training meets it in the first epochs"
    return [html.heading("Augmentation"), html.figure(pictures["augment"], caption)]
