"""What the terminal shows of an audit: the tables at its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from lightcnn.auditing.settings import FINDINGS
from lightcnn.output.terminal import COMPACT, table
from lightcnn.text import visible

MAX_CLASSES = 20
"""Classes that the terminal shows; report.html has more."""
MAX_EXAMPLES = 3
"""Paths of a cluster that the terminal shows."""


def audit_tables(report: Mapping[str, Any], *, width: int) -> Group:
    """Findings, with an example of each on a wide terminal, classes and groups, from an audit's report.json."""
    findings = _finding_table(report, examples=width >= COMPACT)
    return Group(findings, Text(), _class_table(report), Text(), _group_table(report))


def _class_table(report: Mapping[str, Any]) -> Table:
    classes = report["counts"]["classes"]
    rows = table("class", "images")
    for name, count in list(classes.items())[:MAX_CLASSES]:
        rows.add_row(Text(visible(name)), f"{count:,}")
    if len(classes) > MAX_CLASSES:
        rows.add_row(f"and {len(classes) - MAX_CLASSES:,} more", "")
    return rows


def _finding_table(report: Mapping[str, Any], *, examples: bool) -> Table:
    rows = table("finding", "", *["example"] * examples, left=(0, 2))
    rows.columns[0].no_wrap = rows.columns[1].no_wrap = True
    if examples:
        rows.columns[2].no_wrap, rows.columns[2].overflow = True, "ellipsis"
    for name, title in {"corrupt": "files that cannot be used", **FINDINGS}.items():
        not_searched = name == "near_duplicates" and not report["near_searched"]
        count = "not searched" if not_searched else f"{len(report[name]):,}"
        rows.add_row(title, count, *[_example(report[name])] * examples)
    return rows


def _group_table(report: Mapping[str, Any]) -> Table:
    rows = table("groups", "images of the largest", "known from", left=(2,))
    groups = report["groups"]
    rows.add_row(f"{groups['count']:,}", f"{groups['largest']:,}", groups["source"])
    return rows


def _example(findings: list[Any]) -> Text:
    """The first of some findings: a file with its fault, or the paths of a cluster."""
    if not findings:
        return Text()
    first = findings[0]
    if isinstance(first, dict):
        return Text(visible(f"{first['path']} {first['reason']}"))
    more = f" and {len(first) - MAX_EXAMPLES} more" if len(first) > MAX_EXAMPLES else ""
    return Text(visible(", ".join(first[:MAX_EXAMPLES]) + more))
