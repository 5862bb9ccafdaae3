"""The tables of a comparison: fewer columns on a narrow terminal."""

from __future__ import annotations

from lightcnn.comparing.terminal import compare_table, runs_table

SCORE = {"value": 0.9, "low": 0.85, "high": 0.95}
RUN = {"name": "first", "scores": {"accuracy": SCORE, "balanced_accuracy": SCORE, "auc": SCORE}, "largest_class": None}
PAIR = {
    "a": "first", "b": "second", "metric": "accuracy", "difference": 0.01, "low": -0.02, "high": 0.04, "p": 0.2,
    "p_adjusted": 0.4, "test": "exact McNemar test",
}  # fmt: skip
REPORT = {"runs": [RUN, RUN | {"name": "second"}], "pairs": [PAIR]}


def headers(table: object) -> list[str]:
    return [str(column.header) for column in table.columns]  # type: ignore[attr-defined]


def test_a_narrow_terminal_shows_the_accuracy_of_each_run() -> None:
    wide = runs_table(REPORT, width=150)
    assert headers(wide) == ["run", "accuracy", "balanced accuracy", "AUC", "largest class"]
    assert headers(runs_table(REPORT, width=40)) == ["run", "accuracy"]
    assert [str(cell) for cell in wide.columns[1].cells] == ["90.00% (85.00% to 95.00%)"] * 2


def test_a_narrow_terminal_shows_the_difference_and_one_p_of_each_pair() -> None:
    assert headers(compare_table(REPORT, width=150)) == [
        "a", "b", "metric", "a − b", "95 % interval", "p", "p (Holm)", "test"
    ]  # fmt: skip
    narrow = compare_table(REPORT, width=60)
    assert headers(narrow) == ["a", "b", "metric", "a − b", "95 % interval", "p (Holm)"]
    assert [str(next(column.cells)) for column in narrow.columns] == [
        "first", "second", "accuracy", "+1.0", "-2.0 to 4.0", "0.4000"
    ]  # fmt: skip
