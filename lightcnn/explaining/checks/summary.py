"""What the checks of many maps say together: a table method × check with intervals, and the sentences on it."""

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
from lightcnn.explaining.checks.checker import NAMES

Numbers = NDArray[np.float64]
Row = dict[str, Any]
TITLES = {
    "gradcam": "Grad-CAM", "gradcam++": "Grad-CAM++", "layercam": "Layer-CAM", "ig": "Integrated Gradients",
    "lime": "LIME", "occlusion": "Occlusion",
}  # fmt: skip
PASSED = {
    "deletion": "beat every control at deletion",
    "insertion": "beat every control at insertion",
    "completeness": "added up to the change of the score",
    "fit": "had a local model that fits",
    "seeds": "came out alike with another seed",
    "randomisation": "changed when the top of the network was redrawn",
    "stability": "kept its order under slight noise",
    "mask": "pointed into the mask",
    "map": "gave no warning",
}
FAILED = {
    "deletion": "taking away what it marks changes the answer no faster than a map that knows nothing of the network",
    "insertion": "showing what it marks brings the answer no faster than a map that knows nothing of the network",
    "completeness": "its numbers do not add up to the change of the score",
    "fit": "its superpixels explain less of the answer than they leave",
    "seeds": "another seed gives another map",
    "randomisation": "its map hardly changes when the top of the network is redrawn",
    "stability": "noise that leaves the prediction as it is changes the map",
    "mask": "it does not lie where the mask is",
    "map": "its maps are empty, flat, or lie on the border or on background",
}
LIMITS = {"completeness": (0.0, np.inf), "fit": (-np.inf, 1.0), "deletion": (0.0, 1.0), "insertion": (0.0, 1.0)}
LIMITS |= {"mask": (0.0, 1.0)}
"""Between which the values of a check lie; -1 to 1 where it is not named."""


def summary(explanations: Sequence[Mapping[str, Any]]) -> list[Row]:
    """A row for every method and check of `explanations` of report.json, in the order in which the methods come.

    Shares of passed ones have Wilson's interval, on groups where images have a `group`; values and margins that of a
    bootstrap of these, withheld where there are fewer than 20. `unjudged` are those that a check could not be made on,
    `blind` those whose answer is much the same without the image, where a curve tells little. `needed` is by how much
    the area under deletion is smaller when the mask goes first than by chance, whatever the maps say.
    """
    rows = []
    for method in dict.fromkeys(explanation["method"] for explanation in explanations):
        own = [(number, entry) for number, entry in enumerate(explanations) if entry["method"] == method]
        witnesses = [_witness(entry, number) for number, entry in own]
        for name in NAMES:
            made = [
                (entry["checks"][name], witness)
                for (_, entry), witness in zip(own, witnesses, strict=True)
                if name in entry["checks"]
            ]
            if made:
                rows.append(_row(method, name, made))
    return rows


