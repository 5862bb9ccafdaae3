"""Checks in one line."""

from __future__ import annotations

from lightcnn.explaining.terminal import format_check


def test_a_curve_that_shows_little_is_marked():
    check = {"passed": True, "value": 0.5, "controls": {"random": 0.6, "centre": 0.7, "edges": 0.8}, "blind": True}
    assert format_check("deletion", check) == "✓ deletion 0.50 (best control 0.60; shows little)"
    assert format_check("deletion", check | {"blind": False}) == "✓ deletion 0.50 (best control 0.60)"


def test_a_value_has_as_many_digits_as_distinguish_it_from_the_control():
    check = {"passed": True, "value": 0.0512, "controls": {"random": 0.7, "edges": 0.0534}, "blind": False}
    assert format_check("deletion", check) == "✓ deletion 0.051 (best control 0.053)"
    assert format_check("insertion", check) == "✓ insertion 0.05 (best control 0.70)"
    assert format_check("deletion", check | {"value": 0.0534}) == "✓ deletion 0.05340 (best control 0.05340)"
