"""Numbers with which methods measure themselves."""

from __future__ import annotations

import math

from lightcnn.explaining.checks.self_reported import check_facts


def test_facts_are_checked_against_their_bounds() -> None:
    checks = check_facts({"completeness_error": 0.01, "steps": 64, "r2": 0.5})
    assert [checks[name]["passed"] for name in ("completeness", "fit")] == [True, True]
    assert (checks["completeness"]["value"], checks["completeness"]["steps"]) == (0.01, 64)
    worse = check_facts({"completeness_error": 0.0101, "r2": 0.499})
    assert [worse[name]["passed"] for name in ("completeness", "fit")] == [False, False]
    unknown = check_facts({"completeness_error": math.nan, "r2": None})
    assert [(unknown[name]["value"], unknown[name]["passed"]) for name in unknown] == [(None, None)] * 2
    assert check_facts({"baseline": "black"}) == {}
