"""report.html of an audit: the values of page.html, the verdict first, then the images that it rests on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from lightcnn.auditing.audit import Audit, Cluster
from lightcnn.auditing.report import audit_verdict
from lightcnn.auditing.settings import FINDINGS, VERDICT_WARNINGS
from lightcnn.auditing.verdict import Verdict
from lightcnn.data.contact_sheets import thumbnail
from lightcnn.data.dataset import SPLIT_NAMES
from lightcnn.output import html
from lightcnn.output.caveats import page_cautions
from lightcnn.output.charts.svg import Chart

TEMPLATE = "auditing/page.html"
SET_NAMES = {"train": "training", "val": "validation"}
"""The name of a set of the given split as people read it, if it differs."""
MAX_ROWS, MAX_COLUMNS, MAX_LISTED = 30, 8, 200
"""Clusters of a kind, images of a cluster and rows of a table that the page shows; report.json has all of them."""
IMAGE_SIDES = (320, 224, 160, 96)
"""Sides of an image in pixels; the page shows it smaller, and at this size once it is selected."""
MAX_PIXELS = 4_000_000
"""Pixels of all images together, by which the side is chosen."""
EXPLANATIONS = {
    "cross_class": "Each cluster shows one photograph. Images whose label differs from the majority of their cluster "
    "are framed; if no label has a majority, all images are framed.",
    "cross_split": "Each cluster shows one group, known by name or as duplicates: images for training and images for "
    "testing belong together.",
    "exact_duplicates": "Each cluster shows files that decode to the same image.",
    "near_duplicates": "Each cluster shows images verified to be one photograph: rotated, mirrored, cropped, blurred "
    "or similarly changed.",
}
"""What a cluster of images means, for each of `FINDINGS`."""


def audit_page(audit: Audit, report: Mapping[str, Any], charts: Mapping[str, Chart], augment: bytes | None) -> bytes:
    """The whole page. `charts` are `classes` and `sizes`; `augment` is the PNG file of the augmentation, if any."""
    verdict, counts = audit_verdict(audit), report["counts"]
    context = {
        "source": report["data"]["source"], "verdict": verdict, "answer": _answer(verdict),
        "cautions": page_cautions(report, omit=VERDICT_WARNINGS), "charts": charts, "augment": augment,
        "counts": {
            "files": counts["files"], "images that can be used": counts["images"],
            **{title: counts[name] for name, title in FINDINGS.items()}
        },
        "near_reason": f"{report['near_reason'][0].upper()}{report['near_reason'][1:]}.",
        "findings": _findings(audit), **_corrupt_files(report), **_classes(audit), **_groups(audit, report),
        **_files(report),
    }  # fmt: skip
    return html.render(TEMPLATE, f"lightcnn audit: {report['data']['source']}", context)


def _answer(verdict: Verdict) -> str:
    """The verdict in one short sentence."""
    if not verdict.severe:
        return verdict.opening
    count = len(verdict.severe)
    return "One problem must be fixed." if count == 1 else f"{count} problems must be fixed."


def _corrupt_files(report: Mapping[str, Any]) -> dict[str, Any]:
    corrupt = report["corrupt"]
    return {
        "corrupt": [(file["path"], file["reason"]) for file in corrupt[:MAX_LISTED]],
        "corrupt_count": f"{len(corrupt):,}", "corrupt_more": max(0, len(corrupt) - MAX_LISTED),
    }  # fmt: skip


def _findings(audit: Audit) -> list[dict[str, Any]]:
    """Each kind of finding with its clusters; kinds without a cluster are left out."""
    shown = {name: clusters[:MAX_ROWS] for name, clusters in audit.findings().items() if clusters}
    count = sum(min(len(cluster), MAX_COLUMNS) for clusters in shown.values() for cluster in clusters)
    side = next((side for side in IMAGE_SIDES if count * side**2 <= MAX_PIXELS), IMAGE_SIDES[-1])
    return [
        {
            "title": f"{FINDINGS[name].capitalize()}: {len(audit.findings()[name]):,}",
            "explanation": EXPLANATIONS[name], "more": len(audit.findings()[name]) - len(clusters),
            "clusters": [_cluster(cluster, audit, name == "cross_class", side) for cluster in clusters],
        }
        for name, clusters in shown.items()
    ]  # fmt: skip


def _cluster(cluster: Cluster, audit: Audit, framed: bool, side: int) -> dict[str, Any]:
    """The images of a cluster; with `framed`, suspects come first and have a frame."""
    data = audit.dataset
    suspect = [member["suspect"] for member in audit.suspects(cluster)["members"]]
    order = sorted(range(len(cluster)), key=lambda place: not (framed and suspect[place]))[:MAX_COLUMNS]
    images = []
    for place in order:
        number = cluster[place]
        split = str(data.split[number])
        images.append({
            "jpeg": thumbnail(data.images[number], side), "label": data.classes[data.labels[number]],
            "path": data.paths[number], "side": split, "side_name": _set_name(split),
            "framed": framed and suspect[place],
        })  # fmt: skip
    rest = len(cluster) - len(order)
    return {"title": _cluster_title(cluster, audit), "images": images, "more": f"{rest:,}" if rest else ""}


def _cluster_title(cluster: Cluster, audit: Audit) -> str:
    """How many images of a cluster have which label, and are in which set."""
    data = audit.dataset
    labels = Counter(data.classes[data.labels[number]] for number in cluster)
    sets = Counter(_set_name(str(data.split[number])) for number in cluster if data.split[number])
    parts = (", ".join(f"{count:,} {name}" for name, count in counter.items()) for counter in (labels, sets) if counter)
    return f"{len(cluster):,} images: {'; '.join(parts)}"


def _set_name(split: str) -> str:
    """`training` for `train`; empty without a split."""
    return SET_NAMES.get(split, split)


def _split_names(audit: Audit) -> list[str]:
    """The sets of the given split that have images."""
    return [name for name in SPLIT_NAMES if (audit.dataset.split == name).any()]


def class_counts(audit: Audit) -> dict[str, list[int]]:
    """The number of images of each class in each set of the given split; `images` are those without a set."""
    data = audit.dataset
    names = {name: _set_name(name) for name in _split_names(audit)}
    names |= {"": "images" if not names else "in no set"} if (data.split == "").any() else {}
    return {
        title: [int(((data.labels == label) & (data.split == name)).sum()) for label in range(len(data.classes))]
        for name, title in names.items()
    }


def _classes(audit: Audit) -> dict[str, Any]:
    """One row per class: its name, images, share, and images in each set of the given split."""
    data, counts = audit.dataset, class_counts(audit)
    totals = [sum(numbers) for numbers in zip(*counts.values(), strict=True)]
    sets = counts if len(counts) > 1 else {}
    rows = [
        (name, totals[label], html.NumberCell(f"{totals[label] / len(data):.1%}", totals[label]),
         *(numbers[label] for numbers in sets.values()))
        for label, name in enumerate(data.classes[:MAX_LISTED])
    ]  # fmt: skip
    return {
        "class_header": ("class", "images", "share", *sets), "class_rows": rows,
        "class_summary": f"{len(data.classes):,}, from {min(totals):,} to {max(totals):,} images",
    }  # fmt: skip


def _groups(audit: Audit, report: Mapping[str, Any]) -> dict[str, Any]:
    groups, shared, data = report["groups"], report["groups"]["shared_by_given_split"], audit.dataset
    names = _split_names(audit)
    rows = [
        (name, *(int(((data.groups == name) & (data.split == split)).sum()) for split in names))
        for name in shared[:MAX_LISTED]
    ]
    return {
        "group_summary": f"{groups['count']:,}, the largest with {groups['largest']:,} images",
        "group_text": f"Known from: {groups['source']}. {groups['why'][0].upper()}{groups['why'][1:]}.",
        "shared_header": ("group", *map(_set_name, names)), "shared": rows,
        "shared_more": max(0, len(shared) - MAX_LISTED),
    }  # fmt: skip


def _files(report: Mapping[str, Any]) -> dict[str, Any]:
    sizes = f"{_format_size(report, 'min')} to {_format_size(report, 'max')}"
    return {
        "file_summary": f"{sizes} pixels",
        "files": {
            "median width and height": _format_size(report, "median"), "smallest and largest": sizes,
            "different sizes": report["sizes"]["distinct"], "formats": _format_counts(report["formats"]),
            "modes": _format_counts(report["modes"]),
        },
    }  # fmt: skip


def _format_size(report: Mapping[str, Any], statistic: str) -> str:
    return f"{report['sizes']['width'][statistic]:g}×{report['sizes']['height'][statistic]:g}"


def _format_counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())
