"""The confusion matrix as a table, and its most frequent mistakes."""

from __future__ import annotations

from lightcnn.output.confusion_table import MAX_FREQUENT, confusion_table, frequent_mistakes


def test_the_most_frequent_mistakes_are_first_and_correct_predictions_last() -> None:
    table = confusion_table([[5, 1, 0], [0, 4, 3], [2, 0, 7]], ["a", "b", "c"])
    assert [row[:3] for row in table["rows"]] == [
        ("b", "c", 3), ("c", "a", 2), ("a", "b", 1), ("c", "c", 7), ("a", "a", 5), ("b", "b", 4),
    ]  # fmt: skip
    mistakes = frequent_mistakes(table)
    assert mistakes["header"] == ("true class", "predicted class", "images")
    assert [(*names, cell.text) for *names, cell in mistakes["rows"]] == [
        ("b", "c", "3 (42.9%)"), ("c", "a", "2 (22.2%)"), ("a", "b", "1 (16.7%)"),
    ]  # fmt: skip


def test_mistakes_are_limited_and_may_be_none() -> None:
    many = confusion_table([[1] * 5] * 5, list("abcde"))
    assert len(frequent_mistakes(many)["rows"]) == MAX_FREQUENT
    assert frequent_mistakes(confusion_table([[3, 0], [0, 2]], ["a", "b"]))["rows"] == []
