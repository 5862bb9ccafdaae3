"""What people see of an audit: the tables at its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group
from rich.text import Text

from lightcnn.output.terminal import table
from lightcnn.text import visible

FINDINGS = {
    "corrupt": "files that cannot be used",
    "cross_class": "clusters under more than one class",
    "cross_split": "sources on more than one given side",
    "exact_duplicates": "clusters of equal pixels",
    "near_duplicates": "clusters of near duplicates",
}


def audit_tables(report: Mapping[str, Any]) -> Group:
    """Classes, findings with their first examples, and groups, from an audit's report.json."""
    classes = table("class", "images")
    for name, count in list(report["counts"]["classes"].items())[:20]:
        classes.add_row(Text(visible(name)), f"{count:,}")
    if len(report["counts"]["classes"]) > 20:
        classes.add_row(f"and {len(report['counts']['classes']) - 20:,} more", "")
    found = table("found", "", "for example", left=(0, 2))
    for name, title in FINDINGS.items():
        unseen = name == "near_duplicates" and not report["near_searched"]
        found.add_row(title, "not looked for" if unseen else f"{len(report[name]):,}", _example(report[name]))
    groups = table("groups", "images of the largest", "known from", left=(2,))
    held = report["groups"]
    groups.add_row(f"{held['count']:,}", f"{held['largest']:,}", held["source"])
    return Group(classes, Text(), found, Text(), groups)


def _example(found: list[Any]) -> Text:
    """The first of what was found, in a few words."""
    if not found:
        return Text()
    first = found[0]
    if isinstance(first, dict):
        return Text(visible(f"{first['path']} {first['reason']}"))
    more = f" and {len(first) - 3} more" if len(first) > 3 else ""
    return Text(visible(", ".join(first[:3]) + more))