def sentence(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows of `summary` in plain words: what each method passed, what it failed, and what that does not show."""
    return "\n".join(sentences(rows))


def sentences(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The same in parts: one a method, one on what all of them share, one on what that does not show."""
    if not rows:
        return ["No map was checked: nothing is known of how far the maps follow the network."]
    said, explained = list[str](), set[str]()
    for method, own in groupby(rows, lambda row: row["method"]):
        said.append(_of_method(TITLES.get(method, method), list(own), explained))
    failing = {row["method"] for row in rows if row["passed"] < row["images"]}
    methods = list(dict.fromkeys(row["method"] for row in rows))
    clean = [TITLES.get(method, method) for method in methods if method not in failing]
    if clean:
        end = f"{' and '.join(clean)} passed every check made; in medicine every method fails some"
    else:
        end = "No method passed every check on every image" if len(methods) > 1 else "It did not pass every check"
    first = [row for row in rows if row["method"] == methods[0]]
    shared = [_needed(row["needed"]) for row in first if row["needed"]] + [_blind(row) for row in first if row["blind"]]
    said += [" ".join(shared)] if shared else []
    said.append(f"{end}. None of this shows that the network is right, only how far a map follows the network.")
    return said


def _witness(entry: Mapping[str, Any], number: int) -> str:
    """What an explanation counts as: its group, else its image, else itself."""
    for key in ("group", "image"):
        if entry.get(key) is not None:
            return f"{key} {entry[key]}"
    return f"number {number}"


def _row(method: str, name: str, made: Sequence[tuple[Mapping[str, Any], str]]) -> Row:
    judged = [(check, witness) for check, witness in made if check["passed"] is not None]
    row: Row = {"method": method, "check": name, "images": len(judged), "unjudged": len(made) - len(judged)}
    limits = LIMITS.get(name, (-1.0, 1.0))
    return row | {
        "passed": sum(check["passed"] for check, _ in judged),
        "share": _share(judged),
        "value": _centre([(check["value"], of) for check, of in made], *limits),
        "margin": _centre([(check["margin"], of) for check, of in made if "margin" in check], -1.0, 1.0),
        "needed": _centre([(_faster(check), of) for check, of in made], -1.0, 1.0),
        "blind": sum(bool(check.get("blind")) for check, _ in judged),
        "rule": made[0][0]["rule"],
    }


def _faster(check: Mapping[str, Any]) -> float | None:
    """How much sooner than by chance the answer falls when the mask goes first: an area; None without a mask."""
    needed = check.get("needed")
    return None if needed is None else needed["random"] - needed["deletion"]


def _share(judged: Sequence[tuple[Mapping[str, Any], str]]) -> Row:
    """Of those passed: Wilson's interval, on as many images as would spread as much as the groups do."""
    if not judged:
        return {"value": None, "low": None, "high": None, "interval": "none: no image could be judged"}
    passed = np.array([check["passed"] for check, _ in judged], dtype=np.float64)
    codes = _codes([witness for _, witness in judged])
    share, groups = float(passed.mean()), int(codes.max()) + 1
    low, high = score_interval(share, (passed - share) / len(passed), codes)
    unit = "images" if groups == len(passed) else "groups"
    return {"value": share, "low": low, "high": high, "interval": f"Wilson on {groups:,} {unit}"}


def _centre(values: Sequence[tuple[float | None, str]], lowest: float, highest: float) -> Row | None:
    """Mean and median of the values that there are, with the mean's interval; None without any."""
    told = [(value, witness) for value, witness in values if value is not None]
    if not told:
        return None
    numbers = np.array([value for value, _ in told], dtype=np.float64)
    found: Row = {"images": len(told), "mean": float(numbers.mean()), "median": float(np.median(numbers))}
    found |= {"low": None, "high": None}
    codes = _codes([witness for _, witness in told])
    groups = int(codes.max()) + 1
    unit = "image" if groups == len(told) else "group"
    if groups < MIN_GROUPS:
        return found | {"interval": f"withheld: {groups} {unit}s, under {MIN_GROUPS}"}
    draws = _draws(numbers, codes, unit)
    error, quantile = draws.spread()
    low, high = (max(lowest, found["mean"] - quantile * error), min(highest, found["mean"] + quantile * error))
    return found | {"low": low, "high": high, "interval": draws.method}


def _draws(numbers: Numbers, codes: NDArray[np.int64], unit: str) -> BootstrapDraws:
    """The mean in every draw of whole groups, and with each left out."""
    groups = int(codes.max()) + 1
    sums, counts = (np.bincount(codes, weights=of) for of in (numbers, np.ones_like(numbers)))
    rows = max(1, MAX_NUMBERS // groups)
    drawn = np.concatenate([(times @ sums) / (times @ counts) for times in draw_counts(groups, rows)])
    few = groups if groups <= MAX_LEFT_OUT else 0
    without = [(times @ sums) / (times @ counts) for times in leave_one_out_counts(few, rows)]
    return BootstrapDraws(drawn, np.concatenate([np.empty(0), *without]), groups, groups, unit)


def _codes(witnesses: Sequence[str]) -> NDArray[np.int64]:
    return np.unique(witnesses, return_inverse=True)[1].astype(np.int64)


def _of_method(title: str, rows: Sequence[Mapping[str, Any]], explained: set[str]) -> str:
    """What a method's maps did, check by check; what under half of the images passed is a failure.

    What a failure means is said once: `explained` are the checks of which it was, and grows.
    """
    judged = [row for row in rows if row["images"]]
    failed = [row for row in judged if 2 * row["passed"] < row["images"]]
    passed = [row for row in judged if row not in failed]
    said = []
    if passed:
        said.append(f"{title} " + "; ".join(f"{PASSED[row['check']]} on {_count(row)}" for row in passed) + ".")
    for row in failed:
        start = f"{title} fails" if not said else "It fails"
        meaning = "" if row["check"] in explained else f": {FAILED[row['check']]}"
        explained.add(row["check"])
        said.append(f"{start} the {row['check']} check, passed on {_count(row)}{meaning}.")
    if silent := [row["check"] for row in rows if not row["images"]]:
        said.append(f"Of {title}, {', '.join(silent)} could not be judged.")
    return " ".join(said)


def _needed(found: Mapping[str, Any]) -> str:
    """What the network does without the mask."""
    bounds = f" (95 % interval {found['low']:+.2f} to {found['high']:+.2f})" if found["low"] is not None else ""
    return (
        "Whatever the maps say: with the mask's pixels taken away first, the area under the probability is smaller "
        f"than by chance by {found['mean']:+.2f}{bounds}; the larger, the more the network needs what is marked."
    )


def _blind(row: Mapping[str, Any]) -> str:
    """Of the curves of any method: their ends are those of the image, not of the map."""
    given = {"deletion": "an image of the training mean", "insertion": "its blurred image"}[row["check"]]
    told = f"On {row['blind']} of {row['images']} images the network gives much the same answer to {given}"
    return f"{told}: there {row['check']} tells little."


def _count(row: Mapping[str, Any]) -> str:
    """As in `17 of 20 images (64 to 95 %)`."""
    share = row["share"]
    unit = "image" if row["images"] == 1 else "images"
    interval = f" ({100 * share['low']:.0f} to {100 * share['high']:.0f} %)" if row["images"] > 1 else ""
    return f"{row['passed']} of {row['images']} {unit}{interval}"
