"""report.json of an audit."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from lightcnn.auditing.audit import Audit
from lightcnn.auditing.verdict import FindingCounts, Verdict, verdict
from lightcnn.data.dataset import SPLIT_NAMES
from lightcnn.data.image_files import ImageFiles
from lightcnn.data.split import Split, data_document
from lightcnn.output.report import report_head


def audit_report(audit: Audit) -> dict[str, Any]:
    """The whole document."""
    judged = audit_verdict(audit)
    split = audit.dataset.split
    return {
        **report_head("audit", seconds=audit.seconds, data=_data(audit)),
        "verdict": str(judged),
        "train_with": judged.command,
        "fast": audit.fast,
        "counts": _image_counts(audit),
        "classes": _classes(audit),
        **_files(audit),
        "corrupt": [{"path": path, "reason": reason} for path, reason in audit.dataset.skipped],
        "exact_duplicates": audit.paths(audit.exact_duplicates),
        "near_searched": audit.near.similar is not None,
        "near_reason": audit.near.reason,
        "pairs": 0 if audit.near.similar is None else len(audit.near.similar.pairs),
        "near_duplicates": audit.paths(audit.near_duplicates),
        "cross_class": audit.paths(audit.cross_class),
        "suspects": [audit.suspects(cluster) for cluster in audit.cross_class],
        "cross_split": audit.paths(audit.cross_split),
        "leaked": {name: int((split[audit.leaked] == name).sum()) for name in ("val", "test")},
        "groups": _groups(audit),
    }


def audit_verdict(audit: Audit) -> Verdict:
    """The verdict by sentences."""
    return verdict(audit.dataset, audit.near, finding_counts(audit), audit.data_dir)


def finding_counts(audit: Audit) -> FindingCounts:
    """The numbers that the verdict states."""
    clusters = {name: (len(members), sum(map(len, members))) for name, members in audit.findings().items()}
    sizes = Counter(audit.dataset.split.tolist())
    outside = [("test", sizes["test"]), ("val", sizes["val"])]
    split_name, size = next(((name, count) for name, count in outside if count), ("test", 0))
    return FindingCounts(
        files=len(audit.dataset) + len(audit.dataset.skipped),
        leaked=int((audit.dataset.split[audit.leaked] == split_name).sum()),
        leaked_of=size,
        leaked_split=split_name,
        imbalance=audit.imbalance,
        contradicted=len(audit.contradicted),
        split_error=audit.split_error,
        **clusters,
    )


def _data(audit: Audit) -> dict[str, Any]:
    train, val, test = (np.flatnonzero(audit.dataset.split == name) for name in SPLIT_NAMES)
    return data_document(audit.dataset, Split(train, val, test))


def _image_counts(audit: Audit) -> dict[str, Any]:
    data, sizes = audit.dataset, Counter(audit.dataset.split.tolist())
    return {
        "files": len(data) + len(data.skipped),
        "images": len(data),
        "corrupt": len(data.skipped),
        "classes": {name: int((data.labels == label).sum()) for label, name in enumerate(data.classes)},
        "split": {name or "not given": count for name, count in sorted(sizes.items())},
        **{name: len(clusters) for name, clusters in audit.findings().items()},
    }


def _classes(audit: Audit) -> dict[str, Any]:
    classes = audit.dataset.classes
    sizes = np.bincount(audit.dataset.labels, minlength=len(classes))
    return {
        "imbalance": audit.imbalance,
        "largest": classes[int(sizes.argmax())],
        "smallest": classes[int(sizes.argmin())],
    }


def _files(audit: Audit) -> dict[str, Any]:
    """Sizes, modes and formats as stored in the files, before images are reduced on decoding."""
    data, shapes = audit.dataset, audit.file_shapes
    modes, formats = Counter[str](), Counter[str]()
    if isinstance(data.images, ImageFiles):
        for kind, count in data.images.facts.kinds():
            modes[kind.mode] += count
            formats[kind.format] += count
    else:
        modes, formats = Counter({"RGB" if data.channels == 3 else "L": len(data)}), Counter({"array": len(data)})
    ranges = {
        name: {"min": int(column.min()), "median": float(np.median(column)), "max": int(column.max())}
        for name, column in (("width", shapes[:, 0]), ("height", shapes[:, 1]))
    }
    sizes = ranges | {"distinct": len(np.unique(shapes, axis=0))}
    return {"sizes": sizes, "modes": dict(modes.most_common()), "formats": dict(formats.most_common())}


def _groups(audit: Audit) -> dict[str, Any]:
    sizes = Counter(audit.dataset.groups.tolist())
    return {
        "source": audit.dataset.groups_from,
        "count": len(sizes),
        "largest": max(sizes.values()),
        "why": audit.dataset.groups_reason,
        "shared_by_given_split": audit.shared_groups,
        "contradicted": audit.paths(audit.contradicted),
    }
