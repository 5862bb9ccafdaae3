"""The checks of many maps together: a table of methods and checks with intervals, and sentences about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn.evaluation.bootstrap import MAX_LEFT_OUT, MAX_NUMBERS, draw_counts, leave_one_out_counts
from lightcnn.evaluation.intervals import BootstrapDraws
from lightcnn.evaluation.paired_tests import score_interval
from lightcnn.evaluation.sample_size import MIN_GROUPS
from lightcnn.explaining.checks.catalogue import CHECKS, DISPLAY_ORDER
from lightcnn.explaining.methods.catalogue import title_of

Numbers = NDArray[np.float64]
Row = dict[str, Any]


def summary(explanations: Sequence[Mapping[str, Any]]) -> list[Row]:
    """One row per method and check of the `explanations` of report.json, in the order of the methods.

    Shares of passed images have Wilson's interval, based on groups if images have a `group`, and none for a single
    image or group. Values and margins have a
    bootstrap interval over groups, withheld if there are fewer than 20. `unjudged` counts the images on which a check
    could not be made, `blind` those on which the probability hardly changes without the image, so that a curve shows
    little. `needed` is by how much the area under deletion is smaller if the masked pixels are removed first than with
    a random order, whatever the maps show.
    """
    rows = []
    for method in dict.fromkeys(explanation["method"] for explanation in explanations):
        entries = [(number, entry) for number, entry in enumerate(explanations) if entry["method"] == method]
        units = [_unit(entry, number) for number, entry in entries]
        for name in CHECKS:
            checks = [
                (entry["checks"][name], unit)
                for (_, entry), unit in zip(entries, units, strict=True)
                if name in entry["checks"]
            ]
            if checks:
                rows.append(_row(method, name, checks))
    return rows


def summary_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows of `summary` in words: what each method passed and failed, and what the checks do not show."""
    return "\n".join(summary_paragraphs(rows))


