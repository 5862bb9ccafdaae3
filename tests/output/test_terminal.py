"""Tables that fit into a terminal."""

from __future__ import annotations

import pytest

from lightcnn.output.terminal import fitting_columns

HEADER = ("name", "params", "file")
ROWS = (("a", "1,000", "12"), ("漢字漢字漢字", "2", "3"))
"""The columns are 12, 6 and 4 characters wide, with 2 between them."""


@pytest.mark.parametrize(
    ("width", "places"), [(26, [0, 1, 2]), (25, [0, 2]), (18, [0, 2]), (17, [0]), (3, [0])]
)  # fmt: skip
def test_optional_columns_are_left_out_in_their_order(width: int, places: list[int]) -> None:
    assert fitting_columns(HEADER, ROWS, ("missing", "params", "file"), width) == places


def test_columns_that_are_not_optional_stay() -> None:
    assert fitting_columns(HEADER, (), (), 1) == [0, 1, 2]
