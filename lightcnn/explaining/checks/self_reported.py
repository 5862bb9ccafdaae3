"""What methods say of their own faithfulness, held against a bound."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

COMPLETENESS, FIT = 0.01, 0.5
"""Largest error of the sum of a map; least share of the variance that LIME's line explains: as much as it leaves."""
RULES = {
    "completeness": f"the map adds up to the change of the score from the baseline within {100 * COMPLETENESS:g} %",
    "fit": f"around the image the superpixels explain at least {FIT:g} of the variance (R²): as much as they leave",
}


def claims(facts: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The checks `completeness` and `fit` of the methods whose facts have `completeness_error` or `r2`.

    A number that is missing, as where nothing varies, is not judged.
    """
    found: dict[str, dict[str, Any]] = {}
    if "completeness_error" in facts:
        value = _finite(facts["completeness_error"])
        found["completeness"] = _check("completeness", value, None if value is None else value <= COMPLETENESS)
        found["completeness"]["steps"] = facts.get("steps")
    if "r2" in facts:
        value = _finite(facts["r2"])
        found["fit"] = _check("fit", value, None if value is None else value >= FIT)
    return found


def _check(name: str, value: float | None, passed: bool | None) -> dict[str, Any]:
    says = "" if value is not None else "the method could not tell"
    return {"value": value, "passed": passed, "rule": RULES[name], "says": says}


def _finite(value: Any) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
