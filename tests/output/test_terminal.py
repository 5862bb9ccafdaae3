"""Tables that fit into a terminal."""

from __future__ import annotations

import pytest

from lightcnn.output.terminal import fitted_table, fitting_columns

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


def test_a_table_has_the_columns_that_fit_and_a_style_for_each_row() -> None:
    shown = fitted_table(HEADER, ROWS, optional=("params",), width=18, left=("name",), styles=("bold", ""))
    assert [str(column.header) for column in shown.columns] == ["name", "file"]
    assert [column.justify for column in shown.columns] == ["left", "right"]
    assert [row.style for row in shown.rows] == ["bold", ""]
    assert [str(cell) for cell in shown.columns[1].cells] == ["12", "3"]