def summary_paragraphs(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """One paragraph per method, one on what all methods share, and one on what the checks do not show."""
    if not rows:
        return ["No map was checked: it is unknown how far the maps follow the network."]
    paragraphs, explained = list[str](), set[str]()
    for method, method_rows in groupby(rows, lambda row: row["method"]):
        paragraphs.append(_method_paragraph(title_of(method), list(method_rows), explained))
    methods = list(dict.fromkeys(row["method"] for row in rows))
    first = [row for row in rows if row["method"] == methods[0]]
    shared = [_needed_sentence(row["needed"]) for row in first if row["needed"]]
    shared += [_blind_sentence(row) for row in first if row["blind"]]
    paragraphs += [" ".join(shared)] if shared else []
    return [*paragraphs, _conclusion(rows, methods)]


def image_verdict(checks: Mapping[str, Mapping[str, Any]]) -> str:
    """How many of the checks of one map it passes, and which it fails, in one short line."""
    if not checks:
        return "Not checked."
    by_result = {
        result: [name for name in DISPLAY_ORDER if name in checks and checks[name]["passed"] is result]
        for result in (True, False, None)
    }
    passed, failed, unknown = by_result.values()
    judged = len(passed) + len(failed)
    share = "all" if not failed else f"{len(passed) or 'none'} of"
    parts = [f"passes {share} {judged} checks"] if judged else []
    parts += [f"fails {_listed(failed)}"] if failed else []
    parts += [f"{_listed(unknown)} could not be judged"] if unknown else []
    line = "; ".join(parts)
    return f"{line[0].upper()}{line[1:]}."


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _conclusion(rows: Sequence[Mapping[str, Any]], methods: Sequence[str]) -> str:
    """Whether any method passed all checks, and what the checks do not show."""
    failing = {row["method"] for row in rows if row["passed"] < row["images"]}
    passing = [title_of(method) for method in methods if method not in failing]
    if passing:
        result = f"{' and '.join(passing)} passed every check made; on medical images every method fails some"
    else:
        result = "No method passed every check on every image" if len(methods) > 1 else "It did not pass every check"
    return f"{result}. The checks do not show that the network is right, only how far a map follows the network."


def _unit(entry: Mapping[str, Any], number: int) -> str:
    """The unit of resampling that an explanation belongs to: its group, else its image, else itself."""
    for key in ("group", "image"):
        if entry.get(key) is not None:
            return f"{key} {entry[key]}"
    return f"number {number}"


def _row(method: str, name: str, checks: Sequence[tuple[Mapping[str, Any], str]]) -> Row:
    judged = [(check, unit) for check, unit in checks if check["passed"] is not None]
    row: Row = {"method": method, "check": name, "images": len(judged), "unjudged": len(checks) - len(judged)}
    kind = CHECKS[name]
    return row | {
        "passed": sum(check["passed"] for check, _ in judged),
        "share": _share(judged),
        "value": _mean([(check["value"], unit) for check, unit in checks], kind.lowest, kind.highest),
        "margin": _mean([(check["margin"], unit) for check, unit in checks if "margin" in check], -1.0, 1.0),
        "needed": _mean([(_needed_area(check), unit) for check, unit in checks], -1.0, 1.0),
        "blind": sum(bool(check.get("blind")) for check, _ in judged),
        "rule": checks[0][0]["rule"],
    }


def _needed_area(check: Mapping[str, Any]) -> float | None:
    """How much smaller the area is with the masked pixels removed first than with a random order; None without mask."""
    needed = check.get("needed")
    return None if needed is None else needed["random"] - needed["deletion"]


def _share(judged: Sequence[tuple[Mapping[str, Any], str]]) -> Row:
    """The share of passed images with Wilson's interval, on as many images as would vary as much as the groups do."""
    if not judged:
        return {"value": None, "low": None, "high": None, "interval": "none: no image could be judged"}
    passed = np.array([check["passed"] for check, _ in judged], dtype=np.float64)
    codes = _codes([unit for _, unit in judged])
    share, groups = float(passed.mean()), int(codes.max()) + 1
    if groups == 1:  # one image says nothing of others
        single = "image" if len(passed) == 1 else "group"
        return {"value": share, "low": None, "high": None, "interval": f"none: one {single}"}
    low, high = score_interval(share, (passed - share) / len(passed), codes)
    unit = "images" if groups == len(passed) else "groups"
    return {"value": share, "low": low, "high": high, "interval": f"Wilson on {groups:,} {unit}"}


def _mean(values: Sequence[tuple[float | None, str]], lowest: float, highest: float) -> Row | None:
    """Mean and median of the known values, with the interval of the mean; None if no value is known."""
    known = [(value, unit) for value, unit in values if value is not None]
    if not known:
        return None
    numbers = np.array([value for value, _ in known], dtype=np.float64)
    row: Row = {"images": len(known), "mean": float(numbers.mean()), "median": float(np.median(numbers))}
    row |= {"low": None, "high": None}
    codes = _codes([unit for _, unit in known])
    groups = int(codes.max()) + 1
    unit = "image" if groups == len(known) else "group"
    if groups < MIN_GROUPS:
        return row | {"interval": f"withheld: {groups} {unit}s, fewer than {MIN_GROUPS}"}
    draws = _draws(numbers, codes, unit)
    error, quantile = draws.spread()
    low, high = (max(lowest, row["mean"] - quantile * error), min(highest, row["mean"] + quantile * error))
    return row | {"low": low, "high": high, "interval": draws.method}


def _draws(numbers: Numbers, codes: NDArray[np.int64], unit: str) -> BootstrapDraws:
    """The mean in every bootstrap draw of whole groups, and without each group."""
    groups = int(codes.max()) + 1
    sums, counts = (np.bincount(codes, weights=weights) for weights in (numbers, np.ones_like(numbers)))
    rows = max(1, MAX_NUMBERS // groups)
    drawn = np.concatenate([(times @ sums) / (times @ counts) for times in draw_counts(groups, rows)])
    few = groups if groups <= MAX_LEFT_OUT else 0
    without = [(times @ sums) / (times @ counts) for times in leave_one_out_counts(few, rows)]
    return BootstrapDraws(drawn, np.concatenate([np.empty(0), *without]), groups, groups, unit)


def _codes(units: Sequence[str]) -> NDArray[np.int64]:
    return np.unique(units, return_inverse=True)[1].astype(np.int64)


def _method_paragraph(title: str, rows: Sequence[Mapping[str, Any]], explained: set[str]) -> str:
    """The results of one method, check by check; a check passed on less than half of the images is a failure.

    What a failure means is written once: `explained` holds the checks for which it was, and grows.
    """
    judged = [row for row in rows if row["images"]]
    failed = [row for row in judged if 2 * row["passed"] < row["images"]]
    passed = [row for row in judged if row not in failed]
    sentences = []
    if passed:
        clauses = "; ".join(f"{CHECKS[row['check']].passed} on {_format_count(row)}" for row in passed)
        sentences.append(f"{title} {clauses}.")
    for row in failed:
        start = f"{title} fails" if not sentences else "It fails"
        meaning = "" if row["check"] in explained else f": {CHECKS[row['check']].failed}"
        explained.add(row["check"])
        sentences.append(f"{start} the {row['check']} check, passed on {_format_count(row)}{meaning}.")
    if unjudged := [row["check"] for row in rows if not row["images"]]:
        sentences.append(f"For {title}, {', '.join(unjudged)} could not be judged.")
    return " ".join(sentences)


def _needed_sentence(needed: Mapping[str, Any]) -> str:
    """How much the network depends on the masked pixels."""
    bounds = ""
    if needed["low"] is not None:
        bounds = f" (95 % interval {needed['low']:+.2f} to {needed['high']:+.2f})"
    return (
        "Independent of the maps: if the masked pixels are removed first, the area under the probability is smaller "
        f"than with a random order by {needed['mean']:+.2f}{bounds}; the larger this number, the more the network "
        "depends on the masked pixels."
    )


def _blind_sentence(row: Mapping[str, Any]) -> str:
    """On how many images a curve shows little. It is the same for all methods: the ends do not depend on the map."""
    replacement = {"deletion": "an image of the training mean", "insertion": "its blurred image"}[row["check"]]
    start = f"On {row['blind']} of {row['images']} images the network gives nearly the same probability for"
    return f"{start} {replacement}: there {row['check']} shows little."


def _format_count(row: Mapping[str, Any]) -> str:
    """As in `17 of 20 images (64 to 95 %)`."""
    share = row["share"]
    noun = "image" if row["images"] == 1 else "images"
    interval = "" if share["low"] is None else f" ({100 * share['low']:.0f} to {100 * share['high']:.0f} %)"
    return f"{row['passed']} of {row['images']} {noun}{interval}"
