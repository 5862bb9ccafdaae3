"""Numbers with which methods measure themselves, checked against a bound."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

MAX_COMPLETENESS_ERROR, MIN_FIT = 0.01, 0.5
"""Largest error of the sum of a map; smallest share of the variance that LIME's linear model must explain."""
RULES = {
    "completeness": "the map adds up to the change of the score from the baseline within "
    f"{100 * MAX_COMPLETENESS_ERROR:g} %",
    "fit": f"around the image the superpixels explain at least {MIN_FIT:g} of the variance (R²)",
}


def check_facts(facts: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The check `completeness` for facts with `completeness_error`, and `fit` for facts with `r2`.

    A missing number, for example because nothing varies, is not judged.
    """
    checks: dict[str, dict[str, Any]] = {}
    if "completeness_error" in facts:
        value = _finite(facts["completeness_error"])
        passed = None if value is None else value <= MAX_COMPLETENESS_ERROR
        checks["completeness"] = _check("completeness", value, passed)
        checks["completeness"]["steps"] = facts.get("steps")
    if "r2" in facts:
        value = _finite(facts["r2"])
        checks["fit"] = _check("fit", value, None if value is None else value >= MIN_FIT)
    return checks


def _check(name: str, value: float | None, passed: bool | None) -> dict[str, Any]:
    says = "" if value is not None else "the method could not measure it"
    return {"value": value, "passed": passed, "rule": RULES[name], "says": says}


def _finite(value: Any) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
